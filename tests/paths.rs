//! Paths: what has no route of its own gets nowhere, over HTTP/1 and HTTP/2; and no other spelling, method or model leads
//! around a guardrail.

mod support;

use support::h2::H2Client;
use support::{Answer, Config, Proxy, Upstream, chat, completion};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn upstream() -> Upstream {
    Upstream::start(Answer::json(completion("fine"))).await
}

fn guarded(upstream: &Upstream) -> Proxy {
    Proxy::start(Config::new(upstream.address()).block("\"input\", \"output\"", &["forbidden"]))
}

/// Other spellings of the judged path, as servers with looser rules take them for it.
const SPELLINGS: [&str; 62] = [
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat//completions",
    "/v1/chat/completions/",
    "/v1/chat/completions//",
    "/v1/chat/completions/.",
    "/v1/chat/completions/..",
    "/v1/chat/completions/../completions",
    "/./v1/chat/completions",
    "/v1/./chat/completions",
    "/x/../v1/chat/completions",
    "/../v1/chat/completions",
    "/.../v1/chat/completions",
    "/v1/chat/./completions",
    "/v1/chat/x/%2e%2e/completions",
    "/v1/chat/%2e/completions",
    "/v1/chat/.%2e/completions",
    "/v1/chat/%252e%252e/completions",
    "/v1%2fchat/completions",
    "/v1%2Fchat/completions",
    "/v1%5cchat/completions",
    "/v1%255cchat/completions",
    "/v1%252fchat/completions",
    "/v1\\chat\\completions",
    "/v1/chat\\completions",
    "/v1/chat/completions;",
    "/v1/chat/completions;a=b",
    "/v1;a=b/chat/completions",
    "/v1/chat/completions%3b",
    "/v1/chat/completions%3Ba=b",
    "/v1/chat/completions%00",
    "/v1/chat/completions%00.json",
    "/v1/chat/completions%0a",
    "/v1/chat/completions%0d%0ax:y",
    "/v1/chat/completions%09",
    "/v1/chat/completions%20",
    "/%20v1/chat/completions",
    "/v1/chat/completions%",
    "/v1/chat/completions%2",
    "/v1/chat/completions%zz",
    "/v1/chat/completions%u002f",
    "/v1/chat/completions%3f",
    "/v1/chat/completions%3Fx=1",
    "/v1/chat/completions%23",
    "/v1/chat/completions.json",
    "/v1/chat/completions%2ejson",
    "/v1/chat/completions:x",
    "/v1/chat/completions,x",
    "/v1/chat/completions~",
    "/v1/chat/completion",
    "/v1/chat/completionss",
    "/v1/chat",
    "/V1/chat/completions",
    "/v1/Chat/Completions",
    "/V1/CHAT/COMPLETIONS",
    "/v1/chat/completion%53",
    "/v1/chat/compl%c3%a9tions",
    "/v1/chat/%c0%afcompletions",
    "/v1%c0%afchat/completions",
    "/v1%ef%bc%8fchat/completions",
    "/api/v1/chat/completions",
    "/",
];

