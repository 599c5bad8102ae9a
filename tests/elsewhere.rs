//! What stands in a request for a text that is elsewhere, brings one, or makes one: refused in every API, since what is judged
//! there would not be what the model reads.

mod support;

use serde_json::{Value, json};
use support::{Answer, Client, Config, Proxy, Upstream, completion};

/// A path for each dialect that is built in, and a request that passes.
fn dialects() -> Vec<(&'static str, &'static str, Value)> {
    let said = json!([{"role": "user", "content": "hi"}]);
    let part = json!([{"role": "user", "content": [{"type": "text", "text": "hi"}]}]);
    let blocks = json!([{"role": "user", "content": [{"text": "hi"}]}]);
    vec![
        ("openai_chat", "/chat", json!({"messages": part})),
        ("openai_responses", "/responses", json!({"input": said})),
        ("openai_completions", "/completions", json!({"prompt": "hi"})),
        ("openai_embeddings", "/embeddings", json!({"input": "hi"})),
        ("openai_moderations", "/moderations", json!({"input": "hi"})),
        ("openai_images", "/images", json!({"prompt": "hi"})),
        ("anthropic", "/messages", json!({"messages": part})),
        ("ollama_chat", "/ollama/chat", json!({"messages": said})),
        ("ollama_generate", "/ollama/generate", json!({"prompt": "hi"})),
        ("gemini", "/models/m:generateContent", json!({"contents": [{"parts": [{"text": "hi"}]}]})),
        ("bedrock_converse", "/model/m/converse", json!({"messages": blocks})),
    ]
}

async fn start() -> (Upstream, Proxy) {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let config = Config::new(upstream.address()).block("\"input\"", &["forbidden"]);
    let route = |config: Config, (dialect, path, _): (&str, &str, Value)| {
        config.section(&format!(
            "[[route]]\nid = \"r-{dialect}\"\npath = \"{path}\"\ndialect = \"{dialect}\"\nupstream = \"main\"\nguardrails = [\"words\"]\n"
        ))
    };
    let proxy = Proxy::start(dialects().into_iter().fold(config, route));
    (upstream, proxy)
}

async fn status(client: &mut Client, path: &str, body: &Value) -> (u16, String) {
    let answer = client.request("POST", path, &[("content-type", "application/json")], body.to_string()).await;
    (answer.status, answer.text())
}

/// The request of each dialect with one of these members more, unless it has it itself.
fn with_each(more: &Value) -> impl Iterator<Item = (&'static str, Value)> {
    let members = more.as_object().expect("an object").clone();
    dialects().into_iter().flat_map(move |(_, path, body)| {
        let own = body.clone();
        members.clone().into_iter().filter(move |(name, _)| own.get(name).is_none()).map(move |(name, value)| {
            let mut body = body.clone();
            body[name] = value;
            (path, body)
        })
    })
}

