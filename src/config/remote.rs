//! The settings of a remote engine: where a model is served, and how that server is spoken to.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use toml::Spanned;

use crate::config::engine::QUEUE;
use crate::config::load::Reader;
use crate::config::resolve;
use crate::config::shape::{EndpointShape, EngineShape};
use crate::config::unheard::unheard;
use crate::config::value::{Name, Time};
use crate::config::{Diagnostic, Origin, Secret, Url};

/// Servers of one model. Two of the same settings are one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub preset: Preset,
    /// At least one; all serve the same model.
    pub endpoints: Vec<EndpointAt>,
    /// The model's id, as the servers know it.
    pub model: Arc<str>,
    pub api: Api,
    /// The folder with the `tokenizer.json` of prompts in token ids, where it is not gpt-oss's.
    pub tokenizer: Option<PathBuf>,
    pub policy_in: PolicyIn,
    pub effort_in: EffortIn,
    pub reasoning_in: ReasoningIn,
    /// Whether the servers hold an answer to a JSON schema that goes with the question.
    pub schema: bool,
    /// Whether the servers tell the log-probabilities of an answer's tokens.
    pub logprobs: bool,
    /// A header of every request; its value, prefix included.
    pub credential: Option<(HeaderName, Secret)>,
    /// Certificate authorities to trust instead of the system's.
    pub ca: Option<Arc<Vec<CertificateDer<'static>>>>,
    /// Name, connection and TLS.
    pub connect_timeout: Duration,
    /// From the request's end to the answer's first byte: the model's own time. Without one the guardrail's deadline holds.
    pub first_byte_timeout: Option<Duration>,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// Asks that wait for an endpoint, at most.
    pub queue: usize,
    /// Bytes of a text that are judged at once.
    pub window: usize,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointAt {
    /// The API's paths are appended to its base path.
    pub url: Url,
    /// Its part of the policies, beside the others'.
    pub weight: NonZeroU32,
    /// Asks under way at a time, at most.
    pub concurrency: usize,
}

/// A server program or service, known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    LmStudio,
    DockerModelRunner,
    Ollama,
    LlamaCpp,
    Vllm,
    Sglang,
    Groq,
    HfRouter,
    /// Anything else with OpenAI's API: says nothing of address and model.
    #[serde(rename = "openai-compatible")]
    OpenAiCompatible,
}

/// The API in which a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// OpenAI's chat completions.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// LM Studio's own (`/api/v1/chat`).
    LmStudio,
    /// Ollama's own (`/api/chat`).
    Ollama,
    /// Completions, of prompts in token ids.
    Tokens,
}

/// The message that carries the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyIn {
    System,
    Developer,
    /// The same message as the text, before it: for a server that takes no other.
    User,
}

/// What tells the server how long to reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffortIn {
    /// The API's own member.
    Field,
    /// `reasoning_effort`, whatever the API calls it.
    ReasoningEffort,
    /// `chat_template_kwargs`.
    ChatTemplateKwargs,
    /// A line before the policy.
    Policy,
}

/// The member of a chat answer's message that has the reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningIn {
    /// The first of the others that is there.
    Auto,
    Reasoning,
    ReasoningContent,
    Thinking,
}

/// What a preset stands for, where the file says nothing else.
pub(super) struct Defaults {
    pub url: Option<&'static str>,
    /// The base path of OpenAI's APIs, for a URL that has none.
    pub base: &'static str,
    pub model: Option<&'static str>,
    pub api: Api,
    pub effort_in: EffortIn,
    pub schema: bool,
    pub logprobs: bool,
    pub concurrency: usize,
    /// In bytes.
    pub window: usize,
    /// Whether it answers nobody without a credential.
    pub hosted: bool,
}

