//! What each API's answers come to, told by example and with pieces of them changed at will.

use super::*;
use crate::config::ReasoningIn;
use crate::remote::testing;
use proptest::prelude::*;

const APIS: [Api; 4] = [Api::Chat, Api::Responses, Api::LmStudio, Api::Ollama];

fn settings(api: Api) -> Remote {
    testing::settings(Preset::OpenAiCompatible, api)
}

/// A whole answer: `0`, after some reasoning.
fn body(api: Api) -> Value {
    match api {
        Api::Chat | Api::Tokens => json!({
            "choices": [{ "finish_reason": "stop", "message": { "content": "0", "reasoning": "hm" },
                "logprobs": { "content": [{ "token": "0", "logprob": 0, "top_logprobs": [
                    { "token": "0", "logprob": -0.5 }, { "token": "1", "logprob": null }, { "token": "2" },
                    { "token": "3", "logprob": 1e300 }] }] } }],
            "usage": { "prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": { "cached_tokens": 5 } },
        }),
        Api::Responses => json!({
            "status": "completed",
            "output": [{ "type": "reasoning", "summary": [], "content": [{ "type": "reasoning_text", "text": "hm" }] },
                { "type": "message", "content": [{ "type": "output_text", "text": "0" }] }],
            "usage": { "input_tokens": 7, "output_tokens": 3, "input_tokens_details": { "cached_tokens": 5 } },
        }),
        Api::LmStudio => json!({
            "output": [{ "type": "reasoning", "content": "hm" }, { "type": "message", "content": "0" }],
            "stats": { "input_tokens": 7, "total_output_tokens": 3 },
        }),
        Api::Ollama => json!({
            "done": true, "done_reason": "stop", "message": { "content": "0", "thinking": "hm" },
            "prompt_eval_count": 7, "eval_count": 3,
        }),
    }
}

fn read_as(api: Api, body: &Value) -> Result<Answer, RemoteError> {
    read(&settings(api), body.to_string().as_bytes(), 100)
}

/// The same with another value in one place.
fn with(api: Api, pointer: &str, value: Value) -> Result<Answer, RemoteError> {
    let mut body = body(api);
    *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{api:?} has {pointer}")) = value;
    read_as(api, &body)
}

#[test]
fn a_whole_answer_is_read() {
    for api in APIS {
        let answer = read_as(api, &body(api)).unwrap();
        assert_eq!((answer.content.as_str(), answer.reasoning.as_str()), ("0", "hm"), "{api:?}");
        let Usage { prompt, cached, answer: tokens } = answer.usage;
        let kept = if matches!(api, Api::Chat | Api::Responses) { 5 } else { 0 };
        assert_eq!((prompt, cached, tokens), (7, kept, 3), "{api:?}");
    }
    let told = read_as(Api::Chat, &body(Api::Chat)).unwrap().tokens;
    assert_eq!(told, [Token { text: "0".into(), likeliest: vec![("0".into(), -0.5)] }], "no number but a logarithm");
}

#[test]
fn reasoning_is_found_wherever_a_version_puts_it() {
    for (member, reasoning_in) in [
        ("reasoning", ReasoningIn::Reasoning),
        ("reasoning_content", ReasoningIn::ReasoningContent),
        ("thinking", ReasoningIn::Thinking),
    ] {
        let message = json!({ "content": "0", member: "hm" });
        let mut body = body(Api::Chat);
        body["choices"][0]["message"] = message;
        for reasoning_in in [ReasoningIn::Auto, reasoning_in] {
            let settings = Remote { reasoning_in, ..settings(Api::Chat) };
            assert_eq!(read(&settings, body.to_string().as_bytes(), 100).unwrap().reasoning, "hm", "{member}");
        }
    }
    let summary = json!({ "type": "reasoning", "summary": [{ "type": "summary_text", "text": "hm" }] });
    assert_eq!(with(Api::Responses, "/output/0", summary).unwrap().reasoning, "hm");
}

