//! What some reader joins is judged joined: the user's words over turns with others between, a model's over the parts of its
//! answer. And what stands for a text that is not there is none.

mod support;

use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Response, Upstream};

/// Id, path and dialect of each route.
const ROUTES: [(&str, &str, &str); 8] = [
    ("responses", "/v1/responses", "openai_responses"),
    ("anthropic", "/v1/messages", "anthropic"),
    ("gemini", "/v1beta/models/m:generateContent", "gemini"),
    ("gemini-stream", "/v1beta/models/m:streamGenerateContent", "gemini"),
    ("bedrock", "/model/m/converse", "bedrock_converse"),
    ("ollama", "/api/chat", "ollama_chat"),
    ("moderations", "/v1/moderations", "openai_moderations"),
    ("embeddings", "/v1/embeddings", "openai_embeddings"),
];

/// Each on these guardrails; its path is `/v1/chat/completions` on the route that every deployment has.
fn config(upstream: &Upstream, guardrail: &str) -> Config {
    let route = |(id, path, dialect): &(&str, &str, &str)| {
        let query = if *id == "gemini-stream" { "query = [\"alt=sse\"]\n" } else { "" };
        format!(
            "[[route]]\nid = \"{id}\"\npath = \"{path}\"\ndialect = \"{dialect}\"\nupstream = \"main\"\nguardrails = [\"words\"]\n{query}"
        )
    };
    let routes: String = ROUTES.iter().map(route).collect();
    Config::new(upstream.address()).guardrail("words", guardrail).section(&routes)
}

async fn post(proxy: &Proxy, path: &str, body: &Value) -> Response {
    proxy.connect().await.request("POST", path, &[("content-type", "application/json")], body.to_string()).await
}

fn chat(turns: &[(&str, Value)]) -> Value {
    let turns: Vec<_> = turns.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    json!({"model": "m", "messages": turns})
}

/// A conversation in the shape of each dialect: what the user says before and after an answer.
fn conversations(one: &str, two: &str) -> Vec<(&'static str, Value)> {
    let turn = |role: &str, text: &str| json!({"role": role, "content": text});
    let part = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    let block = |role: &str, text: &str| json!({"role": role, "content": [{"text": text}]});
    let three = |turn: &dyn Fn(&str, &str) -> Value, model: &str| {
        json!([turn("user", one), turn(model, "Go on."), turn("user", two)])
    };
    vec![
        ("/v1/chat/completions", json!({"model": "m", "messages": three(&turn, "assistant")})),
        ("/v1/responses", json!({"model": "m", "input": three(&turn, "assistant")})),
        ("/v1/messages", json!({"model": "m", "max_tokens": 9, "messages": three(&turn, "assistant")})),
        ("/v1beta/models/m:generateContent", json!({"contents": three(&part, "model")})),
        ("/model/m/converse", json!({"messages": three(&block, "assistant")})),
        ("/api/chat", json!({"model": "m", "stream": false, "messages": three(&turn, "assistant")})),
    ]
}

#[tokio::test]
async fn a_phrase_over_turns_is_seen_whoever_speaks_between() {
    let upstream = Upstream::start(Answer::error(429, "fine")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\"", "block", "")));
    let filler = "some words that say nothing at all, ".repeat(200);
    for (one, two) in
        [("my blue", "bird sings"), (&*format!("{filler}blue"), &*format!("bird {filler}")), ("b", "luebird")]
    {
        for (path, body) in conversations(one, two) {
            assert_eq!(post(&proxy, path, &body).await.status, 400, "{path}: {one:.20}");
        }
    }
    assert!(upstream.requests().is_empty());
    for (path, body) in conversations(&format!("blue {filler}"), &format!("{filler} bird")) {
        assert_eq!(post(&proxy, path, &body).await.status, 429, "{path}");
    }
    // Over any number of turns, parts and speakers.
    let call = json!([{"type": "function", "id": "c", "function": {"name": "f", "arguments": "{}"}}]);
    let calls = json!({"role": "assistant", "content": null, "tool_calls": call});
    let result = json!({"role": "tool", "tool_call_id": "c", "content": "done"});
    let parts = json!([{"type": "text", "text": "u"}, {"type": "text", "text": "eb"}]);
    let user = |content: Value| json!({"role": "user", "content": content});
    let turns =
        [user(json!("bl")), calls, result, user(parts), json!({"role": "system", "content": "x"}), user(json!("ird"))];
    let answer = post(&proxy, "/v1/chat/completions", &json!({"model": "m", "messages": turns})).await;
    assert_eq!((answer.status, &*answer.code()), (400, "content_policy_violation"));
    // Of what is not the user's nothing is joined to it.
    let other = chat(&[("user", json!("blue")), ("assistant", json!("bird")), ("user", json!("no"))]);
    assert_eq!(post(&proxy, "/v1/chat/completions", &other).await.status, 429);
}