impl Preset {
    /// Sources: the vendors' documentation and the servers' own code; `docs/engines.md` names the quirks behind each.
    pub(super) fn defaults(self) -> Defaults {
        let plain = Defaults {
            url: None,
            base: "/v1",
            model: Some("openai/gpt-oss-safeguard-20b"),
            api: Api::Chat,
            effort_in: EffortIn::Field,
            schema: false,
            logprobs: false,
            concurrency: 16,
            window: 16 << 10,
            hosted: false,
        };
        // A desktop serves few asks at once, and often with a short context.
        let desktop = |url| Defaults { url: Some(url), concurrency: 4, window: 8 << 10, ..plain };
        match self {
            // Over chat completions its effort is a matter of luck.
            Preset::LmStudio => Defaults { api: Api::Responses, ..desktop("http://localhost:1234") },
            Preset::DockerModelRunner => Defaults {
                base: "/engines/v1",
                model: Some("ai/gpt-oss-safeguard"),
                ..desktop("http://localhost:12434")
            },
            Preset::Ollama => Defaults {
                model: Some("gpt-oss-safeguard:20b"),
                api: Api::Ollama,
                schema: true,
                ..desktop("http://localhost:11434")
            },
            Preset::LlamaCpp => Defaults {
                model: Some("gpt-oss-safeguard-20b"),
                effort_in: EffortIn::ChatTemplateKwargs,
                schema: true,
                logprobs: true,
                ..desktop("http://localhost:8080")
            },
            Preset::Vllm => {
                Defaults { url: Some("http://localhost:8000"), schema: true, logprobs: true, concurrency: 64, ..plain }
            }
            Preset::Sglang => Defaults { url: Some("http://localhost:30000"), concurrency: 64, ..plain },
            Preset::Groq => {
                Defaults { url: Some("https://api.groq.com"), base: "/openai/v1", schema: true, hosted: true, ..plain }
            }
            Preset::HfRouter => Defaults {
                url: Some("https://router.huggingface.co"),
                model: Some("openai/gpt-oss-safeguard-20b:groq"),
                hosted: true,
                ..plain
            },
            Preset::OpenAiCompatible => Defaults { model: None, ..plain },
        }
    }

    /// Whether such a server goes on with a prompt in token ids and tells log-probabilities by ids.
    fn takes_tokens(self) -> bool {
        matches!(self, Preset::Vllm | Preset::LlamaCpp | Preset::OpenAiCompatible)
    }

    /// As the file has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Preset::LmStudio => "lm-studio",
            Preset::DockerModelRunner => "docker-model-runner",
            Preset::Ollama => "ollama",
            Preset::LlamaCpp => "llama-cpp",
            Preset::Vllm => "vllm",
            Preset::Sglang => "sglang",
            Preset::Groq => "groq",
            Preset::HfRouter => "hf-router",
            Preset::OpenAiCompatible => "openai-compatible",
        }
    }
}

impl Api {
    /// As the file has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Api::Chat => "chat",
            Api::Responses => "responses",
            Api::LmStudio => "lm-studio",
            Api::Ollama => "ollama",
            Api::Tokens => "tokens",
        }
    }

    /// Whether it knows what OpenAI's APIs have for an effort.
    pub(super) fn is_openai(self) -> bool {
        matches!(self, Api::Chat | Api::Responses)
    }
}

/// Reads a remote engine, of which the preset is written.
pub(super) fn remote(reader: &mut Reader<'_>, top: &Origin, name: &Name, shape: EngineShape) -> Option<Remote> {
    let written = shape.preset.as_ref()?;
    let (preset, at) = (*written.get_ref(), top.with(written.span()));
    let defaults = preset.defaults();
    let api = shape.api.as_ref().map_or(defaults.api, |api| *api.get_ref());
    if let Some(at) = shape.api.as_ref().filter(|_| api == Api::Tokens && !preset.takes_tokens()) {
        let title = format!("the preset `{}` takes no prompt in token ids", preset.as_str());
        let problem = Diagnostic::error(&top.with(at.span()), title).label("asks it for that");
        reader.problem(
            problem.help("`vllm`, `llama-cpp` and `openai-compatible`, where a server speaks as vLLM does, take one"),
        );
        return None;
    }
    if let Some((key, span, why)) = unheard(api, &shape) {
        let problem =
            Diagnostic::error(&top.with(span), format!("`{key}` means nothing in the API `{}`", api.as_str()));
        reader.problem(problem.label(why));
        return None;
    }
    let own = match api {
        Api::LmStudio | Api::Ollama => true,
        Api::Tokens => preset == Preset::LlamaCpp,
        Api::Chat | Api::Responses => false,
    };
    let base = if own { "" } else { defaults.base };
    let endpoints = endpoints(reader, top, &at, &defaults, base, shape.url, shape.endpoints)?;
    let Some(model) = shape.model.map(Spanned::into_inner).or(defaults.model.map(str::to_owned)) else {
        let problem = Diagnostic::error(&at, format!("the engine `{}` has no `model`", name.0));
        reader.problem(problem.label("says nothing of a model").help("add model = \"ID\", as the server knows it"));
        return None;
    };
    let credential = match shape.credential {
        Some(written) => {
            let to: Vec<(&Url, &Origin)> = endpoints.iter().map(|(endpoint, at)| (&endpoint.url, at)).collect();
            Some(resolve::credential(reader, top, name, written, &to)?)
        }
        None if defaults.hosted => {
            let problem = Diagnostic::error(&at, format!("the engine `{}` has no `credential`", name.0));
            let problem = problem.label("answers nobody without one");
            reader.problem(
                problem.help("add credential = { header = \"authorization\", prefix = \"Bearer \", env = \"NAME\" }"),
            );
            return None;
        }
        None => None,
    };
    let ca = match shape.ca {
        Some(path) => Some(Arc::new(resolve::authorities(reader, &top.with(path.span()), path.get_ref())?)),
        None => None,
    };
    let time = |time: Option<Spanned<Time>>| time.map(|time| time.into_inner().0);
    Some(Remote {
        preset,
        endpoints: endpoints.into_iter().map(|(endpoint, _)| endpoint).collect(),
        model: model.into(),
        api,
        tokenizer: shape.tokenizer.map(|path| reader.path(path.get_ref())),
        policy_in: shape.policy_in.map_or(PolicyIn::System, Spanned::into_inner),
        effort_in: shape.effort_in.map_or(defaults.effort_in, Spanned::into_inner),
        reasoning_in: shape.reasoning_in.map_or(ReasoningIn::Auto, Spanned::into_inner),
        schema: shape.schema.map_or(defaults.schema, Spanned::into_inner),
        logprobs: shape.logprobs.map_or(defaults.logprobs && api == Api::Chat, Spanned::into_inner),
        credential,
        ca,
        connect_timeout: time(shape.connect_timeout).unwrap_or(Duration::from_secs(2)),
        first_byte_timeout: time(shape.first_byte_timeout),
        idle_timeout: time(shape.idle_timeout).unwrap_or(Duration::from_secs(10)),
        queue: shape.queue.map_or(QUEUE, |count| count.into_inner().0),
        window: shape.window.map_or(defaults.window, |size| size.into_inner().0),
    })
}

