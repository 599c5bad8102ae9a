//! Shapes: a dialect's bodies as tables, and the one walk that visits every value of a body by them.
//!
//! The walk leaves nothing out: what a table does not name is judged, key and all, and a value that no rule takes is an
//! error (or, in an answer, text). Unjudged stay only booleans, the API's own words and ids, and the numbers of its own members.

mod elsewhere;
mod own;
mod schema;
mod walk;

pub use elsewhere::check_model;
pub use own::{List, Own, OwnString};
pub use walk::{NO_PICTURE, TOKEN_IDS, walk};

use std::borrow::Cow;

use crate::text::{Kind, Media, MediaSet, Role};
use crate::wire::WireError;
use crate::wire::json::Value;

/// What may stand at a place. `null` may stand anywhere, and is nothing.
#[derive(Clone, Copy)]
pub enum Rule<'t> {
    /// A text.
    Text(Kind),
    /// A text that can't be replaced: an id that something else refers to, a function's name.
    Fixed(Kind),
    /// JSON in a string, as a model wrote it.
    Arguments,
    /// A word of the API. One of this list is not judged; any other string is a text that can't be replaced.
    OneOf(&'t [&'t str]),
    /// The same with a shape in place of the list: ids, which say nothing.
    Like(fn(&str) -> bool),
    /// A word of this list. In a request any other is refused; the sentence says what can be judged.
    Only(&'t [&'t str], &'static str),
    /// A boolean, or a number that means what the API says.
    Plain,
    /// A number in a vector, which has as many digits as a float.
    Float,
    /// Any JSON: each string, number and key below is part of one text.
    Any(Kind),
    /// The same for a JSON schema, less its own words.
    Schema(Kind),
    Object(&'t Object<'t>),
    /// An object with one member, which picks what it is. In a request none or several are refused, and so is any other; the
    /// sentence says what can be judged.
    Union(&'t Object<'t>, &'static str),
    /// An object whose `type` picks its shape; the sentence says which types there are. Under no name stands the shape of an
    /// object without a type.
    Tagged(&'t [(&'t str, &'t Object<'t>)], &'static str),
    /// The same, with what an object of any other type is.
    Typed(&'t [(&'t str, &'t Object<'t>)], &'t Rule<'t>),
    /// An object with keys of this shape.
    Keyed(fn(&str) -> bool, &'t Rule<'t>),
    Each(&'t Rule<'t>),
    /// An array whose elements are told apart by their `index`, where they have one.
    Indexed(&'t Rule<'t>),
    /// The messages of a request or the choices of an answer.
    Turns(&'t Rule<'t>),
    /// The only message there is, without an array.
    Turn(&'t Rule<'t>),
    /// An array of texts that other readers may join.
    Joined(&'t Rule<'t>),
    /// The texts of one kind below have one place: a reader of the answer joins them.
    One(&'t Rule<'t>),
    /// The place of what is below is not where it stands, but this path from the body's root.
    At(&'t [Hop<'t>], &'t Rule<'t>),
    /// The texts below keep their places, and some reader of the answer joins them to all others of this path, in the order
    /// of the arrays that they stand in: they have to come so.
    Joint(&'t [Hop<'t>], &'t Rule<'t>),
    /// All below says whole what the same places have had in pieces, or will have.
    Again(&'t Rule<'t>),
    /// No reader joins what is below to what stands there in another event of a stream.
    Apart(&'t Rule<'t>),
    /// Outside of [`Rule::Turns`]: who speaks below.
    By(Role, &'t Rule<'t>),
    /// The API tells here what the request said. Of that what the request had to the letter is not judged.
    Echo(&'t Rule<'t>),
    /// Below, a member has two names, `fooBar` and `foo_bar`, as in the JSON of protocol buffers. Tables have the first; a member
    /// that comes under both is refused.
    TwoNames(&'t Rule<'t>),
    /// By the first where this boolean of the object is true, else by the second.
    If(&'t str, &'t Rule<'t>, &'t Rule<'t>),
    /// By the first where this holds of the value, else by the second.
    Where(fn(Value<'_>) -> bool, &'t Rule<'t>, &'t Rule<'t>),
    /// All below is one text.
    Group(Kind, &'t Rule<'t>),
    /// By JSON type: string, array, object.
    ByType(Option<&'t Rule<'t>>, Option<&'t Rule<'t>>, Option<&'t Rule<'t>>),
    /// A number or a boolean by the first, all else by the second.
    IfNumber(&'t Rule<'t>, &'t Rule<'t>),
    /// A table that was read from a file.
    Own(&'t Own),
    /// The same, and what it does not name is refused, not judged.
    Closed(&'t Own),
    /// What no table names.
    Unlisted,
    /// Can't be judged; the sentence says what can.
    Refuse(&'static str),
    /// Media, or what is about it: by the inner rule where the route lets the kind by, else refused with the sentence.
    Pass(Sort, &'t Rule<'t>, &'static str),
    /// An object whose `type` picks the shape of media, where the route lets the kind by; any other by the second rule.
    PassTyped(&'t [(&'t str, Media, &'t Object<'t>)], &'t Rule<'t>),
    /// Words of which each needs that the route lets a kind by; any other by the second rule.
    PassWords(&'t [(&'t str, Media)], &'t Rule<'t>),
    /// Within [`Rule::Pass`]: the bytes, or where they are, which goes by. What can be read of it is judged.
    Blob,
    /// The media type of bytes that are no text.
    BlobType,
    /// An id of what the upstream keeps: told where the route looks after such, else refused with the sentence.
    Kept(&'static str),
    /// Is looked after elsewhere.
    Unread,
}

impl Rule<'_> {
    /// A word that is whole by itself and for which there is no list: a model's name.
    pub const OPEN_WORD: Rule<'static> = Rule::OneOf(&[]);
}

/// Of what kind media is.
#[derive(Clone, Copy)]
pub enum Sort {
    Is(Media),
    /// As the media type in this member of the value says.
    By(&'static str),
}

/// What a route takes of a body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// Texts of one request, and channels of one answer, at most.
    pub max_segments: usize,
    /// Media that goes by unjudged.
    pub pass: MediaSet,
    /// Ids of what the upstream keeps are told. See [`crate::wire::Prompt::strange_id`].
    pub kept: bool,
}

/// A step of a path to a place.
#[derive(Clone, Copy)]
pub enum Hop<'t> {
    Key(&'t str),
    /// Of an array: the member of the root that has the index.
    Index(&'t str),
}

/// An object's members.
pub struct Object<'t> {
    pub fields: &'t [(&'t str, Rule<'t>)],
    pub required: &'t [&'t str],
}

/// How a walk takes what no rule fits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A request: refused.
    Strict,
    /// An answer: judged as text.
    Lenient,
}