#[tokio::test]
async fn a_phrase_over_turns_is_redacted_where_each_half_stands() {
    let upstream = Upstream::start(Answer::error(429, "fine")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\"", "redact", "")));
    let body = chat(&[("user", json!("my \"blue")), ("assistant", json!("Go on.")), ("user", json!("bird\n sings"))]);
    assert_eq!(post(&proxy, "/v1/chat/completions", &body).await.status, 429);
    let expected =
        chat(&[("user", json!("my \"[REDACTED:secret]")), ("assistant", json!("Go on.")), ("user", json!("\n sings"))]);
    assert_eq!(upstream.request().json(), expected);
}

#[tokio::test]
async fn who_judges_what_is_asked_now_is_asked_nothing_of_before() {
    let upstream = Upstream::start(Answer::error(429, "fine")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\"", "block", "scope = \"last_user\"")));
    let turn = |role: &'static str, text: &str| (role, json!(text));
    let split = [turn("user", "blue"), turn("assistant", "Go on."), turn("user", "bird")];
    assert_eq!(post(&proxy, "/v1/chat/completions", &chat(&split)).await.status, 429);
    let before = [turn("user", WORD), turn("assistant", "Go on."), turn("user", "no")];
    assert_eq!(post(&proxy, "/v1/chat/completions", &chat(&before)).await.status, 429);
    let now = [
        turn("user", "a"),
        turn("assistant", "Go on."),
        turn("user", "blue"),
        turn("system", "x"),
        turn("user", "bird"),
    ];
    assert_eq!(post(&proxy, "/v1/chat/completions", &chat(&now)).await.status, 400);
}

/// A whole answer of each dialect that says this in its parts, and where one part's text stands.
fn answers(parts: [&str; 2]) -> Vec<(&'static str, Value, Value)> {
    let each = |part: &dyn Fn(&str) -> Value| parts.iter().map(|text| part(text)).collect::<Vec<_>>();
    let said = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let message = |parts: Vec<Value>| json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": parts});
    let response = |output: Vec<Value>| json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": output});
    let choice = |content: Vec<Value>| {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]})
    };
    let input = json!({"model": "m", "input": "hi"});
    let turns = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    vec![
        ("/v1/responses", input.clone(), response(vec![message(each(&said))])),
        ("/v1/responses", input, response(each(&|text| message(vec![said(text)])))),
        ("/v1/chat/completions", turns.clone(), choice(each(&|text| json!({"type": "text", "text": text})))),
        (
            "/v1/messages",
            turns,
            json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": null,
                "content": each(&|text| json!({"type": "text", "text": text})), "usage": {"input_tokens": 1, "output_tokens": 1}}),
        ),
        (
            "/v1beta/models/m:generateContent",
            json!({"contents": [{"parts": [{"text": "hi"}]}]}),
            json!({"candidates": [{"content": {"role": "model", "parts": each(&|text| json!({"text": text}))}, "finishReason": "STOP"}]}),
        ),
        (
            "/model/m/converse",
            json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
            json!({"output": {"message": {"role": "assistant", "content": each(&|text| json!({"text": text}))}}, "stopReason": "end_turn",
                "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}, "metrics": {"latencyMs": 5}}),
        ),
    ]
}

