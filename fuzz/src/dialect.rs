//! Every dialect: the first byte says what the bytes are, three more are a seed.

use portcullis::wire::anthropic::Anthropic;
use portcullis::wire::gemini::Gemini;
use portcullis::wire::ollama::{Api, Ollama};
use portcullis::wire::openai_chat::OpenAiChat;
use portcullis::wire::openai_completions::OpenAiCompletions;
use portcullis::wire::openai_embeddings;
use portcullis::wire::openai_images;
use portcullis::wire::openai_moderations;
use portcullis::wire::openai_responses::OpenAiResponses;
use portcullis::wire::{Bounds, Dialect, Framing};

use super::random::Random;
use super::{answer, request};

/// Texts of a request and channels of an answer, at most.
const MAX: usize = 1000;

/// Where requests go, of the API that has its model in the path.
const PATHS: [&str; 3] = [
    "/v1beta/models/g:generateContent",
    "/v1beta/models/g:streamGenerateContent",
    "/v1beta/models/g:streamGenerateContent?alt=sse",
];

/// `0` for a request, `1` for a whole answer, `2` for events, `3` for lines.
fn check(dialect: &dyn Dialect, mut data: &[u8]) {
    let Some(&first) = data.split_off_first() else { return };
    let mut random = Random::of(&mut data, 3);
    match first % 4 {
        0 => request::check(dialect, PATHS[random.below(PATHS.len())], data, &mut random),
        1 => answer::check(dialect, Framing::Json, data, &mut random),
        2 => answer::check(dialect, Framing::Sse, data, &mut random),
        _ => answer::check(dialect, Framing::Ndjson, data, &mut random),
    }
}

pub fn openai_chat(data: &[u8]) {
    check(&OpenAiChat::new(MAX), data);
}

pub fn openai_completions(data: &[u8]) {
    check(&OpenAiCompletions::new(MAX), data);
}

pub fn openai_responses(data: &[u8]) {
    check(&OpenAiResponses::new(MAX), data);
}

pub fn openai_embeddings(data: &[u8]) {
    check(&openai_embeddings::dialect(Bounds::of(MAX)), data);
}

pub fn openai_moderations(data: &[u8]) {
    check(&openai_moderations::dialect(Bounds::of(MAX)), data);
}

pub fn openai_images(data: &[u8]) {
    check(&openai_images::dialect(Bounds::of(MAX)), data);
}

pub fn anthropic(data: &[u8]) {
    check(&Anthropic::new(MAX), data);
}

pub fn ollama_chat(data: &[u8]) {
    check(&Ollama::new(Api::Chat, MAX), data);
}

pub fn ollama_generate(data: &[u8]) {
    check(&Ollama::new(Api::Generate, MAX), data);
}

pub fn gemini(data: &[u8]) {
    check(&Gemini::new(MAX), data);
}
