//! Requests of every dialect with something to redact in each of their texts: what goes to the upstream is still a request,
//! has nothing of it in any copy, and is judged again and found clean; or the request is blocked.

mod recorded;

use portcullis::guardrail::{Action, Stage};
use portcullis::wire::anthropic::Anthropic;
use portcullis::wire::bedrock_converse::BedrockConverse;
use portcullis::wire::custom::Custom;
use portcullis::wire::gemini::Gemini;
use portcullis::wire::ollama::{Api, Ollama};
use portcullis::wire::openai_chat::OpenAiChat;
use portcullis::wire::openai_completions::OpenAiCompletions;
use portcullis::wire::openai_embeddings;
use portcullis::wire::openai_images;
use portcullis::wire::openai_moderations;
use portcullis::wire::openai_responses::OpenAiResponses;
use portcullis::wire::{Bounds, Dialect, Framing, WireError};
use recorded::{Judge, SECRETS, form, shows, strings};

const MAX: usize = 1000;

/// A body of each dialect. `~` stands for a text, `^` for one in JSON in a string.
fn requests() -> Vec<(Box<dyn Dialect>, &'static str)> {
    vec![
        (
            Box::new(OpenAiChat::new(MAX)),
            r#"{"model": "m", "messages": [
                {"role": "system", "content": "~"}, {"role": "developer", "content": [{"type": "text", "text": "~"}]},
                {"role": "user", "name": "~", "content": [{"type": "text", "text": "~"}, {"type": "text", "text": "~"}]},
                {"role": "user", "content": "~"},
                {"role": "assistant", "content": "~", "refusal": "~", "tool_calls": [{"id": "call_1", "type": "function",
                    "function": {"name": "get", "arguments": "{\"q\": \"^\", \"l\": [\"^\", {\"~\": 1}]}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "~"}],
                "tools": [{"type": "function", "function": {"name": "get", "description": "~",
                    "parameters": {"type": "object", "properties": {"q": {"description": "~", "enum": ["~"]}}}}}],
                "stop": ["~"], "metadata": {"~": "~"}, "user": "~", "prediction": {"type": "content", "content": "~"}, "odd": {"a": ["~"]}}"#,
        ),
        (
            Box::new(OpenAiCompletions::new(MAX)),
            r#"{"model": "m", "prompt": ["~", "~"], "suffix": "~", "stop": ["~"], "user": "~", "odd": "~"}"#,
        ),
        (
            Box::new(openai_embeddings::dialect(Bounds::of(MAX))),
            r#"{"model": "m", "input": ["~", "~"], "user": "~", "odd": ["~"]}"#,
        ),
        (
            Box::new(openai_moderations::dialect(Bounds::of(MAX))),
            r#"{"input": [{"type": "text", "text": "~"}, {"type": "text", "text": "~"}], "odd": "~"}"#,
        ),
        (Box::new(openai_images::dialect(Bounds::of(MAX))), r#"{"prompt": "~", "user": "~", "odd": "~"}"#),
        (
            Box::new(OpenAiResponses::new(MAX)),
            r#"{"model": "m", "instructions": "~", "metadata": {"k": "~"}, "input": [
                {"role": "user", "content": "~"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "~"}, {"type": "input_text", "text": "~"}]},
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "~", "annotations": []}, {"type": "refusal", "refusal": "~"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "~"}], "content": [{"type": "reasoning_text", "text": "~"}]},
                {"type": "function_call", "call_id": "call_1", "name": "get", "arguments": "{\"q\": \"^\", \"~\": [\"^\"]}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "~"}],
                "tools": [{"type": "function", "name": "get", "description": "~", "strict": true,
                    "parameters": {"type": "object", "properties": {"q": {"type": "string", "description": "~"}}}}]}"#,
        ),
        (
            Box::new(Anthropic::new(MAX)),
            r#"{"model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "~"}, {"type": "text", "text": "~"}], "messages": [
                {"role": "user", "content": "~"},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "~", "signature": "EqQB"}, {"type": "text", "text": "~"},
                    {"type": "tool_use", "id": "toolu_1", "name": "get", "input": {"q": ["~"], "~": 1}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "~"}]},
                    {"type": "text", "text": "~"}]}],
                "tools": [{"name": "get", "description": "~", "input_schema": {"type": "object", "properties": {"q": {"description": "~"}}}}],
                "stop_sequences": ["~"], "odd": "~"}"#,
        ),
        (
            Box::new(Ollama::new(Api::Chat, MAX)),
            r#"{"model": "m", "messages": [{"role": "system", "content": "~"}, {"role": "user", "content": "~"},
                {"role": "assistant", "content": "~", "thinking": "~", "tool_calls": [{"function": {"name": "get", "arguments": {"q": "~", "~": ["~"]}}}]},
                {"role": "tool", "tool_name": "get", "content": "~"}],
                "tools": [{"type": "function", "function": {"name": "get", "description": "~", "parameters": {"properties": {"q": {"description": "~"}}}}}],
                "options": {"stop": ["~"]}}"#,
        ),
        (
            Box::new(Ollama::new(Api::Generate, MAX)),
            r#"{"model": "m", "prompt": "~", "suffix": "~", "system": "~", "options": {"stop": ["~"]}}"#,
        ),
        (
            Box::new(Gemini::new(MAX)),
            r#"{"systemInstruction": {"parts": [{"text": "~"}, {"text": "~"}]}, "contents": [
                {"role": "user", "parts": [{"text": "~"}, {"text": "~"}]},
                {"role": "model", "parts": [{"text": "~", "thought": true}, {"functionCall": {"name": "get", "args": {"q": "~", "~": ["~"]}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "get", "response": {"r": "~"}}}, {"text": "~"}]}],
                "tools": [{"functionDeclarations": [{"name": "get", "description": "~", "parameters": {"type": "OBJECT", "properties": {"q": {"description": "~"}}}}]}],
                "generationConfig": {"stopSequences": ["~"]}}"#,
        ),
        (
            Box::new(BedrockConverse::new(MAX)),
            r#"{"system": [{"text": "~"}, {"text": "~"}], "messages": [
                {"role": "user", "content": [{"text": "~"}, {"text": "~"}, {"guardContent": {"text": {"text": "~", "qualifiers": ["query"]}}}]},
                {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "~", "signature": "EqQB"}}}, {"text": "~"},
                    {"citationsContent": {"content": [{"text": "~"}], "citations": [{"title": "~", "sourceContent": [{"text": "~"}]}]}},
                    {"toolUse": {"toolUseId": "tooluse_1", "name": "get", "input": {"q": ["~"], "~": 1}}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "~"}, {"json": {"r": "~", "~": 1}}]}},
                    {"document": {"format": "txt", "name": "~", "source": {"text": "~"}, "context": "~"}},
                    {"searchResult": {"source": "~", "title": "~", "content": [{"text": "~"}]}}, {"text": "~"}]}],
                "toolConfig": {"tools": [{"toolSpec": {"name": "get", "description": "~",
                    "inputSchema": {"json": {"type": "object", "properties": {"q": {"description": "~", "enum": ["~"]}}}}}}]},
                "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "s", "description": "~",
                    "schema": "{\"type\": \"string\", \"description\": \"^\"}"}}}},
                "inferenceConfig": {"stopSequences": ["~"]}, "requestMetadata": {"k": "~", "~": "v"},
                "additionalModelRequestFields": {"odd": ["~"]}, "odd": "~"}"#,
        ),
        (
            Box::new(Custom::new(form("cohere.toml"), MAX)),
            r#"{"model": "m", "messages": [{"role": "system", "content": "~"},
                {"role": "user", "content": [{"type": "text", "text": "~"}, {"type": "text", "text": "~"}]}, {"role": "user", "content": "~"},
                {"role": "assistant", "tool_plan": "~", "content": [{"type": "thinking", "thinking": "~"}], "citations": [{"text": "~", "~": 1}],
                    "tool_calls": [{"id": "get_1", "type": "function", "function": {"name": "get", "arguments": "{\"q\": \"^\", \"l\": [\"^\"]}"}}]},
                {"role": "tool", "tool_call_id": "get_1", "content": [{"type": "document", "document": {"data": "~"}}]}],
                "documents": ["~", {"id": "~", "data": {"title": "~", "~": 1}}],
                "tools": [{"type": "function", "function": {"name": "get", "description": "~", "parameters": {"properties": {"q": {"description": "~"}}}}}],
                "response_format": {"type": "json_object", "schema": {"properties": {"q": {"description": "~"}}}}, "stop_sequences": ["~"], "odd": {"a": ["~"]}}"#,
        ),
        (
            Box::new(Custom::new(form("tgi.toml"), MAX)),
            r#"{"inputs": "~", "parameters": {"max_new_tokens": 5, "stop": ["~", "~"], "adapter_id": "~"}}"#,
        ),
    ]
}