#[tokio::test]
async fn a_phrase_over_parts_of_an_answer_is_seen() {
    let answers = |action| {
        let split = answers(["a blue", "bird sings"]);
        let script = split.iter().map(|(_, _, answer)| Answer::json(answer.to_string())).collect();
        (split, script, words("\"output\"", action, ""))
    };
    let (split, script, guardrail) = answers("block");
    let upstream = Upstream::scripted(script).await;
    let proxy = Proxy::start(config(&upstream, &guardrail));
    for (path, body, _) in &split {
        let answer = post(&proxy, path, body).await;
        assert!(answer.status == 400 && !answer.text().contains("blue"), "{path}: {}", answer.text());
    }
    let (split, script, guardrail) = answers("redact");
    let upstream = Upstream::scripted(script).await;
    let proxy = Proxy::start(config(&upstream, &guardrail));
    for (path, body, clear) in &split {
        let answer = post(&proxy, path, body).await;
        let expected = clear.to_string().replace("a blue", "a [REDACTED:secret]").replace("bird sings", " sings");
        assert_eq!(answer.json(), serde_json::from_str::<Value>(&expected).expect("JSON"), "{path}");
    }
}

/// A stream of responses with a message for each list of parts.
fn told(messages: &[Vec<&str>]) -> Vec<Value> {
    let said = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let response = |status: &str, output: &[Value]| json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "m", "output": output});
    let mut events = vec![json!({"type": "response.created", "response": response("in_progress", &[])})];
    let mut output = Vec::new();
    for (index, parts) in messages.iter().enumerate() {
        let item = |status: &str, parts: &[Value]| json!({"type": "message", "id": format!("msg_{index}"), "role": "assistant", "status": status, "content": parts});
        events.push(
            json!({"type": "response.output_item.added", "output_index": index, "item": item("in_progress", &[])}),
        );
        for (part, text) in parts.iter().enumerate() {
            let at = |kind: &str, name: &str, value: Value| json!({"type": kind, "item_id": format!("msg_{index}"), "output_index": index, "content_index": part, name: value});
            events.push(at("response.content_part.added", "part", said("")));
            events.push(at("response.output_text.delta", "delta", json!(text)));
            events.push(at("response.output_text.done", "text", json!(text)));
            events.push(at("response.content_part.done", "part", said(text)));
        }
        let done = item("completed", &parts.iter().map(|text| said(text)).collect::<Vec<_>>());
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": done}));
        output.push(done);
    }
    events.push(json!({"type": "response.completed", "response": response("completed", &output)}));
    events
}

fn stream(events: &[Value]) -> Answer {
    events.iter().fold(Answer::stream(), |answer, event| answer.event(event.to_string())).end()
}

/// What the SDK's `output_text` is, of the last event; and all deltas.
fn output_text(response: &Response) -> [String; 2] {
    let events: Vec<Value> = response.events().iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    let output = events.iter().rev().find_map(|event| event["response"]["output"].as_array()).expect("a response");
    let parts = output.iter().flat_map(|item| item["content"].as_array().expect("parts"));
    let whole = parts.filter(|part| part["type"] == "output_text").filter_map(|part| part["text"].as_str()).collect();
    [whole, events.iter().filter_map(|event| event["delta"].as_str()).collect()]
}

const SMALL: &str = "window = 8\nlookahead = 16\nmax_hold = \"1h\"";

#[tokio::test]
async fn a_phrase_over_messages_of_a_stream_is_seen() {
    let splits = [
        vec![vec!["Some words that leave. A blue", "bird sings"]],
        vec![vec!["Some words that leave. A blue"], vec!["bird sings"]],
    ];
    for action in ["block", "redact"] {
        let upstream = Upstream::scripted(splits.iter().map(|split| stream(&told(split))).collect()).await;
        let proxy = Proxy::start(config(&upstream, &words("\"output\"", action, "")).stream(SMALL));
        for split in &splits {
            let answer = post(&proxy, "/v1/responses", &json!({"model": "m", "input": "hi", "stream": true})).await;
            let text = answer.text();
            assert!(answer.status == 200 && !text.contains("blue") && !text.contains("bird"), "{text}");
            if action == "redact" {
                let expected = "Some words that leave. A [REDACTED:secret] sings";
                assert_eq!(output_text(&answer), [expected, expected], "{split:?}");
            }
        }
    }
}

