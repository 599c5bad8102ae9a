//! gpt-oss on libtorch: token ids in, token ids and scores out. The only module that names `tch`.
//!
//! Tensor operations are written in their panicking form: shapes are checked against the configuration when a checkpoint
//! is loaded, so what is left to fail is memory, or the device. [`Engine`] catches such a panic and answers the one ask that
//! it came of with an error. Should the engine's thread end, [`Worker`] answers every ask so.

mod attention;
mod compute;
mod config;
mod cpu;
mod device;
mod engine;
mod error;
mod experts;
mod figures;
mod grammar;
mod groups;
mod job;
mod kernels;
mod kv;
mod layout;
mod linear;
mod mxfp4;
mod o200k;
mod pins;
mod queue;
mod readout;
mod rope;
mod scheduler;
mod sequence;
mod tensors;
mod tokenizer;
mod transformer;
mod weights;
mod worker;

pub use compute::{Compute, ComputeSettings, read_bandwidth};
pub use config::{Config, LayerKind};
pub use device::{Dtype, ExpertFormat, Place};
pub use engine::{Engine, Limits, Reply, Ticket};
pub use error::LoadError;
pub use figures::{Figures, Snapshot};
pub use grammar::{Constraint, Grammar, GrammarError, Mask};
pub use job::{Choice, Choices, ChoicesError, Job, Outcome, Step, Told};
pub use kv::{KvCache, KvStore, NoRoom};
pub use layout::Row;
pub use pins::{Pin, Pins};
pub use rope::inv_freq;
pub use sequence::{Answer, Question, Sequence};
pub use tokenizer::{Control, EncodeError, Tokenizer};
pub use transformer::Transformer;
pub use weights::{Format, Progress, Stored, StoredExperts, Values, Weights};
pub use worker::{JobError, Settings, Source, Worker};
