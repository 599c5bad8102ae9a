//! Answers as streams tell them, and whether what is told several times is the same each time.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// One item of an answer.
#[derive(Debug, Clone)]
pub enum Item {
    Message(Vec<Part>),
    /// The texts of its summary, and of its content.
    Reasoning(Vec<String>, Vec<String>),
    /// A function's arguments.
    Call(String),
    /// A custom tool's input.
    Custom(String),
}

/// A part of a message.
#[derive(Debug, Clone)]
pub enum Part {
    Said(String),
    Refused(String),
}

impl Part {
    pub fn json(&self) -> Json {
        match self {
            Part::Said(text) => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}),
            Part::Refused(text) => json!({"type": "refusal", "refusal": text}),
        }
    }
}

impl Item {
    /// As it stands in the output.
    pub fn json(&self, at: usize, status: &str) -> Json {
        let parts = |kind: &str, texts: &[String]| {
            texts.iter().map(|text| json!({"type": kind, "text": text})).collect::<Vec<_>>()
        };
        match self {
            Item::Message(content) => {
                let content: Vec<_> = content.iter().map(Part::json).collect();
                json!({"id": format!("msg_{at}"), "type": "message", "role": "assistant", "status": status, "content": content})
            }
            Item::Reasoning(summary, content) => {
                json!({"id": format!("rs_{at}"), "type": "reasoning", "summary": parts("summary_text", summary), "content": parts("reasoning_text", content)})
            }
            Item::Call(arguments) => {
                json!({"id": format!("fc_{at}"), "type": "function_call", "status": status, "call_id": format!("call_{at}"), "name": "get", "arguments": arguments})
            }
            Item::Custom(input) => {
                json!({"id": format!("ctc_{at}"), "type": "custom_tool_call", "call_id": format!("call_{at}"), "name": "py", "input": input})
            }
        }
    }

    /// Its texts, in the order in which they are told.
    fn sayings(&self) -> Vec<Saying> {
        let saying = |part, kind, name, text: &String| Saying { part, kind, name, text: text.clone() };
        match self {
            Item::Message(parts) => {
                let each = parts.iter().enumerate().map(|(at, part)| {
                    let (kind, name, text) = match part {
                        Part::Said(text) => ("output_text", "text", text),
                        Part::Refused(text) => ("refusal", "refusal", text),
                    };
                    saying(Some(("content_part", "content_index", at, part.json())), kind, name, text)
                });
                each.collect()
            }
            Item::Reasoning(summary, content) => {
                let summary = summary.iter().enumerate().map(|(at, text)| {
                    let part = json!({"type": "summary_text", "text": text});
                    let part = Some(("reasoning_summary_part", "summary_index", at, part));
                    saying(part, "reasoning_summary_text", "text", text)
                });
                let content = content.iter().enumerate().map(|(at, text)| {
                    let part = json!({"type": "reasoning_text", "text": text});
                    saying(Some(("content_part", "content_index", at, part)), "reasoning_text", "text", text)
                });
                summary.chain(content).collect()
            }
            Item::Call(text) => vec![saying(None, "function_call_arguments", "arguments", text)],
            Item::Custom(text) => vec![saying(None, "custom_tool_call_input", "input", text)],
        }
    }

    /// As it is before anything of it has been told.
    fn bare(&self, at: usize) -> Json {
        match self {
            Item::Message(_) => Item::Message(vec![]),
            Item::Reasoning(..) => Item::Reasoning(vec![], vec![]),
            Item::Call(_) => Item::Call(String::new()),
            Item::Custom(_) => Item::Custom(String::new()),
        }
        .json(at, "in_progress")
    }
}

/// A text of an item, as its events tell it.
struct Saying {
    /// Of a part: what its own events are called, the name of its index, the index, and the part.
    part: Option<(&'static str, &'static str, usize, Json)>,
    /// What the text's events are called, and their member that has it whole.
    kind: &'static str,
    name: &'static str,
    text: String,
}

/// A response with these items.
pub fn response(status: &str, output: &[Json]) -> Json {
    json!({"id": "resp_1", "object": "response", "created_at": 1741569952, "model": "gpt-x", "status": status, "error": null,
        "incomplete_details": null, "instructions": "be kind", "metadata": {}, "output": output, "parallel_tool_calls": true,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "usage": (status == "completed").then(|| json!({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}))})
}

