//! Answers of the admin server: their bodies, and the headers that each of them has.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::admin::refused::Refused;

pub const JSON: &str = "application/json";
pub const TEXT: &str = "text/plain; charset=utf-8";

/// Whole, or an event stream.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Nothing from elsewhere, nothing inline, no frame around it, and no text that becomes HTML or script.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// On every answer: what is told here is for who asked, and for nothing that shares a browser with them.
const ALWAYS: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// 200, with a whole body.
pub fn whole(form: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    with(StatusCode::OK, form, Full::new(body.into()).boxed_unsync())
}

/// 200, with a value's JSON.
pub fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => whole(JSON, body),
        Err(_) => refused(&Refused::Internal),
    }
}

/// Draining, or not yet started.
pub fn not_ready() -> Response<Body> {
    with(StatusCode::SERVICE_UNAVAILABLE, TEXT, Full::new("not ready\n".into()).boxed_unsync())
}

/// 200, with events as they come.
pub fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    let frames = events.map(|event| Ok(Frame::data(event)));
    with(StatusCode::OK, "text/event-stream", StreamBody::new(frames).boxed_unsync())
}

fn with(status: StatusCode, form: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form));
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub fn refused(refused: &Refused) -> Response<Body> {
    let mut response = with(refused.status(), JSON, Full::new(refused.json().into()).boxed_unsync());
    let more = match refused {
        Refused::Method(allow) => Some((ALLOW, *allow)),
        Refused::Token => Some((WWW_AUTHENTICATE, "Bearer")),
        Refused::Busy { .. } | Refused::Failed(_) => Some((RETRY_AFTER, "1")),
        _ => None,
    };
    if let Some((name, value)) = more {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
