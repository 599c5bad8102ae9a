//! Pictures, sound and files: refused on judged routes, or, where the route says so, let by and told.

mod support;

use portcullis::cli::check;
use portcullis::config;
use serde_json::{Value, json};
use support::config::{WORD, words};
use support::{Answer, Config, Proxy, Response, Upstream, completion, last_chunk};

/// The first bytes of a PNG.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";

const UNJUDGED: &str = "x-portcullis-unjudged";

async fn post(proxy: &Proxy, path: &str, body: &Value) -> Response {
    proxy.connect().await.request("POST", path, &[("content-type", "application/json")], body.to_string()).await
}

/// A chat request with a text and an image.
fn seen(url: &str, title: &str) -> Value {
    let image = json!({"type": "image_url", "image_url": {"url": url, "detail": title}});
    json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, image]}]})
}

fn data(media_type: &str, base64: &str) -> String {
    format!("data:{media_type};base64,{base64}")
}

#[tokio::test]
async fn an_image_is_refused_unless_the_route_lets_it_by() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    for pass in ["", "pass_media = []", "pass_media = [\"audio\", \"file\"]"] {
        let config = Config::new(upstream.address()).guardrail("words", &words("\"input\"", "block", "")).route(pass);
        let proxy = Proxy::start(config);
        let refused = proxy.chat(seen(&data("image/png", PNG), "low").to_string()).await;
        assert_eq!((refused.status, &*refused.code()), (400, "unsupported_content"), "{pass}");
        assert_eq!(refused.head.header(UNJUDGED), None);
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn what_goes_by_is_told_in_header_metrics_and_audit() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let config = Config::new(upstream.address())
        .guardrail("words", &words("\"input\", \"output\"", "block", ""))
        .route("pass_media = [\"image\", \"file\"]");
    let proxy = Proxy::start(config);
    let image = json!({"type": "image_url", "image_url": {"url": data("image/png", PNG)}});
    let file = json!({"type": "file", "file": {"file_data": data("application/pdf", PNG), "filename": "a.pdf"}});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [image, file, image]}]}).to_string();
    let answer = proxy.chat(&body).await;
    assert_eq!((answer.status, answer.head.header(UNJUDGED)), (200, Some("image, file")));
    assert_eq!(answer.head.header("x-portcullis-decision"), Some("allow"));
    assert_eq!(upstream.request().text(), body, "as it came");
    proxy.counted("portcullis_media_total{route=\"chat\",stage=\"input\",kind=\"image\"}", 2.0).await;
    proxy.counted("portcullis_media_total{route=\"chat\",stage=\"input\",kind=\"file\"}", 1.0).await;
    let told = proxy.audited(1, |line| line["outcome"] == "unjudged").await;
    assert_eq!((&told[0]["stage"], &told[0]["route"]), (&json!("input"), &json!("chat")));
    assert_eq!(told[0]["media"], json!({"file": 1, "image": 2}));
    // Without media nothing is said of it.
    let plain = proxy.chat(support::chat("hi", false)).await;
    assert_eq!((plain.status, plain.head.header(UNJUDGED)), (200, None));
    assert_eq!(proxy.audited(1, |line| line["outcome"] == "unjudged").await.len(), 1);
}

#[tokio::test]
async fn what_can_be_read_is_judged_all_the_same() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let config = Config::new(upstream.address())
        .guardrail("words", &words("\"input\"", "block", ""))
        .route("pass_media = [\"image\", \"file\"]");
    let proxy = Proxy::start(config);
    // `a bluebird` in base64.
    let hidden = "YSBibHVlYmlyZA==";
    let file = |name: &str, data: &str| {
        let file = json!({"type": "file", "file": {"file_data": data, "filename": name}});
        json!({"model": "m", "messages": [{"role": "user", "content": [file]}]})
    };
    for body in [
        seen(&data("text/plain", hidden), "low"),
        seen(&data("application/json", hidden), "low"),
        seen(&data("image/png", hidden), "low"),
        seen(&data("image/svg+xml", hidden), "low"),
        seen("data:,a%20bluebird", "low"),
        seen("https://example.com/bluebird.png", "low"),
        seen(&data("image/png", PNG), WORD),
        file(WORD, &data("application/pdf", PNG)),
        file("a.txt", hidden),
    ] {
        let blocked = proxy.chat(body.to_string()).await;
        assert_eq!((blocked.status, &*blocked.code()), (400, "content_policy_violation"), "{body}");
        assert_eq!(blocked.head.header(UNJUDGED), None, "nothing went by");
    }
    for body in [
        seen("file:///etc/passwd", "low"),
        seen("http://169.254.169.254/latest/meta-data", "low"),
        seen("https://user@example.com/", "low"),
        seen(&data("text/plain;charset=utf-16", "YQBiAA=="), "low"),
        file("a.pdf", "%%%"),
    ] {
        let refused = proxy.chat(body.to_string()).await;
        assert_eq!((refused.status, &*refused.code()), (400, "invalid_request_body"), "{body}");
    }
    let id = json!({"type": "file", "file": {"file_id": "file-1"}});
    let id = json!({"model": "m", "messages": [{"role": "user", "content": [id]}]});
    assert_eq!(proxy.chat(id.to_string()).await.code(), "unsupported_content");
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn pictures_of_an_answer_go_by_where_they_may() {
    let picture = json!({"created": 1, "data": [{"b64_json": PNG, "revised_prompt": "a cat"}]});
    let told = json!({"created": 1, "data": [{"b64_json": PNG, "revised_prompt": "a bluebird"}]});
    let script = [&picture, &told].map(|body| Answer::json(body.to_string())).to_vec();
    let upstream = Upstream::scripted(script).await;
    let route = "[[route]]\nid = \"draw\"\npath = \"/v1/images/generations\"\ndialect = \"openai_images\"\nupstream = \"main\"\n\
                 guardrails = [\"words\"]\npass_media = [\"image\"]\n";
    let config = Config::new(upstream.address()).guardrail("words", &words("\"output\"", "block", "")).section(route);
    let proxy = Proxy::start(config);
    let answer = post(&proxy, "/v1/images/generations", &json!({"prompt": "a cat"})).await;
    assert_eq!((answer.status, answer.head.header(UNJUDGED)), (200, Some("image")));
    assert_eq!(answer.json(), picture);
    proxy.counted("portcullis_media_total{route=\"draw\",stage=\"output\",kind=\"image\"}", 1.0).await;
    assert_eq!(proxy.audited(1, |line| line["outcome"] == "unjudged").await[0]["stage"], "output");
    let blocked = post(&proxy, "/v1/images/generations", &json!({"prompt": "a cat"})).await;
    assert_eq!((blocked.status, blocked.head.header(UNJUDGED)), (400, None));
    assert!(!blocked.text().contains("iVBOR"));
}