/// A string, a number or a key that has to be judged.
#[derive(Clone)]
pub struct Leaf<'d> {
    pub value: Value<'d>,
    /// Of a number, its digits as they came.
    pub text: Cow<'d, str>,
    pub kind: Kind,
    pub form: Form,
    /// See [`Rule::Again`].
    pub again: bool,
    /// See [`Rule::Apart`].
    pub apart: bool,
    /// See [`Rule::Echo`].
    pub echo: bool,
    /// A digest of the path: equal for equal places of different events of a stream.
    pub place: u64,
    /// Of several with one place (see [`Rule::One`]) the place of this one, for readers that do not join them.
    pub part: Option<u64>,
    /// See [`Rule::Joint`].
    pub joint: Option<Joint>,
    /// No table says what it is: all that stands at one place of any elements of an array has one place.
    pub loose: bool,
}

/// A text among those that some reader joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joint {
    /// A digest of the path that they have in common.
    pub place: u64,
    /// Grows from one to the next.
    pub order: u64,
}

/// What may be done with a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It can be replaced.
    Free,
    /// See [`Rule::Arguments`]. It can be replaced.
    Arguments,
    /// It can't be replaced.
    Fixed,
    /// It can't be replaced, and no reader joins it to what stands there in another event: keys, numbers, words.
    Whole,
}