#[tokio::test]
async fn what_stands_for_a_text_elsewhere_is_refused_by_every_dialect() {
    let (upstream, proxy) = start().await;
    let mut client = proxy.connect().await;
    let kept = json!({
        "cached_content": "cachedContents/x",
        "previousInteractionId": "x",
        "conversation": "conv_x",
        "conversation_id": "x",
        "thread_id": "x",
        "prompt": {"id": "pmpt_x"},
        "prompt_id": "x",
        "preset": "x",
        "file_ids": ["file-x"],
        "files": ["file-x"],
        "skills": ["x"],
        "agent": "x",
        "agent_reference": {"type": "agent_reference", "name": "x"},
        "structured_inputs": {"a": "b"},
        "session_params": {"id": "x"},
        "kv_transfer_params": {"remote_engine_id": "x"},
        "memory_stores": ["x"],
    });
    let fetched = json!({
        "data_sources": [{"type": "azure_search"}],
        "web_search_options": {},
        "search_parameters": {"mode": "on"},
        "plugins": [{"id": "web"}],
        "enable_search": true,
        "mcp_servers": [{"url": "https://example.com"}],
        "knowledgeBase": "x",
        "connectors": [{"id": "web-search"}],
        "force_search_enhancement": true,
        "tool_ids": ["server:mcp:x"],
    });
    let of_types = json!({
        "extra_body": {"tools": [{"type": "web_search"}]},
        "fallbacks": [{"model": "x", "tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}],
        "more_tools": [{"type": "code-interpreter"}],
    });
    let led =
        json!({"api_base": "https://example.com", "baseURL": "https://example.com", "user_config": {"model_list": []}});
    let no_text = json!({
        "images": ["AAAA"],
        "image_url": "https://example.com/a.png",
        "init_image": "AAAA",
        "input_images": ["AAAA"],
        "media": ["AAAA"],
        "source": {"type": "base64", "data": "AAAA"},
    });
    let programs_and_copies = json!({
        "chat_template": "x",
        "chat_template_kwargs": {"chat_template": "x"},
        "Chat-Template-Kwargs": {"note": "{{ 'forbid' + 'den' }}"},
        "template": "x",
        "grammar": "root ::= \"x\"",
        "guided_regex": "x",
        "return_token_ids": true,
        "return_tokens_as_token_ids": true,
    });
    let deeper = json!({
        "extra_body": {"google": {"cached_content": "x"}},
        "messages_": [{"role": "user", "images": ["AAAA"]}],
        "tool_config": {"tools": [{"systemTool": {"name": "grounding"}}, {"googleSearch": {}}]},
    });
    let all = [kept, fetched, of_types, led, no_text, programs_and_copies, deeper];
    for (path, body) in all.iter().flat_map(with_each) {
        let (status, text) = status(&mut client, path, &body).await;
        assert!(status == 400 && text.contains("this route"), "{path} {body}: {status} {text}");
    }
    assert!(upstream.requests().is_empty());
}

/// OpenRouter takes a prompt that it keeps, or a search, for part of a model's name.
#[tokio::test]
async fn a_models_name_that_stands_for_more_is_refused() {
    let (upstream, proxy) = start().await;
    let mut client = proxy.connect().await;
    let names = ["@preset/x", "openai/gpt-4o@preset/x", "openai/gpt-4o:online"];
    let in_paths = ["/models/m:generateContent", "/model/m/converse"];
    let bodies = || dialects().into_iter().filter(|(_, path, _)| !in_paths.contains(path));
    for (name, (_, path, body)) in names.into_iter().flat_map(|name| bodies().map(move |body| (name, body))) {
        for more in [json!({"model": name}), json!({"model": "m", "models": ["m", name]})] {
            let mut body = body.clone();
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let (status, text) = status(&mut client, path, &body).await;
            assert!(status == 400 && text.contains("this route"), "{path} {body}: {status} {text}");
        }
    }
    assert!(upstream.requests().is_empty());
    for name in ["meta-llama/llama-3:free", "gpt-4o@2024-08-06", "accounts/x/models/preset", "online"] {
        let body = json!({"model": name, "models": [name], "messages": []});
        assert_eq!(status(&mut client, "/chat", &body).await.0, 200, "{name}");
    }
}

#[tokio::test]
async fn it_is_refused_in_a_message_a_part_and_a_tool() {
    let (upstream, proxy) = start().await;
    let mut client = proxy.connect().await;
    let members = [
        json!({"file_id": "file-x"}),
        json!({"document_url": "https://example.com/a.pdf"}),
        json!({"image_file": {"file_id": "file-x"}}),
        json!({"inline_data": {"data": "AAAA"}}),
        json!({"input_image": "AAAA"}),
        json!({"source": {"type": "base64", "data": "AAAA"}}),
        json!({"googleSearch": {}}),
        json!({"fileIds": ["file-x"]}),
    ];
    let with = |mut object: Value, more: &Value| {
        let more = more.as_object().expect("an object").clone();
        object.as_object_mut().expect("an object").extend(more);
        object
    };
    for more in &members {
        let message = with(json!({"role": "user", "content": "hi"}), more);
        let part = with(json!({"type": "text", "text": "hi"}), more);
        let tool = with(json!({"type": "function", "function": {"name": "f"}}), more);
        let function = json!({"type": "function", "function": with(json!({"name": "f"}), more)});
        let mut bodies = vec![
            ("/chat", json!({"messages": [message]})),
            ("/chat", json!({"messages": [{"role": "user", "content": [part]}]})),
            ("/chat", json!({"messages": [], "tools": [tool]})),
            ("/chat", json!({"messages": [], "tools": [function]})),
            ("/ollama/chat", json!({"messages": [message]})),
            ("/ollama/chat", json!({"messages": [], "tools": [tool]})),
            ("/messages", json!({"messages": [message]})),
            ("/messages", json!({"messages": [], "fallbacks": [message]})),
        ];
        bodies.push(("/messages", json!({"messages": [{"role": "user", "content": [part]}]})));
        for (path, body) in bodies {
            let (status, text) = status(&mut client, path, &body).await;
            assert_eq!(status, 400, "{path} {body}: {text}");
        }
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn what_is_switched_off_or_the_clients_own_passes() {
    let (_upstream, proxy) = start().await;
    let mut client = proxy.connect().await;
    let more = json!({
        "data_sources": [],
        "plugins": null,
        "enable_search": false,
        "return_token_ids": false,
        "prompt_id": "",
        "chat_template_kwargs": {"enable_thinking": false, "note": "a { b } c"},
        // As a string it is one more text.
        "source": "a book",
        "documents": [{"title": "a", "text": "b", "source": "c"}],
        "extra_body": {"metadata": {"file_ids": ["a"], "agent": "b"}},
    });
    for (path, body) in with_each(&more) {
        // A member of the dialect's own has its own rule.
        let (status, text) = status(&mut client, path, &body).await;
        assert_eq!(status, 200, "{path} {body}: {text}");
    }
    let own = json!({"agent": "a", "file_ids": ["b"], "template": "c", "image_url": {"source": {}}, "web_search_options": {}});
    let schema = json!({"type": "object", "properties": own.clone(), "default": own.clone()});
    let arguments = own.to_string();
    for (path, body) in [
        ("/chat", json!({"messages": [{"role": "user", "content": "hi"}], "metadata": own})),
        (
            "/chat",
            json!({"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function",
                "function": {"name": "f", "arguments": arguments}}]}],
                "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}),
        ),
        (
            "/messages",
            json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": own}]}],
                "tools": [{"name": "f", "input_schema": schema}], "metadata": own}),
        ),
        (
            "/ollama/chat",
            json!({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": own}}]}],
                "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}),
        ),
        (
            "/models/m:generateContent",
            json!({"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": own}}]}],
                "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}], "labels": own}),
        ),
        (
            "/model/m/converse",
            json!({"messages": [{"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "f", "input": own}}]}],
                "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": schema}}}]}}),
        ),
    ] {
        let (status, text) = status(&mut client, path, &body).await;
        assert_eq!(status, 200, "{path} {body}: {text}");
    }
}
