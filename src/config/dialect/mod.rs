//! Dialects that the file describes: from `[dialect.NAME]` to a form that can't contradict itself.

mod places;
mod shape;
mod stream;

pub use shape::DialectShape;

use std::sync::Arc;

use toml::Spanned;

use crate::config::dialect::places::Placed;
use crate::config::dialect::shape::{AnswerShape, Asked, RequestShape, RolesShape, Worded};
use crate::config::dialect::stream::stream;
use crate::config::load::Reader;
use crate::config::suggest::{list, meant};
use crate::config::value::Name;
use crate::config::{Diagnostic, Dialect, Origin};
use crate::text::{Kind, Role};
use crate::wire::custom::{
    AnswerForm, Carries, Choices, Form, Reply, RequestForm, Streams, Table, Template, TemplateError, Turns, Word,
};

/// Checks a dialect. `None` after a problem was noted.
pub fn dialect(reader: &mut Reader<'_>, file: &Origin, name: &Spanned<Name>, shape: DialectShape) -> Option<Arc<Form>> {
    let before = reader.problems();
    let at = file.with(name.span());
    let name = &name.get_ref().0;
    if Dialect::built_in(name).is_ok() {
        let problem = Diagnostic::error(&at, format!("the dialect `{name}` is built in"));
        reader.problem(
            problem
                .label("expected another name")
                .help("a route that names it would not say which of the two it means"),
        );
    }
    let streams = shape.request.stream.as_ref().map(|asked| file.with(asked.span()));
    let request = request(reader, file, shape.request);
    let (answer, table) = answer(reader, file, shape.answer);
    match (&request.streams, &shape.stream) {
        (Streams::Never, Some(written)) => {
            let problem =
                Diagnostic::error(&file.with(written.span()), format!("no request of `{name}` asks for a stream"));
            let how = "say which do: stream = { member = \"/stream\" }, \"always\" or { paths = [..] } in [dialect.NAME.request]";
            reader.problem(problem.label("would have no effect").help(how));
        }
        (Streams::Never, None) | (_, Some(_)) => {}
        (_, None) => {
            let problem =
                Diagnostic::error(streams.as_ref().unwrap_or(&at), format!("`{name}` does not say what a stream is"));
            reader.problem(problem.label("asks for one").help("add [dialect.NAME.stream] with framing, end and cut"));
        }
    }
    let stream = shape.stream.and_then(|written| stream(reader, file, written, &answer, &table));
    let refusal = template(reader, file, &shape.refusal, Word::REFUSAL);
    let reply = Reply {
        whole: shape.reply.whole.and_then(|written| template(reader, file, &written, Word::REPLY)),
        stream: shape.reply.stream.iter().filter_map(|written| template(reader, file, written, Word::REPLY)).collect(),
    };
    let form = Form { name: (&**name).into(), request, answer, stream, refusal: refusal?, reply };
    (reader.problems() == before).then(|| Arc::new(form))
}

/// Whether an answer of it can say something in words of the proxy's own, whatever the request asks for.
pub fn speaks(form: &Form) -> bool {
    let says = |template: &Template| template.has(Word::Text);
    let whole = form.request.streams == Streams::Always || form.reply.whole.as_ref().is_some_and(says);
    whole && (form.request.streams == Streams::Never || form.reply.stream.iter().any(says))
}

fn request(reader: &mut Reader<'_>, file: &Origin, shape: RequestShape) -> RequestForm {
    let mut placed = Placed::new(reader, file);
    let each = placed.each(shape.turns.as_ref()).cloned();
    let turns = each.as_ref().zip(shape.turns.as_ref()).and_then(|(turns, written)| {
        let role = member(&mut placed, shape.role, "role")?;
        let roles = roles(&mut placed, shape.roles);
        let words = roles.iter().map(|(word, _)| word.clone()).collect();
        placed.add(turns.member(&role), file.with(written.span()), Carries::OneOf(words));
        Some(Turns { role, roles })
    });
    if let Some(model) = &shape.model {
        placed.add(model.get_ref().clone(), file.with(model.span()), Carries::OneOf(Box::default()));
    }
    let streams = match shape.stream {
        None => Streams::Never,
        Some(asked) => {
            let at = file.with(asked.span());
            match asked.into_inner() {
                Asked::Never => Streams::Never,
                Asked::Always => Streams::Always,
                Asked::Paths(paths) => Streams::Paths(paths.into_iter().map(Into::into).collect()),
                Asked::Member { at: member, default } => {
                    placed.add(member.clone(), at, Carries::Number);
                    Streams::Member(member, default)
                }
            }
        }
    };
    for (places, role) in [
        (shape.system, Role::System),
        (shape.user, Role::User),
        (shape.assistant, Role::Assistant),
        (shape.tool, Role::Tool),
    ] {
        for place in &places {
            if each.as_ref().is_some_and(|turns| place.get_ref().after(turns).is_some()) {
                let title = format!("who says `{}` is told by its message", place.get_ref());
                let problem = Diagnostic::error(&file.with(place.span()), title).label("stands in a message");
                placed.reader.problem(problem.help("name it under `content`"));
            }
        }
        placed.all(places, &Carries::By(role));
    }
    for (places, carries) in [
        (shape.content, Carries::Text(Kind::Content)),
        (shape.reasoning, Carries::Text(Kind::Reasoning)),
        (shape.other, Carries::Text(Kind::Other)),
        (shape.arguments, Carries::Arguments),
        (shape.names, Carries::Name),
        (shape.tools, Carries::Tools),
        (shape.any, Carries::Any),
        (shape.numbers, Carries::Number),
        (shape.refuse, Carries::Refused),
    ] {
        placed.all(places, &carries);
    }
    words(&mut placed, shape.words);
    let body = placed.table.request(each.as_ref());
    RequestForm { body, strict: shape.strict, turns, model: shape.model.map(Spanned::into_inner), streams }
}