#[tokio::test]
async fn another_spelling_leads_nowhere() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let body = chat("forbidden", false);
    let mut client = proxy.connect().await;
    let mut h2 = H2Client::connect(proxy.address).await;
    for path in SPELLINGS {
        let answer = client.request("POST", path, &[JSON], &body).await;
        assert!(
            matches!((answer.status, &*answer.code()), (400, "invalid_path") | (404, "route_not_found")),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        // A client library refuses to send some of them.
        if http::Uri::try_from(path).is_ok() {
            let status = h2.open("POST", path, &[JSON], body.clone()).await.status().as_u16();
            assert!(matches!(status, 400 | 404), "{path}: {status} over HTTP/2");
        }
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn what_is_forwarded_is_the_one_form() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let spelled: String = CHAT.bytes().map(|b| if b == b'/' { "/".into() } else { format!("%{b:02x}") }).collect();
    let mut client = proxy.connect().await;
    for path in [CHAT, "/%76%31/chat/%63ompletions", "/v1/chat/%43ompletions", &spelled, "/v1/chat/completions#x"] {
        let before = upstream.requests().len();
        let refused = client.request("POST", path, &[JSON], chat("forbidden", false)).await.status;
        let answer = client.request("POST", path, &[JSON], chat("hello", false)).await;
        let sent = upstream.requests().split_off(before);
        assert!(refused == 400 || refused == 404, "{path}: {refused}");
        assert!(sent.iter().all(|sent| sent.head.start == format!("POST {CHAT} HTTP/1.1")), "{path}: {sent:?}");
        assert_eq!(sent.len(), usize::from(answer.status == 200), "{path}");
    }
    assert!(upstream.requests().len() >= 3);
}

/// Paths on which the APIs that people put behind a proxy take a prompt, keep one, or change what answers.
const OTHERS: [&str; 66] = [
    "/v1/completions",
    "/v1/responses",
    "/v1/responses/resp_1",
    "/v1/responses/resp_1/input_items",
    "/v1/responses/compact",
    "/v1/conversations",
    "/v1/conversations/conv_1/items",
    "/v1/threads",
    "/v1/threads/runs",
    "/v1/threads/t/messages",
    "/v1/assistants",
    "/v1/chat/completions/chatcmpl_1",
    "/v1/chat/completions/chatcmpl_1/messages",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/videos",
    "/v1/files",
    "/v1/uploads",
    "/v1/batches",
    "/v1/fine_tuning/jobs",
    "/v1/vector_stores",
    "/v1/vector_stores/vs_1/search",
    "/v1/evals",
    "/v1/containers",
    "/v1/realtime",
    "/v1/realtime/client_secrets",
    "/v1/realtime/sessions",
    "/v1/realtime/transcription_sessions",
    "/v1/realtime/calls",
    "/v1/rerank",
    "/rerank",
    "/v2/rerank",
    "/v1/score",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/messages/batches",
    "/v1/complete",
    "/openai/deployments/x/chat/completions",
    "/openai/v1/chat/completions",
    "/openai/responses",
    "/model/anthropic.claude/converse",
    "/model/anthropic.claude/converse-stream",
    "/model/anthropic.claude/invoke",
    "/v1beta/models/gemini:generateContent",
    "/v1beta/models/gemini:streamGenerateContent",
    "/v1beta/cachedContents",
    "/api/chat",
    "/api/generate",
    "/api/create",
    "/api/pull",
    "/api/delete",
    "/slots",
    "/props",
    "/apply-template",
    "/infill",
    "/completion",
    "/tokenize",
    "/v1/load_lora_adapter",
    "/mcp",
    "/a2a",
];

#[tokio::test]
async fn what_is_not_named_is_denied() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let mut client = proxy.connect().await;
    for path in OTHERS {
        for (method, body) in [("POST", "{\"jsonrpc\":\"2.0\"}"), ("GET", ""), ("DELETE", ""), ("PUT", "{}")] {
            let answer = client.request(method, path, &[JSON], body).await;
            assert_eq!((answer.status, &*answer.code()), (404, "route_not_found"), "{method} {path}");
        }
    }
    // A connection that asks for another protocol gets HTTP.
    for upgrade in ["websocket", "h2c", "tls/1.2"] {
        let headers = [("connection", "upgrade"), ("upgrade", upgrade), ("sec-websocket-key", "AAAA")];
        let answer = client.request("GET", "/v1/realtime?model=gpt-realtime", &headers, "").await;
        assert_eq!((answer.status, answer.interim.len()), (404, 0), "{upgrade}");
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn methods_are_those_of_the_route() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    for method in
        ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "Post", "pOsT", "PROPFIND", "QUERY", "X"]
    {
        let mut client = proxy.connect().await;
        client.send(support::client::request(method, CHAT, &[JSON], "")).await;
        let head = client.open().await;
        assert_eq!((head.status, head.head.header("allow")), (405, Some("POST")), "{method}");
    }
    // No header says otherwise.
    for name in ["x-http-method-override", "x-http-method", "x-method-override", "x-original-method"] {
        let body = chat("hello", false);
        assert_eq!(proxy.connect().await.request("POST", CHAT, &[JSON, (name, "DELETE")], body).await.status, 200);
        assert!(upstream.requests().iter().all(|sent| sent.head.header(name).is_none()), "{name}");
    }
}