/// The events of a stream that tells the items, each text in the pieces that `pieces` makes of it.
pub fn told(items: &[Item], pieces: &mut dyn FnMut(&str) -> Vec<String>) -> Vec<Json> {
    let mut events = Vec::new();
    let mut tell = |kind: &str, at: &[(&str, Json)]| {
        let mut event = json!({"type": format!("response.{kind}")});
        at.iter().for_each(|(name, value)| event[*name] = value.clone());
        events.push(event);
    };
    tell("created", &[("response", response("in_progress", &[]))]);
    tell("in_progress", &[("response", response("in_progress", &[]))]);
    for (index, item) in items.iter().enumerate() {
        let whole = item.json(index, "completed");
        let here = [("output_index", json!(index)), ("item_id", whole["id"].clone())];
        tell("output_item.added", &[("output_index", json!(index)), ("item", item.bare(index))]);
        for Saying { part, kind, name, text } in item.sayings() {
            let at: Vec<(&str, Json)> = part.iter().map(|(_, name, at, _)| (*name, json!(at))).collect();
            if let Some((part, _, _, whole)) = &part {
                let mut bare = whole.clone();
                bare[name] = json!("");
                tell(&format!("{part}.added"), &[&here[..], &at, &[("part", bare)]].concat());
            }
            let logprobs: Vec<_> = (kind == "output_text").then(|| ("logprobs", json!([]))).into_iter().collect();
            for piece in pieces(&text) {
                tell(&format!("{kind}.delta"), &[&here[..], &at, &logprobs, &[("delta", json!(piece))]].concat());
            }
            tell(&format!("{kind}.done"), &[&here[..], &at, &logprobs, &[(name, json!(text))]].concat());
            if let Some((part, _, _, whole)) = part {
                tell(&format!("{part}.done"), &[&here[..], &at, &[("part", whole)]].concat());
            }
        }
        tell("output_item.done", &[("output_index", json!(index)), ("item", whole)]);
    }
    let output: Vec<_> = items.iter().enumerate().map(|(at, item)| item.json(at, "completed")).collect();
    tell("completed", &[("response", response("completed", &output))]);
    events
}

/// The texts that a stream tells in pieces, by their places; every copy in it says the same.
pub fn agreed(events: &[Json]) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        let (of, moment) = kind.trim_start_matches("response.").rsplit_once('.').unwrap_or_default();
        let item = &event["output_index"];
        let place = match of {
            "output_text" | "refusal" | "reasoning_text" | "content_part" => {
                format!("{item}/content/{}", event["content_index"])
            }
            "reasoning_summary_text" | "reasoning_summary_part" => format!("{item}/summary/{}", event["summary_index"]),
            "function_call_arguments" => format!("{item}/arguments"),
            "custom_tool_call_input" => format!("{item}/input"),
            _ => format!("{item}"),
        };
        match moment {
            "delta" => texts.entry(place).or_default().push_str(event["delta"].as_str().unwrap()),
            "done" => {
                let copies = match of {
                    "output_item" => texts_of_item(&place, &event["item"]),
                    _ => text_of(&event["part"]).or(text_of(event)).map(|text| (place, text)).into_iter().collect(),
                };
                assert_copies(&texts, copies);
            }
            _ => {}
        }
        for (at, item) in event["response"]["output"].as_array().into_iter().flatten().enumerate() {
            assert_copies(&texts, texts_of_item(&at.to_string(), item));
        }
    }
    texts
}

fn assert_copies(texts: &BTreeMap<String, String>, copies: Vec<(String, String)>) {
    for (place, copy) in copies {
        assert_eq!(texts.get(&place).map_or("", String::as_str), copy, "{place}");
    }
}

/// The texts of an item, by their places.
pub fn texts_of_item(at: &str, item: &Json) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for list in ["content", "summary"] {
        for (index, part) in item[list].as_array().into_iter().flatten().enumerate() {
            texts.extend(text_of(part).map(|text| (format!("{at}/{list}/{index}"), text)));
        }
    }
    for name in ["arguments", "input"] {
        texts.extend(item[name].as_str().map(|text| (format!("{at}/{name}"), text.to_owned())));
    }
    texts
}

fn text_of(object: &Json) -> Option<String> {
    let names = ["text", "refusal", "arguments", "input"];
    names.into_iter().find_map(|name| object[name].as_str()).map(str::to_owned)
}
