//! The weights of a model by their Hugging Face names, wherever they come from: a directory in either layout, or nowhere.

mod files;
mod memory;
mod original;
mod random;
mod shard;
mod stored;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sha2::{Digest, Sha256};

use crate::model::config::{Layout, Located};
use crate::model::{Config, LoadError};
use files::Files;
use original::Original;
use random::Random;
pub use stored::{Format, Stored, Values};

/// Weights of an MXFP4 block, along the input side.
const BLOCK: i64 = 32;

/// The weights of a model, and its configuration. What is taken from it does not need it any longer.
pub struct Weights {
    config: Config,
    source: Box<dyn Source>,
    /// Bytes of the tensors that were asked for.
    taken: AtomicU64,
}

/// The experts' matrices of one layer and side.
#[derive(Debug, Clone)]
pub enum StoredExperts {
    /// `blocks` is U8 `[experts, rows, columns / 32, 16]`, `scales` U8 `[experts, rows, columns / 32]`, none of them 255.
    Packed { blocks: Stored, scales: Stored },
    /// `[experts, rows, columns]`.
    Dense(Stored),
}

/// How far something is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Where tensors come from, by their Hugging Face names.
trait Source: Send + Sync {
    fn has(&self, name: &str) -> bool;
    fn get(&self, name: &str) -> Result<Stored, LoadError>;
    /// Bytes of all tensors.
    fn total(&self) -> u64;
    fn digest(&self, hash: &mut Sha256);
    fn prefetch(&self, tell: &mut dyn FnMut(Progress));
}

impl Weights {
    /// Maps the checkpoint in a directory. Errors name the key, file or tensor that is not as it should be.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        let Located { dir: home, layout, config } = Config::locate(dir)?;
        let files = Files::open(&home)?;
        let source: Box<dyn Source> = match layout {
            Layout::HuggingFace => Box::new(files),
            Layout::Original => Box::new(Original::new(files, &config)),
        };
        Ok(Weights { config, source, taken: AtomicU64::new(0) })
    }

    /// Random weights of this shape, packed experts among them; the same for the same seed.
    pub fn random(config: Config, seed: u64) -> Result<Self, LoadError> {
        let source = Box::new(Random::new(&config, seed)?);
        Ok(Weights { config, source, taken: AtomicU64::new(0) })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A tensor of floats in this shape.
    pub fn dense(&self, name: &str, shape: &[i64]) -> Result<Stored, LoadError> {
        let stored = self.take(name, shape)?;
        if stored.format() == Format::U8 {
            return Err(stored.error("holds U8, expected BF16, F16 or F32"));
        }
        Ok(stored)
    }

    /// The experts' matrices `[experts, rows, columns]`: from `{name}_blocks` and `{name}_scales`, or, in a checkpoint that
    /// is not quantised, from `{name}` `[experts, columns, rows]`, which is copied.
    pub fn experts(&self, name: &str, [experts, rows, columns]: [i64; 3]) -> Result<StoredExperts, LoadError> {
        let (blocks, scales) = (format!("{name}_blocks"), format!("{name}_scales"));
        if self.source.has(name) && !self.source.has(&blocks) {
            return self.dense(name, &[experts, columns, rows])?.transposed().map(StoredExperts::Dense);
        }
        let groups = columns / BLOCK;
        let blocks = self.packed(&blocks, &[experts, rows, groups, BLOCK / 2])?;
        let scales = self.packed(&scales, &[experts, rows, groups])?;
        if columns % BLOCK != 0 {
            return Err(blocks.error(format!("packs {BLOCK} weights to a block, config.json says rows of {columns}")));
        }
        if let Some(at) = memchr::memchr(255, scales.bytes()) {
            let expert = at as i64 / (rows * groups).max(1);
            return Err(
                scales.error(format!("a scale of expert {expert} is 255, which is not a number; fetch the file again"))
            );
        }
        Ok(StoredExperts::Packed { blocks, scales })
    }

    /// How much of the checkpoint was asked for so far.
    pub fn progress(&self) -> Progress {
        Progress { done: self.taken.load(Relaxed), total: self.source.total() }
    }

    /// Reads the files into memory ahead of their use, as fast as the disk gives them, and tells how far it is. Blocks. For
    /// weights that are used where they lie; the system may drop them again where memory is short.
    pub fn prefetch(&self, mut tell: impl FnMut(Progress)) {
        self.source.prefetch(&mut tell);
    }

    /// Adds what tells these weights from others: the configuration, the files' headers, and the beginning of every tensor.
    pub fn digest(&self, hash: &mut Sha256) {
        hash.update(format!("{:?}", self.config));
        self.source.digest(hash);
    }

    fn packed(&self, name: &str, shape: &[i64]) -> Result<Stored, LoadError> {
        let stored = self.take(name, shape)?;
        match stored.format() {
            Format::U8 => Ok(stored),
            other => Err(stored.error(format!("holds {other:?}, expected U8"))),
        }
    }

    fn take(&self, name: &str, shape: &[i64]) -> Result<Stored, LoadError> {
        let stored = self.source.get(name)?;
        if !stored.shape().iter().map(|&side| side as i64).eq(shape.iter().copied()) {
            return Err(stored.error(format!("has shape {:?}, config.json says {shape:?}", stored.shape())));
        }
        self.taken.fetch_add(stored.bytes().len() as u64, Relaxed);
        Ok(stored)
    }
}

#[cfg(test)]
mod tests;