#[tokio::test]
async fn texts_that_come_in_another_order_than_they_are_joined_in_end_the_stream() {
    let events = told(&[vec!["bluex", "xbird"]]);
    let (mut turned, mut late, mut retold) = (events.clone(), events.clone(), events.clone());
    // The second part first.
    let second: Vec<_> = turned.drain(6..10).collect();
    turned.splice(2..2, second);
    // The first part, which nothing said before, only with the whole.
    late.drain(2..6);
    late[6]["item"]["content"] = json!([]);
    // Other words in its place, once the second part has come.
    retold[11]["response"]["output"][0]["content"][0]["text"] = json!("blue");
    let cases = [turned, late, retold];
    let upstream = Upstream::scripted(cases.iter().map(|events| stream(events)).collect()).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", "")).stream("window = \"all\""));
    for events in &cases {
        let answer = post(&proxy, "/v1/responses", &json!({"model": "m", "input": "hi", "stream": true})).await;
        assert_eq!(answer.status, 502, "{events:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_item_that_says_nothing_but_its_id_stands_for_what_is_kept() {
    let upstream = Upstream::start(Answer::error(429, "fine")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\"", "block", "")));
    let with = |item: &Value| json!({"model": "m", "input": [item, {"role": "user", "content": "go on"}]});
    for item in [
        json!({"type": "reasoning", "id": "rs_1"}),
        json!({"type": "reasoning", "id": "rs_1", "summary": []}),
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": null, "encrypted_content": null}),
        json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}),
        json!({"type": "message", "id": "msg_1", "role": "assistant"}),
        json!({"id": "msg_1", "role": "assistant", "content": null}),
        json!({"type": null, "id": "msg_1", "role": "user"}),
        json!({"type": "function_call", "id": "fc_1", "name": "f", "call_id": "c"}),
        json!({"type": "function_call_output", "id": "fc_1"}),
        json!({"type": "shell_call", "id": "s"}),
        json!({"type": "tool_search_output", "id": "s", "execution": "client"}),
        json!({"type": "apply_patch_call_output", "id": "a", "call_id": "c"}),
        json!({"type": "configuration_update", "id": "c"}),
    ] {
        let answer = post(&proxy, "/v1/responses", &with(&item)).await;
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["param"]), (400, &json!("input[0].id")), "{item}: {error}");
    }
    assert!(upstream.requests().is_empty());
    for item in [
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}),
        json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}),
        json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]}),
        json!({"type": "message", "id": "msg_1", "role": "assistant", "content": ""}),
        json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []}),
        json!({"type": "apply_patch_call_output", "id": "a", "call_id": "c", "status": "completed"}),
        json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}),
        json!({"type": "function_call_output", "id": "fc_1", "call_id": "c", "output": "x"}),
    ] {
        assert_eq!(post(&proxy, "/v1/responses", &with(&item)).await.status, 429, "{item}");
    }
}

#[tokio::test]
async fn reasoning_that_was_seen_may_be_named() {
    let answer = json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "so", "annotations": []}]}]});
    let upstream = Upstream::scripted(vec![Answer::json(answer.to_string()), Answer::error(429, "fine")]).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\", \"output\"", "block", "")));
    assert_eq!(post(&proxy, "/v1/responses", &json!({"model": "m", "input": "hi"})).await.status, 200);
    // As the SDK's users write it: all of the output, and what they say next.
    let mut input = answer["output"].as_array().expect("items").clone();
    input.push(json!({"role": "user", "content": "go on"}));
    assert_eq!(post(&proxy, "/v1/responses", &json!({"model": "m", "input": input})).await.status, 429);
    input[0]["id"] = json!("rs_2");
    let refused = post(&proxy, "/v1/responses", &json!({"model": "m", "input": input})).await;
    assert_eq!((refused.status, &*refused.code()), (400, "unknown_reference"));
}

