//! The walk over a body by its tables.

mod media;
mod object;

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use self::object::{only_member, variant};
use crate::text::{Kind, Media};
use crate::wire::WireError;
use crate::wire::json::{Type, Value};
use crate::wire::shape::{
    Bounds, Form, Hop, Joint, Leaf, Rule, Sink, Style, is_word, missing, schema, unexpected, unsupported,
};

/// Digits that a number of an answer may have and be one of the API's own: a count, a time in seconds, a score of few places.
/// Those behind the point and of the exponent count, too: a reader takes `1.41111111111` for what it likes.
const SHORT: usize = 10;

/// Why a picture is refused.
pub const NO_PICTURE: &str = "this route judges text only, and a picture says what no detector sees";

/// Why numbers are refused where a text is wanted.
pub const TOKEN_IDS: &str = "this route judges text only, and numbers in an array may be token ids";

/// Visits every value under `root`.
pub fn walk<'d>(
    root: Value<'d>,
    rule: Rule<'_>,
    style: Style,
    bounds: Bounds,
    sink: &mut impl Sink<'d>,
) -> Result<(), WireError> {
    Walk { root, style, bounds, sink, marks: Marks::default() }.visit(root, rule, At::default())
}

struct Walk<'s, 'd, S> {
    root: Value<'d>,
    style: Style,
    bounds: Bounds,
    sink: &'s mut S,
    marks: Marks,
}

/// Which of the rules that mark all below them hold.
#[derive(Clone, Copy, Default)]
struct Marks {
    /// See [`Rule::Again`].
    again: bool,
    /// See [`Rule::Apart`].
    apart: bool,
    /// See [`Rule::Echo`].
    echo: bool,
    /// See [`Rule::TwoNames`].
    two_names: bool,
    /// See [`Rule::Pass`].
    media: Option<Media>,
    /// See [`Rule::Own`]: what a member that it does not name may be, its author knows.
    own: bool,
    /// See [`Rule::Closed`].
    closed: bool,
    /// See [`Rule::Joint`].
    joint: Option<Joint>,
    /// See [`Leaf::loose`].
    loose: bool,
}

/// Where a value stands.
#[derive(Clone, Copy, Default)]
struct At {
    /// A digest of the path.
    place: u64,
    /// Its last two positions in arrays, the outer one first.
    order: u64,
    /// The place of the texts that are one with their neighbours: see [`Rule::One`].
    one: Option<u64>,
}

