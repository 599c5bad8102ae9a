//! A checkpoint directory as Hugging Face lays it out: one safetensors file, or several with an index; memory-mapped.

#![allow(unsafe_code, reason = "a mapped file is memory that others could change")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use crate::model::mxfp4::{BLOCK, Unpacker};
use crate::model::{LoadError, Place};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Of each tensor, this much goes into the digest: two trainings of one model differ in every tensor they touched.
const SAMPLE: usize = 4096;

/// The weights of a directory, by name. Holds the files mapped; drop it once the model is loaded.
pub struct Checkpoint {
    /// The file that tells which tensors there are: errors on a missing tensor name it.
    listing: PathBuf,
    shards: Vec<Shard>,
    unpacker: Unpacker,
}

struct Shard {
    path: PathBuf,
    map: Mmap,
    /// Where the tensors' bytes begin.
    data: usize,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Maps every file of the directory. Errors name the file that is missing, cut off or not what it should be.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        let index = dir.join(INDEX);
        let single = dir.join(SINGLE);
        let (listing, files) = if index.exists() {
            let bytes = std::fs::read(&index).map_err(|e| LoadError::file(&index, e))?;
            let Index { weight_map } = serde_json::from_slice(&bytes).map_err(|e| LoadError::file(&index, e))?;
            let mut files: Vec<String> = weight_map.into_values().collect();
            files.sort_unstable();
            files.dedup();
            if let Some(outside) = files.iter().find(|file| Path::new(file).file_name() != Some(file.as_ref())) {
                return Err(LoadError::file(index, format!("`{outside}` is not the plain name of a file")));
            }
            (index, files)
        } else if single.exists() {
            (single, vec![SINGLE.to_owned()])
        } else {
            return Err(LoadError::Missing { dir: dir.to_owned() });
        };
        let shards = files.iter().map(|file| Shard::open(dir.join(file))).collect::<Result<_, _>>()?;
        Ok(Checkpoint { listing, shards, unpacker: Unpacker::new() })
    }

    /// A dense tensor of this shape.
    pub fn dense(&self, name: &str, shape: &[i64], place: Place) -> Result<Tensor, LoadError> {
        let (shard, info) = self.find(name, shape)?;
        let kind = match info.dtype {
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F16 => Kind::Half,
            Dtype::F32 => Kind::Float,
            other => return Err(shard.error(name, format!("holds {other:?}, expected BF16, F16 or F32"))),
        };
        let tensor = Tensor::f_from_data_size(shard.bytes(info), shape, kind);
        let tensor = tensor.map_err(|e| shard.error(name, first_line(&e.to_string())))?;
        Ok(tensor.to_kind(place.kind).to_device(place.device))
    }

    /// The experts' matrices `[experts, rows, columns]`, from `{name}_blocks` and `{name}_scales`.
    pub fn experts(&self, name: &str, shape: [i64; 3], place: Place) -> Result<Tensor, LoadError> {
        let [experts, rows, columns] = shape;
        let groups = columns / BLOCK;
        let (name, scales_name) = (format!("{name}_blocks"), format!("{name}_scales"));
        let (shard, blocks) = self.packed(&name, &[experts, rows, groups, BLOCK / 2])?;
        let (_, scales) = self.packed(&scales_name, &[experts, rows, groups])?;
        let out = Tensor::empty(shape, (place.kind, place.device));
        let per_expert = (rows * groups) as usize;
        let parts = blocks.chunks_exact(per_expert * BLOCK as usize / 2).zip(scales.chunks_exact(per_expert));
        for (expert, (blocks, scales)) in parts.enumerate() {
            let weights = self.unpacker.unpack(blocks, scales, rows, columns);
            out.get(expert as i64).copy_(&weights.map_err(|problem| shard.error(&name, problem))?);
        }
        Ok(out)
    }

    /// Adds what tells this checkpoint from another: headers, and the beginning of every tensor.
    pub fn digest(&self, hash: &mut Sha256) {
        for shard in &self.shards {
            hash.update(shard.map.get(..shard.data).unwrap_or_default());
            for name in shard.metadata.offset_keys() {
                let bytes = shard.metadata.info(&name).map(|info| shard.bytes(info)).unwrap_or_default();
                hash.update(&bytes[..bytes.len().min(SAMPLE)]);
            }
        }
    }

    fn packed(&self, name: &str, shape: &[i64]) -> Result<(&Shard, &[u8]), LoadError> {
        let (shard, info) = self.find(name, shape)?;
        match info.dtype {
            Dtype::U8 => Ok((shard, shard.bytes(info))),
            other => Err(shard.error(name, format!("holds {other:?}, expected U8"))),
        }
    }

    fn find(&self, name: &str, shape: &[i64]) -> Result<(&Shard, &TensorInfo), LoadError> {
        let found = self.shards.iter().find_map(|shard| shard.metadata.info(name).map(|info| (shard, info)));
        let (shard, info) = found.ok_or_else(|| LoadError::Tensor {
            file: self.listing.clone(),
            tensor: name.to_owned(),
            problem: "missing; is this a gpt-oss checkpoint with MXFP4 experts?".into(),
        })?;
        if !info.shape.iter().map(|&n| n as i64).eq(shape.iter().copied()) {
            return Err(shard.error(name, format!("has shape {:?}, config.json says {shape:?}", info.shape)));
        }
        Ok((shard, info))
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self, LoadError> {
        let file = File::open(&path).map_err(|e| LoadError::file(&path, e))?;
        // SAFETY: the map is only read, and only while the model loads; a file that is changed under it gives wrong
        // weights or ends the process at start, as for every program that maps its input.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| LoadError::file(&path, e))?;
        // Checks that the tensors' ranges are in order, match their shapes and end where the file does.
        let (header, metadata) = SafeTensors::read_metadata(&map)
            .map_err(|e| LoadError::file(&path, format!("not a whole safetensors file ({e}); fetch it again")))?;
        Ok(Shard { path, map, data: header + size_of::<u64>(), metadata })
    }

    fn bytes(&self, info: &TensorInfo) -> &[u8] {
        let (start, end) = info.data_offsets;
        // `read_metadata` has checked every range against the file's length.
        &self.map[self.data + start..self.data + end]
    }

    fn error(&self, tensor: &str, problem: impl ToString) -> LoadError {
        LoadError::Tensor { file: self.path.clone(), tensor: tensor.to_owned(), problem: problem.to_string() }
    }
}

