//! Loading: reads portcullis.toml and what it names, and gathers every mistake on the way.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use crate::config::diagnostic::{ConfigError, Diagnostic, Origin, SourceFile};
use crate::config::secret::{self, MAX_PREFIX, Secret};
use crate::config::shape::SecretShape;
use crate::config::{Config, Sources, resolve};

/// Reads and checks a whole configuration. Secrets come from the process's environment.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    load_with_env(path, &|name| std::env::var(name).ok())
}

/// The same, with another environment.
pub fn load_with_env(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let sources = Sources::new(&base);
    let mut reader = Reader { base, env, sources, problems: Vec::new(), warnings: Vec::new() };
    let config = reader.main(path).and_then(|(file, shape)| resolve::config(&mut reader, &file, shape));
    match config {
        Some(config) if reader.problems.is_empty() => Ok(config),
        _ => Err(ConfigError::of(reader.problems, reader.sources)),
    }
}

/// Reads files and keeps what was wrong with them.
pub struct Reader<'e> {
    /// The directory of portcullis.toml: relative paths start here.
    base: PathBuf,
    env: &'e dyn Fn(&str) -> Option<String>,
    sources: Sources,
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Reader<'_> {
    pub fn problem(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// How many mistakes there are so far.
    pub fn problems(&self) -> usize {
        self.problems.len()
    }

    pub fn warning(&mut self, warning: Diagnostic) {
        self.warnings.push(warning);
    }

    /// What was read and what is odd, once all is resolved.
    pub fn finish(&mut self) -> (Sources, Vec<Diagnostic>) {
        (self.sources.clone(), std::mem::take(&mut self.warnings))
    }

    /// A path as the configuration means it.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Reads a file that `at` names; a problem there if it can't be read.
    pub fn bytes(&mut self, path: &Path, at: &Origin, what: &str) -> Option<Vec<u8>> {
        match self.sources.read(path, false) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let title = format!("can't read the {what} `{}`: {error}", path.display());
                self.problem(Diagnostic::error(at, title).label("named here"));
                None
            }
        }
    }

    /// Reads a file if it is there. Outer `None`: it can't be read, and that was said.
    pub fn text_if_there(&mut self, path: &Path, at: &Origin, what: &str) -> Option<Option<String>> {
        match self.sources.read(path, false) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Some(None),
            Err(error) => {
                let title = format!("can't read the {what} `{}`: {error}", path.display());
                self.problem(Diagnostic::error(at, title).label("named here"));
                None
            }
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Some(Some(text)),
                Err(_) => {
                    let title = format!("the {what} `{}` is not UTF-8", path.display());
                    self.problem(Diagnostic::error(at, title).label("named here"));
                    None
                }
            },
        }
    }

    /// Reads TOML into a shape; a problem at its place if it does not fit.
    pub fn toml<T: DeserializeOwned>(&mut self, path: &Path, text: String) -> Option<(Arc<SourceFile>, T)> {
        let (tree, errors) = DeTable::parse_recoverable(&text);
        self.fit(path, &text, tree, errors, Vec::new())
    }

    /// The secret that a `{ env = .. }` or `{ file = .. }` at `at` stands for.
    pub fn secret(&mut self, at: &Origin, shape: SecretShape) -> Option<Secret> {
        let (secret, at, source) = match (shape.env, shape.file) {
            (Some(name), None) => {
                let at = at.with(name.span());
                let name = name.into_inner();
                if !secret::is_variable(&name) {
                    let problem = Diagnostic::error(&at, "this can't be the name of an environment variable");
                    self.problem(problem.label("expected a name such as OPENAI_API_KEY").help(secret::HOW));
                    return None;
                }
                let Some(value) = (self.env)(&name) else {
                    let problem = Diagnostic::error(&at, format!("the environment variable `{name}` is not set"));
                    self.problem(problem.label("named here").help(format!(
                        "set `{name}` where portcullis is started, or name a file instead: {{ file = \"path\" }}"
                    )));
                    return None;
                };
                (value, at, format!("the environment variable `{name}`"))
            }
            (None, Some(path)) => {
                let at = at.with(path.span());
                let path = self.path(path.get_ref());
                let source = format!("the file `{}`", path.display());
                match self.sources.read(&path, true) {
                    Ok(bytes) => (String::from_utf8_lossy(&bytes).into_owned(), at, source),
                    Err(error) => {
                        self.problem(Diagnostic::error(&at, format!("can't read the secret from {source}: {error}")));
                        return None;
                    }
                }
            }
            _ => {
                let problem = Diagnostic::error(at, "a secret comes from one place");
                self.problem(problem.label("expected { env = \"NAME\" } or { file = \"path\" }, one of them"));
                return None;
            }
        };
        let secret = secret.trim_end_matches(['\n', '\r']);
        let expected = if secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            Some("expected one line of printable ASCII, not empty")
        } else if secret.starts_with(' ') || secret.ends_with(' ') {
            // Nobody could ever present it.
            Some("expected no blank at either end: a header's value is read without")
        } else {
            None
        };
        if let Some(expected) = expected {
            let title = format!("{source} holds no usable secret");
            self.problem(Diagnostic::error(&at, title).label(expected));
            return None;
        }
        Some(Secret::new(secret))
    }

    /// What stands before a secret in its header.
    pub fn prefix(&mut self, at: &Origin, prefix: Option<Spanned<String>>) -> Option<String> {
        let Some(prefix) = prefix else { return Some(String::new()) };
        let text = prefix.get_ref();
        if text.len() <= MAX_PREFIX && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Some(prefix.into_inner());
        }
        let problem = Diagnostic::error(&at.with(prefix.span()), "this can't be the prefix of a secret");
        self.problem(problem.label(format!("expected a word such as \"Bearer \", at most {MAX_PREFIX} characters")));
        None
    }

    fn main<T: DeserializeOwned>(&mut self, path: &Path) -> Option<(Arc<SourceFile>, T)> {
        let text = match self.sources.read(path, false).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => {
                self.problem(Diagnostic::whole(format!("`{}` is not UTF-8", path.display())));
                return None;
            }
            Err(error) => {
                let problem = Diagnostic::whole(format!("can't read `{}`: {error}", path.display()));
                self.problem(problem.help("name the configuration file with --config PATH"));
                return None;
            }
        };
        let (tree, errors) = DeTable::parse_recoverable(&text);
        let mut written = secret::written(tree.get_ref());
        if !errors.is_empty() {
            written.masks.extend(secret::suspects(&text));
        }
        if written.literals.is_empty() {
            return self.fit(path, &text, tree, errors, written.masks);
        }
        let file = source(path, &text, &written.masks);
        for literal in written.literals {
            let problem = Diagnostic::error(&Origin::new(&file, literal), "a secret is written in the file");
            self.problem(problem.label("expected { env = \"NAME\" } or { file = \"path\" }").help(format!(
                "put it into an environment variable and name that: {{ env = \"NAME\" }}; if `{}` was shared, change the secret",
                path.display()
            )));
        }
        None
    }

    fn fit<T: DeserializeOwned>(
        &mut self,
        path: &Path,
        text: &str,
        tree: Spanned<DeTable<'_>>,
        errors: Vec<toml::de::Error>,
        masks: Vec<Range<usize>>,
    ) -> Option<(Arc<SourceFile>, T)> {
        let file = source(path, text, &masks);
        // One slip in the syntax can lead to many errors; the first in the file is the one to mend.
        let error = match errors.into_iter().min_by_key(|error| error.span().map_or(usize::MAX, |span| span.start)) {
            Some(error) => error,
            None => match T::deserialize(Deserializer::from(tree)) {
                Ok(shape) => return Some((file, shape)),
                Err(error) => error,
            },
        };
        let at = Origin::new(&file, error.span().unwrap_or(0..0));
        self.problem(Diagnostic::explained(&at, error.message()));
        None
    }
}

fn source(path: &Path, text: &str, masks: &[Range<usize>]) -> Arc<SourceFile> {
    Arc::new(SourceFile { path: path.to_owned(), text: secret::masked(text, masks) })
}