impl<'d, S: Sink<'d>> Walk<'_, 'd, S> {
    fn visit(&mut self, value: Value<'d>, rule: Rule<'_>, at: At) -> Result<(), WireError> {
        if value.is_null() {
            return Ok(());
        }
        match (rule, value.kind()) {
            (Rule::Unread, _) => Ok(()),
            (Rule::Refuse(supported), _) => Err(unsupported(value, supported)),
            (Rule::Text(kind), Type::String) => self.text(value, kind, Form::Free, at),
            (Rule::Fixed(kind), Type::String) => self.text(value, kind, Form::Fixed, at),
            (Rule::Arguments, Type::String) => self.text(value, Kind::ToolArguments, Form::Arguments, at),
            (Rule::OneOf(words), Type::String) => self.word(value, |text| words.contains(&text), at.place),
            (Rule::Like(fits), Type::String) => self.word(value, fits, at.place),
            (Rule::Only(words, supported), Type::String) => match words.iter().any(|word| value.is(word)) {
                true => Ok(()),
                false if self.style == Style::Strict => Err(unsupported(value, supported)),
                false => self.word(value, |_| false, at.place),
            },
            (Rule::Plain, Type::Bool) => Ok(()),
            (Rule::Plain, Type::Number) if self.style == Style::Strict || is_short(value.raw()) => Ok(()),
            (Rule::Float, Type::Number) if is_short(whole(value.raw())) && value.raw().len() <= 32 => Ok(()),
            // A word for the patterns. No model need be asked of every score.
            (Rule::Plain, Type::Number) if is_short(whole(value.raw())) => self.alone(value, value.raw(), at.place),
            (Rule::Any(kind), _) => self.group(kind, |walk| walk.any(value, kind, at.text())),
            (Rule::Schema(kind), _) => self.group(kind, |walk| walk.schema(value, kind, true, at.place)),
            (Rule::Group(kind, inner), _) => self.group(kind, |walk| walk.visit(value, *inner, at)),
            (Rule::One(inner), _) => self.visit(value, *inner, At { one: Some(at.place), ..at }),
            (Rule::At(path, inner), _) => self.visit(value, *inner, self.at(path)?),
            (Rule::Joint(path, inner), _) => {
                let joint = Some(Joint { place: self.at(path)?.place, order: at.order });
                self.marked(Marks { joint, ..self.marks }, value, *inner, at)
            }
            (Rule::Again(inner), _) => self.marked(Marks { again: true, ..self.marks }, value, *inner, at),
            (Rule::Apart(inner), _) => {
                self.marked(Marks { apart: true, ..self.marks }, value, *inner, At { one: None, ..at })
            }
            (Rule::Echo(inner), _) => self.marked(Marks { echo: true, ..self.marks }, value, *inner, at),
            (Rule::TwoNames(inner), _) => self.marked(Marks { two_names: true, ..self.marks }, value, *inner, at),
            (Rule::Closed(own), _) => self.marked(Marks { closed: true, ..self.marks }, value, Rule::Own(own), at),
            (Rule::Own(own), _) => {
                let marks = Marks { own: true, ..self.marks };
                own.unfold(value, |rule| self.marked(marks, value, rule, at))
            }
            (Rule::Unlisted, _) => self.unlisted(value, None, at.text()),
            (Rule::If(flag, yes, no), Type::Object) => match value.get(flag).filter(|flag| !flag.is_null()) {
                Some(flag) if flag.kind() != Type::Bool => Err(unexpected(flag, "a boolean")),
                Some(flag) if flag.bool() == Some(true) => self.visit(value, *yes, at),
                _ => self.visit(value, *no, at),
            },
            (Rule::Where(holds, yes, no), _) => self.visit(value, if holds(value) { *yes } else { *no }, at),
            (Rule::By(role, inner), _) => {
                self.sink.by(Some(role));
                let visited = self.visit(value, *inner, at);
                self.sink.by(None);
                visited
            }
            (Rule::IfNumber(inner, _), Type::Number | Type::Bool) | (Rule::IfNumber(_, inner), _) => {
                self.visit(value, *inner, at)
            }
            (Rule::Object(object), Type::Object) => self.object(value, object, false, at),
            (Rule::Union(object, supported), Type::Object) => {
                if self.style == Style::Strict {
                    only_member(value, object, supported)?;
                }
                self.object(value, object, false, at)
            }
            (Rule::Tagged(variants, supported), Type::Object) => match (variant(value, variants), value.get("type")) {
                (Some((object, tagged)), _) => self.object(value, object, tagged, at),
                (None, Some(tag)) if tag.text().is_some() => Err(unsupported(value, supported)),
                (None, _) => Err(unexpected(value, "an object with a `type`")),
            },
            (Rule::Typed(variants, other), Type::Object) => match variant(value, variants) {
                Some((object, tagged)) => self.object(value, object, tagged, at),
                None => self.visit(value, *other, at),
            },
            (Rule::Keyed(fits, inner), Type::Object) => value.members().try_for_each(|(key, member)| {
                let name = key.text().unwrap_or_default();
                let at = at.step(&name);
                if fits(&name) { self.visit(member, *inner, at) } else { self.unknown(key, member, at.place) }
            }),
            (Rule::Each(inner), Type::Array) => {
                self.elements(value, |walk, element, position| walk.visit(element, *inner, at.element(position)))
            }
            (Rule::Indexed(inner), Type::Array) => self.elements(value, |walk, element, position| {
                let index = element.get("index").and_then(Value::u32).unwrap_or(position);
                walk.visit(element, *inner, at.element(index))
            }),
            (Rule::Turns(inner), Type::Array) => self.elements(value, |walk, element, position| {
                let index = walk.sink.turn(position, element)?;
                walk.visit(element, *inner, at.element(index))?;
                walk.sink.end_turn();
                Ok(())
            }),
            (Rule::Turn(inner), _) => {
                self.sink.turn(0, value)?;
                self.visit(value, *inner, at)?;
                self.sink.end_turn();
                Ok(())
            }
            (Rule::Joined(inner), Type::Array) => {
                self.sink.open_joined();
                self.elements(value, |walk, element, position| walk.visit(element, *inner, at.element(position)))?;
                self.sink.close_joined()
            }
            (Rule::ByType(Some(inner), _, _), Type::String)
            | (Rule::ByType(_, Some(inner), _), Type::Array)
            | (Rule::ByType(_, _, Some(inner)), Type::Object) => self.visit(value, *inner, at),
            (Rule::Pass(sort, inner, supported), _) => self.pass(value, sort, *inner, supported, at),
            (Rule::PassTyped(variants, other), _) => self.pass_typed(value, variants, *other, at),
            (Rule::PassWords(words, other), _) => match words.iter().find(|(word, _)| value.is(word)) {
                Some((_, kind)) if self.bounds.pass.has(*kind) => Ok(()),
                _ => self.visit(value, *other, at),
            },
            (Rule::BlobType, Type::String) => self.blob_type(value, at),
            (Rule::Blob, Type::String) => self.blob(value, at),
            (Rule::Kept(_), Type::String) if self.bounds.kept => {
                self.sink.kept(value);
                Ok(())
            }
            (Rule::Kept(supported), _) => Err(unsupported(value, supported)),
            (rule, _) => self.unfit(value, rule, at),
        }
    }

