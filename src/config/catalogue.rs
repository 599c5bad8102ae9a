//! The catalogue: what routes and guardrails can name, and how a name is found.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;

use crate::config::diagnostic::SourceFile;
use crate::config::guardrail::guardrail;
use crate::config::load::Reader;
use crate::config::shape::GuardrailShape;
use crate::config::suggest::{list, meant};
use crate::config::value::Name;
use crate::config::{Diagnostic, Dialect, Engine, Guardrail, Handling, Origin, Route};
use crate::policy::Policy;
use crate::wire::custom::Form;

/// What routes and guardrails can name. A thing that was found faulty is kept as `None`: its fault is told once.
pub struct Catalogue {
    /// By name; those of which something is wrong, without any.
    pub engines: BTreeMap<Arc<str>, Option<Arc<Engine>>>,
    /// Dialects of the main file, and where each is named.
    pub dialects: BTreeMap<Arc<str>, (Origin, Option<Arc<Form>>)>,
    pub guardrails_dir: PathBuf,
    pub policies_dir: PathBuf,
    /// Guardrails of the main file, by name and place.
    pub inline: BTreeMap<Arc<str>, Origin>,
    pub guardrails: BTreeMap<Arc<str>, Option<Arc<Guardrail>>>,
    pub policies: BTreeMap<Arc<str>, Option<Arc<Policy>>>,
}

impl Catalogue {
    /// The guardrail of this name: in the main file, else in a file of its own.
    pub fn guardrail(&mut self, reader: &mut Reader<'_>, name: &str, at: &Origin) -> Option<Arc<Guardrail>> {
        if let Some(known) = self.guardrails.get(name) {
            return known.clone();
        }
        let found = self.guardrail_file(reader, name, at);
        self.guardrails.insert(name.into(), found.clone());
        found
    }

    fn guardrail_file(&mut self, reader: &mut Reader<'_>, name: &str, at: &Origin) -> Option<Arc<Guardrail>> {
        let path = self.guardrails_dir.join(format!("{name}.toml"));
        let text = match Name::parse(name) {
            Some(_) => reader.text_if_there(&path, at, "guardrail")?,
            None => None,
        };
        let Some(text) = text else {
            let mut known = stems(&self.guardrails_dir, |entry| Some(entry.extension()? == "toml" && entry.is_file()));
            known.extend(self.inline.keys().map(|name| name.to_string()));
            known.sort();
            let known = known.iter().map(String::as_str);
            let problem = Diagnostic::error(at, format!("no guardrail is named `{}`", name.escape_debug()));
            let problem = problem.label(meant(name, known.clone())).help(format!("known guardrails: {}", list(known)));
            let own = self.guardrails_dir.join("NAME.toml");
            let add = format!("add one as [guardrail.NAME] in this file, or as {}", own.display());
            reader.problem(problem.help(format!("{add}; guardrails_dir names another folder")));
            return None;
        };
        let (source, shape) = reader.toml::<GuardrailShape>(&path, text)?;
        let at = Origin::new(&source, shape.stage.span());
        guardrail(reader, self, name, &at, shape)
    }

    /// Takes in `[guardrail.NAME]`.
    pub fn inline_guardrail(
        &mut self,
        reader: &mut Reader<'_>,
        top: &Origin,
        name: Spanned<Name>,
        shape: Spanned<GuardrailShape>,
    ) {
        let at = top.with(shape.span());
        let name = name.into_inner().0;
        let found = guardrail(reader, self, &name, &at, shape.into_inner());
        self.guardrails.insert(name, found);
    }

    /// The policy of this name, from its file.
    pub fn policy(&mut self, reader: &mut Reader<'_>, name: &str, at: &Origin) -> Option<Arc<Policy>> {
        if let Some(known) = self.policies.get(name) {
            return known.clone();
        }
        let found = self.policy_file(reader, name, at).map(Arc::new);
        self.policies.insert(name.into(), found.clone());
        found
    }

