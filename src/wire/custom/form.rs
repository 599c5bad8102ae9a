//! What a file says of a dialect, read and checked.

use crate::text::Role;
use crate::wire::Framing;
use crate::wire::custom::pointer::{Pointer, Sign};
use crate::wire::custom::template::Template;
use crate::wire::shape::Own;

/// A dialect.
pub struct Form {
    pub name: Box<str>,
    pub request: RequestForm,
    pub answer: AnswerForm,
    /// Of an API that streams.
    pub stream: Option<StreamForm>,
    pub refusal: Template,
    pub reply: Reply,
}

pub struct RequestForm {
    pub body: Own,
    /// What the table does not name is refused.
    pub strict: bool,
    pub turns: Option<Turns>,
    pub model: Option<Pointer>,
    pub streams: Streams,
}

/// Where a request tells who speaks: this member of each message.
pub struct Turns {
    pub role: Box<str>,
    pub roles: Vec<(Box<str>, Role)>,
}

/// Which requests ask for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streams {
    Never,
    Always,
    /// As this boolean says, or where it is missing, this.
    Member(Pointer, bool),
    /// Those to these paths.
    Paths(Vec<Box<str>>),
}

pub struct AnswerForm {
    pub body: Own,
    pub strict: bool,
    pub choices: Option<Choices>,
    pub strip: Vec<Pointer>,
    /// It says whole what it has said in pieces.
    pub says_again: bool,
}

/// Where the choices of an answer stand, and the member that tells them apart.
pub struct Choices {
    pub at: Pointer,
    pub index: Box<str>,
}

pub struct StreamForm {
    /// Not [`Framing::Json`].
    pub framing: Framing,
    pub name: Option<EventName>,
    pub last: Vec<Sign>,
    pub end: Vec<Sign>,
    /// What stands in place of JSON at the end.
    pub mark: Option<Box<str>>,
    pub order: Vec<Order>,
    /// The events that end a stream which is blocked.
    pub cut: Vec<Template>,
    /// The same of one on which something failed; where there are none, the refusal is the event.
    pub failed: Vec<Template>,
}

/// An event has a name: the word at this place, if it is one of these.
pub struct EventName {
    pub at: Pointer,
    pub words: Box<[Box<str>]>,
}

/// Texts that come in parts, one after another.
pub struct Order {
    /// Both pointers begin at a choice, not at the body.
    pub in_choice: bool,
    pub texts: Pointer,
    /// The number of the part.
    pub number: Pointer,
}

/// An ordinary answer in words of the proxy's own.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub whole: Option<Template>,
    pub stream: Vec<Template>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Form({})", self.name)
    }
}
