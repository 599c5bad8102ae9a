//! Every way in which the admin server refuses a request, whose fault it is, and what is to be done.

use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use crate::guardrail::DetectError;
use crate::policy::PolicyError;

/// Why there is no answer. The variants stand in the order in which a request can meet them.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("nothing is served under this path")]
    NotFound,
    #[error("only {0} is served here")]
    Method(&'static str),
    #[error(
        "this listener has no token, so it answers to loopback names alone: ask localhost, 127.0.0.1 or [::1], or set a token"
    )]
    Host,
    #[error("this comes from the page of another site: open the page of this listener itself")]
    Origin,
    #[error("a bearer token is needed: send `Authorization: Bearer` and the token of [admin]")]
    Token,
    #[error("the body must be `Content-Type: application/json`")]
    Type,
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body did not arrive within {} s", .after.as_secs())]
    Late { after: Duration },
    #[error("the body broke off")]
    Body,
    #[error("the body is not what is served here: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{problem}")]
    Parameter { param: &'static str, problem: String },
    /// Of a draft: it says where.
    #[error("line {}, column {}: {}", .0.line, .0.column, .0.problem)]
    Draft(PolicyError),
    #[error("no policy is named so; GET /v1/policies lists them")]
    NoPolicy { param: &'static str },
    #[error("the policy can't be judged by: {0}")]
    Unusable(String),
    #[error("{limit} requests are being judged, and no more are at once")]
    Busy { limit: usize },
    #[error("there is no verdict: {0}")]
    Failed(#[from] DetectError),
    #[error("a part of the program failed")]
    Internal,
}

/// As OpenAI's API tells an error, with a place where there is one.
#[derive(Serialize)]
struct Body<'a> {
    error: Told<'a>,
}

#[derive(Serialize)]
struct Told<'a> {
    message: String,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'static str,
    /// Of the draft, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'static str>,
}

impl Refused {
    pub fn status(&self) -> StatusCode {
        match self {
            Refused::NotFound | Refused::NoPolicy { .. } => StatusCode::NOT_FOUND,
            Refused::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Refused::Host => StatusCode::MISDIRECTED_REQUEST,
            Refused::Origin => StatusCode::FORBIDDEN,
            Refused::Token => StatusCode::UNAUTHORIZED,
            Refused::Type => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refused::TooLarge { .. } | Refused::Failed(DetectError::TooLong { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::Late { .. } => StatusCode::REQUEST_TIMEOUT,
            Refused::Body | Refused::Json(_) | Refused::Parameter { .. } | Refused::Draft(_) | Refused::Unusable(_) => {
                StatusCode::BAD_REQUEST
            }
            Refused::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refused::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
            Refused::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What clients branch on.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::NotFound => "not_found",
            Refused::Method(_) => "method_not_allowed",
            Refused::Host => "wrong_host",
            Refused::Origin => "cross_origin",
            Refused::Token => "invalid_api_key",
            Refused::Type => "unsupported_media_type",
            Refused::TooLarge { .. } => "request_too_large",
            Refused::Late { .. } => "request_timeout",
            Refused::Body | Refused::Json(_) => "invalid_request_body",
            Refused::Parameter { .. } => "invalid_value",
            Refused::Draft(_) => "invalid_policy",
            Refused::NoPolicy { .. } => "policy_not_found",
            Refused::Unusable(_) => "unusable_policy",
            Refused::Busy { .. } => "too_many_requests",
            Refused::Failed(DetectError::TooLong { .. }) => "content_too_long",
            Refused::Failed(_) => "guardrail_unavailable",
            Refused::Internal => "internal_error",
        }
    }

    /// The body of the answer.
    pub fn json(&self) -> String {
        let draft = match self {
            Refused::Draft(error) => Some(error),
            _ => None,
        };
        let told = Told {
            message: self.to_string(),
            r#type: if self.status().is_server_error() { "server_error" } else { "invalid_request_error" },
            param: self.param(),
            code: self.code(),
            line: draft.map(|draft| draft.line),
            column: draft.map(|draft| draft.column),
            help: draft.and_then(|draft| draft.help),
        };
        // Words and numbers under names: it can't fail.
        serde_json::to_string(&Body { error: told }).unwrap_or_default()
    }

    fn param(&self) -> Option<&str> {
        match self {
            Refused::Parameter { param, .. } | Refused::NoPolicy { param } => Some(param),
            Refused::Draft(_) => Some("policy_text"),
            _ => None,
        }
    }
}
