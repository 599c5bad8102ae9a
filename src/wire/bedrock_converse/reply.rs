//! What this dialect says in its own words: errors, an ordinary answer, the end of a stream that is cut.

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::wire::json::{Value, json_text};
use crate::wire::{Refusal, eventstream};

/// What the API says of an answer that a guardrail has ended or replaced.
const INTERVENED: &str = r#""stopReason":"guardrail_intervened""#;

/// Tokens of an answer. Zero: no model was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    input: u32,
    output: u32,
    total: u32,
}

impl Usage {
    pub fn of(usage: Value<'_>) -> Option<Self> {
        let number = |name| usage.get(name).and_then(Value::u32);
        Some(Usage { input: number("inputTokens")?, output: number("outputTokens")?, total: number("totalTokens")? })
    }

    fn members(self) -> String {
        let Usage { input, output, total } = self;
        format!(
            r#""usage":{{"inputTokens":{input},"outputTokens":{output},"totalTokens":{total}}},"metrics":{{"latencyMs":0}}"#
        )
    }
}

/// An error, as the SDKs read it: `{"__type", "message"}`. Our own code is the `reason`.
pub fn error(refusal: &Refusal) -> String {
    format!(r#"{{"__type":"{}",{}}}"#, exception(refusal.status), members(refusal))
}

/// A whole answer.
pub fn answer(text: &str) -> String {
    let (text, usage) = (json_text(text), Usage::default().members());
    format!(r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":{text}}}]}}}},{INTERVENED},{usage}}}"#)
}

/// The same answer as a stream.
pub fn stream(text: &str) -> Bytes {
    let delta = format!(r#""contentBlockIndex":0,"delta":{{"text":{}}}"#, json_text(text));
    let end = intervened(true, Some(0), Some(Usage::default()));
    [start(), event("contentBlockDelta", &delta), end].concat().into()
}

/// The end of a stream that a verdict cuts: what is open is closed, and the message ends as the API says it of its own
/// guardrails. `begun`: the client knows of the message.
pub fn intervened(begun: bool, open: Option<u32>, usage: Option<Usage>) -> Bytes {
    let mut out = BytesMut::new();
    if !begun {
        out.extend_from_slice(&start());
    }
    if let Some(index) = open {
        out.extend_from_slice(&event("contentBlockStop", &format!(r#""contentBlockIndex":{index}"#)));
    }
    out.extend_from_slice(&event("messageStop", INTERVENED));
    if let Some(usage) = usage {
        out.extend_from_slice(&event("metadata", &usage.members()));
    }
    out.freeze()
}

/// The end of a stream on which something failed. The SDKs raise it as an error of the API.
pub fn failed(refusal: &Refusal) -> Bytes {
    let exception = match refusal.status.as_u16() {
        429 => "throttlingException",
        400..500 => "validationException",
        502 | 504 => "modelStreamErrorException",
        503 => "serviceUnavailableException",
        _ => "internalServerException",
    };
    eventstream::frame(format!(r#"{{":exception-type":"{exception}",{}}}"#, members(refusal)).as_bytes())
}

/// The exception that goes with a status.
fn exception(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 | 504 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}

fn members(refusal: &Refusal) -> String {
    let (message, reason) = (json_text(&refusal.message), json_text(refusal.code));
    let param = refusal.param.as_deref().map_or(String::new(), |param| format!(r#","param":{}"#, json_text(param)));
    format!(r#""message":{message},"reason":{reason}{param}"#)
}

fn start() -> Bytes {
    event("messageStart", r#""role":"assistant""#)
}

/// An event of a stream with these members.
fn event(name: &str, members: &str) -> Bytes {
    eventstream::frame(format!(r#"{{":event-type":"{name}",{members}}}"#).as_bytes())
}
