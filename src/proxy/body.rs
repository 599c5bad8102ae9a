//! Reading a request body: all of it, within a size and a total time.

use bytes::{Bytes, BytesMut};
use http::{Method, Version, header};
use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use tokio::time::timeout;

use crate::live::Limits;
use crate::proxy::coding::Coding;
use crate::proxy::headers;
use crate::proxy::refused::Refused;

/// Whether a body of this method, and of `length` bytes, is taken. Of GET and HEAD none: an upstream could read it all
/// the same.
pub fn check_length(method: &Method, length: usize, limits: &Limits) -> Result<(), Refused> {
    match *method {
        Method::GET | Method::HEAD if length > 0 => Err(Refused::Header("GET and HEAD have no body")),
        _ if length > limits.max_body => Err(Refused::BodyTooLarge { limit: limits.max_body }),
        _ => Ok(()),
    }
}

/// The same by what the header says of the body, before any of it is read.
pub fn check_declared(header: &RequestHeader, limits: &Limits) -> Result<(), Refused> {
    let declared = header.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let chunked = header.headers.contains_key(header::TRANSFER_ENCODING);
    check_length(&header.method, declared.unwrap_or(usize::from(chunked)), limits)
}

/// Reads the whole body, after `100 Continue` where the client waits for it.
pub async fn read(session: &mut ServerSession, limits: &Limits) -> Result<Bytes, Refused> {
    let limit = limits.max_body;
    let header = session.req_header();
    check_declared(header, limits)?;
    let waits = header.version != Version::HTTP_10 && headers::list(&header.headers, header::EXPECT).next().is_some();
    let reading = async {
        if waits {
            // Pingora takes it for an answer that comes before its request, and would close the connection after it.
            let keepalive = session.get_keepalive();
            session.write_continue_response().await.map_err(|_| Refused::ClientGone)?;
            session.set_keepalive(keepalive);
        }
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(piece) = session.read_request_body().await.map_err(|error| unreadable(&error, limits))? {
            if first.len().max(rest.len()) + piece.len() > limit {
                return Err(Refused::BodyTooLarge { limit });
            }
            // Most bodies come in one piece, which need not be copied.
            if first.is_empty() {
                first = piece;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&piece);
            }
        }
        Ok(if rest.is_empty() { first } else { rest.freeze() })
    };
    timeout(limits.body_timeout, reading).await.unwrap_or(Err(Refused::BodyTimeout { after: limits.body_timeout }))
}

/// Takes the coding off a body. Away from the thread that serves connections: it is work.
pub async fn decode(body: Bytes, coding: Coding, limits: &Limits) -> Result<Bytes, Refused> {
    let limit = limits.max_body;
    let decoding = tokio::task::spawn_blocking(move || coding.decode(&body, limit));
    decoding.await.map_err(|_| Refused::Failed)?.map_err(Refused::Coding)
}

/// What it means that a body could not be read on.
pub fn unreadable(error: &pingora::Error, limits: &Limits) -> Refused {
    match error.etype().as_str() {
        "ReadTimedout" => Refused::BodyTimeout { after: limits.body_timeout },
        "InvalidChunk" | "InvalidTrailerEnd" => Refused::Framing,
        _ => Refused::ClientGone,
    }
}

/// Bytes that a client may send ahead of its answer. They are read away one by one, to see when it hangs up.
const AHEAD: usize = 64 << 10;

/// Waits until the client hangs up. Never ends while it stays.
pub async fn client_gone(session: &mut ServerSession) {
    for _ in 0..AHEAD {
        match session.read_body_or_idle(true).await {
            Ok(_) => {}
            // Bytes of a next request, which is not taken: this answer is the connection's last.
            Err(error) if *error.etype() == ErrorType::ConnectError => session.set_keepalive(None),
            Err(_) => return,
        }
    }
}