    /// What the rule does not fit.
    fn unfit(&mut self, value: Value<'d>, rule: Rule, at: At) -> Result<(), WireError> {
        match self.style {
            Style::Strict => Err(unexpected(value, rule.wants())),
            Style::Lenient => self.visit(value, Rule::Any(rule.kind()), at),
        }
    }

    fn marked(&mut self, marks: Marks, value: Value<'d>, rule: Rule<'_>, at: At) -> Result<(), WireError> {
        let before = std::mem::replace(&mut self.marks, marks);
        let visited = self.visit(value, rule, at);
        self.marks = before;
        visited
    }

    fn any(&mut self, value: Value<'d>, kind: Kind, place: u64) -> Result<(), WireError> {
        let marks = self.marks;
        self.marks.loose = true;
        let walked = self.any_value(value, kind, place);
        self.marks = marks;
        walked
    }

    fn any_value(&mut self, value: Value<'d>, kind: Kind, place: u64) -> Result<(), WireError> {
        match value.kind() {
            Type::String => self.bytes_or_text(value, kind, place),
            Type::Number => self.leaf(value, kind, Form::Whole, step(place, "number")),
            Type::Object => value.members().try_for_each(|(key, member)| {
                let place = step(place, key.text().unwrap_or_default());
                self.key(key, kind, place)?;
                self.any_value(member, kind, place)
            }),
            _ => self.elements(value, |walk, element, position| {
                // What is told again is known by its position.
                let place = if walk.marks.again { step(place, position) } else { step(place, "element") };
                walk.any_value(element, kind, place)
            }),
        }
    }

    fn schema(&mut self, value: Value<'d>, kind: Kind, prose: bool, place: u64) -> Result<(), WireError> {
        match value.kind() {
            Type::String => self.leaf(value, kind, if prose { Form::Free } else { Form::Fixed }, place),
            Type::Number => self.leaf(value, kind, Form::Whole, step(place, "number")),
            Type::Object => value.members().try_for_each(|(key, member)| {
                let name = key.text().unwrap_or_default();
                let place = step(place, &name);
                if !schema::is_key(&name) {
                    self.key(key, kind, place)?;
                }
                if name == "type" && member.text().is_some_and(|text| schema::is_type(&text)) {
                    return Ok(());
                }
                self.schema(member, kind, schema::is_prose(&name), place)
            }),
            _ => {
                self.elements(value, |walk, element, position| walk.schema(element, kind, false, step(place, position)))
            }
        }
    }

