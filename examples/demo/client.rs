//! Sends a scene's request through the proxy and notes what comes back, and when.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::scenes::Scene;

const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    /// Everything, as it came.
    pub body: String,
    /// The assistant's words, or the error's message.
    pub text: String,
    pub finish_reason: Option<String>,
    pub error_code: Option<String>,
    /// From the request to the first byte of the body.
    pub first: Duration,
    pub took: Duration,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The exchange's id, under which the audit tells of it.
    pub fn id(&self) -> &str {
        self.header("x-portcullis-id")
    }
}

/// The body of a scene's request.
pub fn body(scene: &Scene) -> Value {
    let mut body = json!({ "model": "stand-in", "messages": [{ "role": "user", "content": scene.prompt }] });
    if scene.stream {
        body["stream"] = json!(true);
    }
    body
}

pub async fn ask(proxy: SocketAddr, scene: &Scene) -> anyhow::Result<Seen> {
    tokio::time::timeout(PATIENCE, exchange(proxy, scene)).await.context("no answer within a minute")?
}

async fn exchange(proxy: SocketAddr, scene: &Scene) -> anyhow::Result<Seen> {
    let socket = TcpStream::connect(proxy).await.context("cannot connect to the proxy")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let request = Request::post("/v1/chat/completions")
        .header(header::HOST, proxy.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body(scene).to_string())))?;
    let started = Instant::now();
    let answer = sender.send_request(request).await?;
    let (head, mut frames) = answer.into_parts();
    let mut first = None;
    let mut bytes = Vec::new();
    while let Some(frame) = frames.frame().await {
        if let Ok(data) = frame?.into_data() {
            first.get_or_insert_with(|| started.elapsed());
            bytes.extend_from_slice(&data);
        }
    }
    let took = started.elapsed();
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let mut seen = Seen {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::new(),
        finish_reason: None,
        error_code: None,
        first: first.unwrap_or(took),
        took,
        body,
    };
    let whole = serde_json::from_str::<Value>(&seen.body).ok();
    let events = seen.body.lines().filter_map(|line| line.strip_prefix("data: "));
    let objects: Vec<Value> =
        whole.into_iter().chain(events.filter_map(|data| serde_json::from_str(data).ok())).collect();
    for object in objects {
        let choice = &object["choices"][0];
        for text in [&choice["message"]["content"], &choice["delta"]["content"], &object["error"]["message"]] {
            seen.text.push_str(text.as_str().unwrap_or_default());
        }
        let word = |value: &Value| value.as_str().map(str::to_owned);
        seen.finish_reason = word(&choice["finish_reason"]).or(seen.finish_reason);
        seen.error_code = word(&object["error"]["code"]).or(seen.error_code);
    }
    Ok(seen)
}
