//! Streams in the shapes that the APIs' servers write, the same 250 in every run: what is said, in pieces, in a dialect's
//! events, in one of the many ways to frame these.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code, unused_imports)]

mod anthropic;
mod bedrock;
mod client;
mod cohere;
#[path = "../../fuzz/src/form.rs"]
mod form;
mod framing;
mod gemini;
mod judge;
pub mod odd;
mod ollama;
mod openai;
mod pass;
#[path = "../../fuzz/src/random.rs"]
pub mod random;
mod responses;
mod said;
mod tgi;
#[path = "../../src/wire/openai_responses/tests/told.rs"]
mod told;

pub use client::{channels, data, strings};
pub use form::form;
pub use judge::{Judge, SECRETS, shows};
pub use pass::{Trace, pass, settings};
pub use said::{Said, piece};

use portcullis::wire::anthropic::Anthropic;
use portcullis::wire::bedrock_converse::BedrockConverse;
use portcullis::wire::custom::Custom;
use portcullis::wire::gemini::Gemini;
use portcullis::wire::ollama::{Api, Ollama};
use portcullis::wire::openai_chat::OpenAiChat;
use portcullis::wire::openai_completions::OpenAiCompletions;
use portcullis::wire::openai_responses::OpenAiResponses;
use portcullis::wire::{Dialect, Framing};
use random::Random;

/// Channels of an answer, at most.
const MAX: usize = 1000;

/// A stream, and in which dialect.
pub struct Recorded {
    pub name: String,
    pub dialect: Box<dyn Dialect>,
    pub framing: Framing,
    pub bytes: Vec<u8>,
}

/// All of them.
pub fn streams() -> Vec<Recorded> {
    (0..250).map(recorded).collect()
}

fn recorded(number: usize) -> Recorded {
    let mut random = Random::new(number as u64);
    let dialect: Box<dyn Dialect> = match number % 10 {
        0 => Box::new(OpenAiChat::new(MAX)),
        1 => Box::new(OpenAiResponses::new(MAX)),
        2 => Box::new(Anthropic::new(MAX)),
        3 => Box::new(Gemini::new(MAX)),
        4 => Box::new(OpenAiCompletions::new(MAX)),
        5 => Box::new(Ollama::new(Api::Chat, MAX)),
        6 => Box::new(Ollama::new(Api::Generate, MAX)),
        7 => Box::new(BedrockConverse::new(MAX)),
        8 => Box::new(Custom::new(form("cohere.toml"), MAX)),
        _ => Box::new(Custom::new(form("tgi.toml"), MAX)),
    };
    // Of every nine, one of each dialect has nothing to find.
    let said = Said::new(&mut random, !number.is_multiple_of(9));
    let (framing, bytes) = match dialect.name() {
        "openai_chat" => framing::events(&mut random, &openai::chat(&said), "[DONE]"),
        "openai_completions" => framing::events(&mut random, &openai::completions(&said), "[DONE]"),
        "openai_responses" => framing::events(&mut random, &responses::events(&said), ""),
        "anthropic" => framing::events(&mut random, &anthropic::events(&said), ""),
        "gemini" => framing::events(&mut random, &gemini::events(&said), ""),
        "ollama_chat" => framing::lines(&mut random, &ollama::chat(&said)),
        "ollama_generate" => framing::lines(&mut random, &ollama::generate(&said)),
        "bedrock_converse" => framing::messages(&mut random, &bedrock::events(&said)),
        "cohere" => framing::events(&mut random, &cohere::events(&said), ""),
        "tgi" => framing::events(&mut random, &tgi::events(&said), ""),
        other => panic!("no streams of {other}"),
    };
    Recorded { name: format!("{number} {}", dialect.name()), dialect, framing, bytes }
}
