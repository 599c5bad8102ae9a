//! Why a model could not be loaded: which file, which key or tensor, and what to do.

use std::path::PathBuf;

/// A model directory that can't be used. Whoever set it up is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error(
        "{}: no model here; fetch one with `hf download openai/gpt-oss-safeguard-20b --exclude \"original/*\" --local-dir \
         {}` (14 GB), or name the directory of a checkpoint that you have",
        dir.display(), dir.display()
    )]
    Missing { dir: PathBuf },
    #[error("{}: {problem}", file.display())]
    File { file: PathBuf, problem: String },
    #[error("{}: `{key}`: {problem}", file.display())]
    Key { file: PathBuf, key: String, problem: String },
    #[error("{}: tensor `{tensor}`: {problem}", file.display())]
    Tensor { file: PathBuf, tensor: String, problem: String },
    #[error("device `{device}`: {problem}")]
    Device { device: String, problem: String },
    #[error("the engine's thread could not be started: {problem}")]
    Thread { problem: String },
}

impl LoadError {
    pub(super) fn file(file: impl Into<PathBuf>, problem: impl ToString) -> Self {
        LoadError::File { file: file.into(), problem: problem.to_string() }
    }

    pub(super) fn tensor(file: impl Into<PathBuf>, tensor: impl Into<String>, problem: impl ToString) -> Self {
        LoadError::Tensor { file: file.into(), tensor: tensor.into(), problem: problem.to_string() }
    }
}

/// Of another library's error, what is neither its C++ stack nor a drawing of the text.
pub(super) fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("a failure without a message").to_owned()
}
