//! The settings of an engine: where a model runs; of one in this process, in which format, and how much at once.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;
use toml::Spanned;

use crate::config::diagnostic::{Diagnostic, Origin, SourceFile};
use crate::config::load::Reader;
use crate::config::remote::{self, Remote};
use crate::config::shape::EngineShape;
use crate::config::value::{Name, text};

/// Where a model runs.
#[derive(Debug)]
pub struct Engine {
    pub name: Arc<str>,
    pub run: EngineRun,
    /// The `model` setting, or the `preset`.
    pub origin: Origin,
}

/// What makes one engine another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineRun {
    /// In this process.
    Here(ModelRun),
    /// On servers.
    Remote(Arc<Remote>),
}

/// A model in this process. Two of the same settings are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRun {
    /// Directory of a checkpoint.
    pub model: PathBuf,
    pub device: Device,
    /// CPU threads of one operation, where it is said how many.
    pub threads: Option<NonZeroUsize>,
    /// Asks that wait, at most.
    pub queue: usize,
    pub dtype: Dtype,
    pub experts: Experts,
    /// Bytes of keys and values.
    pub kv_cache: usize,
    /// Tokens that go through the model at a time.
    pub step_tokens: usize,
    /// Asks under way at a time.
    pub sequences: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    Cpu,
    Cuda(usize),
}

/// The number format of the activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    #[default]
    Auto,
    Float32,
    Bfloat16,
}

/// How the experts' weights lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Experts {
    #[default]
    Auto,
    /// As in the checkpoint: 4 bits a weight.
    Packed,
    Bfloat16,
}

/// Asks that wait where nothing else is said.
pub(super) const QUEUE: usize = 64;

impl Engine {
    /// The engine of a model that a command line names: every other setting is the one that a file would not have to say.
    pub fn of_model(directory: &Path) -> Self {
        let text = format!("--model {}", directory.display());
        let (start, end) = ("--model ".len(), text.len());
        let source = SourceFile { path: "command line".into(), text };
        let (device, model) = (Device::Cpu, directory.to_owned());
        let (kv_cache, step_tokens, sequences) = device.room();
        let run = ModelRun {
            model,
            device,
            threads: None,
            queue: QUEUE,
            dtype: Dtype::default(),
            experts: Experts::default(),
            kv_cache,
            step_tokens,
            sequences,
        };
        let origin = Origin::new(&Arc::new(source), start..end);
        Engine { name: "model".into(), origin, run: EngineRun::Here(run) }
    }
}

/// Reads an engine. One with a preset is remote; keys of the other kind are mistakes.
pub fn engine(reader: &mut Reader<'_>, top: &Origin, name: &Name, shape: Spanned<EngineShape>) -> Option<Engine> {
    let at = top.with(shape.span());
    let shape = shape.into_inner();
    let mixed = match &shape.preset {
        Some(preset) => shape.written_here().map(|(key, span)| {
            let problem = Diagnostic::error(&top.with(span), format!("`{key}` is of an engine in this process"));
            let problem = problem.label("means nothing here").other(&top.with(preset.span()), "makes this one remote");
            problem.help("leave one of them out")
        }),
        None => shape.written_remote().map(|(key, span)| {
            let problem = Diagnostic::error(&top.with(span), format!("`{key}` is of a remote engine"));
            let problem = problem.label("means nothing without `preset`");
            problem.help("name the server's program: preset = \"vllm\", say, or \"openai-compatible\"")
        }),
    };
    if let Some(problem) = mixed {
        reader.problem(problem);
        return None;
    }
    let name_of = name.0.clone();
    if let Some(preset) = &shape.preset {
        let origin = top.with(preset.span());
        let remote = remote::remote(reader, top, name, shape)?;
        return Some(Engine { name: name_of, run: EngineRun::Remote(Arc::new(remote)), origin });
    }
    let Some(model) = &shape.model else {
        reader.problem(Diagnostic::explained(&at, "missing field `model`"));
        return None;
    };
    let device = shape.device.map_or(Device::Cpu, Spanned::into_inner);
    let (room, tokens, together) = device.room();
    let run = ModelRun {
        model: reader.path(Path::new(model.get_ref())),
        device,
        threads: shape.threads.and_then(|count| NonZeroUsize::new(count.into_inner().0)),
        queue: shape.queue.map_or(QUEUE, |count| count.into_inner().0),
        dtype: shape.dtype.map_or_else(Dtype::default, Spanned::into_inner),
        experts: shape.experts.map_or_else(Experts::default, Spanned::into_inner),
        kv_cache: shape.kv_cache.map_or(room, |size| size.into_inner().0),
        step_tokens: shape.step_tokens.map_or(tokens, |count| count.into_inner().0),
        sequences: shape.sequences.map_or(together, |count| count.into_inner().0),
    };
    Some(Engine { name: name_of, run: EngineRun::Here(run), origin: top.with(model.span()) })
}

