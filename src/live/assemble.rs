//! Assembling: from a checked configuration to what serves it. Everything that can fail fails here.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{self, ByPolicy, Config, ConfigError, Diagnostic, Judge, Memory, OnBlock, State, Then};
use crate::detectors::cascade::Cascade;
use crate::detectors::pattern::{PatternDetector, PatternSpec};
use crate::detectors::prefilter::Prefilter;
use crate::gate::{GateSettings, WindowSize};
use crate::guardrail::{Detector, Guardrail, Mode, Stage, Timing, VerdictCache};
use crate::live::{
    BlockStyle, Engines, Guardrails, Handling, Inspect, Keeps, Limits, Live, Route, Upstream, UpstreamVersion,
};
use crate::wire::anthropic::Anthropic;
use crate::wire::bedrock_converse::BedrockConverse;
use crate::wire::custom::Custom;
use crate::wire::gemini::Gemini;
use crate::wire::ollama::{Api, Ollama};
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::openai_completions::OpenAiCompletions;
use crate::wire::openai_embeddings;
use crate::wire::openai_images;
use crate::wire::openai_moderations;
use crate::wire::openai_responses::OpenAiResponses;
use crate::wire::{Bounds, Dialect};

/// A configuration that is sound in itself and can't be served: the model is missing or broken, say. Shown like any
/// mistake of the configuration, at the setting that is at fault.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct AssembleError(#[from] pub ConfigError);

/// Builds the snapshot that serves `config`. Starts the engines that it needs and that do not run yet: blocks for as
/// long as that takes.
pub fn assemble(
    config: &Config,
    generation: u64,
    engines: &Engines,
    verdicts: Arc<VerdictCache>,
) -> Result<Live, AssembleError> {
    let mut parts = Parts {
        engines,
        max_segments: config.limits.max_segments,
        memory: config.memory,
        guardrails: BTreeMap::new(),
        upstreams: BTreeMap::new(),
    };
    let routes: Result<Vec<_>, _> = config.routes.iter().map(|route| parts.route(route).map(Arc::new)).collect();
    let mut routes = routes.map_err(|problem| ConfigError::new(problem, &config.sources))?;
    // Else a route that passes could take what another would have judged.
    routes.sort_by_key(|route| route.path.order());
    let config::Limits { max_body, max_header, max_headers, header_timeout, body_timeout, max_event, .. } =
        config.limits;
    let limits = Limits { max_body, max_header, max_headers, header_timeout, body_timeout, max_event };
    Ok(Live { generation, digest: config.sources.digest().into(), routes, limits, verdicts })
}

/// What routes share: each is built once.
struct Parts<'c> {
    engines: &'c Engines,
    max_segments: usize,
    memory: Memory,
    guardrails: BTreeMap<Arc<str>, Arc<Guardrail>>,
    upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
}

