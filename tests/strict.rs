//! Bodies: what two readers could take differently is refused whole, wherever in the body it stands; and a text is judged
//! under whatever name a reader could look for it.

mod support;

use support::client::request;
use support::{Answer, Config, Proxy, Upstream, chat, completion};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn upstream() -> Upstream {
    Upstream::start(Answer::json(completion("fine"))).await
}

fn guarded(upstream: &Upstream) -> Proxy {
    Proxy::start(Config::new(upstream.address()).block("\"input\", \"output\"", &["forbidden"]))
}

/// Each body is refused with this code, and none arrives.
async fn refused(bodies: impl IntoIterator<Item = Vec<u8>>, code: &str) {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let mut client = proxy.connect().await;
    for body in bodies {
        let answer = client.request("POST", CHAT, &[JSON], &body).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        assert_eq!((answer.status, &*answer.code()), (400, code), "{shown}: {}", answer.text());
    }
    assert!(upstream.requests().is_empty());
    assert_eq!(client.chat(chat("hello", false)).await.status, 200, "the same in plain words");
}

/// A chat with this in several places: for the content, in a part, in a tool's schema, in a member that nobody knows.
fn places(value: &str) -> Vec<Vec<u8>> {
    let message = |content: &str| format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
    let member = |member: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{member}}}"#);
    [
        message(value),
        message(&format!(r#"[{{"type":"text","text":{value}}}]"#)),
        member(&format!(r#""tools":[{{"type":"function","function":{{"name":"f","parameters":{{"a":{value}}}}}}}]"#)),
        member(&format!(r#""metadata":{{"a":{{"b":[{value}]}}}}"#)),
        member(&format!(r#""unknown":[[{value}]]"#)),
        member(&format!(r#""temperature":{value}"#)),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}

#[tokio::test]
async fn another_encoding_than_utf_8_is_refused() {
    let plain = chat("hello", false);
    let utf16 = |to: fn(u16) -> [u8; 2]| plain.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let utf32 = |to: fn(u32) -> [u8; 4]| plain.chars().flat_map(|ch| to(ch.into())).collect::<Vec<u8>>();
    let after = |mark: &[u8], body: Vec<u8>| [mark, &body].concat();
    let mut bodies = vec![
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        after(b"\xff\xfe", utf16(u16::to_le_bytes)),
        after(b"\xfe\xff", utf16(u16::to_be_bytes)),
        utf32(u32::to_le_bytes),
        utf32(u32::to_be_bytes),
        after(b"\xff\xfe\0\0", utf32(u32::to_le_bytes)),
        after(b"\0\0\xfe\xff", utf32(u32::to_be_bytes)),
        after(b"\xef\xbb\xbf", plain.clone().into_bytes()),
        after(b"\xef\xbb\xbf\xef\xbb\xbf", plain.clone().into_bytes()),
        after(b"+/v8-", plain.clone().into_bytes()),
        after(b"\x1f\x8b\x08\0", plain.clone().into_bytes()),
        after(b"\0", plain.clone().into_bytes()),
        after(plain.as_bytes(), b"\0".to_vec()),
    ];
    // In a string: cut short, overlong, surrogates, beyond Unicode, Latin-1.
    for bytes in [
        &b"\xc3"[..],
        b"\xe2\x82",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xff",
        b"\xfe",
        b"\x80",
        b"caf\xe9",
    ] {
        let (before, behind) = plain.split_at(plain.find("hello").unwrap() + 2);
        bodies.push([before.as_bytes(), bytes, behind.as_bytes()].concat());
        bodies.push([b"{\"k", bytes, b"\":1,", &plain.as_bytes()[1..]].concat());
    }
    refused(bodies, "invalid_request_body").await;
}

#[tokio::test]
async fn a_key_stands_once_and_under_one_name() {
    let twice = |object: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],"metadata":{object}}}"#);
    let content = |more: &str| format!(r#"{{"messages":[{{"role":"user","content":"ok",{more}}}]}}"#);
    let top = |more: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{more}}}"#);
    let bodies = [
        content(r#""content":"BAD""#),
        content(r#""content":null"#),
        content(r#""c\u006fntent":"BAD""#),
        content(r#""\u0063\u006F\u006e\u0074\u0065\u006E\u0074":"BAD""#),
        content(r#""role":"system""#),
        top(r#""messages":[]"#),
        top(r#""messages":[{"role":"user","content":"BAD"}]"#),
        top(r#""m\u0065ssages":[]"#),
        top(r#""model":"a","model":"b""#),
        twice(r#"{"a":1,"a":1}"#),
        twice(r#"{"a":{"b":{"c":1,"c":2}}}"#),
        twice(r#"[[{"x":1},{"é":1,"\u00e9":2}]]"#),
        twice(r#"{"":1,"":2}"#),
        twice(r#"{"a\/b":1,"a/b":2}"#),
        twice(r#"{"\ud83d\ude00":1,"😀":2}"#),
        // What a reader without regard to case takes for the member.
        content(r#""Content":"BAD""#),
        content(r#""CONTENT":"BAD""#),
        content(r#""\u0043ontent":"BAD""#),
        top(r#""Messages":[]"#),
        top(r#""MESSAGES":[{"role":"user","content":"BAD"}]"#),
        top(r#""meſſageſ":[]"#),
        top(r#""me\u017f\u017fages":[]"#),
        top(r#""mes\u017fages":[]"#),
        top(r#""top_\u212A":5"#),
        top(r#""Tools":[]"#),
        r#"{"Messages":[{"role":"user","content":"BAD"}]}"#.into(),
        r#"{"messages":[{"Role":"user","content":"BAD"}]}"#.into(),
        r#"{"messages":[{"role":"user","content":[{"type":"text","Text":"BAD"}]}]}"#.into(),
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"ok","TEXT":"BAD"}]}]}"#.into(),
    ];
    refused(bodies.map(String::into_bytes), "invalid_request_body").await;
}

#[tokio::test]
async fn what_only_some_take_for_json_is_refused() {
    let plain = chat("hello", false);
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "null",
        "true",
        "1",
        "\"messages\"",
        "[]",
        "{}",
        "{",
        "{\"messages\":",
        "{messages:[]}",
        "{'messages':[]}",
        "{\"messages\":[],}",
        "{\"messages\":[,]}",
        "{\"messages\":[]}}",
        "{\"messages\" []}",
        "{\"messages\":[] \"a\":1}",
        "messages=hello",
        "--x\r\ncontent-disposition: form-data; name=\"messages\"\r\n\r\n[]\r\n--x--",
        "<?xml version=\"1.0\"?><messages/>",
        "messages: []",
        "\u{2028}{\"messages\":[]}",
        "\u{a0}{\"messages\":[]}",
        "\u{b}{\"messages\":[]}",
    ]
    .map(|body| body.as_bytes().to_vec())
    .to_vec();
    for around in [
        "{}{}",
        "{},{}",
        "{}\n{}",
        "{} x",
        "{};",
        "{}//",
        "/**/{}",
        "//\n{}",
        "#\n{}",
        ")]}',\n{}",
        "while(1);{}",
        "f({})",
        "data: {}",
        "[{}]",
        "\u{1e}{}",
    ] {
        bodies.push(around.replace("{}", &plain).into_bytes());
    }
    for value in [
        "\"a\\ud800b\"",
        "\"a\\udc00b\"",
        "\"a\\ude00\\ud83db\"",
        "\"a\\ud83d\\ud83db\"",
        "\"a\\ud83d\\u0041b\"",
        "\"a\\uD83D\\\\uDE00\"",
        "\"a\\u00\"",
        "\"a\\u+041\"",
        "\"a\\x41\"",
        "\"a\\'b\"",
        "\"a\\0b\"",
        "\"a\\\nb\"",
        "\"a\nb\"",
        "\"a\tb\"",
        "\"a\0b\"",
        "\"a\u{1f}b\"",
        "\"a",
        "'a'",
        "`a`",
        "a",
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "0b1",
        "1_000",
        "1e400",
        "-1e400",
        "1e99999999999999999999",
        "1n",
        "undefined",
        "True",
        "None",
        "/*a*/1",
        "1//a\n",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\"}",
        "{1:2}",
        "(1)",
    ] {
        bodies.extend(places(value));
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [65, 200, 2_000, 100_000] {
            bodies.push(places(&format!("{}1{}", open.repeat(depth), close.repeat(depth))).swap_remove(4));
            bodies.push(open.repeat(depth).into_bytes());
        }
    }
    refused(bodies, "invalid_request_body").await;
}

#[tokio::test]
async fn members_that_carry_text_have_its_shape() {
    let body = |message: &str| format!(r#"{{"messages":[{message}]}}"#).into_bytes();
    let mut bodies: Vec<Vec<u8>> = [
        "[]",
        "{}",
        "\"a\"",
        "5",
        "true",
        "[[]]",
        "[\"a\"]",
        "[null]",
        "{\"0\":{\"role\":\"user\",\"content\":\"a\"}}",
    ]
    .iter()
    .filter(|messages| **messages != "[]")
    .map(|messages| format!(r#"{{"messages":{messages}}}"#).into_bytes())
    .collect();
    for content in [
        "5",
        "true",
        "{}",
        "{\"text\":\"a\"}",
        "[5]",
        "[\"a\"]",
        "[[]]",
        "[{\"type\":\"text\"}]",
        "[{\"type\":\"text\",\"text\":5}]",
        "[{\"type\":\"text\",\"text\":[\"a\"]}]",
        "[{\"type\":5,\"text\":\"a\"}]",
    ] {
        bodies.push(body(&format!(r#"{{"role":"user","content":{content}}}"#)));
    }
    for role in ["\"critic\"", "\"User\"", "\"\"", "\"user \"", "null", "5", "[\"user\"]"] {
        bodies.push(body(&format!(r#"{{"role":{role},"content":"a"}}"#)));
    }
    bodies.push(body(r#"{"content":"a"}"#));
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let mut client = proxy.connect().await;
    for body in bodies {
        let answer = client.request("POST", CHAT, &[JSON], &body).await;
        let code = answer.code();
        assert!(
            answer.status == 400 && matches!(&*code, "invalid_request_body" | "unsupported_content"),
            "{}: {} {code}",
            String::from_utf8_lossy(&body),
            answer.status
        );
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_text_is_judged_under_any_name() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let mut client = proxy.connect().await;
    let message = |more: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi",{more}}}]}}"#);
    let member = |more: &str| format!(r#"{{"messages":[{{"role":"user","content":"hi"}}],{more}}}"#);
    let bodies = [
        message(r#""content_blocks":[{"type":"text","text":"@"}]"#),
        message(r#""contents":"@""#),
        message(r#""text":"@""#),
        message(r#""parts":[{"text":"@"}]"#),
        message(r#""@":1"#),
        member(r#""prompt":"@""#),
        member(r#""input":[{"role":"user","content":"@"}]"#),
        member(r#""system":"@""#),
        member(r#""instructions":"@""#),
        member(r#""systemInstruction":{"parts":[{"text":"@"}]}"#),
        member(r#""documents":[{"title":"a","text":"@"}]"#),
        member(r#""suffix":"@""#),
        member(r#""chat_template_kwargs":{"note":"@"}"#),
        member(r#""input_prefix":"@""#),
        member(r#""extra_body":{"prompt":"@"}"#),
        member(r#""@":null"#),
        // No member turns a guardrail off.
        member(r#""guardrails":[],"user":"@""#),
        member(r#""metadata":{"guardrails":"none","requester":"@"}"#),
        member(r#""extra_body":{"block":false},"user":"@""#),
        member(r#""portcullis":{"mode":"observe"},"user":"@""#),
        member(r#""x-portcullis-bypass":true,"user":"@""#),
        member(r#""disable_guardrails":true,"moderation":false,"user":"@""#),
    ];
    for body in &bodies {
        let answer = client.chat(body.replace('@', "forbidden")).await;
        assert_eq!((answer.status, &*answer.code()), (400, "content_policy_violation"), "{body}: {}", answer.text());
    }
    assert!(upstream.requests().is_empty());
    for body in &bodies {
        assert_eq!(client.chat(body.replace('@', "robin")).await.status, 200, "{body}");
    }
}

#[tokio::test]
async fn types_and_codings_are_those_that_are_read() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let body = chat("hello", false);
    for value in [
        "",
        "text/plain",
        "text/json",
        "application/jsonl",
        "application/x-ndjson",
        "application/json5",
        "application/vnd.api+json",
        "application/problem+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/mixed; boundary=x",
        "application/x-protobuf",
        "application/octet-stream",
        "application/json, text/plain",
        "text/plain, application/json",
        "application/json text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "application/json; charset=utf-32",
        "application/json; charset=iso-8859-1",
        "application/json; charset=\"utf-16\"",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; charset*=utf-8''utf-16",
        "application/json;boundary=x",
        "application/json; charset = utf-16",
        "application /json",
        "*/*",
        "json",
    ] {
        let answer = proxy.connect().await.request("POST", CHAT, &[("content-type", value)], &body).await;
        assert_eq!((answer.status, &*answer.code()), (415, "unsupported_media_type"), "{value:?}");
    }
    assert!(upstream.requests().is_empty());
    for value in [
        "application/json",
        "Application/Json",
        "application/json;charset=UTF-8",
        "application/json ; charset=\"utf-8\"",
        "application/json;",
    ] {
        let answer = proxy.connect().await.request("POST", CHAT, &[("content-type", value)], &body).await;
        assert_eq!(answer.status, 200, "{value:?}: {}", answer.text());
    }
    assert!(upstream.requests().iter().all(|sent| sent.head.all("content-type") == ["application/json"]));
}

#[tokio::test]
async fn a_body_has_so_many_texts_and_values() {
    let upstream = upstream().await;
    let proxy = guarded(&upstream);
    let message = r#"{"role":"user","content":"a"}"#;
    let part = r#"{"type":"text","text":"a"}"#;
    let many = |one: &str, count: usize| vec![one; count].join(",");
    let bodies = [
        format!(r#"{{"messages":[{}]}}"#, many(message, 100_000)),
        format!(
            r#"{{"messages":[{{"role":"user","content":"hi"}}],"tools":[{}]}}"#,
            many(r#"{"type":"function","function":{"name":"f"}}"#, 50_000)
        ),
        format!(r#"{{"messages":[{{"role":"user","content":[{}]}}]}}"#, many(part, 10_000)),
    ];
    for body in &bodies[..2] {
        let answer = proxy.connect().await.chat(body).await;
        assert!(matches!(answer.status, 400 | 413), "{}", answer.status);
    }
    // Parts of one message are one text: no burden, but for the body's size.
    assert_eq!(proxy.connect().await.chat(&bodies[2]).await.status, 200);
    assert_eq!(upstream.requests().len(), 1);
    let mut client = proxy.connect().await;
    client.send(request("POST", CHAT, &[JSON], chat("hello", false))).await;
    assert_eq!(client.response().await.status, 200);
}
