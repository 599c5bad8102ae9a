//! Wire forms: finding every text of a request or an answer, and writing changed texts back in place. The only module
//! that reads the JSON of the traffic.

mod answer;
pub mod anthropic;
pub mod bedrock_converse;
mod blob;
pub mod custom;
pub mod eventstream;
pub mod gemini;
mod ids;
pub mod json;
mod logprobs;
pub mod ndjson;
pub mod ollama;
mod openai;
pub mod openai_chat;
pub mod openai_completions;
pub mod openai_embeddings;
pub mod openai_images;
pub mod openai_moderations;
pub mod openai_responses;
mod readings;
mod request;
pub mod shape;
pub mod sse;
#[cfg(test)]
mod testing;

pub use blob::unescape;
pub use ids::is_id;
pub use request::{Known, named};
pub use shape::Bounds;

use bytes::Bytes;
use http::StatusCode;

use crate::text::{Edits, Kind, MediaCount, Role, Segment, SegmentId};

/// An API's wire form. Knows bodies, not sockets.
pub trait Dialect: Send + Sync {
    /// The name in the configuration (`openai_chat`).
    fn name(&self) -> &str;

    /// Reads a request body strictly and finds its texts. `path` is canonical, with the query behind it where the route takes
    /// one: some APIs name the model there, and say whether the answer is a stream.
    fn parse_request(&self, body: Bytes, path: &str) -> Result<Box<dyn Prompt>, WireError>;

    /// How an answer of this media type, in lower case, is framed; `None` where it can't be judged.
    fn framing(&self, media_type: &str) -> Option<Framing> {
        Framing::of(media_type)
    }

    /// A codec for one answer. `max_event` bounds one event, in bytes; for [`Framing::Json`] the whole body.
    fn answer(&self, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec>;

    /// The same for the answer to `prompt`, whose words it may tell again unjudged where the API does so.
    fn answer_to(&self, _prompt: &dyn Prompt, framing: Framing, max_event: usize) -> Box<dyn AnswerCodec> {
        self.answer(framing, max_event)
    }

    /// The body of an error answer. `application/json`.
    fn refuse(&self, refusal: &Refusal) -> Bytes;

    /// An ordinary answer with `text` as the assistant's words, for chatbots that cannot show an error. Body and
    /// framing as the request asked for; `model` is echoed.
    fn answer_with(&self, prompt: &dyn Prompt, text: &str) -> (Framing, Bytes);
}

/// A request, parsed.
pub trait Prompt: Send + Sync {
    /// Every text in it, in document order; ids count from 0.
    fn segments(&self) -> &[Segment];

    /// Whether the client asked for a stream.
    fn streams(&self) -> bool;

    /// Media that it brings and nobody judges: by the route's setting, or it would be no request.
    fn media(&self) -> MediaCount {
        MediaCount::default()
    }

    /// Where it names the first id of what the upstream keeps that is not known. There are such ids only with
    /// [`Bounds::kept`]: who sets that has to ask before the request goes out.
    fn strange_id(&self, _is_known: &dyn Fn(&str) -> bool) -> Option<String> {
        None
    }

    /// The model it names; untrusted.
    fn model(&self) -> &str;

    /// All its strings, to know them again.
    fn known(&self) -> Known;

    /// Where it was sent, of an API whose path says more than the body. See [`Dialect::parse_request`].
    fn path(&self) -> &str {
        ""
    }

    /// The body with the edits made in place; every other byte as it came. Errors with [`WireError::NotEditable`] where a
    /// changed text can't be written back so that it means what was judged.
    fn edited(&self, edits: &std::collections::BTreeMap<SegmentId, Edits>) -> Result<Bytes, WireError>;
}

/// How an answer's body is framed, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `application/json`: one event, the whole body.
    Json,
    /// `text/event-stream`.
    Sse,
    /// `application/x-ndjson`: a JSON value on each line.
    Ndjson,
    /// `application/vnd.amazon.eventstream`: binary messages.
    EventStream,
}

impl Framing {
    /// By the media type of a `Content-Type`, in lower case; of what is text. See [`Dialect::framing`].
    fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json" => Some(Framing::Json),
            "text/event-stream" => Some(Framing::Sse),
            "application/x-ndjson" | "application/jsonl" => Some(Framing::Ndjson),
            _ => None,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Framing::Json => "application/json",
            Framing::Sse => "text/event-stream",
            Framing::Ndjson => "application/x-ndjson",
            Framing::EventStream => "application/vnd.amazon.eventstream",
        }
    }
}

