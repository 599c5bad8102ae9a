//! One safetensors file, memory-mapped.

#![allow(unsafe_code, reason = "a mapped file is memory that others could change")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap};
use safetensors::tensor::{Dtype, Metadata};
use safetensors::{SafeTensorError, SafeTensors};
use sha2::{Digest, Sha256};

use super::stored::{Format, Stored};
use crate::model::LoadError;

/// Of each tensor, this much goes into the digest: two trainings of one model differ in every tensor they touched.
const SAMPLE: usize = 4096;
/// What is read from the disk before progress is told again.
const PIECE: usize = 64 << 20;

pub struct Shard {
    path: Arc<Path>,
    map: Arc<Mmap>,
    /// The whole file.
    bytes: Bytes,
    /// Where the tensors' bytes begin.
    data: usize,
    metadata: Metadata,
}

/// Lets the file's bytes keep the map.
struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Shard {
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let file = File::open(path).map_err(|e| LoadError::file(path, e))?;
        // SAFETY: the map is only read. A file that is changed under it gives wrong weights or ends the process, as for
        // every program that maps its input; the weights belong to whoever runs the process.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| LoadError::file(path, e))?;
        // Checks that the tensors' ranges are in order, match their shapes and end where the file does.
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|e| refused(path, &map, &e))?;
        let map = Arc::new(map);
        let bytes = Bytes::from_owner(Mapped(map.clone()));
        Ok(Shard { path: path.into(), map, bytes, data: header + size_of::<u64>(), metadata })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// In the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// `None` where the file has no such tensor.
    pub fn get(&self, name: &str) -> Option<Result<Stored, LoadError>> {
        let info = self.metadata.info(name)?;
        let format = match info.dtype {
            Dtype::BF16 => Format::Bf16,
            Dtype::F16 => Format::F16,
            Dtype::F32 => Format::F32,
            Dtype::U8 => Format::U8,
            other => {
                let problem = format!("holds {other:?}, expected BF16, F16, F32 or packed U8");
                return Some(Err(LoadError::tensor(&*self.path, name, problem)));
            }
        };
        let (start, end) = info.data_offsets;
        // `read_metadata` has checked every range against the file's length.
        let bytes = self.bytes.slice(self.data + start..self.data + end);
        Some(Stored::new(bytes, format, info.shape.clone(), name.into(), self.path.clone()))
    }

    /// Bytes of all tensors.
    pub fn data_len(&self) -> u64 {
        (self.bytes.len() - self.data) as u64
    }

    /// Adds what tells this file from another: its header, and the beginning of every tensor.
    pub fn digest(&self, hash: &mut Sha256) {
        hash.update(&self.bytes[..self.data]);
        for info in self.names().iter().filter_map(|name| self.metadata.info(name)) {
            let (start, end) = info.data_offsets;
            hash.update(&self.bytes[self.data + start..self.data + end.min(start + SAMPLE)]);
        }
    }

    /// Reads the file into the page cache, piece by piece, and says how many bytes each piece had.
    pub fn prefetch(&self, mut tell: impl FnMut(u64)) {
        for at in (0..self.bytes.len()).step_by(PIECE) {
            let left = self.bytes.len() - at;
            let piece = left.min(PIECE);
            // Advice that the system does not take leaves the reading to whoever comes first. The next piece is asked
            // for while this one is waited for.
            let _ = self.map.advise_range(Advice::WillNeed, at, left.min(2 * PIECE));
            #[cfg(target_os = "linux")]
            let _ = self.map.advise_range(Advice::PopulateRead, at, piece);
            tell(piece as u64);
        }
    }
}

/// Why a file can't be read. Where it ends too early, that is the first tensor that it does not hold whole.
fn refused(path: &Path, bytes: &[u8], error: &SafeTensorError) -> LoadError {
    let cut = matches!(error, SafeTensorError::MetadataIncompleteBuffer).then(|| cut_off(bytes)).flatten();
    match cut {
        Some(name) => LoadError::tensor(path, name, "cut off by the end of the file; fetch it again"),
        None => LoadError::file(path, format!("not a whole safetensors file ({error}); fetch it again")),
    }
}

/// The first tensor, in the order of the file, that reaches beyond its end.
fn cut_off(bytes: &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length).try_into().ok()?)?;
    let metadata: Metadata = serde_json::from_slice(header).ok()?;
    let end = |name: &String| metadata.info(name).map(|info| info.data_offsets.1);
    metadata.offset_keys().into_iter().find(|name| end(name) > Some(data.len()))
}
