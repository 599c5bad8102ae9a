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
use hyper::{Method, Response, StatusCode, header};
use serde_json::Value;

use crate::answer::Outcome;
use crate::apis::{self, Api, Request, Stream};
use crate::rules;

pub struct Settings {
    /// Between two words of a stream.
    pub delay: Duration,
}

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

const MAX_BODY: usize = 16 << 20;

/// Answers one request.
pub async fn serve(request: hyper::Request<Incoming>, settings: Arc<Settings>) -> Result<Reply, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let found = apis::find(path, parts.uri.query().unwrap_or_default());
    let models = apis::models(path);
    Ok(match (&parts.method, found, models) {
        (&Method::POST, Some((api, model)), _) => answer(api, model, body, &settings).await,
        (&Method::GET, _, Some(models)) => json(StatusCode::OK, &models),
        (_, None, None) => json(StatusCode::NOT_FOUND, &apis::error(StatusCode::NOT_FOUND, "no such path")),
        _ => {
            let wrong = StatusCode::METHOD_NOT_ALLOWED;
            json(wrong, &apis::error(wrong, "wrong method for this path"))
        }
    })
}

async fn answer(api: &dyn Api, model: Option<&str>, body: Incoming, settings: &Settings) -> Reply {
    let Ok(bytes) = Limited::new(body, MAX_BODY).collect().await else {
        return fail(api, StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 16 MiB, or broke off");
    };
    let bytes = bytes.to_bytes();
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return fail(api, StatusCode::BAD_REQUEST, "the body is not JSON");
    };
    let outcome = match api.ask(&body).and_then(|ask| rules::answer(&ask)) {
        Ok(outcome) => outcome,
        Err(what) => return fail(api, StatusCode::BAD_REQUEST, what),
    };
    let mut id = DefaultHasher::new();
    id.write(&bytes);
    let model = model.or(body["model"].as_str()).unwrap_or("stand-in").to_owned();
    let request = Request { id: format!("{:016x}", id.finish()), model, body };
    let mut reply = match (outcome, api.streams(&request.body)) {
        (Outcome::Fail(status, message), _) => fail(api, status, message),
        (Outcome::Answer(answer), true) => {
            stream_of(api.stream(&request, &answer), settings.delay * answer.slowness, false)
        }
        (Outcome::Stall(answer), true) => stream_of(api.stream(&request, &answer), settings.delay, true),
        (Outcome::Answer(answer), false) => json(StatusCode::OK, &api.whole(&request, &answer)),
        (Outcome::Stall(_), false) => std::future::pending().await,
    };
    for (name, value) in api.headers() {
        reply.headers_mut().insert(*name, header::HeaderValue::from_static(value));
    }
    reply
}

/// One piece after the other, with a pause before each but the first.
fn stream_of(stream: Stream, delay: Duration, stall: bool) -> Reply {
    let mut pieces = VecDeque::from(stream.pieces);
    if stall {
        pieces.truncate(2);
    }
    let pieces = stream::unfold((pieces, true), move |(mut pieces, first)| async move {
        let Some(piece) = pieces.pop_front() else {
            if stall {
                std::future::pending::<()>().await;
            }
            return None;
        };
        if !first && !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Some((Ok(Frame::data(piece)), (pieces, false)))
    });
    let mut reply = Response::new(StreamBody::new(pieces).boxed_unsync());
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(stream.content_type));
    reply.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    reply
}

fn fail(api: &dyn Api, status: StatusCode, message: &str) -> Reply {
    let mut reply = json(status, &api.error(status, message));
    if status == StatusCode::TOO_MANY_REQUESTS {
        reply.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    reply
}

fn json(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Full::from(body.to_string()).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    reply
}