    fn word(&mut self, value: Value<'d>, fits: impl Fn(&str) -> bool, place: u64) -> Result<(), WireError> {
        match value.text() {
            Some(text) if !fits(&text) => self.alone(value, &text, place),
            _ => Ok(()),
        }
    }

    /// A word or a number by itself: apart from the texts around it, which it must not part.
    fn alone(&mut self, value: Value<'d>, text: &str, place: u64) -> Result<(), WireError> {
        let kind = if is_word(text) { Kind::Word } else { Kind::Other };
        self.group(kind, |walk| walk.leaf(value, kind, Form::Whole, place))
    }

    /// A key that no table names.
    fn key(&mut self, key: Value<'d>, kind: Kind, place: u64) -> Result<(), WireError> {
        self.leaf(key, kind, Form::Whole, step(place, "key"))
    }

    fn text(&mut self, value: Value<'d>, kind: Kind, form: Form, at: At) -> Result<(), WireError> {
        self.leaf_of(value, value.text().unwrap_or_default(), kind, form, at)
    }

    fn leaf(&mut self, value: Value<'d>, kind: Kind, form: Form, place: u64) -> Result<(), WireError> {
        let text = value.text().unwrap_or_else(|| value.raw().into());
        self.leaf_of(value, text, kind, form, At { place, ..At::default() })
    }

    fn leaf_of(
        &mut self,
        value: Value<'d>,
        text: Cow<'d, str>,
        kind: Kind,
        form: Form,
        at: At,
    ) -> Result<(), WireError> {
        let Marks { again, apart, echo, joint, loose, .. } = self.marks;
        let (place, part) = (at.text(), at.one.map(|_| at.place));
        self.sink.leaf(Leaf { value, text, kind, form, again, apart, echo, place, part, joint, loose })
    }

    /// Where a path leads, as walking it gives it.
    fn at(&self, path: &[Hop<'_>]) -> Result<At, WireError> {
        path.iter().try_fold(At::default(), |at, hop| match hop {
            Hop::Key(key) => Ok(at.step(key)),
            Hop::Index(member) => {
                let value = self.root.get(member).ok_or_else(|| missing(self.root, member))?;
                Ok(at.element(value.u32().ok_or_else(|| unexpected(value, "a whole number"))?))
            }
        })
    }

    fn group(&mut self, kind: Kind, inner: impl FnOnce(&mut Self) -> Result<(), WireError>) -> Result<(), WireError> {
        self.sink.open(kind);
        inner(self)?;
        self.sink.close()
    }

    fn elements(
        &mut self,
        value: Value<'d>,
        mut each: impl FnMut(&mut Self, Value<'d>, u32) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        value.elements().zip(0u32..).try_for_each(|(element, position)| each(self, element, position))
    }
}

impl At {
    fn step(self, by: impl Hash) -> At {
        At { place: step(self.place, by), ..self }
    }

    /// In an array.
    fn element(self, position: u32) -> At {
        At { order: self.order << 32 | u64::from(position), ..self.step(position) }
    }

    /// Where a member stands that no table names: of texts that are one with their neighbours, so are these.
    fn unnamed(self, name: &str) -> u64 {
        step(self.text(), name)
    }

    fn text(self) -> u64 {
        self.one.unwrap_or(self.place)
    }
}

/// Leading zeros say nothing, nor does the fraction of a whole number.
fn is_short(number: &str) -> bool {
    let number = number.strip_suffix(".0").unwrap_or(number).trim_start_matches(['-', '0', '.']);
    number.bytes().filter(u8::is_ascii_digit).count() <= SHORT
}

/// What stands before the point.
fn whole(number: &str) -> &str {
    number.split(|c: char| !c.is_ascii_digit() && c != '-').next().unwrap_or_default()
}

fn step(place: u64, step: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (place, step).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