    fn policy_file(&self, reader: &mut Reader<'_>, name: &str, at: &Origin) -> Option<Policy> {
        let path = self.policies_dir.join(name).join("policy.md");
        let text = match Name::parse(name) {
            Some(_) => reader.text_if_there(&path, at, "policy")?,
            None => None,
        };
        let Some(text) = text else {
            let known = stems(&self.policies_dir, |entry| Some(entry.join("policy.md").is_file()));
            let known = known.iter().map(String::as_str);
            let problem = Diagnostic::error(at, format!("no policy is named `{}`", name.escape_debug()));
            let problem = problem.label(meant(name, known.clone())).help(format!("known policies: {}", list(known)));
            let own = self.policies_dir.join("NAME").join("policy.md");
            reader.problem(problem.help(format!("a policy is written in {}", own.display())));
            return None;
        };
        match Policy::parse(name, &text) {
            Ok(policy) => Some(policy),
            Err(error) => {
                let source = Arc::new(SourceFile { path, text });
                let problem = Diagnostic::explained(&Origin::new(&source, error.span), &error.problem);
                reader.problem(error.help.into_iter().fold(problem, Diagnostic::help));
                None
            }
        }
    }

    /// The engine of this name, or the one called `default`.
    pub fn engine(
        &self,
        reader: &mut Reader<'_>,
        at: &Origin,
        name: Option<&Spanned<String>>,
        policy: &Origin,
    ) -> Option<Arc<Engine>> {
        let (wanted, at) = match name {
            Some(name) => (name.get_ref().as_str(), at.with(name.span())),
            None => ("default", policy.clone()),
        };
        if let Some(engine) = self.engines.get(wanted) {
            return engine.clone();
        }
        let known = self.engines.keys().map(|name| &**name);
        let problem = Diagnostic::error(&at, format!("no engine is named `{}`", wanted.escape_debug()));
        let label = match name {
            Some(name) => meant(name.get_ref(), known.clone()),
            None => "a policy is judged by a model".to_owned(),
        };
        reader.problem(problem.label(label).help(format!(
            "known engines: {}; add one as [engine.{}] with model = \"DIRECTORY\" in portcullis.toml",
            list(known),
            if name.is_some() { "NAME" } else { "default" }
        )));
        None
    }

    /// The dialect of this name: built in, or of the main file.
    pub fn dialect(&self, reader: &mut Reader<'_>, name: &str, at: &Origin) -> Option<Dialect> {
        if let Some((_, own)) = self.dialects.get(name) {
            return own.clone().map(Dialect::Own);
        }
        let unknown = match Dialect::built_in(name) {
            Ok(dialect) => return Some(dialect),
            Err(unknown) => unknown.to_string(),
        };
        let known = self.dialects.keys().fold(unknown, |known, name| format!("{known}, `{name}`"));
        reader.problem(Diagnostic::explained(at, &known).help("any other API is described as [dialect.NAME]"));
        None
    }

    /// A guardrail that nobody asks guards nothing, and a dialect that nobody speaks is not looked at.
    pub fn warn_of_unused(&self, reader: &mut Reader<'_>, routes: &[Route]) {
        let asked = |id: &str| {
            routes.iter().any(|route| match &route.handling {
                Handling::Inspect { guardrails, .. } => guardrails.iter().any(|g| &*g.id == id),
                Handling::Pass => false,
            })
        };
        for (name, at) in self.inline.iter().filter(|(name, _)| !asked(name)) {
            reader.warning(Diagnostic::warning(at, format!("no route asks the guardrail `{name}`")));
        }
        let spoken = |id: &str| {
            routes.iter().any(|route| match &route.handling {
                Handling::Inspect { dialect, .. } => dialect.as_str() == id,
                Handling::Pass => false,
            })
        };
        for (name, (at, _)) in self.dialects.iter().filter(|(name, (_, own))| own.is_some() && !spoken(name)) {
            reader.warning(Diagnostic::warning(at, format!("no route has the dialect `{name}`")));
        }
    }
}

/// The names in a directory that `fits`, without their extension.
fn stems(directory: &Path, fits: impl Fn(&Path) -> Option<bool>) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut stems: Vec<String> = entries
        .filter(|entry| fits(&entry.path()).unwrap_or(false))
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    stems.sort();
    stems
}
