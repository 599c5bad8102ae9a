//! Sources: the files that a configuration was read from, so that a reload can tell whether one has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// No file of a configuration is larger: what is, was named by mistake.
const MAX_FILE: u64 = 4 << 20;

/// Every file that was read, or looked for and not found, with the digest of its content.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The directory of portcullis.toml.
    base: PathBuf,
    files: BTreeMap<PathBuf, Source>,
}

#[derive(Debug, Clone)]
struct Source {
    /// `None`: could not be read.
    sha256: Option<[u8; 32]>,
    /// Holds a secret: watched, and left out of the digest that is shown.
    secret: bool,
}

impl Sources {
    pub(super) fn new(base: &Path) -> Self {
        Sources { base: base.to_owned(), files: BTreeMap::new() }
    }

    /// Reads a file and notes it.
    pub(super) fn read(&mut self, path: &Path, secret: bool) -> io::Result<Vec<u8>> {
        let content = read(path);
        let sha256 = content.as_ref().ok().map(|bytes| Sha256::digest(bytes).into());
        self.files.insert(path.to_owned(), Source { sha256, secret });
        content
    }

    /// Hex SHA-256 over the files' names, as seen from portcullis.toml, and contents; secrets left out.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, source) in self.files.iter().filter(|(_, source)| !source.secret) {
            hash.update(path.strip_prefix(&self.base).unwrap_or(path).as_os_str().as_encoded_bytes());
            hash.update([0]);
            hash.update(source.sha256.unwrap_or_default());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether any file's content differs from what was read.
    pub fn changed(&self) -> bool {
        self.files.iter().any(|(path, source)| {
            let now = read(path).ok().map(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)));
            now != source.sha256
        })
    }

    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// The directories in which a change can matter; where one does not exist, the nearest above it that does.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        self.files()
            .filter_map(|file| file.ancestors().skip(1).map(or_here).find(|directory| directory.is_dir()))
            .map(Path::to_owned)
            .collect()
    }
}

/// The parent of a bare file name is empty; the directory it means is the current one.
fn or_here(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut content = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::Error::other(format!("larger than {MAX_FILE} bytes")));
    }
    Ok(content)
}
