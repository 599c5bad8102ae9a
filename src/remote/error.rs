//! Why a remote engine gave no answer: what failed, at which endpoint.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A failure, and where. None of it quotes what the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub engine: Arc<str>,
    /// None where no endpoint was asked.
    pub endpoint: Option<Arc<str>>,
    pub error: RemoteError,
}

/// What failed. The server's fault, or the way's to it, but for [`RemoteError::Overloaded`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    #[error("its name can't be resolved")]
    Dns,
    #[error("the connection was refused")]
    Refused,
    #[error("it can't be reached: {0}")]
    Unreachable(std::io::ErrorKind),
    #[error("TLS failed: {0}")]
    Tls(Arc<str>),
    #[error("the connection was closed before the answer began")]
    Reset,
    #[error("nothing came within the time for {0}")]
    Timeout(Phase),
    #[error("it answered with status {status}")]
    Status {
        status: u16,
        /// Of `Retry-After`, in whole seconds.
        retry_after: Option<Duration>,
    },
    #[error("its answer is not what the API says: {0}")]
    Garbage(&'static str),
    #[error("its answer broke off")]
    BrokenOff,
    #[error("its answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("it answered with an error object")]
    ErrorBody,
    #[error("the model's answer was cut off after {tokens} tokens")]
    Truncated { tokens: usize },
    #[error("the model refused to answer")]
    Refusal,
    #[error("the model's answer is empty")]
    Empty,
    #[error("the model reasoned and did not answer")]
    ReasoningOnly,
    #[error(
        "its tokens are others than the engine's `tokenizer` has: it serves another model, or that names another's"
    )]
    OtherTokens,
    #[error("{capacity} asks wait already")]
    Overloaded { capacity: usize },
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Name, connection and TLS.
    Connect,
    /// Up to the answer's first byte.
    Head,
    /// Up to the answer's last byte.
    Body,
}

impl RemoteError {
    /// Whether the server can't have begun to answer, so that the same may be asked of another.
    pub fn before_answer(&self) -> bool {
        use RemoteError::*;
        matches!(self, Dns | Refused | Unreachable(_) | Tls(_) | Reset | Timeout(Phase::Connect) | OtherTokens)
    }

    /// Whether the endpoint itself is at fault, so that others should be asked for a while. A model that answers badly is
    /// the same everywhere.
    pub fn of_endpoint(&self) -> bool {
        use RemoteError::*;
        match self {
            Status { status, .. } => *status >= 500 || *status == 429,
            Timeout(_) | BrokenOff => true,
            other => other.before_answer(),
        }
    }

    /// The word for metrics.
    pub fn kind(&self) -> &'static str {
        use RemoteError::*;
        match self {
            Dns => "dns",
            Refused => "refused",
            Unreachable(_) => "unreachable",
            Tls(_) => "tls",
            Reset => "reset",
            Timeout(_) => "timeout",
            Status { .. } => "status",
            Garbage(_) => "garbage",
            BrokenOff => "broken_off",
            TooLarge { .. } => "too_large",
            ErrorBody => "error_body",
            Truncated { .. } => "truncated",
            Refusal => "refusal",
            Empty => "empty",
            ReasoningOnly => "reasoning_only",
            OtherTokens => "other_tokens",
            Overloaded { .. } => "overloaded",
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { engine, endpoint, error } = self;
        match endpoint {
            Some(endpoint) => write!(f, "the engine `{engine}` at {endpoint}: {error}"),
            None => write!(f, "the engine `{engine}`: {error}"),
        }
    }
}

impl std::error::Error for Failed {}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "connecting",
            Phase::Head => "the first byte",
            Phase::Body => "the next piece of the answer",
        })
    }
}
