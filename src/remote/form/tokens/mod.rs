//! Prompts in token ids: what a server is to go on with, and what it says that comes next. A file for each server's completion API.

mod likely;
mod llama_cpp;
#[cfg(test)]
mod tests;
mod vllm;

pub use likely::Likely;

use serde_json::{Map, Value, json};

use crate::config::{Preset, Remote};
use crate::remote::RemoteError;
use crate::remote::form::{Asked, Usage, parse};

/// A prompt, and what is asked of what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Beginning<'a> {
    pub tokens: &'a [u32],
    pub then: Then<'a>,
    /// Goes before those that are not.
    pub urgent: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Then<'a> {
    /// The likeliest token, again and again, up to one of `stops` or so many of them.
    Run { most: usize, stops: &'a [u32] },
    /// How likely which tokens are to come next: above all those `of` which it is asked, and else the likeliest.
    Next { of: &'a [u32] },
}

/// What a server says that follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Continuation {
    /// At least one; the stop, where it came to one, is the last.
    pub tokens: Vec<u32>,
    /// Of the first token's place. Empty where it was not asked for.
    pub likely: Likely,
    pub usage: Usage,
}

/// A text whose tokens are known, control tokens and all: what a server makes of it shows whether its ids mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub text: String,
    pub tokens: Vec<u32>,
}

/// An answer as its API tells it.
struct Told {
    tokens: Vec<u32>,
    likely: Vec<(u32, f64)>,
    end: End,
    usage: Usage,
}

enum End {
    /// It was told to say no more.
    Most,
    /// At a stop.
    Stop,
    /// The server had no more room.
    Cut,
}

/// The request that puts the question to these servers.
pub fn ask(settings: &Remote, beginning: &Beginning<'_>) -> Asked {
    let (path, body) = match is_llama(settings) {
        true => llama_cpp::ask(beginning),
        false => vllm::ask(beginning),
    };
    // One place costs them about the same each time, a run as much as it is long.
    asked(settings, path, body, matches!(beginning.then, Then::Next { .. }))
}

/// Reads the body of a successful answer to the question. What a server has left out of the prompt, or added to it, is an error.
pub fn read(settings: &Remote, beginning: &Beginning<'_>, body: &[u8]) -> Result<Continuation, RemoteError> {
    let garbage = |why| Err(RemoteError::Garbage(why));
    let body = parse(body)?;
    let Told { tokens, likely, end, usage } = match is_llama(settings) {
        true => llama_cpp::read(&body),
        false => vllm::read(&body),
    }?;
    if usage.prompt != beginning.tokens.len() {
        return garbage("it has not read the prompt that it was sent");
    }
    let (most, stops) = match beginning.then {
        Then::Run { most, stops } => (most, Some(stops)),
        Then::Next { .. } => (1, None),
    };
    let (count, last) = (tokens.len(), tokens.last());
    match (end, stops) {
        _ if count == 0 => return Err(RemoteError::Empty),
        _ if count > most => return garbage("it says more than it was asked for"),
        (End::Cut, _) => return Err(RemoteError::Truncated { tokens: count }),
        (End::Most, _) if count < most => return Err(RemoteError::Truncated { tokens: count }),
        (End::Stop, Some(stops)) if !last.is_some_and(|last| stops.contains(last)) => {
            return garbage("it ended where nothing ends");
        }
        _ => {}
    }
    let likely = match stops {
        Some(_) => Likely::default(),
        None => Likely::new(likely)?,
    };
    Ok(Continuation { tokens, likely, usage })
}

/// The request that lets these servers show their tokens.
pub fn prove(settings: &Remote, proof: &Proof) -> Asked {
    let (path, body) = match is_llama(settings) {
        true => llama_cpp::prove(proof),
        false => vllm::prove(proof),
    };
    asked(settings, path, body, false)
}

/// Errors where the answer shows other tokens.
pub fn proves(settings: &Remote, proof: &Proof, body: &[u8]) -> Result<(), RemoteError> {
    let body = parse(body)?;
    let tokens = match is_llama(settings) {
        true => llama_cpp::proven(&body),
        // It goes on by one token.
        false => vllm::proven(&body).map(|mut tokens| {
            tokens.pop();
            tokens
        }),
    }?;
    if tokens == proof.tokens { Ok(()) } else { Err(RemoteError::OtherTokens) }
}

/// vLLM's shape is that of all others.
fn is_llama(settings: &Remote) -> bool {
    settings.preset == Preset::LlamaCpp
}

fn asked(settings: &Remote, path: &'static str, mut body: Map<String, Value>, even: bool) -> Asked {
    body.insert("model".to_owned(), json!(&*settings.model));
    Asked { path, body: Value::Object(body).to_string().into(), even }
}

/// A list of token ids, and nothing else.
fn ids(list: Option<&Value>) -> Option<Vec<u32>> {
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    list?.as_array()?.iter().map(id).collect()
}
