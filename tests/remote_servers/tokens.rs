//! Servers of prompts in token ids: the shapes of vLLM and llama.cpp around anything that can go on with tokens, and a model in
//! this process that can.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use portcullis::detectors::safeguard::{
    ComputeSettings, Dtype, Engine, EngineSettings, ExpertFormat, Generator, Limits, Source,
};
use portcullis::model::{Choice, Choices, Job, Outcome, Step, Tokenizer};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::support::{Answer, Recorded};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One that knows no `logprob_token_ids`.
    Vllm,
    /// One that does.
    NewVllm,
    LlamaCpp,
}

/// A question in token ids, of either shape.
#[derive(Debug, Clone)]
pub struct Asked {
    pub prompt: Vec<u32>,
    pub most: usize,
    /// Of the likeliest tokens so many, where that is the question.
    pub likeliest: Option<usize>,
    /// What it is about, where the server is told.
    pub of: Vec<u32>,
    stops: Vec<u32>,
}

/// What follows.
#[derive(Debug, Clone)]
pub struct Said {
    /// With the stop, if one ended it.
    pub tokens: Vec<u32>,
    pub stopped: bool,
    /// Every token that is told, the likeliest first.
    pub likeliest: Vec<(u32, f32)>,
}

impl Shape {
    pub const ALL: [Shape; 3] = [Shape::Vllm, Shape::NewVllm, Shape::LlamaCpp];

    /// An engine called `default` on this server, with further lines.
    pub fn engine(self, server: SocketAddr, more: &str) -> String {
        let preset = if self == Shape::LlamaCpp { "llama-cpp" } else { "vllm" };
        format!("[engine.default]\npreset = {preset:?}\napi = \"tokens\"\nurl = \"http://{server}\"\n{more}\n")
    }

    /// The question of a request; none of one that lets the server show its tokens.
    pub fn asked(self, request: &Recorded) -> Option<Asked> {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (most, likeliest) =
            if self == Shape::LlamaCpp { ("n_predict", "n_probs") } else { ("max_tokens", "logprobs") };
        let list = |name: &str| -> Vec<u32> {
            let list = body[name].as_array().into_iter().flatten();
            list.map(|id| id.as_u64().expect("an id") as u32).collect()
        };
        let count = |name: &str| body[name].as_u64().expect("a count") as usize;
        body["prompt"].is_array().then(|| Asked {
            prompt: list("prompt"),
            most: count(most),
            likeliest: Some(count(likeliest)).filter(|&count| count > 1),
            of: list("logprob_token_ids"),
            stops: list("stop_token_ids"),
        })
    }

    /// The text whose tokens a request asks for.
    pub fn text(self, request: &Recorded) -> String {
        let name = if self == Shape::LlamaCpp { "content" } else { "prompt" };
        request.json()[name].as_str().expect("a text").to_owned()
    }

    /// The tokens of a text, shown.
    pub fn shown(self, tokens: &[u32]) -> Value {
        match self {
            Shape::LlamaCpp => json!({ "tokens": tokens }),
            Shape::Vllm | Shape::NewVllm => {
                let said = Said { tokens: [tokens, &[0]].concat(), stopped: false, likeliest: vec![(0, -1.0)] };
                self.body(tokens.len(), &said)
            }
        }
    }

    /// A whole answer to a prompt of so many tokens.
    pub fn body(self, prompt: usize, said: &Said) -> Value {
        let Said { tokens, stopped, likeliest } = said;
        match self {
            Shape::LlamaCpp => {
                let told: Vec<Value> = likeliest
                    .iter()
                    .map(|(id, logprob)| json!({ "id": id, "token": "", "bytes": [], "logprob": logprob }))
                    .collect();
                let mut body = json!({
                    "index": 0, "content": "", "tokens": tokens, "id_slot": 0, "stop": true, "truncated": false,
                    "stop_type": if *stopped { "eos" } else { "limit" }, "stopping_word": "", "tokens_cached": prompt,
                    "tokens_predicted": tokens.len(), "tokens_evaluated": prompt, "timings": { "cache_n": prompt / 2 },
                });
                if !told.is_empty() {
                    body["completion_probabilities"] =
                        json!([{ "id": tokens[0], "logprob": -1.0, "top_logprobs": told }]);
                }
                body
            }
            Shape::Vllm | Shape::NewVllm => {
                let id = |id: &u32| format!("token_id:{id}");
                let told: Map<String, Value> =
                    likeliest.iter().map(|(token, logprob)| (id(token), json!(logprob))).collect();
                let (ids, tops) = (tokens.iter().map(id), tokens.iter().map(|_| json!(told)));
                json!({
                    "id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
                    "choices": [{ "index": 0, "text": "", "stop_reason": null,
                        "finish_reason": if *stopped { "stop" } else { "length" },
                        "logprobs": { "text_offset": [], "token_logprobs": [],
                            "tokens": ids.collect::<Vec<_>>(), "top_logprobs": tops.collect::<Vec<_>>() } }],
                    "usage": { "prompt_tokens": prompt, "completion_tokens": tokens.len(),
                        "prompt_tokens_details": { "cached_tokens": prompt / 2 } },
                })
            }
        }
    }
}

