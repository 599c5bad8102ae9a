//! Routes: from their written form to one that is either judged, whole, or declared to pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use crate::config::catalogue::Catalogue;
use crate::config::load::Reader;
use crate::config::resolve::stream;
use crate::config::shape::RouteShape;
use crate::config::suggest::{list, meant};
use crate::config::{Diagnostic, Guardrail, Origin, Parameter, Query, Reach, RoutePath, Stream, Upstream};

/// One path, or those of a pattern, and what happens to it.
#[derive(Debug)]
pub struct Route {
    pub id: Arc<str>,
    /// [`Reach::Below`] only where it passes.
    pub path: RoutePath,
    /// At least one.
    pub methods: Vec<Method>,
    pub upstream: Arc<Upstream>,
    pub handling: Handling,
    pub origin: Origin,
}

#[derive(Debug)]
pub enum Handling {
    Inspect {
        dialect: Dialect,
        query: Query,
        guardrails: Vec<Arc<Guardrail>>,
        on_block: OnBlock,
        stream: Stream,
    },
    /// Unjudged.
    Pass,
}

/// The wire forms that can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    #[serde(rename = "openai_chat")]
    OpenAiChat,
    #[serde(rename = "openai_responses")]
    OpenAiResponses,
    #[serde(rename = "openai_completions")]
    OpenAiCompletions,
    #[serde(rename = "openai_embeddings")]
    OpenAiEmbeddings,
    #[serde(rename = "openai_moderations")]
    OpenAiModerations,
    #[serde(rename = "openai_images")]
    OpenAiImages,
    Anthropic,
    OllamaChat,
    OllamaGenerate,
    Gemini,
    BedrockConverse,
}

/// What the client sees of a blocked prompt: `"error"` or `{ message = "..." }`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnBlock {
    #[default]
    Error,
    /// An assistant message with this text.
    Message(String),
}

impl<'de> Deserialize<'de> for OnBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = OnBlock;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"error\" or { message = \"...\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OnBlock, E> {
                match text {
                    "error" => Ok(OnBlock::Error),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnBlock, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Table {
                    message: String,
                }
                Table::deserialize(MapAccessDeserializer::new(map)).map(|table| OnBlock::Message(table.message))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl Dialect {
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::OpenAiChat => "openai_chat",
            Dialect::OpenAiResponses => "openai_responses",
            Dialect::OpenAiCompletions => "openai_completions",
            Dialect::OpenAiEmbeddings => "openai_embeddings",
            Dialect::OpenAiModerations => "openai_moderations",
            Dialect::OpenAiImages => "openai_images",
            Dialect::Anthropic => "anthropic",
            Dialect::OllamaChat => "ollama_chat",
            Dialect::OllamaGenerate => "ollama_generate",
            Dialect::Gemini => "gemini",
            Dialect::BedrockConverse => "bedrock_converse",
        }
    }

    /// The only query parameters that leave the form of what is judged as it is, where the API has others.
    fn parameters(self) -> Option<&'static [&'static str]> {
        match self {
            Dialect::Gemini => Some(&["alt=sse", "key"]),
            _ => None,
        }
    }

    /// Whether its answers have a place for words.
    fn speaks(self) -> bool {
        !matches!(self, Dialect::OpenAiEmbeddings | Dialect::OpenAiModerations | Dialect::OpenAiImages)
    }
}

/// Resolves the routes in their order; a name or a place that is taken twice is a problem.
pub fn routes(
    reader: &mut Reader<'_>,
    catalogue: &mut Catalogue,
    upstreams: &BTreeMap<Arc<str>, Option<Arc<Upstream>>>,
    defaults: Stream,
    file: &Origin,
    shapes: Vec<Spanned<RouteShape>>,
) -> Vec<Route> {
    let mut ids: BTreeMap<Arc<str>, Origin> = BTreeMap::new();
    let mut places: Vec<Origin> = Vec::new();
    let mut out: Vec<Route> = Vec::new();
    for shape in shapes {
        let at = file.with(shape.span());
        let shape = shape.into_inner();
        let (at_id, at_path) = (file.with(shape.id.span()), file.with(shape.path.span()));
        let Some(route) = route(reader, catalogue, upstreams, defaults, at, shape) else { continue };
        if let Some(first) = ids.insert(route.id.clone(), at_id.clone()) {
            let problem = Diagnostic::error(&at_id, format!("two routes have the id `{}`", route.id));
            reader.problem(problem.label("named again here").other(&first, "first named here"));
        }
        for method in &route.methods {
            let taken = out
                .iter()
                .zip(&places)
                .find(|(other, _)| other.methods.contains(method) && other.path.clashes(&route.path));
            if let Some((other, first)) = taken {
                let problem = match other.path == route.path {
                    true => Diagnostic::error(&at_path, format!("two routes take {method} {}", route.path)),
                    false => {
                        Diagnostic::error(&at_path, format!("a path may be meant by two routes that take {method}"))
                            .help("one path goes before a pattern, and of two patterns neither goes first")
                    }
                };
                reader.problem(problem.label("taken again here").other(first, "first taken here"));
            }
        }
        places.push(at_path);
        out.push(route);
    }
    out
}