#[tokio::test]
async fn a_number_of_an_answer_is_judged_with_all_its_digits() {
    let guardrail = "stage = [\"output\"]\non_error = \"block\"\ndeadline = \"5s\"\n[patterns.regex]\ncode = \"415555\"\n[actions]\ncode = \"block\"\n";
    let scored = |score: &str| {
        format!(r#"{{"id":"modr-1","model":"m","results":[{{"flagged":false,"category_scores":{{"hate":{score}}}}}]}}"#)
    };
    let body = json!({"model": "m", "input": "hi"});
    for (score, status) in [
        ("1.4155550123", 400),
        ("-0.00014155550123", 400),
        ("1.415555e-10", 200),
        ("1.41555501e-100", 400),
        ("0.5", 200),
        ("4155550123", 200),
    ] {
        let upstream = Upstream::start(Answer::json(scored(score))).await;
        let proxy = Proxy::start(config(&upstream, guardrail));
        assert_eq!(post(&proxy, "/v1/moderations", &body).await.status, status, "{score}");
    }
    // A vector is no text.
    let vector = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[-0.0041555501234567,0.25]}],"model":"m"}"#;
    let upstream = Upstream::start(Answer::json(vector)).await;
    let proxy = Proxy::start(config(&upstream, guardrail));
    assert_eq!(post(&proxy, "/v1/embeddings", &body).await.status, 200);
}

#[tokio::test]
async fn a_candidate_of_several_is_judged_whichever_event_brings_it() {
    let event = |index: u32, text: &str, more: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"index":{index}{more}}}]}}"#
        )
    };
    let end = r#","finishReason":"STOP""#;
    let fine = [event(1, "one", ""), event(0, "two", ""), event(1, " more", end), event(0, " still", end)];
    let split = [event(1, "blue", ""), event(0, "two", ""), event(1, "bird", end), event(0, "no", end)];
    let upstream = Upstream::scripted(
        [&fine, &split].iter().map(|events| events.iter().fold(Answer::stream(), Answer::event).end()).collect(),
    )
    .await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", "")));
    let body = json!({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"candidateCount": 2}});
    let path = "/v1beta/models/m:streamGenerateContent?alt=sse";
    let answer = post(&proxy, path, &body).await;
    assert_eq!((answer.status, answer.events()), (200, fine.to_vec()));
    let answer = post(&proxy, path, &body).await;
    assert!(answer.status == 400 && !answer.text().contains("blue"), "{}", answer.text());
}

/// What some readers join, others show apart: there a word ends with its part, whatever stands behind.
#[tokio::test]
async fn a_word_at_the_end_of_a_part_of_a_stream_is_seen() {
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let chat = |delta| [chunk(delta, Value::Null), chunk(json!({}), json!("stop")), json!("[DONE]")];
    let parts = |parts: Value| json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}}]});
    let gemini = |event| [event, json!({"candidates": [{"index": 0, "finishReason": "STOP"}]})];
    let text = |text: &str| json!({"type": "text", "text": text});
    let said = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let asked = json!({"contents": [{"parts": [{"text": "hi"}]}]});
    let streams = [
        ("/v1/chat/completions", &said, chat(json!({"content": [text("a bluebird"), text("s")]})).to_vec()),
        (
            "/v1/chat/completions",
            &said,
            chat(json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "a bluebird", "summary": "s"}]})).to_vec(),
        ),
        (
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            &asked,
            gemini(parts(json!([{"text": "a bluebird"}, {"text": "s"}]))).to_vec(),
        ),
    ];
    let script = |event: &Value| event.as_str().map_or_else(|| event.to_string(), str::to_owned);
    let answers =
        streams.iter().map(|(_, _, events)| events.iter().map(script).fold(Answer::stream(), |a, e| a.event(&e)).end());
    let upstream = Upstream::scripted(answers.collect()).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", "")));
    for (path, body, events) in &streams {
        let answer = post(&proxy, path, body).await;
        assert!(answer.status == 400 && !answer.text().contains(WORD), "{path} {events:?}: {}", answer.text());
    }
}