/// Each with its place in the file.
fn endpoints(
    reader: &mut Reader<'_>,
    top: &Origin,
    at: &Origin,
    defaults: &Defaults,
    base: &str,
    url: Option<Spanned<Url>>,
    listed: Option<Spanned<Vec<Spanned<EndpointShape>>>>,
) -> Option<Vec<(EndpointAt, Origin)>> {
    let endpoint = |url: Url, weight: usize, concurrency: Option<usize>| EndpointAt {
        url: if url.base_path.is_empty() { Url { base_path: base.to_owned(), ..url } } else { url },
        weight: u32::try_from(weight).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
        concurrency: concurrency.unwrap_or(defaults.concurrency),
    };
    match (url, listed) {
        (Some(url), None) => {
            let at = top.with(url.span());
            Some(vec![(endpoint(url.into_inner(), 1, None), at)])
        }
        (None, Some(listed)) => {
            let at = top.with(listed.span());
            let mut found: Vec<(EndpointAt, Origin)> = Vec::new();
            for shape in listed.into_inner() {
                let at = top.with(shape.get_ref().url.span());
                let EndpointShape { url, weight, concurrency } = shape.into_inner();
                let next = endpoint(url.into_inner(), weight.map_or(1, |w| w.0), concurrency.map(|c| c.0));
                if let Some((_, first)) = found.iter().find(|(known, _)| known.url == next.url) {
                    let problem = Diagnostic::error(&at, "two endpoints have the same URL").label("named again here");
                    reader.problem(problem.other(first, "first named here"));
                    return None;
                }
                found.push((next, at));
            }
            if found.is_empty() {
                let problem = Diagnostic::error(&at, "there is no endpoint to ask").label("expected one or more");
                reader.problem(problem.help("write endpoints = [{ url = \"http://127.0.0.1:8000\" }]"));
                return None;
            }
            Some(found)
        }
        (None, None) => match defaults.url.and_then(Url::parse) {
            Some(url) => Some(vec![(endpoint(url, 1, None), at.clone())]),
            None => {
                let problem = Diagnostic::error(at, "there is no `url`").label("says nothing of an address");
                reader.problem(problem.help("add url = \"http://HOST:PORT\", or endpoints = [{ url = ... }]"));
                None
            }
        },
        (Some(url), Some(listed)) => {
            let problem = Diagnostic::error(&top.with(url.span()), "`url` and `endpoints` say where the servers are");
            let problem = problem.label("expected one of them").other(&top.with(listed.span()), "the other");
            reader.problem(problem);
            None
        }
    }
}
