//! Secrets: named in the configuration by an environment variable or a file, never written in it, never printed.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What to do instead of writing a secret down.
pub const HOW: &str = "a secret is not written in the file: name it as { env = \"NAME\" } or { file = \"path\" }";

/// A secret: printed as `[secret]`, compared in constant time.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(secret: impl Into<Arc<str>>) -> Self {
        Secret(secret.into())
    }

    /// The secret itself, for the header it goes into.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `presented` is this secret; the time taken does not tell where they differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What in portcullis.toml is, or may be, a secret that somebody wrote down. Error messages show lines of the file, and
/// messages are logged.
#[derive(Default)]
pub struct Written {
    /// Stands where a reference to a secret should: an error.
    pub literals: Vec<Range<usize>>,
    /// Not to be shown.
    pub masks: Vec<Range<usize>>,
}

/// Looks for written secrets in the sections that can hold one.
pub fn written(file: &DeTable<'_>) -> Written {
    let mut out = Written::default();
    for (section, value) in file {
        match (section.get_ref().as_ref(), value.get_ref()) {
            // Guardrails hold no secrets, and one may well be named `secrets`.
            ("guardrail" | "route", _) => {}
            ("upstream" | "engine", DeValue::Table(named)) => named.values().for_each(|one| look(one, &mut out)),
            _ => look(value, &mut out),
        }
    }
    out
}

/// The text with its masked ranges starred out, same length. The rest stays, so that a place can still be shown.
pub fn masked(text: &str, masks: &[Range<usize>]) -> String {
    let hidden = |at: usize| masks.iter().any(|mask| mask.contains(&at));
    text.char_indices()
        .flat_map(|(at, c)| {
            let starred = hidden(at) && c != '\n' && c != '\r';
            (0..if starred { c.len_utf8() } else { 1 }).map(move |_| if starred { '*' } else { c })
        })
        .collect()
}

/// For a file that is not sound TOML: what follows the `=` of a line whose key speaks of a secret.
pub fn suspects(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut out = Vec::new();
    for line in text.split_inclusive('\n') {
        let key = line.find('=').unwrap_or(line.len());
        if names_a_secret(line) || line.contains('@') {
            out.push(at + (key + 1).min(line.len())..at + line.len());
        }
        at += line.len();
    }
    out
}

fn look(value: &Spanned<DeValue<'_>>, out: &mut Written) {
    match value.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                let name = key.get_ref();
                if !names_a_secret(name) {
                    look(value, out);
                    continue;
                }
                match value.get_ref() {
                    DeValue::Table(reference) => look_in_reference(reference, out),
                    _ => {
                        out.masks.push(value.span());
                        if matches!(name.as_ref(), "token" | "credential") {
                            out.literals.push(value.span());
                        }
                    }
                }
            }
        }
        DeValue::Array(values) => values.iter().for_each(|value| look(value, out)),
        // A URL with a user and a password.
        DeValue::String(text) if text.contains("://") && text.contains('@') => out.masks.push(value.span()),
        _ => {}
    }
}

/// `{ header, prefix, env, file }`: whatever else is written there is not shown, nor what these cannot be.
fn look_in_reference(reference: &DeTable<'_>, out: &mut Written) {
    for (key, value) in reference {
        let text = value.get_ref().as_str();
        let shown = match key.get_ref().as_ref() {
            "env" => text.is_some_and(is_variable),
            "file" => text.is_some(),
            "header" => text.is_some_and(|name| name.len() <= 40),
            "prefix" => text.is_some_and(|prefix| prefix.len() <= MAX_PREFIX),
            _ => false,
        };
        if !shown {
            out.masks.push(value.span());
        }
    }
}

/// What stands before a secret in a header is a word such as `Bearer `.
pub const MAX_PREFIX: usize = 16;

/// Whether the text can name an environment variable.
pub fn is_variable(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn names_a_secret(key: &str) -> bool {
    // Counts, and an engine's folder.
    !matches!(key, "step_tokens" | "reasoning_tokens" | "tokenizer")
        && (0..key.len()).any(|at| key.get(at..).is_some_and(is_secret))
}

/// Whether the text starts with a word for secrets.
fn is_secret(text: &str) -> bool {
    ["token", "secret", "passw", "credential", "api_key", "api-key", "apikey", "authorization", "bearer"]
        .iter()
        .any(|word| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[secret] [secret] Some([secret])");
        assert_eq!(secret.expose(), "hunter2");
        assert!(secret.matches(b"hunter2") && !secret.matches(b"hunter") && !secret.matches(b""));
    }

    #[test]
    fn written_secrets_are_masked_and_the_rest_is_shown() {
        let text = "[admin]\ntoken = \"t0p\"\n[upstream.token-service]\nurl = \"http://u:p@h\"\napi_key = \"sk\"\n\
                    credential = { header = \"authorization\", env = \"sk-1\", value = \"sk-2\" }\n\
                    [engine.e]\nstep_tokens = 512\nreasoning_tokens = 9\ntokenizer = \"t\"\napi-key = \"sk-3\"\nurl = \"http://u:p@h\"\n\
                    [guardrail.secrets]\npolicy = \"p\"\n";
        let table = DeTable::parse(text).unwrap();
        let found = written(table.get_ref());
        assert_eq!(found.literals.len(), 1);
        let shown = masked(text, &found.masks);
        assert_eq!(shown.len(), text.len());
        for secret in ["t0p", "u:p@h", "\"sk\"", "sk-1", "sk-2", "sk-3"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(
            shown.contains("policy = \"p\"")
                && shown.contains("step_tokens = 512\nreasoning_tokens = 9\ntokenizer = \"t\"")
                && shown.contains("\"authorization\"")
        );
    }

    #[test]
    fn broken_files_hide_lines_that_speak_of_secrets() {
        let text = "listen = \"x\"\ntoken = \"t0p\nApi_Key = sk-é\n";
        assert_eq!(masked(text, &suspects(text)), "listen = \"x\"\ntoken =*****\nApi_Key =******\n");
    }
}