impl EngineShape {
    /// The first key that only an engine in this process has.
    fn written_here(&self) -> Option<(&'static str, Range<usize>)> {
        let EngineShape { device, threads, dtype, experts, kv_cache, step_tokens, sequences, .. } = self;
        first([
            ("device", span(device)),
            ("threads", span(threads)),
            ("dtype", span(dtype)),
            ("experts", span(experts)),
            ("kv_cache", span(kv_cache)),
            ("step_tokens", span(step_tokens)),
            ("sequences", span(sequences)),
        ])
    }

    /// The first key that only a remote engine has.
    fn written_remote(&self) -> Option<(&'static str, Range<usize>)> {
        let EngineShape { url, endpoints, api, tokenizer, policy_in, effort_in, reasoning_in, .. } = self;
        let EngineShape {
            schema,
            logprobs,
            window,
            credential,
            ca,
            connect_timeout,
            first_byte_timeout,
            idle_timeout,
            ..
        } = self;
        first([
            ("url", span(url)),
            ("endpoints", span(endpoints)),
            ("api", span(api)),
            ("tokenizer", span(tokenizer)),
            ("policy_in", span(policy_in)),
            ("effort_in", span(effort_in)),
            ("reasoning_in", span(reasoning_in)),
            ("schema", span(schema)),
            ("logprobs", span(logprobs)),
            ("window", span(window)),
            ("credential", span(credential)),
            ("ca", span(ca)),
            ("connect_timeout", span(connect_timeout)),
            ("first_byte_timeout", span(first_byte_timeout)),
            ("idle_timeout", span(idle_timeout)),
        ])
    }
}

fn span<T>(key: &Option<Spanned<T>>) -> Option<Range<usize>> {
    key.as_ref().map(Spanned::span)
}

/// The one that stands first in the file.
fn first<const N: usize>(keys: [(&'static str, Option<Range<usize>>); N]) -> Option<(&'static str, Range<usize>)> {
    let written = keys.into_iter().filter_map(|(key, span)| Some((key, span?)));
    written.min_by_key(|(_, span)| span.start)
}

impl EngineRun {
    /// The model, for people: its folder, or its id and where it is served.
    pub fn model(&self) -> String {
        match self {
            EngineRun::Here(run) => run.model.display().to_string(),
            EngineRun::Remote(remote) => format!("{} ({})", remote.model, remote.preset.as_str()),
        }
    }
}

impl Device {
    /// Bytes of keys and values, tokens of a step, and asks under way, where nothing else is said. A GPU is worth its launch
    /// with thousands of tokens at a time; on a CPU each token is waited for by those beside it.
    pub(super) fn room(self) -> (usize, usize, usize) {
        match self {
            Device::Cpu => (1 << 30, 512, 32),
            Device::Cuda(_) => (4 << 30, 4096, 128),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "cpu" => Some(Device::Cpu),
            "cuda" => Some(Device::Cuda(0)),
            _ => text.strip_prefix("cuda:")?.parse().ok().filter(|&index| index < 64).map(Device::Cuda),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "\"cpu\", or \"cuda:0\" with the number of the GPU", Device::parse)
    }
}
