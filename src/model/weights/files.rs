//! The safetensors files of a directory: one, several with an index, or several without.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::Sha256;

use super::shard::Shard;
use super::stored::Stored;
use super::{Progress, Source};
use crate::model::LoadError;

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a directory, by the names that its files give them.
pub struct Files {
    /// What tells which tensors there are: errors on a missing tensor name it.
    listing: PathBuf,
    shards: Vec<Shard>,
    /// Which shard has a tensor.
    places: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Files {
    /// Maps every file. Errors name the file that is missing, cut off, not what it should be, or has what another has.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        let (index, single) = (dir.join(INDEX), dir.join(SINGLE));
        let (listing, files) = if index.exists() {
            let files = indexed(&index)?;
            (index, files)
        } else if single.exists() {
            (single, vec![SINGLE.to_owned()])
        } else {
            (dir.to_owned(), all(dir)?)
        };
        if files.is_empty() {
            return Err(LoadError::Missing { dir: dir.to_owned() });
        }
        let mut shards = Vec::with_capacity(files.len());
        let mut places = HashMap::new();
        for file in files {
            let path = dir.join(file);
            if !path.exists() {
                let problem = format!("not there, but {} names it; fetch it", listing.display());
                return Err(LoadError::file(path, problem));
            }
            let shard = Shard::open(&path)?;
            for name in shard.names() {
                if let Some(other) = places.insert(name.clone(), shards.len()) {
                    let other: &Shard = &shards[other];
                    let problem =
                        format!("is in {} as well; remove what is left of another download", other.path().display());
                    return Err(LoadError::tensor(path, name, problem));
                }
            }
            shards.push(shard);
        }
        Ok(Files { listing, shards, places })
    }
}

impl Source for Files {
    fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    fn get(&self, name: &str) -> Result<Stored, LoadError> {
        let found = self.places.get(name).and_then(|&shard| self.shards.get(shard)?.get(name));
        found.unwrap_or_else(|| {
            let problem = "missing; is this a gpt-oss checkpoint, and all of it?";
            Err(LoadError::tensor(&self.listing, name, problem))
        })
    }

    fn total(&self) -> u64 {
        self.shards.iter().map(Shard::data_len).sum()
    }

    fn digest(&self, hash: &mut Sha256) {
        self.shards.iter().for_each(|shard| shard.digest(hash));
    }

    fn prefetch(&self, tell: &mut dyn FnMut(Progress)) {
        let mut progress = Progress { done: 0, total: self.total() };
        for shard in &self.shards {
            shard.prefetch(|piece| {
                progress.done = progress.total.min(progress.done + piece);
                tell(progress);
            });
        }
    }
}

/// The files that an index names.
fn indexed(index: &Path) -> Result<Vec<String>, LoadError> {
    let bytes = std::fs::read(index).map_err(|e| LoadError::file(index, e))?;
    let Index { weight_map } = serde_json::from_slice(&bytes).map_err(|e| LoadError::file(index, e))?;
    let files: BTreeSet<String> = weight_map.into_values().collect();
    if let Some(outside) = files.iter().find(|file| Path::new(file).file_name() != Some(file.as_ref())) {
        return Err(LoadError::file(index, format!("`{outside}` is not the plain name of a file")));
    }
    if files.is_empty() {
        return Err(LoadError::file(index, "names no file"));
    }
    Ok(files.into_iter().collect())
}

/// Every safetensors file of the directory, by name.
fn all(dir: &Path) -> Result<Vec<String>, LoadError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| LoadError::file(dir, e))? {
        let name = entry.map_err(|e| LoadError::file(dir, e))?.file_name();
        files.extend(name.into_string().ok().filter(|name| name.ends_with(".safetensors")));
    }
    files.sort_unstable();
    Ok(files)
}
