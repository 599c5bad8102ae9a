//! Guardrails through the running proxy: what a blocked, edited or noted prompt or answer comes to, on both sides and in the
//! audit.

mod support;

use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Response, Upstream, chat, completion};

fn emails(stages: &str, more: &str) -> String {
    format!(
        "stage = [{stages}]\non_error = \"block\"\ndeadline = \"5s\"\n{more}\n\
         [patterns]\nbuiltin = [\"email\"]\n[actions]\nemail = \"redact\"\n"
    )
}

async fn upstream() -> Upstream {
    Upstream::start(Answer::json(completion("fine"))).await
}

fn decision(response: &Response) -> &str {
    response.head.header("x-portcullis-decision").expect("a decision")
}

fn named(response: &Response) -> &str {
    response.head.header("x-portcullis-guardrails").unwrap_or_default()
}

#[tokio::test]
async fn a_blocked_prompt_ends_at_the_proxy() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &words("\"input\"", "block", "")));
    let mut client = proxy.connect().await;
    let refused = client.chat(chat(&format!("about {WORD}"), false)).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"));
    assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
    assert_eq!(decision(&refused), "block");
    assert_eq!(named(&refused), "words; action=block; label=secret");
    assert!(!refused.text().contains(WORD) && !refused.head.raw.contains(WORD));
    let id = refused.head.header("x-portcullis-id").map(str::to_owned);
    assert!(upstream.requests().is_empty());

    // A stream was asked for: still an error, before any stream.
    let refused = client.chat(chat(WORD, true)).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"));

    // The same connection goes on.
    let answer = client.chat(chat("about birds", false)).await;
    assert_eq!((answer.status, decision(&answer)), (200, "allow"));
    assert_eq!(upstream.requests().len(), 1);

    let audit = proxy.audit(3).await;
    let line = &audit[0];
    assert_eq!(
        (&line["outcome"], &line["stage"], &line["action"]),
        (&json!("blocked"), &json!("input"), &json!("block"))
    );
    assert_eq!((&line["route"], &line["dialect"]), (&json!("chat"), &json!("openai_chat")));
    assert_eq!(line["exchange"].as_str(), id.as_deref());
    let applied = &line["applied"][0];
    assert_eq!(
        (&applied["guardrail"], &applied["label"], &applied["engine"]),
        (&json!("words"), &json!("secret"), &json!("pattern"))
    );
    assert!(applied["took_ms"].is_number() && line["took_ms"].is_number());
    assert_eq!(audit[2]["outcome"], "passed");
    assert!(!audit.iter().any(|line| line.to_string().contains(WORD)));
    proxy.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"blocked\"}", 2.0).await;
    proxy.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"passed\"}", 1.0).await;
    let decisions = "portcullis_decisions_total{route=\"chat\",stage=\"input\",action=";
    proxy.counted(&format!("{decisions}\"block\",mode=\"enforce\"}}"), 2.0).await;
    proxy.counted(&format!("{decisions}\"allow\",mode=\"enforce\"}}"), 1.0).await;
}

#[tokio::test]
async fn a_redacted_prompt_keeps_every_other_byte() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("pii", &emails("\"input\"", "")));
    let before = "{ \"temperature\" : 1.0e0 ,\n\t\"seed\":9007199254740993, \"messages\":[ {\"role\":\"system\",\"content\":\"caf\\u00e9 \\/\"},{\"content\":";
    let after = ",\"role\":\"user\" } ] , \"top_p\":-0E-7,\"model\":\"m\",\r\n\"logit_bias\":{\"50256\":-1e2}}";
    let sent = format!("{before}\"to ann\\u0061@example.org, \\ud83d\\ude00\\tsoon\"{after}");
    let answer = proxy.chat(&sent).await;
    assert_eq!((answer.status, decision(&answer)), (200, "redact"), "{}", answer.text());
    assert_eq!(named(&answer), "pii; action=redact; label=email");
    // What is masked is written anew; nothing else is, and no escape.
    assert_eq!(upstream.request().text(), format!("{before}\"to [REDACTED:email], \\ud83d\\ude00\\tsoon\"{after}"));

    // With nothing to redact, not a byte is touched.
    let sent = format!("{before}\"\\u006eobody \\/\"{after}");
    assert_eq!(proxy.chat(&sent).await.status, 200);
    assert_eq!(upstream.requests()[1].text(), sent);
}

