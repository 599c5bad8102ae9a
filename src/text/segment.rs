//! A segment: one text of a request or an answer, and its place.

use std::sync::Arc;

use crate::text::Span;

/// One text and its place. A request has one for every string that another side could read; an answer has one
/// for every channel.
#[derive(Debug, Clone)]
pub struct Segment {
    pub id: SegmentId,
    pub place: Place,
    /// The decoded text (JSON escapes undone). For a channel of a growing stream: all of it so far, or its tail.
    pub text: Arc<str>,
    /// Byte offset into `text`: what lies before it was decided before and has left. Detectors look at it as
    /// context, but only what ends after it can still be changed. 0 for a request.
    pub fresh: usize,
    /// Byte ranges before `fresh` that have left as masks, in order and apart.
    pub masked: Vec<Span>,
}

/// Names a segment within one exchange and stage. Edits are addressed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u32);

/// Where a segment stands in the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub role: Role,
    pub kind: Kind,
    /// Index of the message (request) or of the choice (answer); `None` for what stands outside messages.
    pub turn: Option<u32>,
    /// False where the text cannot be replaced without breaking the document (an object key, say): a redaction
    /// that falls here becomes a block.
    pub editable: bool,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    /// Nobody: tool definitions, response formats, metadata.
    None,
}

/// What sort of text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Content,
    Reasoning,
    Refusal,
    /// JSON in a string, as a model wrote it.
    ToolArguments,
    /// Name, description or parameter schema of a tool.
    ToolDefinition,
    Name,
    /// A word of the protocol that is on no list (a model's name, an error's code): no spaces, not long.
    Word,
    /// What is said in two turns with another between, as if nothing stood there: for patterns. Whoever reads the text beside
    /// it, line by line, has read it.
    Seam,
    /// A string leaf that no other kind fits: it is judged all the same.
    Other,
}

impl Kind {
    /// Whether a model writes such text in the course of its answer, piece by piece.
    pub fn is_said(self) -> bool {
        matches!(self, Kind::Content | Kind::Reasoning | Kind::Refusal | Kind::ToolArguments)
    }

    /// Whether it is a text that somebody could have written, of which a policy speaks: a word of the protocol stands in every
    /// request and answer, and is for patterns.
    pub fn is_text(self) -> bool {
        !matches!(self, Kind::Word | Kind::Seam)
    }

    /// The word for logs and headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Content => "content",
            Kind::Reasoning => "reasoning",
            Kind::Refusal => "refusal",
            Kind::ToolArguments => "tool_arguments",
            Kind::ToolDefinition => "tool_definition",
            Kind::Name => "name",
            Kind::Word => "word",
            Kind::Seam => "seam",
            Kind::Other => "other",
        }
    }
}

impl Role {
    /// The word for logs and prompts.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
            Role::None => "none",
        }
    }
}