fn answer(reader: &mut Reader<'_>, file: &Origin, shape: AnswerShape) -> (AnswerForm, Table) {
    let mut placed = Placed::new(reader, file);
    let choices = placed.each(shape.choices.as_ref()).cloned().zip(shape.choices.as_ref()).and_then(|(at, written)| {
        let index = member(&mut placed, shape.index, "index")?;
        placed.add(at.member(&index), file.with(written.span()), Carries::Number);
        Some(Choices { at, index })
    });
    let strip = shape.strip.iter().map(|strip| strip.get_ref().clone()).collect();
    for place in shape.strip.iter().filter(|place| place.get_ref().is_each()) {
        let problem = Diagnostic::error(&file.with(place.span()), "only members can be left out");
        placed.reader.problem(problem.label("names the elements of an array").help("name the array"));
    }
    for (places, carries) in [
        (shape.content, Carries::Text(Kind::Content)),
        (shape.reasoning, Carries::Text(Kind::Reasoning)),
        (shape.refusal, Carries::Text(Kind::Refusal)),
        (shape.other, Carries::Text(Kind::Other)),
        (shape.arguments, Carries::Arguments),
        (shape.names, Carries::Name),
        (shape.any, Carries::Any),
        (shape.ids, Carries::Id),
        (shape.numbers, Carries::Number),
        (shape.strip, Carries::Stripped),
    ] {
        placed.all(places, &carries);
    }
    words(&mut placed, shape.words);
    for (place, pieces) in shape.again {
        let at = file.with(place.span());
        let (pieces, at_pieces) = (pieces.get_ref().clone(), file.with(pieces.span()));
        match pieces.keys().filter(|_| placed.table.get(&pieces) == Some(&Carries::Text(Kind::Content))) {
            Some(keys) => placed.add(place.into_inner(), at, Carries::Again(keys)),
            None => {
                let problem = Diagnostic::error(&at_pieces, format!("no pieces of a text stand at `{pieces}`"));
                placed.reader.problem(problem.label("expected a place that `content` names, without `*`"));
            }
        }
    }
    let body = placed.table.answer(choices.as_ref().map(|choices| &choices.at));
    let says_again = placed.table.says_again();
    (AnswerForm { body, strict: shape.strict, choices, strip, says_again }, placed.table)
}

fn words(placed: &mut Placed<'_, '_>, words: Worded<Vec<String>>) {
    for (place, words) in words {
        let at = placed.file.with(place.span());
        placed.add(place.into_inner(), at, Carries::OneOf(words.into_iter().map(Into::into).collect()));
    }
}

/// The name of a member.
fn member(placed: &mut Placed<'_, '_>, written: Option<Spanned<String>>, default: &str) -> Option<Box<str>> {
    let Some(written) = written else { return Some(default.into()) };
    if !written.get_ref().is_empty() && !written.get_ref().contains('/') {
        return Some(written.into_inner().into());
    }
    let problem = Diagnostic::error(&placed.file.with(written.span()), "this is not the name of a member");
    placed.reader.problem(problem.label(format!("expected a name such as \"{default}\", not a pointer")));
    None
}

/// Without a word of the file each role has its own name.
fn roles(placed: &mut Placed<'_, '_>, written: Option<Spanned<RolesShape>>) -> Vec<(Box<str>, Role)> {
    let own = |role: Role| (role.as_str().into(), role);
    let Some(written) = written else {
        return [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool].map(own).into();
    };
    let at = placed.file.with(written.span());
    let RolesShape { system, developer, user, assistant, tool } = written.into_inner();
    let mut roles: Vec<(Box<str>, Role)> = Vec::new();
    for (words, role) in [
        (system, Role::System),
        (developer, Role::Developer),
        (user, Role::User),
        (assistant, Role::Assistant),
        (tool, Role::Tool),
    ] {
        for word in words {
            if roles.iter().any(|(known, _)| **known == *word) {
                let problem = Diagnostic::error(&at, format!("two roles are called `{}`", word.escape_debug()));
                placed.reader.problem(problem.label("expected each word once"));
            }
            roles.push((word.into(), role));
        }
    }
    roles
}

/// A template, which may have places for these words.
fn template(reader: &mut Reader<'_>, file: &Origin, written: &Spanned<String>, words: &[Word]) -> Option<Template> {
    let known = || words.iter().map(|word| word.as_str());
    let at = file.with(written.span());
    let problem = match Template::parse(written.get_ref(), words) {
        Ok(template) => return Some(template),
        Err(TemplateError::Json(error)) => Diagnostic::error(&at, "this is not JSON").label(error.to_string()),
        Err(TemplateError::Unknown(name)) => {
            Diagnostic::error(&at, format!("there is no `{{{name}}}` here")).label(meant(&name, known()))
        }
    };
    reader.problem(problem.help(format!("expected JSON, with these in braces in its strings: {}", list(known()))));
    None
}
