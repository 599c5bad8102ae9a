//! Patterns as they are written: known names, regular expressions that can be used, words that can be found.

use std::collections::BTreeSet;

use toml::Spanned;

use crate::config::guardrail::DEFAULT;
use crate::config::load::Reader;
use crate::config::shape::PatternsShape;
use crate::config::suggest::{list, meant};
use crate::config::{Diagnostic, Origin, builtin};
use crate::policy::Label;

/// What the pattern detector looks for. At least one thing.
#[derive(Debug, Default)]
pub struct Patterns {
    /// Of [`builtin::PATTERNS`], each once.
    pub builtin: Vec<&'static str>,
    pub regexes: Vec<(Label, String)>,
    pub words: Vec<(Label, Vec<String>)>,
}

/// Checks them, and gives the labels that they can find. `at` is the guardrail, `origin` where they stand in it.
pub fn patterns(
    reader: &mut Reader<'_>,
    at: &Origin,
    origin: &Origin,
    written: PatternsShape,
) -> Option<(Patterns, BTreeSet<Label>)> {
    let mut sound = true;
    let mut labels = BTreeSet::new();
    let mut out = Patterns::default();
    for name in written.builtin {
        let patterns = builtin::expand(name.get_ref());
        if !patterns.is_empty() {
            labels.extend(patterns.iter().map(|pattern| Label::new(pattern)));
            out.builtin.extend(patterns);
            continue;
        }
        sound = false;
        let known = builtin::names();
        let title = format!("no built-in pattern is named `{}`", name.get_ref().escape_debug());
        let problem = Diagnostic::error(&at.with(name.span()), title).label(meant(name.get_ref(), known.clone()));
        reader.problem(problem.help(format!("built-in patterns: {}", list(known))));
    }
    out.builtin.sort_unstable();
    out.builtin.dedup();
    for (name, regex) in written.regex {
        let label = label(reader, at, &name);
        let fault = match regex::Regex::new(regex.get_ref()) {
            Ok(regex) if regex.is_match("") => Some("matches the empty text, so it would match everywhere".to_owned()),
            Ok(_) => None,
            Err(error) => Some(reason(&error)),
        };
        if let Some(fault) = fault {
            let title = format!("the regular expression of `{}` can't be used", name.get_ref().escape_debug());
            reader.problem(Diagnostic::error(&at.with(regex.span()), title).label(fault));
            sound = false;
        } else if let Some(label) = label {
            labels.insert(label.clone());
            out.regexes.push((label, regex.into_inner()));
        } else {
            sound = false;
        }
    }
    for (name, words) in written.words {
        let label = label(reader, at, &name);
        if words.get_ref().is_empty() || words.get_ref().iter().any(|word| word.trim().is_empty()) {
            let title = format!("the word list of `{}` has nothing to look for", name.get_ref().escape_debug());
            reader.problem(
                Diagnostic::error(&at.with(words.span()), title).label("expected words or phrases, none empty"),
            );
            sound = false;
        } else if let Some(label) = label {
            labels.insert(label.clone());
            out.words.push((label, words.into_inner()));
        } else {
            sound = false;
        }
    }
    if sound && labels.is_empty() {
        let problem = Diagnostic::error(origin, "there is no pattern to look for");
        reader.problem(problem.label("expected `builtin = [..]`, [patterns.regex] or [patterns.words]"));
        return None;
    }
    sound.then_some((out, labels))
}

/// A label as the key of a pattern.
fn label(reader: &mut Reader<'_>, at: &Origin, name: &Spanned<String>) -> Option<Label> {
    let label = Label::parse(name.get_ref()).filter(|label| label.as_str() != DEFAULT);
    if label.is_none() {
        let title = format!("`{}` can't be a label", name.get_ref().escape_debug());
        let problem = Diagnostic::error(&at.with(name.span()), title);
        reader.problem(problem.label(Label::RULE).help("`default` stands for all labels not named under [actions]"));
    }
    label
}

/// The last line of a regex error says what is wrong; those before draw it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}
