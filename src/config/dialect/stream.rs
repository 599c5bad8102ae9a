//! `[dialect.NAME.stream]`: how a stream is framed, what ends it, and how it is cut.

use toml::Spanned;

use crate::config::dialect::shape::{Framing, StreamShape};
use crate::config::dialect::template;
use crate::config::load::Reader;
use crate::config::suggest::{list, meant};
use crate::config::{Diagnostic, Origin};
use crate::wire;
use crate::wire::custom::{AnswerForm, Carries, EventName, Order, Sign, StreamForm, Table, Word};

/// Bytes of a mark, at most.
const MAX_MARK: usize = 64;

/// `table`: what stands in an answer.
pub fn stream(
    reader: &mut Reader<'_>,
    file: &Origin,
    written: Spanned<StreamShape>,
    answer: &AnswerForm,
    table: &Table,
) -> Option<StreamForm> {
    let at = file.with(written.span());
    let shape = written.into_inner();
    let framing = match shape.framing.get_ref() {
        Framing::Sse => wire::Framing::Sse,
        Framing::Ndjson => wire::Framing::Ndjson,
    };
    if framing != wire::Framing::Sse {
        for (key, span) in
            [("name", shape.name.as_ref().map(Spanned::span)), ("mark", shape.mark.as_ref().map(Spanned::span))]
        {
            let Some(span) = span else { continue };
            let problem = Diagnostic::error(&file.with(span), format!("JSON lines have no `{key}`"));
            reader.problem(problem.label("goes with framing = \"sse\""));
        }
    }
    if shape.end.is_empty() && shape.mark.is_none() {
        let problem = Diagnostic::error(&at, "nothing ends a stream of this dialect");
        let how = "say what the last event has, end = [\"/type=message-end\"], or what stands in its place, mark = \"[DONE]\"";
        reader.problem(problem.label("expected `end` or `mark`").help(how));
    }
    let is_mark = |mark: &str| (1..=MAX_MARK).contains(&mark.len()) && mark.bytes().all(|b| b.is_ascii_graphic());
    if let Some(mark) = shape.mark.as_ref().filter(|mark| !is_mark(mark.get_ref())) {
        let problem = Diagnostic::error(&file.with(mark.span()), "this can't be the mark that ends a stream");
        reader.problem(problem.label("expected a word such as \"[DONE]\""));
    }
    if shape.cut.get_ref().is_empty() {
        let problem = Diagnostic::error(&file.with(shape.cut.span()), "a stream that is blocked would just break off");
        reader.problem(problem.label("expected the event that ends it, or several"));
    }
    shape.end.iter().chain(&shape.last).for_each(|sign| known_word(reader, file, table, sign));
    let name = shape.name.and_then(|written| {
        let at = written.get_ref();
        match table.get(at) {
            Some(Carries::OneOf(words)) if !words.is_empty() => {
                Some(EventName { at: at.clone(), words: words.clone() })
            }
            _ => {
                let problem = Diagnostic::error(&file.with(written.span()), format!("no words are known for `{at}`"));
                let how = format!("list the names of events in [dialect.NAME.answer.words]: \"{at}\" = [..]");
                reader.problem(problem.label("an event's name is one of a list").help(how));
                None
            }
        }
    });
    let order = shape.order.into_iter().map(|(texts, number)| {
        let (texts, number) = (texts.into_inner(), number.into_inner());
        let below =
            answer.choices.as_ref().and_then(|choices| Some((texts.after(&choices.at)?, number.after(&choices.at)?)));
        let in_choice = below.is_some();
        let (texts, number) = below.unwrap_or((texts, number));
        Order { in_choice, texts, number }
    });
    let order = order.collect();
    let mut events = |written: &[Spanned<String>]| -> Vec<_> {
        written.iter().filter_map(|written| template(reader, file, written, Word::CUT)).collect()
    };
    let (cut, failed) = (events(shape.cut.get_ref()), events(&shape.failed));
    let signs = |signs: Vec<Spanned<Sign>>| signs.into_iter().map(Spanned::into_inner).collect();
    let mark = shape.mark.map(|mark| mark.into_inner().into());
    Some(StreamForm { framing, name, last: signs(shape.last), end: signs(shape.end), mark, order, cut, failed })
}

/// Where the words of a place are known, a sign is one of them.
fn known_word(reader: &mut Reader<'_>, file: &Origin, table: &Table, sign: &Spanned<Sign>) {
    let Sign { at, word: Some(word) } = sign.get_ref() else { return };
    let Some(Carries::OneOf(words)) = table.get(at).filter(|_| !word.is_empty()) else { return };
    if words.is_empty() || words.contains(word) {
        return;
    }
    let known = || words.iter().map(|word| &**word);
    let problem = Diagnostic::error(&file.with(sign.span()), format!("`{word}` never stands at `{at}`"));
    reader.problem(problem.label(meant(word, known())).help(format!("the words of `{at}`: {}", list(known()))));
}