#[test]
fn an_answer_that_is_none_is_an_error_of_its_kind() {
    use RemoteError::*;
    let cut = || Err(Truncated { tokens: 3 });
    for (api, pointer, value, expected) in [
        (Api::Chat, "/choices/0/finish_reason", json!("length"), cut()),
        (Api::Chat, "/choices/0/finish_reason", json!("content_filter"), Err(Refusal)),
        (Api::Chat, "/choices/0/message", json!({ "content": "0", "refusal": "No." }), Err(Refusal)),
        (Api::Chat, "/choices/0/message/content", Value::Null, Err(ReasoningOnly)),
        (Api::Chat, "/choices/0/message", json!({ "content": " " }), Err(Empty)),
        (Api::Responses, "/status", json!("failed"), Err(ErrorBody)),
        (Api::Responses, "/output/1/content/0", json!({ "type": "refusal", "refusal": "No." }), Err(Refusal)),
        (Api::Responses, "/output/1/content", json!([]), Err(ReasoningOnly)),
        (Api::Responses, "/output", json!([]), Err(Empty)),
        (Api::Chat, "/usage/completion_tokens", json!(100), Err(Truncated { tokens: 100 })),
        (Api::Responses, "/usage/output_tokens", json!(100), Err(Truncated { tokens: 100 })),
        (Api::LmStudio, "/stats/total_output_tokens", json!(100), Err(Truncated { tokens: 100 })),
        (Api::Ollama, "/eval_count", json!(100), Err(Truncated { tokens: 100 })),
        (Api::LmStudio, "/output/1/content", json!(""), Err(ReasoningOnly)),
        (Api::LmStudio, "/output", json!([]), Err(Empty)),
        (Api::Ollama, "/done_reason", json!("length"), cut()),
        (Api::Ollama, "/message/content", json!(""), Err(ReasoningOnly)),
        (Api::Ollama, "/message", json!({}), Err(Empty)),
    ] {
        assert_eq!(with(api, pointer, value.clone()), expected, "{api:?} {pointer} {value}");
    }
    for (api, pointer, value) in [
        (Api::Chat, "/choices/0/finish_reason", json!("tool_calls")),
        (Api::Chat, "/choices/0/finish_reason", Value::Null),
        (Api::Chat, "/choices", json!([])),
        (Api::Responses, "/status", json!("in_progress")),
        (Api::Responses, "/output/1/type", json!("function_call")),
        (Api::Responses, "/output/0", json!({ "type": "message", "content": [] })),
        (Api::Responses, "/output/1/content/0/type", json!("output_image")),
        (Api::LmStudio, "/output/0/type", json!("tool_call")),
        (Api::LmStudio, "/output/0/type", json!("message")),
        (Api::Ollama, "/done", json!(false)),
        (Api::Ollama, "/done_reason", json!("load")),
        (Api::Ollama, "/message", json!("0")),
    ] {
        assert!(matches!(with(api, pointer, value.clone()), Err(Garbage(_))), "{api:?} {pointer} {value}");
    }
    let incomplete = |reason: &str| {
        let mut body = body(Api::Responses);
        (body["status"], body["incomplete_details"]) = (json!("incomplete"), json!({ "reason": reason }));
        read_as(Api::Responses, &body)
    };
    assert_eq!((incomplete("max_output_tokens"), incomplete("content_filter")), (cut(), Err(Refusal)));
    for api in APIS {
        let mut body = body(api);
        body["error"] = json!("out of memory");
        assert_eq!(read_as(api, &body), Err(ErrorBody), "{api:?}");
    }
}

#[test]
fn a_schema_and_the_scores_are_asked_for_where_they_are_wanted() {
    let schema = json!({ "type": "object" });
    let question = |schema, logprobs| Question {
        policy: "p",
        text: "t",
        effort: Effort::Medium,
        max_tokens: 9,
        schema,
        logprobs,
        urgent: false,
    };
    let asked =
        |api, question: &Question<'_>| serde_json::from_slice::<Value>(&ask(&settings(api), question).body).unwrap();
    for (api, pointer) in [
        (Api::Chat, "/response_format/json_schema/schema"),
        (Api::Responses, "/text/format/schema"),
        (Api::Ollama, "/format"),
    ] {
        assert_eq!(asked(api, &question(Some(&schema), false)).pointer(pointer), Some(&schema), "{api:?}");
        assert_eq!(asked(api, &question(None, false)).pointer(pointer), None, "{api:?}");
    }
    assert_eq!(asked(Api::Chat, &question(None, true))["logprobs"], true);
    assert_eq!(asked(Api::Chat, &question(None, false)).get("logprobs"), None);
    assert_eq!(asked(Api::LmStudio, &question(None, false))["reasoning"], "medium");
}

/// Any JSON, not too deep.
pub(super) fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z0-9 ]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..3)
                .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// The pointers of all values within.
pub(super) fn pointers(value: &Value, here: String, out: &mut Vec<String>) {
    out.push(here.clone());
    match value {
        Value::Array(values) => values.iter().enumerate().for_each(|(at, v)| pointers(v, format!("{here}/{at}"), out)),
        Value::Object(map) => map.iter().for_each(|(key, v)| pointers(v, format!("{here}/{key}"), out)),
        _ => {}
    }
}

proptest! {
    /// Whatever stands in the place of any piece of an answer: what is read is a content that the server sent as such.
    #[test]
    fn nothing_is_read_that_was_not_said(api in prop::sample::select(APIS.to_vec()), at in any::<prop::sample::Index>(), new in anything()) {
        let mut body = body(api);
        let mut all = Vec::new();
        pointers(&body, String::new(), &mut all);
        let pointer = at.get(&all);
        *body.pointer_mut(pointer).expect("it was found there") = new.clone();
        if let Ok(answer) = read_as(api, &body) {
            let said = new.to_string();
            prop_assert!(answer.content == "0" || said.contains(answer.content.trim()), "{pointer} {new}: {answer:?}");
            prop_assert!(!answer.content.trim().is_empty());
        }
    }

    #[test]
    fn no_part_of_an_answer_is_one(api in prop::sample::select(APIS.to_vec()), cut in any::<prop::sample::Index>()) {
        let whole = body(api).to_string();
        let part = &whole.as_bytes()[..cut.index(whole.len())];
        prop_assert!(read(&settings(api), part, 100).is_err());
    }

    #[test]
    fn no_bytes_are_a_panic(api in prop::sample::select(APIS.to_vec()), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(read(&settings(api), &bytes, 100).is_err());
    }
}
