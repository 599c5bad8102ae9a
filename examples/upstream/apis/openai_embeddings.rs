//! OpenAI's embeddings: short made-up vectors, as numbers or in base64.

use std::hash::{DefaultHasher, Hasher};

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::apis::{Api, Request, Stream, openai};
use crate::ask::{Ask, Turn};

pub struct Embeddings;

impl Api for Embeddings {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let said = texts(body).last().ok_or("input: expected a string or an array of strings")?;
        Ok(Ask::of(&[(Turn::User, said.to_owned())]))
    }

    fn streams(&self, _: &Value) -> bool {
        false
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        let in_base64 = request.body["encoding_format"] == "base64";
        let written = |vector: [f32; 8]| match in_base64 {
            true => json!(base64(&vector.map(f32::to_le_bytes).concat())),
            false => json!(vector),
        };
        let data: Vec<Value> = texts(&request.body)
            .enumerate()
            .map(|(i, text)| json!({ "object": "embedding", "index": i, "embedding": written(vector(text)) }))
            .collect();
        let usage = json!({ "prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens });
        json!({ "object": "list", "data": data, "model": request.model, "usage": usage })
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        Stream::events([self.whole(request, answer)])
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        openai::error(status, message)
    }
}

fn texts(body: &Value) -> impl Iterator<Item = &str> {
    let input = &body["input"];
    input.as_str().into_iter().chain(input.as_array().into_iter().flatten().filter_map(Value::as_str))
}

/// Numbers between -1 and 1: the same ones for the same text.
fn vector(text: &str) -> [f32; 8] {
    std::array::from_fn(|dimension| {
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        hasher.write_usize(dimension);
        (hasher.finish() % 2001) as f32 / 1000.0 - 1.0
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let digit = |at: usize| if at <= group.len() { DIGITS[(bits >> (18 - 6 * at) & 63) as usize] } else { b'=' };
        (0..4).map(|at| char::from(digit(at))).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}