#[tokio::test]
async fn a_mask_may_be_configured_and_tool_arguments_stay_json() {
    let upstream = upstream().await;
    let mask = emails("\"input\"", "") + "[masks]\nemail = '<\"mail\">'\n";
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("pii", &mask));
    let arguments = r#"{"to" : "\u0061nna@example.org", "n":1.0e0}"#;
    let body = json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "send", "arguments": arguments}}]}]});
    assert_eq!(proxy.chat(body.to_string()).await.status, 200);
    let arrived = upstream.request().json();
    let arguments =
        arrived["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().expect("a string").to_owned();
    assert_eq!(arguments, r#"{"to" : "<\"mail\">", "n":1.0e0}"#);
}

#[tokio::test]
async fn annotate_passes_the_bytes_and_names_what_was_found() {
    let upstream = upstream().await;
    let config = Config::new(upstream.address()).guardrail("note", &words("\"input\", \"output\"", "annotate", ""));
    let proxy = Proxy::start(config);
    let sent = format!("{{\"messages\": [{{\"role\":\"user\",\"content\":\"{WORD}\"}}] ,\"model\":\"m\"}}");
    let answer = proxy.chat(&sent).await;
    assert_eq!((answer.status, decision(&answer)), (200, "annotate"));
    assert_eq!(named(&answer), "note; action=annotate; label=secret");
    assert!(answer.head.header("x-portcullis-id").is_some());
    assert_eq!(upstream.request().text(), sent);
    assert_eq!(answer.text(), completion("fine"));
    let labels =
        "route=\"chat\",stage=\"input\",guardrail=\"note\",label=\"secret\",action=\"annotate\",mode=\"enforce\"";
    proxy.counted(&format!("portcullis_findings_total{{{labels}}}"), 1.0).await;
}

/// Chat requests with a text `@` in every place that one can stand, one place each.
fn places() -> Vec<(&'static str, Value)> {
    let messages = |message: Value| json!({"model": "m", "messages": [message, {"role": "user", "content": "hi"}]});
    let with = |name: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body[name] = value;
        body
    };
    let call = |call: Value| messages(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
    let tool = |function: Value| with("tools", json!([{"type": "function", "function": function}]));
    vec![
        ("system", messages(json!({"role": "system", "content": "@"}))),
        ("developer", messages(json!({"role": "developer", "content": "@"}))),
        ("user", messages(json!({"role": "user", "content": "@"}))),
        ("assistant", messages(json!({"role": "assistant", "content": "@"}))),
        ("tool result", messages(json!({"role": "tool", "tool_call_id": "c1", "content": "@"}))),
        ("function result", messages(json!({"role": "function", "name": "f", "content": "@"}))),
        (
            "part",
            messages(
                json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "@"}]}),
            ),
        ),
        (
            "tool result part",
            messages(json!({"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "@"}]})),
        ),
        ("refusal part", messages(json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "@"}]}))),
        ("refusal", messages(json!({"role": "assistant", "refusal": "@"}))),
        ("reasoning_content", messages(json!({"role": "assistant", "content": "a", "reasoning_content": "@"}))),
        ("reasoning", messages(json!({"role": "assistant", "content": "a", "reasoning": "@"}))),
        ("name of a speaker", messages(json!({"role": "user", "content": "a", "name": "@"}))),
        ("tool_call_id", messages(json!({"role": "tool", "tool_call_id": "@", "content": "a"}))),
        ("call's name", call(json!({"id": "c", "type": "function", "function": {"name": "@", "arguments": "{}"}}))),
        ("call's id", call(json!({"id": "@", "type": "function", "function": {"name": "f", "arguments": "{}"}}))),
        (
            "arguments",
            call(json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"q\":\"@\"}"}})),
        ),
        (
            "key of arguments",
            call(json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"@\":1}"}})),
        ),
        (
            "arguments, no JSON",
            call(json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "q=@"}})),
        ),
        ("custom input", call(json!({"id": "c", "type": "custom", "custom": {"name": "f", "input": "@"}}))),
        (
            "function_call",
            messages(json!({"role": "assistant", "function_call": {"name": "f", "arguments": "{\"q\":\"@\"}"}})),
        ),
        ("tool's name", tool(json!({"name": "@"}))),
        ("tool's description", tool(json!({"name": "f", "description": "@"}))),
        (
            "parameter's name",
            tool(json!({"name": "f", "parameters": {"type": "object", "properties": {"@": {"type": "string"}}}})),
        ),
        (
            "parameter's description",
            tool(json!({"name": "f", "parameters": {"properties": {"a": {"description": "@"}}}})),
        ),
        ("enum of a parameter", tool(json!({"name": "f", "parameters": {"properties": {"a": {"enum": ["b", "@"]}}}}))),
        (
            "default of a parameter",
            tool(json!({"name": "f", "parameters": {"properties": {"a": {"default": {"deep": ["@"]}}}}})),
        ),
        ("functions", with("functions", json!([{"name": "f", "description": "@"}]))),
        ("tool_choice", with("tool_choice", json!({"type": "function", "function": {"name": "@"}}))),
        (
            "schema of the answer",
            with(
                "response_format",
                json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"const": "@"}}}),
            ),
        ),
        ("stop", with("stop", json!(["a", "@"]))),
        ("user field", with("user", json!("@"))),
        ("metadata", with("metadata", json!({"k": "@"}))),
        ("key of metadata", with("metadata", json!({"@": "v"}))),
        ("prediction", with("prediction", json!({"type": "content", "content": "@"}))),
        (
            "prediction's part",
            with("prediction", json!({"type": "content", "content": [{"type": "text", "text": "@"}]})),
        ),
        ("safety_identifier", with("safety_identifier", json!("@"))),
        ("prompt_cache_key", with("prompt_cache_key", json!("@"))),
    ]
}

