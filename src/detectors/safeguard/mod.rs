//! The safeguard detector: a model reads a written policy and the content, and answers with one of the policy's labels. It
//! is asked in token ids, or, where somebody else has made them of it, in words.

#[cfg(feature = "libtorch")]
mod engine;
mod excerpts;
mod fold;
#[cfg(feature = "libtorch")]
mod hearing;
mod json;
mod leave;
#[cfg(feature = "libtorch")]
mod prompt;
#[cfg(feature = "libtorch")]
mod replies;
mod reply;
#[cfg(all(test, feature = "libtorch"))]
mod scripted;
#[cfg(feature = "libtorch")]
mod served;
#[cfg(test)]
mod testing;
#[cfg(feature = "libtorch")]
mod tokens;
mod told;
mod windows;
mod words;

#[cfg(feature = "libtorch")]
pub use engine::{Engine, EngineError, EngineSettings, Generator, Ungenerated};
#[cfg(feature = "libtorch")]
pub use prompt::{Openers, Prompt};
#[cfg(feature = "libtorch")]
pub use replies::{Replies, ReplyError};
pub use reply::Reply;
#[cfg(feature = "libtorch")]
pub use served::Served;
#[cfg(feature = "libtorch")]
pub use tokens::{SafeguardDetector, SafeguardError};
pub use words::{WordsDetector, WordsError};

#[cfg(feature = "libtorch")]
pub use crate::model::{ComputeSettings, Dtype, ExpertFormat, Limits, Snapshot, Source};

use std::sync::Arc;
use std::time::Duration;

use crate::guardrail::DetectError;
use crate::remote::{Failed, RemoteError};
use crate::text::view;

/// Bytes of content in all: so much is looked at before it is known how much there is to judge.
const LIMIT_BYTES: usize = 1 << 20;
/// Texts of more bytes are worked on by a thread that may block.
const LONG_TEXT: usize = 16 * 1024;

/// What stands encoded in the text, decoded, as far as it is new.
async fn unpacked(text: &Arc<str>, fresh: usize) -> Result<Option<Arc<str>>, DetectError> {
    if text.len() <= LONG_TEXT {
        return Ok(view::unpacked(text, fresh).map(Arc::from));
    }
    let text = text.clone();
    let lines = tokio::task::spawn_blocking(move || view::unpacked(&text, fresh)).await;
    Ok(lines.map_err(|e| DetectError::Engine(e.to_string().into()))?.map(Arc::from))
}

/// What a failure of a remote engine is to who asked, after so long.
fn undelivered(failed: Failed, took: Duration) -> DetectError {
    match failed.error {
        RemoteError::Overloaded { capacity } => DetectError::Overloaded { capacity },
        RemoteError::Truncated { tokens } => DetectError::Truncated { tokens },
        RemoteError::Timeout(_) => DetectError::Timeout(took),
        RemoteError::Garbage(why) => DetectError::Unparseable(why),
        RemoteError::Empty => DetectError::Unparseable("it is empty"),
        RemoteError::ReasoningOnly => DetectError::Unparseable("the model reasoned and did not answer"),
        RemoteError::Refusal => DetectError::Unparseable("the model refused to answer"),
        _ => DetectError::Engine(failed.to_string().into()),
    }
}