/// One stream of text in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    /// Index of the choice.
    pub choice: u32,
    pub kind: Kind,
    /// Tells channels of one kind and choice apart: the index of the tool call, or a number that the dialect gives to
    /// each other position.
    pub part: u32,
}

impl Channel {
    /// The role of everything in an answer.
    pub const ROLE: Role = Role::Assistant;
}

/// Decodes and re-encodes one answer. Sans I/O: bytes in, events out, whatever the chunks.
pub trait AnswerCodec: Send {
    /// Takes bytes from the upstream.
    fn push(&mut self, bytes: &[u8]) -> Result<(), WireError>;

    /// The upstream has ended. What is left over becomes an event or an error; afterwards `next` gives the rest.
    fn finish(&mut self) -> Result<(), WireError>;

    /// The next decoded event, in order.
    fn next(&mut self) -> Option<Event>;

    /// Bytes taken and not yet given out as events.
    fn buffered(&self) -> usize;

    /// An event in canonical form (for SSE: one `data:` line, LF). `texts[i]` replaces the text of `event.texts[i]`;
    /// `None` leaves it. Copies of a text that were not judged (token ids, log-probabilities that say something else) are
    /// dropped, and with a changed text those that repeat it.
    fn encode(&self, event: &Event, texts: &[Option<String>]) -> Result<Bytes, WireError>;

    /// Ends a stream of which something has left, in the dialect's own way. For [`Framing::Json`] empty: nothing has left.
    fn cut(&self, cut: Cut<'_>) -> Bytes;

    /// A comment that keeps the client's connection alive and means nothing; empty where the framing has none.
    fn heartbeat(&self) -> Bytes;

    /// Media in what has been encoded, which nobody has judged.
    fn media(&self) -> MediaCount {
        MediaCount::default()
    }

    /// The ids under which the upstream keeps this answer and its parts. None before all of it has been encoded, and none
    /// where a text of it was changed: what is kept is not what has left.
    fn kept(&self) -> Vec<String> {
        Vec::new()
    }
}

/// One unit of an answer: an SSE event, or a whole JSON body.
pub struct Event {
    /// Its texts, in document order.
    pub texts: Vec<EventText>,
    /// Leaves only with the final verdict: `finish_reason`, usage, tool calls, `[DONE]`.
    pub last: bool,
    /// Media in it that no event before had.
    pub media: MediaCount,
    /// Bytes that holding it costs.
    pub size: usize,
    /// The codec's own form of it.
    pub body: Body,
}

/// A text in an event: a piece of a channel.
#[derive(Debug, Clone)]
pub struct EventText {
    pub channel: Channel,
    pub text: String,
    /// See [`crate::text::Place::editable`].
    pub editable: bool,
    /// No reader joins it to other pieces of its channel: a number, a word of the API.
    pub alone: bool,
    /// It is another view of the text at this index of its event, and is not written itself.
    pub view_of: Option<usize>,
}

impl EventText {
    /// Whether an edit of it can be made by itself. One of a view can't: its text has to be edited with it.
    pub fn can_be_edited(&self) -> bool {
        self.editable && self.view_of.is_none()
    }
}

/// What an event is made of.
pub enum Body {
    /// Sound JSON, as it came: it is read again when it is written, so that holding it costs no more than its bytes.
    Json(Bytes),
    /// The dialect's end-of-stream mark (`[DONE]`).
    End,
}

/// Why a stream is cut.
#[derive(Debug, Clone, Copy)]
pub enum Cut<'a> {
    /// A verdict: the dialect's content filter ending.
    Blocked,
    /// Something failed on the way: the dialect's in-band error.
    Failed(&'a Refusal),
}

/// A refusal, before a dialect gives it its shape.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: StatusCode,
    /// Machine-readable (`content_policy_violation`).
    pub code: &'static str,
    /// What, where, why; never the content.
    pub message: String,
    /// The field at fault, where one is (`messages[2].content`).
    pub param: Option<String>,
}

/// Why bytes could not be read as the dialect, or written back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error(transparent)]
    Json(#[from] json::JsonError),
    /// The JSON is sound and the shape is not.
    #[error("{at}: {expected}")]
    Shape { at: String, expected: String },
    /// A type of part, tool or event that the dialect can't judge.
    #[error("{at}: unsupported; {supported}")]
    Unsupported { at: String, supported: &'static str },
    #[error("an event is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the stream ended before the answer did")]
    Truncated,
    #[error("a text at {at} can't be redacted in place")]
    NotEditable { at: String },
}