/// Of a libtorch error, what is not its C++ stack.
pub(super) fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;
    use tempfile::TempDir;

    const CPU: Place = Place { device: tch::Device::Cpu, kind: Kind::Float };

    fn write(dir: &TempDir, file: &str, tensors: &[(&str, &[usize])]) {
        let longest = vec![0; 1 << 16];
        let views = tensors.iter().map(|(name, shape)| {
            let bytes = &longest[..shape.iter().product::<usize>() * 2];
            (name.to_string(), TensorView::new(Dtype::BF16, shape.to_vec(), bytes).unwrap())
        });
        safetensors::serialize_to_file(views, None, &dir.path().join(file)).unwrap();
    }

    #[test]
    fn finds_tensors_in_one_file_and_in_several() {
        let dir = TempDir::new().unwrap();
        write(&dir, SINGLE, &[("a", &[2, 3])]);
        assert_eq!(Checkpoint::open(dir.path()).unwrap().dense("a", &[2, 3], CPU).unwrap().size(), [2, 3]);

        write(&dir, "model-00000-of-00002.safetensors", &[("a", &[2, 3])]);
        write(&dir, "model-00001-of-00002.safetensors", &[("b", &[4])]);
        let index =
            r#"{"weight_map": {"a": "model-00000-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"}}"#;
        std::fs::write(dir.path().join(INDEX), index).unwrap();
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        assert!(checkpoint.dense("a", &[2, 3], CPU).is_ok() && checkpoint.dense("b", &[4], CPU).is_ok());
    }

    #[test]
    fn errors_name_tensor_and_file() {
        let dir = TempDir::new().unwrap();
        write(&dir, SINGLE, &[("a", &[2, 3])]);
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        let wrong = checkpoint.dense("a", &[3, 2], CPU).unwrap_err().to_string();
        assert!(wrong.contains(SINGLE) && wrong.contains("tensor `a`: has shape [2, 3]"), "{wrong}");
        let missing = checkpoint.dense("b", &[1], CPU).unwrap_err().to_string();
        assert!(missing.contains(SINGLE) && missing.contains("tensor `b`: missing"), "{missing}");
        let kind = checkpoint.experts("x", [1, 1, 32], CPU).unwrap_err().to_string();
        assert!(kind.contains("tensor `x_blocks`: missing"), "{kind}");
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused_by_its_name() {
        let dir = TempDir::new().unwrap();
        write(&dir, SINGLE, &[("a", &[2, 3]), ("b", &[8])]);
        let path = dir.path().join(SINGLE);
        let whole = std::fs::read(&path).unwrap();
        for length in 1..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = Checkpoint::open(dir.path()).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(SINGLE) && error.contains("not a whole safetensors file"), "{length}: {error}");
        }
    }

    #[test]
    fn an_index_cannot_lead_out_of_its_directory() {
        let dir = TempDir::new().unwrap();
        for file in ["../model.safetensors", "/etc/passwd", "a/b", "..", ""] {
            std::fs::write(dir.path().join(INDEX), format!(r#"{{"weight_map": {{"a": "{file}"}}}}"#)).unwrap();
            let error = Checkpoint::open(dir.path()).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains("is not the plain name"), "{file}: {error}");
        }
    }
}
