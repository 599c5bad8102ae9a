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
    /// The one file, the index or the directory: errors on a missing tensor name it, unless the index knows better.
    listing: PathBuf,
    index: Index,
    shards: Vec<Shard>,
    /// Which shard has a tensor.
    places: HashMap<String, usize>,
}

/// Which file has which tensor, by what it says of itself.
#[derive(Default, Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Files {
    /// Maps every file. Errors name the file that is missing, cut off, not what it should be, or has what another has.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        let (by_index, single) = (dir.join(INDEX), dir.join(SINGLE));
        let (listing, index, files) = if by_index.exists() {
            let index = Index::open(&by_index)?;
            let files = index.weight_map.values().cloned().collect();
            (by_index, index, files)
        } else if single.exists() {
            (single, Index::default(), BTreeSet::from([SINGLE.to_owned()]))
        } else {
            (dir.to_owned(), Index::default(), all(dir)?)
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
        Ok(Files { listing, index, shards, places })
    }
}

impl Source for Files {
    fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    fn get(&self, name: &str) -> Result<Stored, LoadError> {
        let found = self.places.get(name).and_then(|&shard| self.shards.get(shard)?.get(name));
        found.unwrap_or_else(|| match self.index.weight_map.get(name) {
            Some(file) => {
                let problem = "missing, but the index says that it is here; fetch both again";
                Err(LoadError::tensor(self.listing.with_file_name(file), name, problem))
            }
            None => {
                let problem = "missing; is this a gpt-oss checkpoint, and all of it?";
                Err(LoadError::tensor(&self.listing, name, problem))
            }
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

impl Index {
    fn open(path: &Path) -> Result<Self, LoadError> {
        let bytes = std::fs::read(path).map_err(|e| LoadError::file(path, e))?;
        let index: Index = serde_json::from_slice(&bytes).map_err(|e| LoadError::file(path, e))?;
        let mut files = index.weight_map.values();
        if let Some(outside) = files.find(|file| Path::new(file).file_name() != Some(file.as_ref())) {
            return Err(LoadError::file(path, format!("`{outside}` is not the plain name of a file")));
        }
        if index.weight_map.is_empty() {
            return Err(LoadError::file(path, "names no file"));
        }
        Ok(index)
    }
}

/// Every safetensors file of the directory.
fn all(dir: &Path) -> Result<BTreeSet<String>, LoadError> {
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(dir).map_err(|e| LoadError::file(dir, e))? {
        let name = entry.map_err(|e| LoadError::file(dir, e))?.file_name();
        files.extend(name.into_string().ok().filter(|name| name.ends_with(".safetensors")));
    }
    Ok(files)
}
