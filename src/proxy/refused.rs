//! Every way in which an exchange ends without its answer, whose fault it is, and what the client is told. Messages say
//! what, where and why; never the content.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use crate::guardrail::Stage;
use crate::live::PathError;
use crate::proxy::coding::DecodeError;
use crate::proxy::upstream::UpstreamError;
use crate::wire::{Refusal, WireError};

/// Why the client gets a refusal. The variants stand in the order in which an exchange can meet them.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("too many connections are open")]
    TooManyConnections,
    #[error("the request header can't be read as HTTP/1.1")]
    Unreadable,
    #[error("the request header did not arrive within {} s", .after.as_secs_f32())]
    HeaderTimeout { after: std::time::Duration },
    #[error("the request header is larger than {limit} bytes")]
    HeaderTooLarge { limit: usize },
    #[error("the request header has more than {limit} fields")]
    TooManyHeaders { limit: usize },
    #[error("the request header is not acceptable: {0}")]
    Header(&'static str),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("no route serves this path; what is not configured is refused")]
    NoRoute,
    #[error("this path takes {allow}")]
    Method { allow: String },
    #[error("the query has a parameter or a value that this route does not take")]
    Query,
    #[error("this route takes `Content-Type: application/json` in UTF-8")]
    MediaType,
    #[error("this route takes bodies with one `Content-Encoding` at most: `gzip`, `br` or `zstd`")]
    ContentEncoding,
    #[error("the only expectation that can be met is `100-continue`")]
    Expectation,
    #[error("the request body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the request body did not arrive within {} s", .after.as_secs_f32())]
    BodyTimeout { after: std::time::Duration },
    #[error("the request body is not framed as HTTP/1.1 asks")]
    Framing,
    #[error("the request body can't be decoded: it {0}")]
    Coding(#[source] DecodeError),
    #[error("the request body can't be judged: {0}")]
    Request(#[source] WireError),
    #[error("the request was blocked by guardrail `{guardrail}`")]
    InputBlocked { guardrail: Arc<str> },
    #[error("the answer was blocked by guardrail `{guardrail}`")]
    OutputBlocked { guardrail: Arc<str> },
    /// What a guardrail redacts stands where nothing can be replaced, or has left in part.
    #[error("the {} was blocked: what guardrail `{guardrail}` redacts in it can't be redacted", what(.stage))]
    Unredactable { stage: Stage, guardrail: Arc<str>, at: Option<String> },
    #[error("a text of the request is too long for guardrail `{guardrail}` to judge")]
    TooLong { guardrail: Arc<str> },
    #[error("guardrail `{guardrail}` can't judge at the moment")]
    GuardrailUnavailable { guardrail: Arc<str> },
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("the upstream's answer is not acceptable: {0}")]
    Answer(&'static str),
    /// The gate can't read it or can't hold it, and has said so in its own words.
    #[error("{}", .0.message)]
    Unjudgeable(Refusal),
    /// An error answer of the upstream that is not in the dialect's shape: its words stay here.
    #[error("the upstream answered with status {}", .status.as_u16())]
    UpstreamStatus { status: StatusCode, retry_after: Option<HeaderValue> },
    /// Nobody is there to be told.
    #[error("the client has gone")]
    ClientGone,
    /// The same: the drain is over.
    #[error("the proxy has stopped")]
    Stopped,
    /// The same: a panic.
    #[error("a part of the proxy has failed")]
    Failed,
}

impl Refused {
    /// Machine-readable: clients branch on it, the audit and the metrics count by it.
    pub fn code(&self) -> &'static str {
        use Refused::*;
        match self {
            TooManyConnections => "too_many_connections",
            HeaderTimeout { .. } => "request_timeout",
            HeaderTooLarge { .. } | TooManyHeaders { .. } => "header_too_large",
            Unreadable | Header(_) => "invalid_header",
            Path(_) => "invalid_path",
            NoRoute => "route_not_found",
            Method { .. } => "method_not_allowed",
            Query => "query_not_allowed",
            MediaType => "unsupported_media_type",
            ContentEncoding => "unsupported_content_encoding",
            Expectation => "expectation_failed",
            BodyTooLarge { .. } => "request_too_large",
            BodyTimeout { .. } => "request_timeout",
            Request(WireError::Unsupported { .. }) => "unsupported_content",
            InputBlocked { .. } | OutputBlocked { .. } | Unredactable { .. } => "content_policy_violation",
            Coding(DecodeError::TooLarge { .. }) => "request_too_large",
            Framing | Coding(_) | Request(_) => "invalid_request_body",
            TooLong { .. } => "content_too_long",
            GuardrailUnavailable { .. } => "guardrail_unavailable",
            Upstream(error) if error.is_timeout() => "upstream_timeout",
            Upstream(_) => "upstream_unavailable",
            Answer(_) => "upstream_invalid_response",
            Unjudgeable(refusal) => refusal.code,
            UpstreamStatus { .. } => "upstream_error",
            ClientGone => "client_gone",
            Stopped => "proxy_stopped",
            Failed => "internal_error",
        }
    }

    pub fn status(&self) -> StatusCode {
        use Refused::*;
        match self {
            HeaderTooLarge { .. } | TooManyHeaders { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            NoRoute => StatusCode::NOT_FOUND,
            Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            MediaType | ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Expectation => StatusCode::EXPECTATION_FAILED,
            BodyTooLarge { .. } | Coding(DecodeError::TooLarge { .. }) | TooLong { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            HeaderTimeout { .. } | BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Unreadable
            | Framing
            | Coding(_)
            | Header(_)
            | Path(_)
            | Query
            | Request(_)
            | InputBlocked { .. }
            | OutputBlocked { .. }
            | Unredactable { .. }
            | ClientGone => StatusCode::BAD_REQUEST,
            TooManyConnections | GuardrailUnavailable { .. } | Stopped => StatusCode::SERVICE_UNAVAILABLE,
            Upstream(error) if error.is_timeout() => StatusCode::GATEWAY_TIMEOUT,
            Upstream(_) | Answer(_) => StatusCode::BAD_GATEWAY,
            Unjudgeable(refusal) => refusal.status,
            UpstreamStatus { status, .. } => *status,
            Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether a verdict is the reason.
    pub fn is_block(&self) -> bool {
        use Refused::*;
        matches!(self, InputBlocked { .. } | OutputBlocked { .. } | Unredactable { .. })
    }

    /// What a dialect turns into its error shape.
    pub fn refusal(&self) -> Refusal {
        let param = match self {
            Refused::Request(WireError::Shape { at, .. } | WireError::Unsupported { at, .. }) => Some(at.clone()),
            Refused::Unredactable { at, .. } => at.clone(),
            _ => None,
        };
        // The source says where and what; the outer sentence alone would leave the client guessing.
        Refusal { status: self.status(), code: self.code(), message: self.to_string(), param }
    }
}

fn what(stage: &Stage) -> &'static str {
    match stage {
        Stage::Input => "request",
        Stage::Output => "answer",
    }
}
