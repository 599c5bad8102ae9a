//! Every dialect: the first byte says what the bytes are, three more are a seed.

use std::sync::{Arc, OnceLock};

use portcullis::wire::anthropic::Anthropic;
use portcullis::wire::bedrock_converse::BedrockConverse;
use portcullis::wire::custom::{Custom, Form};
use portcullis::wire::gemini::Gemini;
use portcullis::wire::ollama::{Api, Ollama};
use portcullis::wire::openai_chat::OpenAiChat;
use portcullis::wire::openai_completions::OpenAiCompletions;
use portcullis::wire::openai_embeddings;
use portcullis::wire::openai_images;
use portcullis::wire::openai_moderations;
use portcullis::wire::openai_responses::OpenAiResponses;
use portcullis::wire::{Bounds, Dialect, Framing};

use super::form::form;
use super::random::Random;
use super::{answer, request};

/// Texts of a request and channels of an answer, at most.
const MAX: usize = 1000;

/// Where requests go, of an API whose body says all.
const ANYWHERE: &[&str] = &["/"];

/// `0` for a request, `1` for a whole answer, `2` for events, `3` for lines: where the dialect has binary messages, one each.
fn check(dialect: &dyn Dialect, paths: &[&str], mut data: &[u8]) {
    let Some(&first) = data.split_off_first() else { return };
    let mut random = Random::of(&mut data, 3);
    let lines = dialect.framing(Framing::EventStream.media_type()).unwrap_or(Framing::Ndjson);
    match first % 4 {
        0 => request::check(dialect, paths[random.below(paths.len())], data, &mut random),
        1 => answer::check(dialect, Framing::Json, data, &mut random),
        2 => answer::check(dialect, Framing::Sse, data, &mut random),
        _ => answer::check(dialect, lines, data, &mut random),
    }
}

pub fn openai_chat(data: &[u8]) {
    check(&OpenAiChat::new(MAX), ANYWHERE, data);
}

pub fn openai_completions(data: &[u8]) {
    check(&OpenAiCompletions::new(MAX), ANYWHERE, data);
}

pub fn openai_responses(data: &[u8]) {
    check(&OpenAiResponses::new(MAX), ANYWHERE, data);
}

pub fn openai_embeddings(data: &[u8]) {
    check(&openai_embeddings::dialect(Bounds::of(MAX)), ANYWHERE, data);
}

pub fn openai_moderations(data: &[u8]) {
    check(&openai_moderations::dialect(Bounds::of(MAX)), ANYWHERE, data);
}

pub fn openai_images(data: &[u8]) {
    check(&openai_images::dialect(Bounds::of(MAX)), ANYWHERE, data);
}

pub fn anthropic(data: &[u8]) {
    check(&Anthropic::new(MAX), ANYWHERE, data);
}

pub fn ollama_chat(data: &[u8]) {
    check(&Ollama::new(Api::Chat, MAX), ANYWHERE, data);
}

pub fn ollama_generate(data: &[u8]) {
    check(&Ollama::new(Api::Generate, MAX), ANYWHERE, data);
}

pub fn gemini(data: &[u8]) {
    let paths = [
        "/v1beta/models/g:generateContent",
        "/v1beta/models/g:streamGenerateContent",
        "/v1beta/models/g:streamGenerateContent?alt=sse",
    ];
    check(&Gemini::new(MAX), &paths, data);
}

pub fn bedrock_converse(data: &[u8]) {
    check(&BedrockConverse::new(MAX), &["/model/m/converse", "/model/m/converse-stream"], data);
}

/// The dialects of two examples: `0` to `3` for the first, `4` to `7` for the other.
pub fn custom(data: &[u8]) {
    static FORMS: OnceLock<[Arc<Form>; 2]> = OnceLock::new();
    let forms = FORMS.get_or_init(|| ["cohere.toml", "tgi.toml"].map(form));
    let Some(first) = data.first() else { return };
    let form = &forms[usize::from(first / 4) % 2];
    check(&Custom::new(Arc::clone(form), MAX), &["/generate", "/generate_stream"], data);
}