impl Parts<'_> {
    fn route(&mut self, route: &config::Route) -> Result<Route, Diagnostic> {
        let handling = match &route.handling {
            config::Handling::Pass => Handling::Pass,
            config::Handling::Inspect { dialect, query, guardrails, pass_media, state, on_block, stream } => {
                let guardrails: Vec<Arc<Guardrail>> =
                    guardrails.iter().map(|guardrail| self.guardrail(guardrail)).collect::<Result<_, _>>()?;
                let at = |stage, mode| {
                    guardrails.iter().filter(move |g| g.mode == mode && g.stages.contains(&stage)).cloned()
                };
                let timed = |timing| at(Stage::Input, Mode::Enforce).filter(|g| g.timing == timing).collect();
                let output: Guardrails = at(Stage::Output, Mode::Enforce).collect();
                let gate = gate(stream, output.is_empty());
                let on_block = match on_block {
                    OnBlock::Error => BlockStyle::Error,
                    OnBlock::Message(text) => BlockStyle::Message(text.as_str().into()),
                };
                let keeps = (*state == State::Seen).then(|| Keeps::new(&guardrails, self.memory));
                let bounds = Bounds { max_segments: self.max_segments, pass: *pass_media, kept: keeps.is_some() };
                Handling::Inspect(Box::new(Inspect {
                    dialect: dialect_of(dialect, bounds),
                    keeps,
                    query: query.clone(),
                    before: timed(Timing::Before),
                    beside: timed(Timing::Beside),
                    output,
                    observing_input: at(Stage::Input, Mode::Observe).collect(),
                    observing_output: at(Stage::Output, Mode::Observe).collect(),
                    gate,
                    on_block,
                }))
            }
        };
        let (id, path, methods) = (route.id.clone(), route.path.clone(), route.methods.clone());
        Ok(Route { id, path, methods, upstream: self.upstream(&route.upstream), handling })
    }

    fn guardrail(&mut self, from: &config::Guardrail) -> Result<Arc<Guardrail>, Diagnostic> {
        if let Some(known) = self.guardrails.get(&from.id) {
            return Ok(Arc::clone(known));
        }
        let detector: Arc<dyn Detector> = match &from.judge {
            Judge::Policy(by) => self.by_policy(by)?,
            Judge::Patterns(patterns, then) => {
                let patterns = Arc::new(pattern_detector(from, patterns)?);
                match then {
                    Some((doubt, by)) => Arc::new(Prefilter::new(patterns, doubt.clone(), self.by_policy(by)?)),
                    None => patterns,
                }
            }
        };
        let guardrail = Arc::new(Guardrail {
            id: from.id.clone(),
            stages: from.stages.clone(),
            detector,
            actions: from.actions.clone(),
            masks: from.masks.clone(),
            on_error: from.on_error,
            deadline: from.deadline,
            scope: from.scope,
            mode: from.mode,
            timing: from.timing,
        });
        self.guardrails.insert(from.id.clone(), Arc::clone(&guardrail));
        Ok(guardrail)
    }

    fn by_policy(&self, by: &ByPolicy) -> Result<Arc<dyn Detector>, Diagnostic> {
        let first = self.engines.detector(&by.origin, &by.engine, &by.policy, by.reasoning)?;
        let next = |then: &Then| {
            let detector = self.engines.detector(&then.origin, &then.engine, &by.policy, then.reasoning)?;
            Ok((then.doubt.clone(), detector))
        };
        let then = by.then.iter().map(next).collect::<Result<Vec<_>, Diagnostic>>()?;
        Ok(if then.is_empty() { first } else { Arc::new(Cascade::new(first, then)) })
    }

    fn upstream(&mut self, from: &config::Upstream) -> Arc<Upstream> {
        let built = self.upstreams.entry(from.name.clone()).or_insert_with(|| {
            Arc::new(Upstream {
                id: from.name.clone(),
                tls: from.url.tls,
                host: from.url.host.clone(),
                port: from.url.port,
                authority: from.url.authority.clone(),
                base_path: from.url.base_path.clone(),
                credential: from.credential.clone(),
                version: match from.http {
                    config::HttpVersion::Http1 => UpstreamVersion::Http1,
                    config::HttpVersion::Http2 => UpstreamVersion::Http2,
                },
                connect_timeout: from.connect_timeout,
                first_byte_timeout: from.first_byte_timeout,
                idle_timeout: from.idle_timeout,
                ca: from.ca.clone(),
            })
        });
        Arc::clone(built)
    }
}

fn dialect_of(dialect: &config::Dialect, bounds: Bounds) -> Arc<dyn Dialect> {
    match dialect {
        config::Dialect::OpenAiChat => Arc::new(OpenAiChat::new(bounds)),
        config::Dialect::OpenAiResponses => Arc::new(OpenAiResponses::new(bounds)),
        config::Dialect::OpenAiCompletions => Arc::new(OpenAiCompletions::new(bounds.max_segments)),
        config::Dialect::OpenAiEmbeddings => Arc::new(openai_embeddings::dialect(bounds)),
        config::Dialect::OpenAiModerations => Arc::new(openai_moderations::dialect(bounds)),
        config::Dialect::OpenAiImages => Arc::new(openai_images::dialect(bounds)),
        config::Dialect::Anthropic => Arc::new(Anthropic::new(bounds)),
        config::Dialect::OllamaChat => Arc::new(Ollama::new(Api::Chat, bounds)),
        config::Dialect::OllamaGenerate => Arc::new(Ollama::new(Api::Generate, bounds)),
        config::Dialect::Gemini => Arc::new(Gemini::new(bounds)),
        config::Dialect::BedrockConverse => Arc::new(BedrockConverse::new(bounds.max_segments)),
        config::Dialect::Own(form) => Arc::new(Custom::new(Arc::clone(form), bounds.max_segments)),
    }
}

fn pattern_detector(from: &config::Guardrail, patterns: &config::Patterns) -> Result<PatternDetector, Diagnostic> {
    let problem = |error: &dyn ToString| {
        Diagnostic::error(&from.origin, format!("the patterns of guardrail `{}` can't be used", from.id))
            .label(error.to_string())
    };
    let builtin: Result<_, _> = patterns.builtin.iter().map(|name| name.parse()).collect();
    let spec = PatternSpec {
        builtin: builtin.map_err(|error: crate::detectors::pattern::UnknownBuiltin| problem(&error))?,
        regexes: patterns.regexes.clone(),
        words: patterns.words.clone(),
    };
    PatternDetector::new(&spec).map_err(|error| problem(&error))
}

