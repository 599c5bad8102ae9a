//! Random weights of a true shape, made in memory when they are asked for: what the engine is measured on.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::memory::{Pages, filled};
use super::stored::{Format, Stored};
use super::{Progress, Source};
use crate::model::{Config, LoadError};

/// Bytes that one thread fills at a time.
const PIECE: usize = 1 << 20;
/// Random bytes that tensors are cut from, several pieces long so that no two tensors are the same.
const PATTERN: usize = 16 * PIECE;
/// Standard deviation of the dense weights.
const SPREAD: f32 = 0.02;
/// As a checkpoint's, which is mapped: large pages could be read faster than any real model.
const PAGES: Pages = Pages::Small;
const ONE_BF16: [u8; 2] = [0x80, 0x3f];

/// Weights that keep activations finite over any number of layers: norms of 1, all else about a normal distribution of
/// deviation 0.02. The experts' come to 0.026: a random code has 2.9, a scale is one of 2^-9 to 2^-6.
pub struct Random {
    seed: u64,
    tensors: HashMap<String, (Vec<usize>, Fill)>,
    normal: Bytes,
    uniform: Bytes,
    scales: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    Ones,
    Normal,
    Blocks,
    Scales,
}

impl Random {
    /// The same numbers for the same seed and shape, however many threads fill them.
    pub fn new(config: &Config, seed: u64) -> Result<Self, LoadError> {
        let pattern = |make: fn(u64) -> [u8; 8]| {
            let made = filled(PATTERN, PIECE, PAGES, |index, piece| {
                let mut state = mixed(seed.wrapping_add(index as u64));
                for bytes in piece.as_chunks_mut::<8>().0 {
                    state = mixed(state);
                    *bytes = make(state);
                }
            });
            made.map_err(no_memory)
        };
        Ok(Random {
            seed,
            tensors: tensors(config),
            normal: pattern(normals)?,
            uniform: pattern(u64::to_le_bytes)?,
            scales: pattern(|bits| bits.to_le_bytes().map(|byte| 127 - 9 + byte % 4))?,
        })
    }

    fn bytes(&self, name: &str, len: usize, fill: Fill) -> io::Result<Bytes> {
        let pattern = match fill {
            Fill::Ones => return filled(len, PIECE, PAGES, |_, piece| piece.as_chunks_mut().0.fill(ONE_BF16)),
            Fill::Normal => &self.normal,
            Fill::Blocks => &self.uniform,
            Fill::Scales => &self.scales,
        };
        let mut hash = DefaultHasher::new();
        (self.seed, name).hash(&mut hash);
        let start = hash.finish();
        filled(len, PIECE, PAGES, |index, piece| {
            // Anywhere in the pattern, at a multiple of a cache line.
            let cut = mixed(start.wrapping_add(index as u64)) as usize % ((PATTERN - PIECE) / 64) * 64;
            piece.copy_from_slice(&pattern[cut..][..piece.len()]);
        })
    }
}

impl Source for Random {
    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn get(&self, name: &str) -> Result<Stored, LoadError> {
        let file: Arc<Path> = Path::new("random weights").into();
        let Some((shape, fill)) = self.tensors.get(name) else {
            return Err(LoadError::tensor(&*file, name, "missing; gpt-oss has no such tensor"));
        };
        let format = fill.format();
        let bytes = self.bytes(name, shape.iter().product::<usize>() * format.size(), *fill);
        Stored::new(bytes.map_err(no_memory)?, format, shape.clone(), name.into(), file)
    }

    fn total(&self) -> u64 {
        self.tensors.values().map(|(shape, fill)| (shape.iter().product::<usize>() * fill.format().size()) as u64).sum()
    }

    fn digest(&self, hash: &mut Sha256) {
        hash.update(self.seed.to_le_bytes());
    }

    /// They are not on a disk.
    fn prefetch(&self, _: &mut dyn FnMut(Progress)) {}
}

impl Fill {
    fn format(self) -> Format {
        match self {
            Fill::Ones | Fill::Normal => Format::Bf16,
            Fill::Blocks | Fill::Scales => Format::U8,
        }
    }
}

/// Every tensor of the model, by its name on Hugging Face.
fn tensors(config: &Config) -> HashMap<String, (Vec<usize>, Fill)> {
    // Sizes of a configuration are positive.
    let size = |size: i64| size as usize;
    let (vocab, hidden, intermediate) = (size(config.vocab), size(config.hidden), size(config.intermediate));
    let (heads, experts) = (size(config.heads), size(config.experts));
    let (q, kv) = (size(config.heads * config.head_dim), size(config.kv_heads * config.head_dim));
    let mut all = HashMap::from([
        ("model.embed_tokens.weight".to_owned(), (vec![vocab, hidden], Fill::Normal)),
        ("model.norm.weight".to_owned(), (vec![hidden], Fill::Ones)),
        ("lm_head.weight".to_owned(), (vec![vocab, hidden], Fill::Normal)),
    ]);
    for layer in 0..config.layers.len() {
        let mut put = |part: &str, shape: &[usize], fill| {
            all.insert(format!("model.layers.{layer}.{part}"), (shape.to_vec(), fill));
        };
        put("input_layernorm.weight", &[hidden], Fill::Ones);
        put("post_attention_layernorm.weight", &[hidden], Fill::Ones);
        put("self_attn.sinks", &[heads], Fill::Normal);
        for (part, rows, columns) in [
            ("self_attn.q_proj", q, hidden),
            ("self_attn.k_proj", kv, hidden),
            ("self_attn.v_proj", kv, hidden),
            ("self_attn.o_proj", hidden, q),
            ("mlp.router", experts, hidden),
        ] {
            put(&format!("{part}.weight"), &[rows, columns], Fill::Normal);
            put(&format!("{part}.bias"), &[rows], Fill::Normal);
        }
        for (part, rows, columns) in [("gate_up", 2 * intermediate, hidden), ("down", hidden, intermediate)] {
            let name = format!("mlp.experts.{part}_proj");
            put(&format!("{name}_blocks"), &[experts, rows, columns / 32, 16], Fill::Blocks);
            put(&format!("{name}_scales"), &[experts, rows, columns / 32], Fill::Scales);
            put(&format!("{name}_bias"), &[experts, rows], Fill::Normal);
        }
    }
    all
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Four bf16 numbers, each the sum of four uniform ones: near enough to a normal distribution.
fn normals(bits: u64) -> [u8; 8] {
    // The sum of four numbers from 0 to 15 has this mean and this variance.
    const MEAN: f32 = 4.0 * 7.5;
    const VARIANCE: f32 = 4.0 * (16.0 * 16.0 - 1.0) / 12.0;
    let scale = SPREAD / VARIANCE.sqrt();
    let mut out = [0; 8];
    for (index, two) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let sum: u64 = (0..4).map(|part| bits >> (16 * index + 4 * part) & 15).sum();
        let number = (sum as f32 - MEAN) * scale;
        // The upper half of an f32 is the bf16 below it.
        *two = ((number.to_bits() >> 16) as u16).to_le_bytes();
    }
    out
}

fn no_memory(problem: io::Error) -> LoadError {
    LoadError::file("random weights", problem)
}