/// Upstreams make one message of several on end, whoever speaks.
#[tokio::test]
async fn a_phrase_over_messages_on_end_is_seen_whoever_says_them() {
    let upstream = Upstream::start(Answer::error(429, "fine")).await;
    let proxy = Proxy::start(config(&upstream, &words("\"input\"", "block", "")));
    let ask = json!({"role": "user", "content": "go on"});
    let call = |id: &str| json!({"type": "function", "id": id, "function": {"name": "f", "arguments": "{}"}});
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call("c"), call("d")]});
    let result = |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let output = |text: &str| json!({"type": "function_call_output", "call_id": "c", "output": text});
    let bodies = |one: &str, two: &str| {
        let chat = |messages: Value| ("/v1/chat/completions", json!({"model": "m", "messages": messages}));
        vec![
            chat(json!([ask, calls, result("c", one), result("d", two)])),
            chat(json!([said("system", one), said("system", two), ask])),
            chat(json!([ask, said("assistant", one), said("assistant", two)])),
            ("/v1/responses", json!({"model": "m", "input": [ask, output(one), output(two)]})),
            ("/v1/responses", json!({"model": "m", "input": [said("developer", one), said("developer", two), ask]})),
            (
                "/v1/messages",
                json!({"model": "m", "max_tokens": 9, "messages": [ask, said("assistant", one), said("assistant", two)]}),
            ),
            (
                "/api/chat",
                json!({"model": "m", "stream": false, "messages": [said("system", one), said("system", two), ask]}),
            ),
        ]
    };
    let filler = "some words that say nothing at all, ".repeat(200);
    for (path, body) in
        bodies("blue", "bird sings").into_iter().chain(bodies(&format!("{filler}blue"), &format!("bird {filler}")))
    {
        assert_eq!(post(&proxy, path, &body).await.status, 400, "{path}: {body:.200}");
    }
    assert!(upstream.requests().is_empty());
    for (path, body) in bodies(&format!("blue {filler}"), &format!("{filler} bird")) {
        assert_eq!(post(&proxy, path, &body).await.status, 429, "{path}");
    }
}

/// Ids go unjudged; words in the form of one do not.
#[tokio::test]
async fn an_id_with_a_word_in_it_is_judged() {
    let answer = |id: &str| {
        let call = json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
        json!({"id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": [call]}, "finish_reason": "tool_calls"}]})
        .to_string()
    };
    let ids = ["call_a1B2c3D4e5F6", "call_a-bluebird"];
    let upstream = Upstream::scripted(ids.iter().map(|id| Answer::json(answer(id))).collect()).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", "")));
    let body = chat(&[("user", json!("hi"))]);
    let mut statuses = Vec::new();
    for _ in ids {
        statuses.push(post(&proxy, "/v1/chat/completions", &body).await.status);
    }
    assert_eq!(statuses, [200, 400]);
}

/// Parts of forms that the API does not have, and some server has: a lenient client joins them all the same.
#[tokio::test]
async fn a_phrase_over_parts_of_another_form_is_seen() {
    let choice = |content: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]})
    };
    let thought = |text: &str| json!({"type": "thinking", "thinking": [{"type": "text", "text": text}]});
    let message = |text: &str| json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": text});
    let said = chat(&[("user", json!("hi"))]);
    let chats = [
        choice(json!(["a blue", "bird"])),
        choice(json!(["a blue", {"type": "text", "text": "bird"}])),
        choice(json!([["a blue"], ["bird"]])),
        choice(json!([thought("a blue"), thought("bird")])),
        choice(json!([{"type": "x", "value": "a blue"}, {"type": "x", "value": "bird"}])),
    ];
    let response = json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m",
        "output": [message("a blue"), message("bird")]});
    let asked = json!({"model": "m", "input": "hi"});
    let exchanges = chats.iter().map(|answer| ("/v1/chat/completions", &said, answer)).chain([(
        "/v1/responses",
        &asked,
        &response,
    )]);
    let upstream =
        Upstream::scripted(exchanges.clone().map(|(.., answer)| Answer::json(answer.to_string())).collect()).await;
    let proxy = Proxy::start(config(&upstream, &words("\"output\"", "block", "")));
    for (path, body, answer) in exchanges {
        let response = post(&proxy, path, body).await;
        assert!(response.status == 400 && !response.text().contains("blue"), "{answer}: {}", response.text());
    }
}