fn gate(stream: &config::Stream, observe: bool) -> GateSettings {
    let window = match stream.window {
        config::WindowSize::Bytes(bytes) => WindowSize::Bytes(bytes),
        config::WindowSize::All => WindowSize::All,
    };
    let config::Stream { lookahead, max_hold, max_held, context, .. } = *stream;
    GateSettings { window, lookahead, max_hold, max_held, context, observe }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::pattern::Builtin;
    use crate::live::{RouteMatch, canonical_path};
    use http::Method;

    #[test]
    fn the_configuration_knows_the_detectors_patterns() {
        assert!(config::builtin::names().eq(Builtin::names()));
        for name in Builtin::names() {
            let detectors: Vec<_> = Builtin::expand(name).unwrap().into_iter().map(Builtin::name).collect();
            assert_eq!(config::builtin::expand(name), detectors, "{name}");
        }
    }

    fn live(routes: &str) -> Live {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("portcullis.toml");
        let head = "[server]\nlisten = [\"127.0.0.1:0\"]\n[upstream.u]\nurl = \"http://127.0.0.1:9100/base\"\n\
            [guardrail.words]\nstage = [\"input\", \"output\"]\non_error = \"block\"\nmode = \"observe\"\n\
            patterns.words.titan = [\"Project Titan\"]\nactions.titan = \"redact\"\nmasks.titan = \"###\"\n";
        std::fs::write(&path, format!("{head}{routes}")).unwrap();
        let config = config::load(&path).unwrap();
        assemble(&config, 7, &Engines::unstarted(), Arc::new(VerdictCache::new(0))).unwrap()
    }

    #[test]
    fn a_snapshot_says_what_the_file_says() {
        let live = live(
            "[[route]]\nid = \"chat\"\npath = \"/v1/chat/completions\"\ndialect = \"openai_chat\"\nupstream = \"u\"\n\
             guardrails = [\"words\"]\non_block = { message = \"No.\" }\nstream.window = \"all\"\n",
        );
        assert_eq!((live.generation, live.digest.len()), (7, 64));
        let RouteMatch::Found(route) = live.route(&Method::POST, "/v1/chat/completions") else { panic!("found") };
        assert_eq!(
            (&*route.upstream.host, route.upstream.port, &*route.upstream.base_path),
            ("127.0.0.1", 9100, "/base")
        );
        let Handling::Inspect(inspect) = &route.handling else { panic!("inspected") };
        assert_eq!(inspect.on_block, BlockStyle::Message("No.".into()));
        assert_eq!((inspect.gate.window, inspect.gate.observe), (WindowSize::All, true));
        let (input, output) = (&inspect.observing_input[0], &inspect.observing_output[0]);
        assert!(Arc::ptr_eq(input, output), "one guardrail at both stages");
        assert_eq!(&*input.mask(&crate::policy::Label::new("titan")), "###");
        assert_eq!(inspect.dialect.name(), "openai_chat");
    }

    #[test]
    fn every_dialect_goes_by_its_name_in_the_file() {
        for name in [
            "openai_chat",
            "openai_completions",
            "openai_embeddings",
            "openai_moderations",
            "openai_images",
            "ollama_chat",
            "ollama_generate",
            "bedrock_converse",
        ] {
            let route = format!(
                "[[route]]\nid = \"r\"\npath = \"/r\"\ndialect = \"{name}\"\nupstream = \"u\"\nguardrails = [\"words\"]\n"
            );
            let live = live(&route);
            let RouteMatch::Found(route) = live.route(&Method::POST, "/r") else { panic!("found") };
            let Handling::Inspect(inspect) = &route.handling else { panic!("inspected") };
            assert_eq!(inspect.dialect.name(), name);
        }
    }

    #[test]
    fn a_route_that_passes_takes_nothing_from_one_that_is_judged() {
        let judged = "[[route]]\nid = \"chat\"\npath = \"/v1/chat/completions\"\ndialect = \"openai_chat\"\nupstream = \"u\"\nguardrails = []\n";
        let pass = |id, path| {
            format!(
                "[[route]]\nid = \"{id}\"\npath = \"{path}\"\nupstream = \"u\"\npass = true\nmethods = [\"POST\"]\n"
            )
        };
        let live = live(&format!("{}{}{judged}", pass("all", "/*"), pass("chats", "/v1/chat/*")));
        for (path, id) in [("/v1/chat/completions", "chat"), ("/v1/chat/other", "chats"), ("/v1/other", "all")] {
            let RouteMatch::Found(route) = live.route(&Method::POST, &canonical_path(path).unwrap()) else {
                panic!("{path}")
            };
            assert_eq!(&*route.id, id, "{path}");
        }
    }

    #[test]
    fn a_pattern_takes_what_no_other_route_is_meant_by() {
        let judged = |id, path| {
            format!(
                "[[route]]\nid = \"{id}\"\npath = \"{path}\"\ndialect = \"gemini\"\nupstream = \"u\"\nguardrails = []\n"
            )
        };
        let pass = |id, path| {
            format!(
                "[[route]]\nid = \"{id}\"\npath = \"{path}\"\nupstream = \"u\"\npass = true\nmethods = [\"GET\", \"POST\"]\n"
            )
        };
        let live = live(
            &[
                pass("all", "/*"),
                judged("any", "/v1beta/models/{model}:generateContent"),
                pass("free", "/v1beta/models/free:generateContent"),
                judged("pro", "/v1beta/models/pro:generateContent"),
                pass("batch", "/v1/{kind}/batch"),
                judged("chat", "/v1/chat/batch"),
            ]
            .concat(),
        );
        for (method, path, expected) in [
            (Method::POST, "/v1beta/models/x:generateContent", "any"),
            (Method::POST, "/v1beta/models/x%3agenerateContent", "any"),
            (Method::POST, "/v1beta/models/pro:generateContent", "pro"),
            (Method::POST, "/v1beta/models/free:generateContent", "free"),
            (Method::POST, "/v1/other/batch", "batch"),
            (Method::POST, "/v1/chat/batch", "chat"),
            // What an upstream may read as a judged path passes nowhere, and goes to no route with other guardrails.
            (Method::POST, "/v1beta/models/PRO:generateContent", "none"),
            (Method::POST, "/v1beta/models/x:generatecontent", "none"),
            (Method::POST, "/v1beta/models/-x:generateContent", "none"),
            (Method::POST, "/v1beta/models/%5bx%5d:generateContent", "none"),
            (Method::POST, "/v1/Chat/batch", "none"),
            (Method::GET, "/v1beta/models/x:generateContent", "method"),
            (Method::GET, "/v1/chat/batch", "method"),
            // None of the pattern's, and read so by nobody.
            (Method::POST, "/v1beta/models/a/b:generateContent", "all"),
            (Method::POST, "/v1beta/models/x:countTokens", "all"),
        ] {
            let found = match live.route(&method, &canonical_path(path).unwrap()) {
                RouteMatch::Found(route) => route.id.to_string(),
                RouteMatch::WrongMethod(_) => "method".to_owned(),
                RouteMatch::None => "none".to_owned(),
            };
            assert_eq!(found, expected, "{method} {path}");
        }
    }

    #[test]
    fn a_wildcard_takes_no_other_reading_of_a_judged_path() {
        let judged = "[[route]]\nid = \"chat\"\npath = \"/v1/chat/completions\"\ndialect = \"openai_chat\"\nupstream = \"u\"\nguardrails = []\n";
        let pass = |id, path, methods| {
            format!("[[route]]\nid = \"{id}\"\npath = \"{path}\"\nupstream = \"u\"\npass = true\nmethods = {methods}\n")
        };
        let all = pass("all", "/v1/*", "[\"GET\", \"POST\", \"PUT\"]");
        let live = live(&format!("{all}{judged}{}", pass("list", "/v1/chat/completions", "[\"GET\"]")));
        let found = |method: Method, path: &str| match live.route(&method, path) {
            RouteMatch::Found(route) => route.id.to_string(),
            RouteMatch::WrongMethod(_) => "method".to_owned(),
            RouteMatch::None => "none".to_owned(),
        };
        for (method, path, expected) in [
            (Method::POST, "/v1/chat/completions", "chat"),
            (Method::GET, "/v1/chat/completions", "list"),
            (Method::PUT, "/v1/chat/completions", "method"),
            (Method::POST, "/v1/Chat/Completions", "none"),
            (Method::GET, "/V1/chat/completions", "none"),
            (Method::POST, "/v1/chat/completion", "all"),
            (Method::PUT, "/v1/Models", "all"),
        ] {
            assert_eq!(found(method.clone(), path), expected, "{method} {path}");
        }
    }
}
