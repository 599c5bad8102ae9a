//! The settings of an engine: where a model runs, in which format, and how much at once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;

use crate::config::Origin;
use crate::config::diagnostic::SourceFile;
use crate::config::settings::cores;
use crate::config::value::text;

/// Where a model runs.
#[derive(Debug)]
pub struct Engine {
    pub name: Arc<str>,
    pub run: EngineRun,
    /// The `model` setting.
    pub origin: Origin,
}

/// What makes one engine another. Two of the same settings are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EngineRun {
    /// Directory of a checkpoint.
    pub model: PathBuf,
    pub device: Device,
    pub threads: usize,
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
        Engine {
            name: "model".into(),
            origin: Origin::new(&Arc::new(source), start..end),
            run: EngineRun {
                model,
                device,
                threads: cores(),
                queue: QUEUE,
                dtype: Dtype::default(),
                experts: Experts::default(),
                kv_cache,
                step_tokens,
                sequences,
            },
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
