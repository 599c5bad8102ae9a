//! Gemini's generateContent and streamGenerateContent.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{Answer, Choice, Content, words};
use crate::apis::{Api, Request, Stream};
use crate::ask::{self, Ask, Form, Tool, Turn, text_of};

/// By the form of the answer.
pub enum Gemini {
    Whole,
    Events,
    Array,
}

impl Api for Gemini {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let contents = body["contents"]
            .as_array()
            .filter(|c| !c.is_empty())
            .ok_or("* GenerateContentRequest.contents: contents is not specified")?;
        let turns: Vec<_> = contents.iter().flat_map(turns).collect();
        let config = &body["generationConfig"];
        let schema = ["responseJsonSchema", "responseSchema"].into_iter().map(|name| &config[name]);
        let form = match config["responseMimeType"] == "application/json" {
            true => {
                schema.into_iter().find(|schema| schema.is_object()).map_or(Form::Object, |s| Form::Schema(s.clone()))
            }
            false => Form::Text,
        };
        let (choices, limit) = (config["candidateCount"].as_u64(), config["maxOutputTokens"].as_u64());
        let mut ask = Ask { form, choices, limit, ..Ask::of(&turns) };
        let functions = body["tools"].as_array().into_iter().flatten();
        let functions = functions.flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten());
        let schemas = ["parametersJsonSchema", "parameters_json_schema", "parameters"];
        let schema = |function: &Value| schemas.into_iter().find(|name| function[name].is_object()).unwrap_or_default();
        let choice = &body["toolConfig"]["functionCallingConfig"];
        let choice = match (choice["mode"].as_str(), choice["allowedFunctionNames"][0].as_str()) {
            (Some("NONE"), _) => ask::Choice::None,
            (Some("ANY"), Some(name)) => ask::Choice::Tool(name.to_owned()),
            (Some("ANY"), None) => ask::Choice::Any,
            _ => ask::Choice::Auto,
        };
        ask.offer(functions.map(|function| Tool::new(function, schema(function))), choice);
        Ok(ask)
    }

    fn streams(&self, _: &Value) -> bool {
        !matches!(self, Gemini::Whole)
    }

    fn whole(&self, request: &Request, answer: &Answer) -> Value {
        let candidates = answer.choices.iter().enumerate();
        let candidates = candidates.map(|(i, choice)| candidate(request, i, choice, parts(choice), true)).collect();
        body(request, answer, candidates)
    }

    /// Every event has all candidates, in the order of their indices, and all finish with the last.
    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        let pieces: Vec<Vec<Value>> =
            answer.choices.iter().map(|choice| parts(choice).into_iter().flat_map(taken_apart).collect()).collect();
        let count = pieces.iter().map(Vec::len).max().unwrap_or_default().max(1);
        let event = |at: usize| {
            let candidates = answer.choices.iter().zip(&pieces).enumerate().map(|(index, (choice, pieces))| {
                let parts = pieces.get(at).cloned().into_iter().collect();
                candidate(request, index, choice, parts, at + 1 == count)
            });
            body(request, answer, candidates.collect())
        };
        let events = (0..count).map(event);
        match self {
            Gemini::Array => Stream::array(events).escaped(),
            _ => Stream::events(events).escaped(),
        }
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        let word = match status.as_u16() {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            500 => "INTERNAL",
            501.. => "UNAVAILABLE",
            _ => "INVALID_ARGUMENT",
        };
        json!({ "error": { "code": status.as_u16(), "message": message, "status": word } })
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

pub fn models() -> Value {
    json!({ "models": [{
        "name": "models/stand-in",
        "version": "001",
        "displayName": "Stand-in",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent"],
    }] })
}

/// A content of the conversation: the results of functions stand in those of the user.
fn turns(content: &Value) -> Vec<(Turn, String)> {
    let parts = content["parts"].as_array().into_iter().flatten();
    let results = parts.filter(|part| part["functionResponse"].is_object());
    let mut turns: Vec<_> = results.map(|part| (Turn::Result, result(&part["functionResponse"]["response"]))).collect();
    let said = text_of(&content["parts"]);
    if turns.is_empty() || !said.is_empty() {
        turns.push((if content["role"] == "model" { Turn::Other } else { Turn::User }, said));
    }
    turns
}

/// What a function says, where it says one thing; else all of it.
fn result(response: &Value) -> String {
    let text = ["result", "output"].into_iter().find_map(|name| response[name].as_str());
    text.map_or_else(|| response.to_string(), str::to_owned)
}

fn body(request: &Request, answer: &Answer, candidates: Vec<Value>) -> Value {
    let thought: usize = answer.choices.iter().map(Choice::reasoning_tokens).sum();
    let said = answer.tokens() - thought;
    let mut usage = json!({
        "promptTokenCount": answer.prompt_tokens,
        "candidatesTokenCount": said,
        "totalTokenCount": answer.prompt_tokens + said + thought,
        "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": answer.prompt_tokens }],
    });
    if thought > 0 {
        usage["thoughtsTokenCount"] = json!(thought);
    }
    json!({
        "candidates": candidates,
        "usageMetadata": usage,
        "modelVersion": request.model,
        "responseId": request.id,
    })
}

fn candidate(request: &Request, index: usize, choice: &Choice, parts: Vec<Value>, last: bool) -> Value {
    let mut candidate = json!({ "content": { "parts": parts, "role": "model" }, "index": index });
    if matches!(choice.content, Content::Refusal(_)) {
        candidate = json!({ "index": index });
    }
    if last {
        candidate["finishReason"] = json!(match choice.content {
            Content::Refusal(_) => "SAFETY",
            _ if choice.cut => "MAX_TOKENS",
            _ => "STOP",
        });
    }
    if request.body["generationConfig"]["responseLogprobs"] == true {
        candidate["logprobsResult"] = logprobs(&candidate["content"]["parts"]);
    }
    candidate
}

fn parts(choice: &Choice) -> Vec<Value> {
    let mut parts = Vec::new();
    if let Some(reasoning) = &choice.reasoning {
        parts.push(json!({ "text": reasoning, "thought": true }));
    }
    if let Content::Text(text) = &choice.content {
        parts.push(json!({ "text": text }));
    }
    let call = |call: &crate::answer::Call| json!({ "functionCall": { "name": call.name, "args": call.arguments } });
    parts.extend(choice.calls().iter().map(call));
    parts
}

/// A part in its words; a call comes whole.
fn taken_apart(part: Value) -> Vec<Value> {
    let Some(text) = part["text"].as_str() else { return vec![part] };
    let piece = |word: &str| {
        let mut piece = part.clone();
        piece["text"] = json!(word);
        piece
    };
    words(text).map(piece).collect()
}

/// Made-up numbers in the right shape: each word is the only candidate.
fn logprobs(parts: &Value) -> Value {
    let said = parts.as_array().into_iter().flatten().filter(|part| part["thought"] != true);
    let text: String = said.filter_map(|part| part["text"].as_str()).collect();
    let chosen: Vec<Value> =
        words(&text).map(|word| json!({ "token": word, "tokenId": word.len(), "logProbability": -0.125 })).collect();
    let top: Vec<Value> = chosen.iter().map(|token| json!({ "candidates": [token] })).collect();
    json!({ "topCandidates": top, "chosenCandidates": chosen })
}
