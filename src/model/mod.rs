//! gpt-oss on libtorch: token ids in, token ids and scores out. The only module that names `tch`.
//!
//! Tensor operations are written in their panicking form: shapes are checked against the configuration when a checkpoint
//! is loaded, so what is left to fail is memory. [`Worker`] catches such a panic and answers the one ask with an error.

mod attention;
mod config;
mod device;
mod error;
mod experts;
mod grammar;
mod job;
mod kv_cache;
mod mxfp4;
mod o200k;
mod pins;
mod prefix;
mod queue;
mod rope;
mod sequence;
mod tokenizer;
mod transformer;
mod weights;
mod worker;

pub use config::Config;
pub use device::{Dtype, Place, set_threads};
pub use error::LoadError;
pub use grammar::{Constraint, Grammar, GrammarError, Mask};
pub use job::{Choice, Choices, ChoicesError, Job, Outcome, Step};
pub use kv_cache::KvCache;
pub use pins::{Pin, Pins};
pub use rope::inv_freq;
pub use sequence::{Sequence, Unfinished};
pub use tokenizer::{Control, EncodeError, Tokenizer};
pub use transformer::Transformer;
pub use weights::Checkpoint;
pub use worker::{JobError, Settings, Worker};
