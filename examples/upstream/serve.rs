//! HTTP: routes, bodies, and the pace of a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use serde_json::Value;

use crate::answer::{Answer, Outcome};
use crate::render::{self, Envelope};
use crate::rules;

pub struct Settings {
    /// Between two words of a stream.
    pub delay: Duration,
}

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

const MAX_BODY: usize = 16 << 20;

/// Answers one request.
pub async fn serve(request: Request<Incoming>, settings: Arc<Settings>) -> Result<Reply, Infallible> {
    let reply = match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/chat/completions") => chat(request, &settings).await,
        (&Method::GET, "/v1/models") => json(StatusCode::OK, &render::models()),
        (&Method::GET, "/v1/models/stand-in") => json(StatusCode::OK, &render::model()),
        (_, "/v1/chat/completions" | "/v1/models") => {
            invalid(StatusCode::METHOD_NOT_ALLOWED, "wrong method for this path")
        }
        _ => invalid(StatusCode::NOT_FOUND, "no such path; there are /v1/chat/completions and /v1/models"),
    };
    Ok(reply)
}

async fn chat(request: Request<Incoming>, settings: &Settings) -> Reply {
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return invalid(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 16 MiB, or broke off");
    };
    let body = body.to_bytes();
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return invalid(StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    let mut id = DefaultHasher::new();
    id.write(&body);
    let envelope = Envelope {
        id: format!("{:016x}", id.finish()),
        model: request["model"].as_str().unwrap_or("stand-in").to_owned(),
        logprobs: request["logprobs"] == true,
        usage: request["stream_options"]["include_usage"] == true,
    };
    let streamed = request["stream"] == true;
    match rules::answer(&request) {
        Err(what) => invalid(StatusCode::BAD_REQUEST, what),
        Ok(Outcome::Fail(status, message)) => fail(status, message),
        Ok(Outcome::Answer(answer)) if streamed => stream_of(settings, &envelope, &answer, false),
        Ok(Outcome::Stall(answer)) if streamed => stream_of(settings, &envelope, &answer, true),
        Ok(Outcome::Answer(answer)) => json(StatusCode::OK, &render::unary(&envelope, &answer)),
        Ok(Outcome::Stall(_)) => std::future::pending().await,
    }
}

/// Server-sent events, one a word, with a pause before each but the first.
fn stream_of(settings: &Settings, envelope: &Envelope, answer: &Answer, stall: bool) -> Reply {
    let frames = render::frames(envelope, answer);
    let mut events: VecDeque<Bytes> = frames.iter().map(|frame| format!("data: {frame}\n\n").into()).collect();
    if stall {
        events.truncate(2);
    } else {
        events.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
    }
    let delay = settings.delay * answer.slowness;
    let events = stream::unfold((events, true), move |(mut events, first)| async move {
        let Some(event) = events.pop_front() else {
            if stall {
                std::future::pending::<()>().await;
            }
            return None;
        };
        if !first && !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Some((Ok(Frame::data(event)), (events, false)))
    });
    let mut reply = Response::new(StreamBody::new(events).boxed_unsync());
    reply
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream; charset=utf-8"));
    reply.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    reply
}

fn fail(status: StatusCode, message: &str) -> Reply {
    let (kind, code) = match status {
        StatusCode::TOO_MANY_REQUESTS => ("requests", Some("rate_limit_exceeded")),
        status if status.is_server_error() => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    let mut reply = json(status, &render::error(kind, code, message));
    if status == StatusCode::TOO_MANY_REQUESTS {
        reply.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    reply
}

fn invalid(status: StatusCode, message: &str) -> Reply {
    json(status, &render::error("invalid_request_error", None, message))
}

fn json(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Full::from(body.to_string()).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    reply
}
