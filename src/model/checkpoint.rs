//! The weights as tensors of libtorch, in the place where they are used.

use std::path::Path;

use sha2::Sha256;
use tch::{Kind, Tensor};

use crate::model::error::first_line;
use crate::model::mxfp4::Unpacker;
use crate::model::{Format, LoadError, Place, Stored, StoredExperts, Weights};

/// The weights of a directory as tensors, by name. Drop it once the model is loaded.
pub struct Checkpoint {
    weights: Weights,
    unpacker: Unpacker,
}

impl Checkpoint {
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        Ok(Checkpoint { weights: Weights::open(dir)?, unpacker: Unpacker::new() })
    }

    /// A dense tensor of this shape.
    pub fn dense(&self, name: &str, shape: &[i64], place: Place) -> Result<Tensor, LoadError> {
        tensor(&self.weights.dense(name, shape)?, place)
    }

    /// The experts' matrices `[experts, rows, columns]`.
    pub fn experts(&self, name: &str, shape: [i64; 3], place: Place) -> Result<Tensor, LoadError> {
        let (blocks, scales) = match self.weights.experts(name, shape)? {
            StoredExperts::Packed { blocks, scales } => (blocks, scales),
            StoredExperts::Dense(stored) => return tensor(&stored, place),
        };
        let [experts, rows, columns] = shape;
        let out = Tensor::empty(shape, (place.kind, place.device));
        let (block, scale) = (blocks.bytes().len() / experts as usize, scales.bytes().len() / experts as usize);
        let parts = blocks.bytes().chunks_exact(block).zip(scales.bytes().chunks_exact(scale));
        for (expert, (blocks, scales)) in parts.enumerate() {
            out.get(expert as i64).copy_(&self.unpacker.unpack(blocks, scales, rows, columns));
        }
        Ok(out)
    }

    /// Adds what tells this checkpoint from another.
    pub fn digest(&self, hash: &mut Sha256) {
        self.weights.digest(hash);
    }
}

fn tensor(stored: &Stored, place: Place) -> Result<Tensor, LoadError> {
    let kind = match stored.format() {
        Format::F32 => Kind::Float,
        Format::F16 => Kind::Half,
        Format::Bf16 => Kind::BFloat16,
        Format::U8 => Kind::Uint8,
    };
    let shape: Vec<i64> = stored.shape().iter().map(|&side| side as i64).collect();
    let tensor = Tensor::f_from_data_size(stored.bytes(), &shape, kind);
    let tensor = tensor.map_err(|e| stored.error(first_line(&e.to_string())))?;
    Ok(tensor.to_kind(place.kind).to_device(place.device))
}