/// Where a dialect's requests go, where that says more than the body.
fn path(dialect: &dyn Dialect) -> &'static str {
    if dialect.name() == "bedrock_converse" { "/model/m/converse" } else { "/v1beta/models/m:generateContent" }
}

/// What is said in each place in turn: a secret; in a long text, twice; with what has to be escaped around it; in an escape of
/// its own.
fn sayings() -> Vec<String> {
    let around = |secret: &&str| {
        [
            secret.to_string(),
            format!("naïve \"{secret}\" and {secret}, \u{2028}\\\n "),
            secret.replace('b', "\\u0062").replace('4', "\\u0034"),
        ]
    };
    SECRETS.iter().flat_map(around).collect()
}

/// `text` as it stands in a string of JSON, or in a string of JSON in one.
fn written(text: &str, twice: bool) -> String {
    // A saying may bring escapes of its own.
    let once = match text.contains("\\u00") {
        true => text.to_owned(),
        false => unquoted(text),
    };
    if twice { unquoted(&once) } else { once }
}

fn unquoted(text: &str) -> String {
    let json = serde_json::to_string(text).expect("a string");
    json[1..json.len() - 1].to_owned()
}

/// The template with `texts` in its places, one after the other.
fn filled(template: &str, texts: &dyn Fn(usize) -> String) -> String {
    let mut out = String::new();
    let mut place = 0;
    for character in template.chars() {
        match character {
            '~' | '^' => {
                out += &written(&texts(place), character == '^');
                place += 1;
            }
            other => out.push(other),
        }
    }
    out
}

