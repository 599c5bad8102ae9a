//! Other readers of what we read: programs that take a case on each line and say on each line what they found.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that reads. Its script lies beside this file.
pub struct Reader {
    pub name: &'static str,
    program: PathBuf,
    arguments: &'static [&'static str],
}

impl Reader {
    pub fn new(name: &'static str, program: impl Into<PathBuf>, arguments: &'static [&'static str]) -> Self {
        Reader { name, program: program.into(), arguments }
    }

    /// Whether the program is on this machine.
    pub fn is_here(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        self.program.exists() || std::env::split_paths(&path).any(|folder| folder.join(&self.program).exists())
    }

    /// What it says of each line.
    pub fn read(&self, lines: &[String]) -> Vec<String> {
        let mut child = Command::new(&self.program)
            .args(self.arguments)
            .current_dir(here())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.program.display()));
        let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let told = std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut stdin = BufWriter::new(stdin);
                for line in lines {
                    // A reader that dies is told below.
                    if writeln!(stdin, "{line}").is_err() {
                        return;
                    }
                }
            });
            BufReader::new(stdout).lines().collect::<Result<Vec<_>, _>>().expect("lines")
        });
        let status = child.wait().expect("its end");
        assert!(status.success() && told.len() == lines.len(), "{}: {status}, {} lines", self.name, told.len());
        told
    }
}

/// The Python that has the SDKs.
pub fn python() -> PathBuf {
    fetched("PORTCULLIS_PYTHON", ".venv/bin/python").unwrap_or_else(|| "python3".into())
}

/// The Node that `make tools` has fetched or found, else any.
pub fn node() -> PathBuf {
    fetched("PORTCULLIS_NODE", ".deps/node/node").unwrap_or_else(|| "node".into())
}

fn fetched(own: &str, path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::env::var_os(own).map(PathBuf::from).or_else(|| path.exists().then_some(path))
}

/// The folder of the scripts.
pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers")
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// How often a test repeats: `usual` in `make test`, as many as `PORTCULLIS_NIGHTLY` says in `make nightly`.
pub fn times(usual: usize, nightly: usize) -> usize {
    if std::env::var_os("PORTCULLIS_NIGHTLY").is_some() { nightly } else { usual }
}