/// Takes what a walk finds, in document order.
pub trait Sink<'d> {
    fn leaf(&mut self, leaf: Leaf<'d>) -> Result<(), WireError>;

    /// What comes up to `close` is one text.
    fn open(&mut self, _kind: Kind) {}

    fn close(&mut self) -> Result<(), WireError> {
        Ok(())
    }

    /// Texts up to `close_joined` may be read as one.
    fn open_joined(&mut self) {}

    fn close_joined(&mut self) -> Result<(), WireError> {
        Ok(())
    }

    /// A message or choice starts; gives its number.
    fn turn(&mut self, position: u32, element: Value<'d>) -> Result<u32, WireError>;

    fn end_turn(&mut self) {}

    /// See [`Rule::By`]; `None` where it ends.
    fn by(&mut self, _role: Option<Role>) {}

    /// Media goes by.
    fn media(&mut self, _kind: Media, _place: u64) {}

    /// See [`Rule::Kept`].
    fn kept(&mut self, _id: Value<'d>) {}
}

impl Bounds {
    /// So many texts, and nothing that is not judged.
    pub const fn of(max_segments: usize) -> Self {
        Bounds { max_segments, pass: MediaSet::NONE, kept: false }
    }
}

impl From<usize> for Bounds {
    fn from(max_segments: usize) -> Self {
        Bounds::of(max_segments)
    }
}

impl Form {
    pub fn is_editable(self) -> bool {
        matches!(self, Form::Free | Form::Arguments)
    }
}

/// Whether a string is a single word, as a model's name is: no white space, not long.
pub fn is_word(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@+".contains(&b))
}

/// The member of an object, under either name: see [`Rule::TwoNames`].
pub fn member<'d>(object: Value<'d>, name: &str) -> Option<Value<'d>> {
    object.get(name).or_else(|| object.get(&second_name(name).collect::<String>()))
}

/// `foo_bar` for `fooBar`.
pub fn second_name(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(|c| c.is_ascii_uppercase().then_some('_').into_iter().chain([c.to_ascii_lowercase()]))
}

/// Simple case folding, as far as it leads to ASCII: the long s and the Kelvin sign are the only others.
fn fold(c: char) -> char {
    match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

/// The error for a value that is not what the shape wants.
pub fn unexpected(value: Value<'_>, expected: &str) -> WireError {
    WireError::Shape { at: place_of(value), expected: format!("expected {expected}") }
}

/// The error for an object without a member that it must have.
pub fn missing(object: Value<'_>, member: &str) -> WireError {
    let path = object.document().path(object.id());
    let at = if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") };
    WireError::Shape { at, expected: "is missing".into() }
}

/// The error for a value that can't be judged; the sentence says what can.
pub fn unsupported(value: Value<'_>, supported: &'static str) -> WireError {
    WireError::Unsupported { at: place_of(value), supported }
}

impl Rule<'_> {
    /// What the rule wants, for messages.
    fn wants(self) -> &'static str {
        match self {
            Rule::Text(_) | Rule::Fixed(_) | Rule::Arguments | Rule::OneOf(_) | Rule::Like(_) | Rule::Only(..) => {
                "a string"
            }
            Rule::Plain => "a number or a boolean",
            Rule::Float => "a number",
            Rule::Object(_) | Rule::Union(..) | Rule::Tagged(..) | Rule::Typed(..) | Rule::Keyed(..) => "an object",
            Rule::TwoNames(inner) | Rule::If(_, inner, _) | Rule::Where(_, inner, _) => inner.wants(),
            Rule::Each(_) | Rule::Indexed(_) | Rule::Turns(_) | Rule::Joined(_) => "an array",
            Rule::ByType(None, Some(_), None) => "an array",
            Rule::ByType(Some(inner), Some(Rule::Refuse(_)), None) => inner.wants(),
            Rule::ByType(Some(_), Some(_), None) => "a string or an array",
            Rule::ByType(None, Some(_), Some(_)) => "an array or an object",
            Rule::ByType(Some(_), None, Some(_)) => "a string or an object",
            Rule::By(_, inner) | Rule::IfNumber(_, inner) => inner.wants(),
            Rule::PassTyped(_, inner) | Rule::PassWords(_, inner) => inner.wants(),
            Rule::Blob => {
                "base64 or a data URI, a file as a text or of a known format, or an address with the name of a public host"
            }
            Rule::BlobType | Rule::Kept(_) => "a string",
            _ => "another type",
        }
    }

    /// What a text is that stands where the rule wants something else.
    fn kind(self) -> Kind {
        match self {
            Rule::Text(kind) | Rule::Fixed(kind) => kind,
            Rule::Arguments => Kind::ToolArguments,
            Rule::ByType(Some(inner), ..) | Rule::By(_, inner) | Rule::IfNumber(_, inner) => inner.kind(),
            _ => Kind::Other,
        }
    }
}

fn place_of(value: Value<'_>) -> String {
    let path = value.document().path(value.id());
    if path.is_empty() { "the body".into() } else { path }
}