/// Whether it was redacted, and not blocked.
fn is_redacted(dialect: &dyn Dialect, body: &str, judge: &Judge) -> bool {
    let read = |body: Vec<u8>| dialect.parse_request(body.into(), path(dialect));
    let prompt = read(body.into()).unwrap_or_else(|error| panic!("{}: {error}: {body}", dialect.name()));
    let decision = judge.decide(Stage::Input, prompt.segments());
    assert!(decision.action >= Action::Redact, "{}: not found in {body}", dialect.name());
    if decision.action == Action::Block {
        return false;
    }
    let after = match prompt.edited(&decision.edits) {
        Ok(after) => after,
        Err(WireError::NotEditable { .. }) => return false,
        Err(error) => panic!("{}: {error}: {body}", dialect.name()),
    };
    let text = String::from_utf8(after.to_vec()).expect("UTF-8");
    let left = strings(Framing::Json, &after).into_iter().find(|string| shows(string));
    assert_eq!(left, None, "{}: {text}", dialect.name());
    let again = read(after.to_vec()).unwrap_or_else(|error| panic!("{}: {error}: {text}", dialect.name()));
    assert_eq!(judge.decide(Stage::Input, again.segments()).action, Action::Allow, "{}: {text}", dialect.name());
    true
}

#[test]
fn what_is_redacted_is_nowhere() {
    let judge = Judge::new(Action::Redact);
    let mut told = Vec::new();
    for (dialect, template) in requests() {
        let places = template.matches(['~', '^']).count();
        let fine = filled(template, &|place| format!("fine {place}"));
        let prompt = dialect.parse_request(fine.clone().into(), path(&*dialect));
        let prompt = prompt.unwrap_or_else(|error| panic!("{}: {error}: {fine}", dialect.name()));
        assert_eq!(judge.decide(Stage::Input, prompt.segments()).action, Action::Allow);
        let (mut redacted, mut all) = (0, 0);
        for said in sayings() {
            let bodies = (0..places)
                .map(|own| filled(template, &|place| if place == own { said.clone() } else { "fine".into() }));
            for body in bodies {
                redacted += usize::from(is_redacted(&*dialect, &body, &judge));
                all += 1;
            }
        }
        // Half of it here and half there: other readers join some.
        for own in 1..places {
            let split = |place: usize| match place {
                _ if place + 1 == own => "it is project blue".to_owned(),
                _ if place == own => "bird, then".to_owned(),
                _ => "fine".to_owned(),
            };
            let body = filled(template, &split);
            let prompt = dialect.parse_request(body.clone().into(), path(&*dialect)).expect("a request");
            if judge.decide(Stage::Input, prompt.segments()).action == Action::Redact {
                is_redacted(&*dialect, &body, &judge);
            }
        }
        told.push(format!("{}: {redacted} of {all}", dialect.name()));
        assert!(redacted * 3 > all, "{told:?}");
    }
    println!("redacted, the rest blocked: {told:#?}");
}