/// The tokens of a text in which control tokens are spelt out.
pub fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let named = tokenizer.control().named();
    let (mut tokens, mut rest) = (Vec::new(), text);
    loop {
        let found = named.iter().filter_map(|&(name, id)| Some((rest.find(name)?, name, id))).min();
        let words = &rest[..found.map_or(rest.len(), |(at, ..)| at)];
        tokens.extend(tokenizer.encode(words).expect("tokens"));
        let Some((at, name, id)) = found else { return tokens };
        tokens.push(id);
        rest = &rest[at + name.len()..];
    }
}

/// A model in this process behind a server's shape.
pub struct Model {
    engine: Arc<Engine>,
    /// Each of its tokens.
    all: Arc<Choices>,
}

impl Model {
    pub fn start(directory: &Path) -> Self {
        let compute = ComputeSettings {
            device: "cpu".into(),
            dtype: Dtype::Float32,
            experts: ExpertFormat::Auto,
            threads: Some(NonZeroUsize::MIN),
        };
        let limits = Limits { step_tokens: 512, sequences: 4, kv_bytes: 256 << 20 };
        let settings = EngineSettings { model: Source::Directory(directory.into()), compute, queue: 16, limits };
        let engine = Engine::start(settings).expect("a model");
        let all = (0..engine.tokenizer().size()).map(|token| Choice { tokens: vec![token], last: false });
        let all = Arc::new(Choices::new(all.collect()).expect("none begins another"));
        Model { engine, all }
    }

    /// Answers as a server of this shape does. Blocks.
    pub fn answer(&self, shape: Shape, request: &Recorded) -> Answer {
        let body = match shape.asked(request) {
            None => shape.shown(&tokens(self.engine.tokenizer(), &shape.text(request))),
            Some(asked) => shape.body(asked.prompt.len(), &self.said(shape, &asked)),
        };
        Answer::json(body.to_string())
    }

    #[expect(clippy::disallowed_methods, reason = "a test's server may take a worker of its own")]
    fn said(&self, shape: Shape, asked: &Asked) -> Said {
        let step = match asked.likeliest {
            Some(_) => Step::Choose(self.all.clone()),
            None => Step::Decode { stops: self.stops(shape, asked).into(), budget: asked.most },
        };
        let prompt = asked.prompt.clone();
        let (shared, grows) = (0, prompt.len());
        let job = Job { prompt, shared, grows, steps: vec![step], urgent: true, deadline: None, listener: None };
        let outcomes = tokio::task::block_in_place(|| Handle::current().block_on(self.engine.generate(job)));
        match outcomes.expect("an outcome").remove(0) {
            Outcome::Decoded { mut tokens, stop } => {
                tokens.extend(stop);
                Said { stopped: stop.is_some(), likeliest: vec![(tokens[0], -1.0)], tokens }
            }
            Outcome::Chosen { index, scores } => {
                let mut told: Vec<(u32, f32)> = (0..).zip(scores).collect();
                told.sort_by(|(_, a), (_, b)| b.total_cmp(a));
                match shape {
                    Shape::NewVllm if !asked.of.is_empty() => {
                        told.retain(|(token, _)| asked.of.contains(token) || *token == index as u32);
                    }
                    _ => told.truncate(asked.likeliest.expect("it is asked")),
                }
                Said { tokens: vec![index as u32], stopped: false, likeliest: told }
            }
        }
    }

    /// llama.cpp stops where the model does.
    fn stops(&self, shape: Shape, asked: &Asked) -> Vec<u32> {
        let control = self.engine.tokenizer().control();
        match shape {
            Shape::LlamaCpp => vec![control.r#return, control.call, control.end_of_text],
            Shape::Vllm | Shape::NewVllm => asked.stops.clone(),
        }
    }
}
