//! OpenAI's chat completions as Azure serves them: with the findings of its own content filter.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::apis::openai_chat::{Chat, chunks};
use crate::apis::{Api, Request, Stream};
use crate::ask::Ask;

pub struct Azure;

impl Api for Azure {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        Chat.ask(body)
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        let mut body = Chat.whole(request, answer);
        filtered(&mut body);
        body["prompt_filter_results"] = prompt_results();
        body
    }

    /// The first chunk says what the filter found in the prompt, and nothing else.
    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        let first = json!({
            "choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": prompt_results(),
        });
        let rest = chunks(request, answer).into_iter().map(|mut chunk| {
            filtered(&mut chunk);
            chunk
        });
        Stream::until_done(std::iter::once(first).chain(rest))
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        json!({ "error": { "code": status.as_str(), "message": message } })
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("apim-request-id", "5a1c7f0e-9b3d-4e62-8f17-2d6c0b9a4e31"), ("x-ratelimit-remaining-tokens", "79984")]
    }
}

fn filtered(body: &mut Value) {
    for choice in body["choices"].as_array_mut().into_iter().flatten() {
        choice["content_filter_results"] = results();
    }
}

fn prompt_results() -> Value {
    let mut results = results();
    results["jailbreak"] = json!({ "filtered": false, "detected": false });
    json!([{ "prompt_index": 0, "content_filter_results": results }])
}

fn results() -> Value {
    let safe = json!({ "filtered": false, "severity": "safe" });
    json!({ "hate": safe, "self_harm": safe, "sexual": safe, "violence": safe })
}
