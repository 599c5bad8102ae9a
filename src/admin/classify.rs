//! `POST /v1/classify`: one text under one policy, of the deployment or a draft. A draft is judged and nothing else: it is
//! written nowhere.

use std::sync::Arc;

use hyper::Response;
use serde::Deserialize;

use crate::admin::desk::{Desk, EMPTY, Meant, WITHIN};
use crate::admin::events;
use crate::admin::refused::Refused;
use crate::admin::reply::{self, Body};
use crate::admin::server::Lease;
use crate::policy::{Effort, Stage};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The policy's id; beside a draft, that of the policy whose engine and effort it has.
    policy: Option<String>,
    /// A draft: front matter and all.
    policy_text: Option<String>,
    text: String,
    stage: Option<Stage>,
    effort: Option<Effort>,
    stream: Option<bool>,
}

pub async fn classify(desk: &Arc<Desk>, asked: Asked, lease: &Lease) -> Result<Response<Body>, Refused> {
    let meant = match (asked.policy, asked.policy_text) {
        (of, Some(text)) => Meant::Draft { text, of },
        (Some(id), None) => Meant::Named(id),
        (None, None) => {
            let problem = "expected the id of a policy, or policy_text with a whole policy file".into();
            return Err(Refused::Parameter { param: "policy", problem });
        }
    };
    if asked.text.trim().is_empty() {
        return Err(Refused::Parameter { param: "text", problem: EMPTY.into() });
    }
    let permit = desk.permit()?;
    let classifier = lease.hold(desk.classifier(meant, asked.effort, Effort::Low, "policy")).await?;
    lease.extend(WITHIN);
    let stage = asked.stage.unwrap_or(Stage::Input);
    match asked.stream {
        Some(true) => Ok(reply::events(events::judged(classifier, stage, asked.text.into(), permit))),
        _ => Ok(reply::json(&classifier.classify(stage, asked.text, None).await?)),
    }
}
