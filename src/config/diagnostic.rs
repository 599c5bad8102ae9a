//! Diagnostics: what is wrong, where, and what to do, shown with the line of the file.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::config::Sources;
use crate::config::suggest::{self, Explained};

/// Why a configuration can't be used: one mistake or more.
#[derive(Clone)]
pub struct ConfigError {
    /// Never empty.
    problems: Vec<Diagnostic>,
    /// What was read, or looked for in vain: when one of these changes, another attempt is worth while.
    sources: Sources,
}

/// One mistake, or one warning.
#[derive(Clone)]
pub struct Diagnostic(Box<Body>);

#[derive(Clone, Default)]
struct Body {
    warning: bool,
    title: String,
    at: Option<Origin>,
    /// Stands under the marked text.
    label: String,
    /// Another place that has to do with it.
    other: Option<(Origin, String)>,
    help: Vec<String>,
}

/// A place in a file that was read.
#[derive(Clone)]
pub struct Origin {
    file: Arc<SourceFile>,
    span: Range<usize>,
}

/// A file's text, kept to show places in it. Secrets written into it are masked.
pub struct SourceFile {
    pub path: PathBuf,
    pub text: String,
}

impl ConfigError {
    pub(super) fn of(problems: Vec<Diagnostic>, sources: Sources) -> Self {
        debug_assert!(!problems.is_empty(), "whoever gives up says why");
        ConfigError { problems, sources }
    }

    /// An error of a configuration that was read, found when it was put to use.
    pub fn new(problem: Diagnostic, sources: &Sources) -> Self {
        ConfigError { problems: vec![problem], sources: sources.clone() }
    }

    pub fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Every problem, in colour for a terminal.
    pub fn render(&self, colour: bool) -> String {
        self.problems.iter().map(|problem| problem.render(colour)).collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

impl Diagnostic {
    /// A mistake at a place. `title` says what is wrong.
    pub fn error(at: &Origin, title: impl Into<String>) -> Self {
        Diagnostic(Box::new(Body { title: title.into(), at: Some(at.clone()), ..Body::default() }))
    }

    /// What the TOML reader says, in the terms of the file.
    pub(super) fn explained(at: &Origin, message: &str) -> Self {
        let Explained { title, label, help } = suggest::explain(message);
        help.into_iter().fold(Diagnostic::error(at, title).label(label), Diagnostic::help)
    }

    pub fn warning(at: &Origin, title: impl Into<String>) -> Self {
        Diagnostic::error(at, title).as_warning()
    }

    /// The same, when it does not matter yet.
    pub fn as_warning(mut self) -> Self {
        self.0.warning = true;
        self
    }

    /// A mistake that has no place in a file: the file itself can't be read.
    pub fn whole(title: impl Into<String>) -> Self {
        Diagnostic(Box::new(Body { title: title.into(), ..Body::default() }))
    }

    /// What stands under the marked text: what was expected there.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label = label.into();
        self
    }

    /// Shows a second place.
    pub fn other(mut self, at: &Origin, label: impl Into<String>) -> Self {
        self.0.other = Some((at.clone(), label.into()));
        self
    }

    /// What to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help.push(help.into());
        self
    }

    pub fn render(&self, colour: bool) -> String {
        let Body { warning, title, at, label, other, help } = &*self.0;
        let level = if *warning { Level::WARNING } else { Level::ERROR };
        let mut group = Group::with_title(level.primary_title(title));
        if let Some(at) = at {
            let mut first = at.snippet().annotation(AnnotationKind::Primary.span(at.shown()).label(label));
            match other {
                Some((other, label)) if Arc::ptr_eq(&other.file, &at.file) => {
                    first = first.annotation(AnnotationKind::Context.span(other.shown()).label(label));
                    group = group.element(first);
                }
                Some((other, label)) => {
                    let second = other.snippet().annotation(AnnotationKind::Context.span(other.shown()).label(label));
                    group = group.element(first).element(second);
                }
                None => group = group.element(first),
            }
        }
        for help in help {
            group = group.element(Level::HELP.message(help));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Origin {
    pub(super) fn new(file: &Arc<SourceFile>, span: Range<usize>) -> Self {
        Origin { file: Arc::clone(file), span }
    }

    /// Another place in the same file.
    pub(super) fn with(&self, span: Range<usize>) -> Self {
        Origin { file: Arc::clone(&self.file), span }
    }

    /// Stands for something that was not written.
    pub(super) fn is_unplaced(&self) -> bool {
        self.span == (0..0)
    }

    pub fn path(&self) -> &Path {
        &self.file.path
    }

    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        Snippet::source(self.file.text.as_str()).path(self.file.path.display().to_string())
    }

    /// The span, on character boundaries and cut to its first line: that of a whole table or file covers its content.
    fn shown(&self) -> Range<usize> {
        let text = &self.file.text;
        let floor = |at: usize| (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let (start, end) = (floor(self.span.start), floor(self.span.end));
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        start..end.clamp(start, line_end.max(start))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{:?}]", self.file.path.display(), self.span)
    }
}