#[tokio::test]
async fn pictures_in_a_stream_are_told_once_it_is_over() {
    let event = |parts: Value, finish: Value| {
        json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0, "finishReason": finish}]})
            .to_string()
    };
    let image = json!([{"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]);
    let answer = Answer::stream().event(event(image, Value::Null)).event(event(json!([]), json!("STOP"))).end();
    let upstream = Upstream::start(answer).await;
    let route = "[[route]]\nid = \"gemini\"\npath = \"/v1beta/models/{model}:streamGenerateContent\"\ndialect = \"gemini\"\n\
                 upstream = \"main\"\nguardrails = [\"words\"]\nquery = [\"alt=sse\"]\npass_media = [\"image\"]\n";
    let config = Config::new(upstream.address()).guardrail("words", &words("\"output\"", "block", "")).section(route);
    let proxy = Proxy::start(config);
    let body = json!({"contents": [{"parts": [{"text": "draw"}]}], "generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}});
    let answer = post(&proxy, "/v1beta/models/m:streamGenerateContent?alt=sse", &body).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(PNG));
    proxy.counted("portcullis_media_total{route=\"gemini\",stage=\"output\",kind=\"image\"}", 1.0).await;
}

#[tokio::test]
async fn pictures_of_a_chat_model_are_refused_unless_they_may_go_by() {
    let long = PNG.trim_end_matches('=').repeat(4);
    let part = json!({"type": "image_url", "image_url": {"url": data("image/png", &long)}, "index": 0});
    let whole = |said: Value| {
        let choice = json!({"index": 0, "message": said, "finish_reason": "stop"});
        Answer::json(json!({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}).to_string())
    };
    let piece = json!({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": "see", "images": [part]}}]});
    let answers = [
        (whole(json!({"content": "see", "images": [part]})), "image"),
        (whole(json!({"content": [{"type": "text", "text": "see"}, part]})), "image"),
        (whole(json!({"content": "see", "image": {"b64_json": long}})), "image"),
        (Answer::events([piece.to_string(), last_chunk("stop")]), "image"),
        (whole(json!({"content": "see", "drawing": {"bytes": long}})), "file"),
        (whole(json!({"content": "see", "drawing": [data("image/webp", PNG)]})), "file"),
    ];
    for (answer, kind) in answers {
        for passes in [false, true] {
            let upstream = Upstream::start(answer.clone()).await;
            let pass = if passes { format!("pass_media = [\"{kind}\"]") } else { String::new() };
            let config = Config::new(upstream.address()).guardrail("words", &words("\"output\"", "block", ""));
            let proxy = Proxy::start(config.route(&pass));
            let text = proxy.chat(support::chat("draw", true)).await.text();
            assert_eq!(text.contains("iVBOR"), passes, "{text}");
            if passes {
                let count = format!("portcullis_media_total{{route=\"chat\",stage=\"output\",kind=\"{kind}\"}}");
                proxy.counted(&count, 1.0).await;
            }
        }
    }
}

#[test]
fn a_check_shows_what_passes_unjudged() {
    let config = Config::new(([127, 0, 0, 1], 1).into()).route("pass_media = [\"file\", \"image\"]");
    config.save();
    let plan = check::plan(&config::load(&config.path()).expect("a sound configuration"));
    let how = "openai_chat, a block is an error, image passes unjudged, file passes unjudged";
    assert!(plan.contains(how), "{plan}");
}