#[tokio::test]
async fn every_text_of_a_prompt_is_judged_wherever_it_stands() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &words("\"input\"", "block", "")));
    let mut client = proxy.connect().await;
    let escaped: String = WORD.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let in_arguments = escaped.replace('\\', "\\\\");
    for (place, body) in places() {
        let body = body.to_string();
        for word in [WORD, &escaped, "blue\\u200bbird", "BLUEBIRD"] {
            let refused = client.chat(body.replace('@', word)).await;
            assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"), "{place}: {word}");
        }
        if place.contains("argument") {
            let refused = client.chat(body.replace('@', &in_arguments)).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (400, "content_policy_violation"),
                "{place}, escaped twice"
            );
        }
    }
    assert!(upstream.requests().is_empty());
    // The places are good ones: with other words they go through.
    for (place, body) in places() {
        let answer = client.chat(body.to_string().replace('@', "robin")).await;
        assert_eq!(answer.status, 200, "{place}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &words("\"input\"", "block", "")));
    let mut client = proxy.connect().await;
    let part = |part: &str| format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
    let member = |member: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{member}}}"#);
    let cases = [
        (part(r#"{"type":"image_url","image_url":{"url":"data:,x"}}"#), "unsupported_content"),
        (part(r#"{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}"#), "unsupported_content"),
        (part(r#"{"type":"file","file":{"file_id":"f"}}"#), "unsupported_content"),
        (part(r#"{"type":"hologram","text":"hi"}"#), "unsupported_content"),
        (member(r#""prompt_token_ids":[1,2]"#), "unsupported_content"),
        (member(r#""audio":{"voice":"x"}"#), "unsupported_content"),
        (member(r#""modalities":["text","audio"]"#), "unsupported_content"),
        (member(r#""tools":[{"type":"mcp","server_url":"http://x"}]"#), "unsupported_content"),
        (member(r#""messages":[]"#), "invalid_request_body"),
        (member(r#""m\u0065ssages":[]"#), "invalid_request_body"),
        (member(r#""Messages":[{"role":"user","content":"x"}]"#), ""),
        (member(r#""n":0"#), "invalid_request_body"),
        (r#"{"messages":[{"role":"critic","content":"hi"}]}"#.into(), "invalid_request_body"),
        (r#"{"messages":[{"content":"hi"}]}"#.into(), "invalid_request_body"),
        (r#"{"messages":"hi"}"#.into(), "invalid_request_body"),
        (r#"{"messages":[{"role":"user","content":7}]}"#.into(), "invalid_request_body"),
        (r#"{"messages":[{"role":"user","content":"\ud800"}]}"#.into(), "invalid_request_body"),
        (r#"[]"#.into(), "invalid_request_body"),
        (format!("\u{feff}{}", chat("hi", false)), "invalid_request_body"),
        (format!("{} {{}}", chat("hi", false)), "invalid_request_body"),
        (member(&format!(r#""metadata":{}"#, "[".repeat(70) + &"]".repeat(70))), "invalid_request_body"),
        (String::new(), "invalid_request_body"),
    ];
    let count = cases.len();
    for (body, code) in cases {
        let refused = client.chat(&body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(code.is_empty() || refused.code() == code, "{body}: {}", refused.text());
        assert!(refused.json()["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    }
    assert!(upstream.requests().is_empty());
    let audit = proxy.audit(count).await;
    assert!(audit.iter().all(|line| line["outcome"] == "refused" && line["status"] == 400 && line["route"] == "chat"));
    assert_eq!(client.chat(chat("hi", false)).await.status, 200);
}

#[tokio::test]
async fn scope_says_which_turns_are_judged() {
    let upstream = upstream().await;
    let block = |scope: &str| words("\"input\"", "block", &format!("scope = \"{scope}\""));
    let last = Proxy::start(Config::new(upstream.address()).guardrail("words", &block("last_user")));
    let all = Proxy::start(Config::new(upstream.address()).guardrail("words", &block("conversation")));
    let turns = |texts: [&str; 4]| {
        let roles = ["system", "user", "assistant", "user"].into_iter().zip(texts);
        let messages: Vec<Value> = roles.map(|(role, text)| json!({"role": role, "content": text})).collect();
        json!({"model": "m", "messages": messages}).to_string()
    };
    for (texts, by_last, by_all) in [
        (["a", "b", "c", "d"], 200, 200),
        ([WORD, "b", "c", "d"], 200, 400),
        (["a", WORD, "c", "d"], 200, 400),
        (["a", "b", WORD, "d"], 200, 400),
        (["a", "b", "c", WORD], 400, 400),
    ] {
        assert_eq!(last.chat(turns(texts)).await.status, by_last, "last_user: {texts:?}");
        assert_eq!(all.chat(turns(texts)).await.status, by_all, "conversation: {texts:?}");
    }
    // A last message in which nobody sees anything leaves the question as it was.
    for said in [
        json!({"role": "user", "content": "", "name": "bob"}),
        json!({"role": "user", "content": "\u{200b}"}),
        json!({"role": "user", "content": [{"type": "text", "text": " \u{2060}\n"}]}),
    ] {
        let asked = json!({"role": "user", "content": WORD});
        let messages = json!({"messages": [asked, {"role": "assistant", "content": "c"}, said]});
        assert_eq!(last.chat(messages.to_string()).await.status, 400, "{messages}");
    }
}

#[tokio::test]
async fn what_the_user_says_outside_of_turns_is_said_now() {
    let upstream = upstream().await;
    let route = |path: &str, dialect: &str| {
        format!(
            "[[route]]\nid = \"{dialect}\"\npath = \"{path}\"\ndialect = \"{dialect}\"\nupstream = \"main\"\nguardrails = [\"words\"]\n"
        )
    };
    let own = "[dialect.own]\nrefusal = '{\"message\": \"{message}\"}'\n\
               [dialect.own.request]\nuser = [\"/message\"]\ncontent = [\"/chat_history/*/message\"]\n\
               turns = \"/chat_history/*\"\nroles = { user = [\"USER\"], assistant = [\"CHATBOT\"] }\n\
               [dialect.own.answer]\ncontent = [\"/text\"]\n";
    let config = Config::new(upstream.address())
        .guardrail("words", &words("\"input\"", "block", "scope = \"last_user\""))
        .section(&route("/completions", "openai_completions"))
        .section(&route("/own", "own"))
        .section(own);
    let proxy = Proxy::start(config);
    let mut client = proxy.connect().await;
    for (path, body, status) in [
        ("/completions", json!({"prompt": "a", "suffix": WORD}), 400),
        ("/completions", json!({"prompt": ["a", "b"], "suffix": WORD}), 400),
        ("/completions", json!({"prompt": ["a", WORD], "suffix": "b"}), 400),
        ("/own", json!({"message": WORD, "chat_history": [{"role": "CHATBOT", "message": "a"}]}), 400),
        ("/own", json!({"message": "a", "chat_history": [{"role": "CHATBOT", "message": WORD}]}), 200),
    ] {
        let answer = client.request("POST", path, &[("content-type", "application/json")], body.to_string()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_block_may_be_told_as_a_message() {
    let upstream = Upstream::start(Answer::json(completion(WORD))).await;
    let config = Config::new(upstream.address())
        .guardrail("words", &words("\"input\", \"output\"", "block", ""))
        .route("on_block = { message = \"I can't \\\"help\\\" with that.\" }");
    let proxy = Proxy::start(config);
    let said = "I can't \"help\" with that.";
    let mut client = proxy.connect().await;
    let answer = client.chat(chat(WORD, false)).await;
    assert_eq!((answer.status, decision(&answer)), (200, "block"));
    let choice = &answer.json()["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!(said), &json!("stop")));
    assert_eq!(answer.json()["model"], "m");

    let answer = client.chat(chat(WORD, true)).await;
    assert_eq!((answer.status, answer.content().as_str()), (200, said));
    assert_eq!(answer.head.header("content-type"), Some("text/event-stream"));
    let events = answer.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert_eq!(events.iter().filter(|data| data.contains("\"finish_reason\":\"stop\"")).count(), 1);
    assert!(upstream.requests().is_empty());

    // An answer that is blocked before any of it has left is told in the same way, asked for as a stream or not.
    let answer = client.chat(chat("hi", false)).await;
    assert_eq!((answer.status, &answer.json()["choices"][0]["message"]["content"]), (200, &json!(said)));
    let answer = client.chat(chat("hi", true)).await;
    assert_eq!((answer.status, answer.content().as_str()), (200, said));
    proxy.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"blocked\"}", 4.0).await;
}

#[tokio::test]
async fn a_blocked_answer_never_leaves() {
    let message = |message: Value| {
        json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"},
                    {"index": 1, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
    };
    let call = |function: Value| {
        message(json!({"role": "assistant", "content": null,
        "tool_calls": [{"id": "c", "type": "function", "function": function}]}))
    };
    let answers = [
        message(json!({"role": "assistant", "content": WORD})),
        message(json!({"role": "assistant", "content": [{"type": "text", "text": WORD}]})),
        message(json!({"role": "assistant", "content": null, "refusal": WORD})),
        message(json!({"role": "assistant", "content": "a", "reasoning_content": WORD})),
        message(json!({"role": "assistant", "content": "a", "reasoning": WORD})),
        message(json!({"role": "assistant", "content": "a", "novelty": {"deep": [WORD]}})),
        message(
            json!({"role": "assistant", "content": "a", "annotations": [{"type": "url_citation", "url_citation": {"title": WORD}}]}),
        ),
        call(json!({"name": "f", "arguments": json!({"q": WORD}).to_string()})),
        call(json!({"name": "f", "arguments": r#"{"q":"\u0062luebird"}"#})),
        call(json!({"name": WORD, "arguments": "{}"})),
        json!({"error": {"message": format!("your prompt said {WORD}"), "type": "x", "code": null}}),
        json!({"id": "c1", "choices": [], "novelty": WORD}),
    ];
    let count = answers.len();
    let mut script: Vec<Answer> = answers.iter().map(|answer| Answer::json(answer.to_string())).collect();
    script.push(Answer::whole(429, "application/json", answers[10].to_string()));
    script.push(Answer::whole(500, "text/plain", WORD));
    script.push(Answer::whole(200, "text/plain", WORD));
    script.push(Answer::json(format!("{{\"choices\":[],\"choices\":[],\"x\":\"{WORD}\"}}")));
    script.push(Answer::head(302, &[("location", &format!("http://{WORD}/")), ("content-length", "0")]));
    let upstream = Upstream::scripted(script).await;
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &words("\"output\"", "block", "")));
    let mut client = proxy.connect().await;
    for index in 0..count + 5 {
        let refused = client.chat(chat("hi", false)).await;
        let blocked = (400, "content_policy_violation");
        let expected = match index.checked_sub(count) {
            None | Some(0) => blocked,
            Some(1) => (500, "upstream_error"),
            Some(_) => (502, "upstream_invalid_response"),
        };
        assert_eq!((refused.status, refused.code().as_str()), expected, "{index}: {}", refused.text());
        assert!(!refused.text().contains("blue") && !refused.head.raw.contains("blue"), "{index}");
    }
    assert!(!proxy.audit(count + 1).await.iter().any(|line| line.to_string().contains("blue")));
}

#[tokio::test]
async fn a_redacted_answer_stays_whole_and_says_it_nowhere_else() {
    let token = |text: &str| json!({"token": text, "logprob": -0.5, "bytes": text.as_bytes(), "top_logprobs": []});
    let answer = |email: &str| {
        json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": format!("to {email}"), "reasoning_content": format!("so {email}")},
             "logprobs": {"content": [token("to "), token(email)], "refusal": null}, "finish_reason": "stop"},
            {"index": 1, "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
             "function": {"name": "send", "arguments": json!({"to": email, "n": 1}).to_string()}}]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}})
    };
    let script = vec![Answer::json(answer("anna@example.org").to_string()), Answer::json(answer("anna").to_string())];
    let upstream = Upstream::scripted(script).await;
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("pii", &emails("\"output\"", "")));
    let response = proxy.chat(chat("hi", false)).await;
    assert_eq!((response.status, decision(&response)), (200, "redact"));
    assert!(!response.text().contains("anna"), "{}", response.text());
    let json = response.json();
    assert_eq!(json["choices"][0]["message"]["content"], "to [REDACTED:email]");
    assert_eq!(json["choices"][0]["message"]["reasoning_content"], "so [REDACTED:email]");
    assert!(json["choices"][0].get("logprobs").is_none_or(Value::is_null));
    let arguments =
        json["choices"][1]["message"]["tool_calls"][0]["function"]["arguments"].as_str().expect("arguments");
    let arguments: Value = serde_json::from_str(arguments).expect("still JSON");
    assert_eq!(arguments, json!({"to": "[REDACTED:email]", "n": 1}));
    assert_eq!(json["usage"]["total_tokens"], 12);
    // Where nothing is changed, log-probabilities stay, and every other byte.
    assert_eq!(proxy.chat(chat("hi", false)).await.text(), answer("anna").to_string());
}

#[tokio::test]
async fn a_redaction_that_can_not_be_made_blocks_and_says_whose_it_is() {
    let message = json!({"role": "assistant", "content": "", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"to\":\"anna\"}"}}]});
    let answer = json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]});
    let upstream = Upstream::start(Answer::json(answer.to_string())).await;
    // What it finds is as much JSON as it is text.
    let keys = |stage: &str| {
        format!(
            "stage = [{stage}]\non_error = \"block\"\n[patterns.regex]\npair = 'to\\W+anna'\n[actions]\npair = \"redact\"\n"
        )
    };
    let blocked = |refused: &Response| {
        assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"), "{}", refused.text());
        assert!(refused.text().contains("`pairs`") && !refused.text().contains("anna"), "{}", refused.text());
        assert_eq!((decision(refused), named(refused)), ("block", "pairs; action=redact; label=pair"));
    };
    let input = Proxy::start(Config::new(upstream.address()).guardrail("pairs", &keys("\"input\"")));
    let refused = input.chat(json!({"model": "m", "messages": [message]}).to_string()).await;
    blocked(&refused);
    assert_eq!(refused.json()["error"]["param"], "messages[0].tool_calls[0].function.arguments");
    assert!(upstream.requests().is_empty());
    let output = Proxy::start(Config::new(upstream.address()).guardrail("pairs", &keys("\"output\"")));
    blocked(&output.chat(chat("hi", false)).await);
    for proxy in [input, output] {
        // The decision alone would say that it passed.
        let audit = proxy.audit(2).await;
        assert_eq!((&audit[0]["outcome"], &audit[0]["action"]), (&json!("passed"), &json!("redact")));
        assert_eq!((&audit[1]["outcome"], &audit[1]["code"]), (&json!("refused"), &json!("content_policy_violation")));
        proxy.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"blocked\"}", 1.0).await;
    }
}

#[tokio::test]
async fn observing_changes_no_byte_and_is_audited() {
    let odd = "{\"id\": \"c1\" ,\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\u0062luebird\"},\"logprobs\":{\"novel\":1.0e0},\n\"finish_reason\":\"stop\"}]}".to_owned();
    let stream = format!(
        ": hi\r\ndata: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{WORD}\"}}}}]}}\r\n\r\ndata: [DONE]\r\n\r\n"
    );
    let script = vec![
        Answer::head(
            200,
            &[("content-type", "application/json"), ("content-length", &odd.len().to_string()), ("x-up", "1")],
        )
        .send(odd.as_bytes()),
        Answer::stream().chunk(&stream).end(),
        Answer::whole(200, "text/plain", WORD),
    ];
    let upstream = Upstream::scripted(script).await;
    let watch = words("\"input\", \"output\"", "block", "mode = \"observe\"");
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("watch", &watch));
    let mut client = proxy.connect().await;
    let sent = chat(WORD, false);
    let answer = client.chat(&sent).await;
    assert_eq!((answer.status, answer.text()), (200, odd));
    assert_eq!((decision(&answer), answer.head.header("x-up"), named(&answer)), ("none", Some("1"), ""));
    assert_eq!(upstream.request().text(), sent);
    assert_eq!(client.chat(&sent).await.text(), stream);
    // What can't be judged is not held up either.
    let odd = format!(r#"{{"messages":[{{"role":"{WORD}","content":7}}],"messages":[]}}"#);
    assert_eq!(client.chat(&odd).await.text(), WORD);
    assert_eq!(upstream.requests()[2].text(), odd);
    let audit = proxy.audit(4).await;
    for stage in ["input", "output"] {
        let lines: Vec<&Value> = audit.iter().filter(|line| line["stage"] == stage).collect();
        assert!(lines.len() >= 2, "{stage}: {audit:?}");
        for line in lines {
            let applied = &line["applied"][0];
            assert_eq!((&line["outcome"], &line["action"]), (&json!("passed"), &json!("allow")));
            assert_eq!(
                (&applied["mode"], &applied["action"], &applied["label"]),
                (&json!("observe"), &json!("block"), &json!("secret"))
            );
        }
    }
    let labels =
        "route=\"chat\",stage=\"output\",guardrail=\"watch\",label=\"secret\",action=\"block\",mode=\"observe\"";
    proxy.counted(&format!("portcullis_findings_total{{{labels}}}"), 2.0).await;
}

#[tokio::test]
async fn a_client_that_leaves_when_it_has_all_has_had_all() {
    let upstream = upstream().await;
    let proxy = Proxy::start(Config::new(upstream.address()).guardrail("words", &words("\"input\"", "block", "")));
    for _ in 0..100 {
        assert_eq!(proxy.chat(chat("hi", false)).await.status, 200);
    }
    proxy.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"passed\"}", 100.0).await;
}
