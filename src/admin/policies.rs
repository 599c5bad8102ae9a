//! `GET /v1/policies`: what there is to judge by, and the text of each.

use std::sync::Arc;

use hyper::Response;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::admin::desk::{Desk, as_guarded, guarded, usual_engine};
use crate::admin::refused::Refused;
use crate::admin::reply::{self, Body};
use crate::config::Config;
use crate::policy::{Effort, Policy, hex_sha256};
use crate::wire::unescape;
use crate::workbench::policies::{self, FindError};

#[derive(Serialize)]
struct List {
    policies: Vec<Entry>,
    /// Of policies that no guardrail has; none where there is none to judge them.
    engine: Option<String>,
    /// Whether recent decisions come with their texts.
    content: bool,
}

/// A policy, as it would be judged by.
#[derive(Serialize)]
struct Entry {
    id: String,
    /// Guardrails that judge by it.
    guardrails: Vec<String>,
    engine: Option<String>,
    effort: Effort,
    /// Whether `POST /v1/moderations` asks it by default.
    moderated: bool,
    form: Option<&'static str>,
    labels: Vec<Named>,
    /// Of what it is judged by: the file, or of a guardrail's policy what was loaded of it.
    digest: Option<String>,
    /// Why it can't be judged by.
    problem: Option<String>,
}

#[derive(Serialize)]
struct Named {
    label: String,
    safe: bool,
}

#[derive(Serialize)]
struct Source {
    id: String,
    /// The whole file, and its digest.
    text: String,
    digest: String,
}

pub async fn list(desk: &Desk) -> Result<Response<Body>, Refused> {
    let (config, moderated, content) = (desk.config(), desk.moderated(), desk.shows_content());
    // Reads files.
    let list = spawn_blocking(move || {
        let mut ids = policies::names(&config.policies_dir);
        ids.extend(guarded(&config).map(|(policy, ..)| policy.id.to_string()));
        ids.sort();
        ids.dedup();
        let policies = ids.iter().map(|id| entry(&config, id, &moderated)).collect();
        List { policies, engine: usual_engine(&config).map(|engine| engine.name.to_string()), content }
    });
    Ok(reply::json(&list.await.map_err(|_| Refused::Internal)?))
}

/// `id` as it stands in a path: with percent escapes, which are undone once.
pub async fn source(desk: &Desk, id: &str) -> Result<Response<Body>, Refused> {
    let id = unescape(id).and_then(|id| String::from_utf8(id).ok()).ok_or(Refused::NoPolicy { param: "id" })?;
    let config = desk.config();
    let source = spawn_blocking(move || match policies::source(&config.policies_dir, &id) {
        Ok(text) => Ok(Source { id, digest: hex_sha256(text.as_bytes()), text }),
        Err(FindError::Unknown { .. }) => Err(Refused::NoPolicy { param: "id" }),
        // It is there, and can't be shown.
        Err(error) => Err(Refused::Unusable(error.to_string())),
    });
    Ok(reply::json(&source.await.map_err(|_| Refused::Internal)??))
}

fn entry(config: &Config, id: &str, moderated: &[Arc<str>]) -> Entry {
    let as_guarded = as_guarded(config, id);
    let (policy, problem) = match as_guarded {
        Some((policy, ..)) => (Some(policy.clone()), None),
        None => match policies::source(&config.policies_dir, id) {
            Err(error) => (None, Some(error.to_string())),
            Ok(text) => match Policy::parse(id, &text) {
                Ok(policy) => (Some(Arc::new(policy)), None),
                Err(error) => (None, Some(error.to_string())),
            },
        },
    };
    let engine = as_guarded.map(|(_, engine, _)| engine).or_else(|| usual_engine(config));
    let by_it =
        |guardrail: &&Arc<crate::config::Guardrail>| guardrail.judge.by_policy().is_some_and(|by| *by.policy.id == *id);
    let labels = policy.iter().flat_map(|policy| &policy.labels);
    Entry {
        id: id.into(),
        guardrails: config.guardrails.iter().filter(by_it).map(|guardrail| guardrail.id.to_string()).collect(),
        engine: engine.map(|engine| engine.name.to_string()),
        effort: as_guarded.map_or(Effort::Low, |(.., reasoning)| reasoning.effort()),
        moderated: moderated.iter().any(|known| **known == *id),
        form: policy.as_ref().map(|policy| policy.form.as_str()),
        labels: labels.map(|label| Named { label: label.label.to_string(), safe: label.safe }).collect(),
        digest: policy.as_ref().map(|policy| policy.digest.to_string()),
        problem,
    }
}
