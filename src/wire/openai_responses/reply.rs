//! What this dialect says in its own words: an ordinary answer, the end of a stream that is cut.

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::wire::json::json_text;
use crate::wire::openai::reply::Header;
use crate::wire::openai_responses::left::Left;
use crate::wire::{Refusal, sse};

/// What the ids of responses begin with.
pub const FAMILY: &str = "resp";

/// The types of parts that have a text.
pub const PARTS: &[&str] = &["output_text", "refusal", "reasoning_text", "summary_text"];

/// A part of this type, one of [`PARTS`].
pub fn part(kind: &str, text: &str) -> String {
    let text = json_text(text);
    match kind {
        "output_text" => format!(r#"{{"type":"output_text","text":{text},"annotations":[],"logprobs":[]}}"#),
        "refusal" => format!(r#"{{"type":"refusal","refusal":{text}}}"#),
        kind => format!(r#"{{"type":"{kind}","text":{text}}}"#),
    }
}

/// A message of the assistant. `id` is JSON, `content` the elements of an array.
pub fn message(id: &str, status: &str, content: &str) -> String {
    format!(r#"{{"id":{id},"type":"message","role":"assistant","status":"{status}","content":[{content}]}}"#)
}

/// A whole answer. No tokens are counted: no model was asked.
pub fn completed(model: &str, text: &str) -> String {
    let said = message(&message_id(), "completed", &part("output_text", text));
    Answer { output: &said, counted: true, ..Answer::new("completed") }.json(&Header::new(FAMILY, model))
}

/// The same answer as a stream.
pub fn stream(model: &str, text: &str) -> Bytes {
    let (header, item) = (Header::new(FAMILY, model), message_id());
    let begun = Answer::new("in_progress").json(&header);
    let said = part("output_text", text);
    let done = message(&item, "completed", &said);
    let all = Answer { output: &done, counted: true, ..Answer::new("completed") }.json(&header);
    let at = format!(r#""item_id":{item},"output_index":0,"content_index":0"#);
    let words = json_text(text);
    let mut events = Events::default();
    events.add("response.created", &format!(r#""response":{begun}"#));
    events.add("response.in_progress", &format!(r#""response":{begun}"#));
    let open = message(&item, "in_progress", "");
    events.add("response.output_item.added", &format!(r#""output_index":0,"item":{open}"#));
    events.add("response.content_part.added", &format!(r#"{at},"part":{}"#, part("output_text", "")));
    events.add("response.output_text.delta", &format!(r#"{at},"delta":{words},"logprobs":[]"#));
    events.add("response.output_text.done", &format!(r#"{at},"text":{words},"logprobs":[]"#));
    events.add("response.content_part.done", &format!(r#"{at},"part":{said}"#));
    events.add("response.output_item.done", &format!(r#""output_index":0,"item":{done}"#));
    events.add("response.completed", &format!(r#""response":{all}"#));
    events.out.freeze()
}

/// The end of a stream that the content filter cuts: a response that is incomplete for this reason, with what has left of it.
pub fn filtered(left: &Left) -> Bytes {
    let (mut events, header) = Events::after(left);
    let details = r#"{"reason":"content_filter"}"#;
    let answer = Answer { details, output: &left.output(), ..Answer::new("incomplete") };
    events.add("response.incomplete", &format!(r#""response":{}"#, answer.json(&header)));
    events.out.freeze()
}

/// The end of a stream on which something failed.
pub fn failed(left: &Left, refusal: &Refusal) -> Bytes {
    let (mut events, header) = Events::after(left);
    let (code, message) = (json_text(refusal.code), json_text(&refusal.message));
    let param = refusal.param.as_deref().map_or("null".into(), json_text);
    events.add("error", &format!(r#""code":{code},"message":{message},"param":{param}"#));
    let error = format!(r#"{{"code":{code},"message":{message}}}"#);
    let answer = Answer { error: &error, output: &left.output(), ..Answer::new("failed") };
    events.add("response.failed", &format!(r#""response":{}"#, answer.json(&header)));
    events.out.freeze()
}

/// A response, by what differs from one to the next; each as JSON.
struct Answer<'a> {
    status: &'a str,
    error: &'a str,
    details: &'a str,
    /// The elements of an array.
    output: &'a str,
    counted: bool,
}

impl<'a> Answer<'a> {
    fn new(status: &'a str) -> Self {
        Answer { status, error: "null", details: "null", output: "", counted: false }
    }

    fn json(&self, header: &Header) -> String {
        let Answer { status, error, details, output, counted } = self;
        let Header { id, created, model } = header;
        let usage = match counted {
            true => {
                r#"{"input_tokens":0,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":0},"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0}"#
            }
            false => "null",
        };
        format!(
            r#"{{"id":{id},"object":"response","created_at":{created},"status":"{status}","error":{error},"incomplete_details":{details},"instructions":null,"metadata":{{}},"model":{model},"output":[{output}],"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null,"usage":{usage}}}"#
        )
    }
}

/// Events of our own, in order.
#[derive(Default)]
struct Events {
    next: u64,
    out: BytesMut,
}

impl Events {
    /// Those that go on where a stream is cut. The SDKs want to be told first that there is a response.
    fn after(left: &Left) -> (Self, Header) {
        let mut events = Events { next: left.next(), out: BytesMut::new() };
        if let Some(header) = left.header() {
            return (events, header.clone());
        }
        let header = Header::new(FAMILY, "");
        let begun = Answer::new("in_progress").json(&header);
        events.add("response.created", &format!(r#""response":{begun}"#));
        (events, header)
    }

    fn add(&mut self, kind: &str, members: &str) {
        let data = format!(r#"{{"type":"{kind}","sequence_number":{},{members}}}"#, self.next);
        self.out.extend_from_slice(&sse::frame(Some(kind), data.as_bytes()));
        self.next += 1;
    }
}

fn message_id() -> String {
    json_text(&format!("msg_portcullis_{}", Uuid::now_v7().simple()))
}