fn route(
    reader: &mut Reader<'_>,
    catalogue: &mut Catalogue,
    upstreams: &BTreeMap<Arc<str>, Option<Arc<Upstream>>>,
    defaults: Stream,
    at: Origin,
    shape: RouteShape,
) -> Option<Route> {
    let upstream = upstream(reader, upstreams, &at, &shape.upstream);
    let id: Arc<str> = shape.id.get_ref().0.clone();
    let path = shape.path.get_ref().clone();
    let at_path = at.with(shape.path.span());
    let pass = shape.pass;
    let methods = methods(reader, &at, &shape);
    let query = query(reader, &at, &shape, upstream.as_deref());
    let handling =
        if pass { passing(reader, &at, &shape) } else { inspected(reader, catalogue, defaults, &at, &shape, query?) };
    if !pass && path.reach() == Reach::Below {
        let problem = Diagnostic::error(&at_path, "only a route with `pass = true` can take more than one path");
        reader.problem(problem.label("expected one path: what is judged has one form"));
        return None;
    }
    let upstream = upstream?;
    let base = &upstream.url.base_path;
    if !base.is_empty() && path.as_str().strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with('/')) {
        let title = format!("requests go to {base}{path}: the upstream's path stands before the route's");
        let problem =
            Diagnostic::warning(&at_path, title).label(format!("begins with `{base}` as the upstream's url ends"));
        reader.warning(problem.help("where that is not meant, leave it out of the url"));
    }
    Some(Route { id, path, methods: methods?, upstream, handling: handling?, origin: at })
}

fn upstream(
    reader: &mut Reader<'_>,
    upstreams: &BTreeMap<Arc<str>, Option<Arc<Upstream>>>,
    at: &Origin,
    name: &Spanned<String>,
) -> Option<Arc<Upstream>> {
    if let Some(known) = upstreams.get(name.get_ref().as_str()) {
        return known.clone();
    }
    let known = upstreams.keys().map(|name| &**name);
    let shown = name.get_ref().escape_debug();
    let problem = Diagnostic::error(&at.with(name.span()), format!("no upstream is named `{shown}`"));
    let problem = problem.label(meant(name.get_ref(), known.clone()));
    reader.problem(problem.help(format!("known upstreams: {}; add one as [upstream.NAME] with its url", list(known))));
    None
}

fn methods(reader: &mut Reader<'_>, at: &Origin, shape: &RouteShape) -> Option<Vec<Method>> {
    let Some(written) = &shape.methods else {
        return Some(vec![if shape.pass { Method::GET } else { Method::POST }]);
    };
    let methods: Vec<Method> = written.get_ref().iter().map(|method| method.0.clone()).collect();
    let distinct: BTreeSet<&str> = methods.iter().map(Method::as_str).collect();
    if methods.is_empty() || distinct.len() < methods.len() {
        let problem = Diagnostic::error(&at.with(written.span()), "a route takes one method or more, each named once");
        reader.problem(problem.label("expected a list such as [\"POST\"]"));
        return None;
    }
    Some(methods)
}

/// A route that passes is not judged, so it has nothing to judge by.
fn passing(reader: &mut Reader<'_>, at: &Origin, shape: &RouteShape) -> Option<Handling> {
    let set = [
        ("dialect", shape.dialect.as_ref().map(Spanned::span)),
        ("guardrails", shape.guardrails.as_ref().map(Spanned::span)),
        ("on_block", shape.on_block.as_ref().map(Spanned::span)),
        ("query", shape.query.as_ref().map(Spanned::span)),
        ("stream", shape.stream.as_ref().map(Spanned::span)),
    ];
    let mut sound = true;
    for (key, span) in set.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        let title = format!("route `{}` passes unjudged and has `{key}`", shape.id.get_ref().0);
        let problem = Diagnostic::error(&at.with(span), title).label("would have no effect");
        reader.problem(problem.help(format!("leave out `pass = true` to have it judged, or leave out `{key}`")));
        sound = false;
    }
    sound.then_some(Handling::Pass)
}