#[tokio::test]
async fn no_name_of_a_model_leads_around() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let mut client = proxy.connect().await;
    let body = |model: &str, text: &str| {
        serde_json::json!({"model": model, "messages": [{"role": "user", "content": text}]}).to_string()
    };
    for model in ["m", "", "gpt-4o", "group/any", "router:fast", "unguarded", "../m", "m@latest", "portcullis-bypass"] {
        assert_eq!(client.chat(body(model, "forbidden")).await.status, 400, "{model}");
    }
    assert!(upstream.requests().is_empty());
    for model in ["a b", "x\ny", "<m>", &"m".repeat(1000)] {
        assert_eq!(client.chat(body(model, "hello")).await.code(), "invalid_request_body", "{model:?}");
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn no_header_leads_elsewhere() {
    let upstream = upstream().await;
    let pass = "[[route]]\nid = \"files\"\npath = \"/v1/files\"\nupstream = \"main\"\npass = true";
    let proxy = Proxy::start(Config::new(upstream.address()).block("\"input\"", &["forbidden"]).section(pass));
    let mut client = proxy.connect().await;
    for name in [
        "x-forwarded-uri",
        "x-forwarded-path",
        "x-original-uri",
        "x-original-host",
        "x-envoy-original-path",
        "x-accel-redirect",
        "x-target-url",
        "x-upstream",
        "x-http-destinationurl",
        "x-portkey-config",
        "helicone-prompt-id",
        "helicone-target-url",
        "x-litellm-tags",
        "cf-aig-cache-key",
        "request-uri",
    ] {
        let before = upstream.requests().len();
        assert_eq!(client.request("POST", CHAT, &[JSON, (name, "/x")], chat("hello", false)).await.status, 200);
        assert_eq!(client.request("GET", "/v1/files", &[(name, "/x")], "").await.status, 200);
        let sent = upstream.requests().split_off(before);
        assert!(sent.len() == 2 && sent.iter().all(|sent| sent.head.header(name).is_none()), "{name}");
    }
}

#[tokio::test]
async fn what_the_path_and_the_query_say_is_judged() {
    let upstream = upstream().await;
    let route = |id: &str, path: &str, dialect: &str, query: &str| {
        format!(
            "[[route]]\nid = \"{id}\"\npath = \"{path}\"\ndialect = \"{dialect}\"\nupstream = \"main\"\nguardrails = [\"words\"]\n\
             query = [{query}]\n"
        )
    };
    let config = Config::new(upstream.address())
        .block("\"input\"", &["forbidden"])
        .section(&route("azure", "/deployments/{deployment}/chat/completions", "openai_chat", "\"api-version\""))
        .section(&route("gemini", "/models/{model}:generateContent", "gemini", "\"key\""))
        .section(&route("converse", "/model/{model}/converse", "bedrock_converse", ""));
    let proxy = Proxy::start(config);
    let mut client = proxy.connect().await;
    let gemini = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
    let bedrock = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let chat = &*chat("hi", false);
    for (path, body, status) in [
        ("/deployments/forbidden/chat/completions", chat, 400),
        ("/deployments/a/chat/completions?api-version=forbidden", chat, 400),
        ("/deployments/a/chat/completions?api-version=2024-10-21", chat, 200),
        ("/models/forbidden:generateContent", gemini, 400),
        // A key is no word.
        ("/models/m:generateContent?key=forbidden", gemini, 200),
        ("/model/forbidden/converse", bedrock, 400),
        ("/model/m/converse", bedrock, 200),
    ] {
        let answer = client.request("POST", path, &[JSON], body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    assert_eq!(upstream.requests().len(), 3);
}