fn inspected(
    reader: &mut Reader<'_>,
    catalogue: &mut Catalogue,
    defaults: Stream,
    at: &Origin,
    shape: &RouteShape,
    query: Query,
) -> Option<Handling> {
    let id = &shape.id.get_ref().0;
    let (Some(dialect), Some(names)) = (&shape.dialect, &shape.guardrails) else {
        let missing = if shape.dialect.is_none() { "dialect" } else { "guardrails" };
        let problem = Diagnostic::error(at, format!("route `{id}` is judged and has no `{missing}`"));
        let expected = match missing {
            "dialect" => "expected dialect = \"openai_chat\", or another: the form of its requests and answers",
            _ => "expected guardrails = [..]: what judges it, by name",
        };
        reader.problem(problem.label(expected).help("a route that is to go through unjudged says `pass = true`"));
        return None;
    };
    let mut seen = BTreeSet::new();
    let mut sound = true;
    let mut guardrails = Vec::new();
    for name in names.get_ref() {
        let at_name = at.with(name.span());
        if !seen.insert(name.get_ref()) {
            let title = format!("route `{id}` names the guardrail `{}` twice", name.get_ref().escape_debug());
            reader.problem(Diagnostic::error(&at_name, title).label("named before"));
            sound = false;
            continue;
        }
        match catalogue.guardrail(reader, name.get_ref(), &at_name) {
            Some(guardrail) => guardrails.push(guardrail),
            None => sound = false,
        }
    }
    if names.get_ref().is_empty() {
        let problem = Diagnostic::warning(&at.with(names.span()), format!("route `{id}` judges nothing"));
        reader.warning(problem.label("no guardrail is named").help("where that is meant, `pass = true` says so"));
    }
    let stream = match &shape.stream {
        Some(written) => stream(reader, &at.with(written.span()), written.get_ref(), defaults)?,
        None => defaults,
    };
    let on_block = shape.on_block.as_ref().map(|style| style.get_ref().clone()).unwrap_or_default();
    if let (OnBlock::Message(message), Some(written)) = (&on_block, &shape.on_block)
        && message.trim().is_empty()
    {
        let problem = Diagnostic::error(&at.with(written.span()), "a blocked prompt would be answered with nothing");
        reader.problem(problem.label("expected a message that people can read"));
        sound = false;
    }
    if let (OnBlock::Message(_), Some(written), false) = (&on_block, &shape.on_block, dialect.get_ref().speaks()) {
        let title = format!("an answer of `{}` has no place for a message", dialect.get_ref().as_str());
        let problem = Diagnostic::error(&at.with(written.span()), title).label("could not be told");
        reader.problem(problem.help("a blocked request is told as an error: leave out `on_block`"));
        sound = false;
    }
    sound.then_some(Handling::Inspect { dialect: *dialect.get_ref(), query, guardrails, on_block, stream })
}

/// The query parameters that a route takes. A key in the URL is the client's, and goes beside no credential of ours.
fn query(reader: &mut Reader<'_>, at: &Origin, shape: &RouteShape, upstream: Option<&Upstream>) -> Option<Query> {
    let Some(written) = shape.query.as_ref().filter(|_| !shape.pass) else { return Some(Query::default()) };
    let known = shape.dialect.as_ref().and_then(|dialect| dialect.get_ref().parameters());
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut sound = true;
    for parameter in written.get_ref() {
        let at_parameter = at.with(parameter.span());
        let parameter = parameter.get_ref();
        let shown = parameter.to_string();
        let problem = if parameters.iter().any(|other| other.name == parameter.name) {
            Some((format!("a route takes the query parameter `{}` twice", parameter.name), "named before".to_owned()))
        } else if let Some(known) = known.filter(|known| !known.contains(&shown.as_str())) {
            let title = format!("the query parameter `{shown}` may change what can be judged");
            Some((title, format!("expected {}", list(known.iter().copied()))))
        } else if &*parameter.name == "key" && upstream.is_some_and(|upstream| upstream.credential.is_some()) {
            let title = "a client's `key` would go out beside the credential of the upstream";
            Some((title.to_owned(), "leave out either".to_owned()))
        } else {
            None
        };
        match problem {
            Some((title, label)) => {
                reader.problem(Diagnostic::error(&at_parameter, title).label(label));
                sound = false;
            }
            None => parameters.push(parameter.clone()),
        }
    }
    sound.then(|| Query::new(parameters))
}
