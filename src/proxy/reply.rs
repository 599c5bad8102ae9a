//! Writing answers of our own: refusals, and whole bodies.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::proxy::refused::Refused;
use crate::wire::Dialect;
use crate::wire::openai_chat::OpenAiChat;

/// How long, and how much, of a body that nobody wants is read so that the client can see the refusal.
pub const LINGER: Duration = Duration::from_secs(1);
pub const LINGER_BYTES: usize = 1 << 20;

/// A body that nobody wants is read to its end first where it is at most so large: then the connection can be kept.
const SPARED_BYTES: usize = 64 << 10;

/// Seconds after which a client may try again when a guardrail can't judge.
const RETRY_AFTER: u32 = 1;

/// A header that an answer gets from us.
pub type Extra = (&'static str, HeaderValue);

/// Sends a refusal in the dialect's shape, with the headers given besides. The connection stays usable where the request
/// was read to its end.
pub async fn refuse(
    session: &mut ServerSession,
    dialect: &dyn Dialect,
    refused: &Refused,
    extra: &[Extra],
) -> pingora::Result<()> {
    let refusal = refused.refusal();
    let mut header = Box::new(ResponseHeader::build(refusal.status, Some(6))?);
    match refused {
        Refused::Method { allow } => header.insert_header(header::ALLOW, allow)?,
        Refused::GuardrailUnavailable { .. } => header.insert_header(header::RETRY_AFTER, RETRY_AFTER)?,
        Refused::UpstreamStatus { retry_after: Some(after), .. } => header.insert_header(header::RETRY_AFTER, after)?,
        _ => {}
    }
    let read = read_on(session, refused).await;
    if !read {
        session.set_keepalive(None);
    }
    whole(session, header, "application/json", dialect.refuse(&refusal), extra.iter().cloned()).await?;
    if !read {
        // Closing a socket with unread bytes resets it, and the reset can overtake the refusal.
        drain(session, LINGER_BYTES).await;
    }
    Ok(())
}

/// The same as bytes, for a connection on which no request came to be. It closes after them.
pub fn bare(refused: &Refused) -> Vec<u8> {
    let refusal = refused.refusal();
    let body = OpenAiChat::default().refuse(&refusal);
    let retry = match refused {
        Refused::TooManyConnections => format!("Retry-After: {RETRY_AFTER}\r\n"),
        _ => String::new(),
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{retry}Connection: close\r\n\r\n",
        refusal.status,
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// Sends a whole body.
pub async fn whole(
    session: &mut ServerSession,
    mut header: Box<ResponseHeader>,
    media_type: &'static str,
    body: Bytes,
    extra: impl IntoIterator<Item = Extra>,
) -> pingora::Result<()> {
    header.insert_header(header::CONTENT_TYPE, HeaderValue::from_static(media_type))?;
    header.insert_header(header::CONTENT_LENGTH, body.len())?;
    begin(session, header, extra).await?;
    session.write_response_body(body, true).await
}

/// Sends the header of a body. Where it gives no length, and there can be a body, that is sent in chunks.
pub async fn begin(
    session: &mut ServerSession,
    mut header: Box<ResponseHeader>,
    extra: impl IntoIterator<Item = Extra>,
) -> pingora::Result<()> {
    let request = session.req_header();
    // RFC 9112, section 6.3.
    let bodiless =
        request.method == Method::HEAD || matches!(header.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if header.status == StatusCode::NO_CONTENT {
        header.remove_header(&header::CONTENT_LENGTH);
    } else if !bodiless && request.version == Version::HTTP_11 && !header.headers.contains_key(header::CONTENT_LENGTH) {
        header.insert_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    for (name, value) in extra {
        header.insert_header(name, value)?;
    }
    session.write_response_header(header).await
}

/// Whether all of the request's body has come, so that a next request can follow it.
async fn read_on(session: &mut ServerSession, refused: &Refused) -> bool {
    match refused {
        // Where it ends can't be told.
        Refused::Framing => false,
        _ if session.is_body_done() => true,
        // These had their time.
        Refused::BodyTimeout { .. } | Refused::BodyTooLarge { .. } => false,
        // A client that waits for `100 Continue` does not send it.
        _ if session.get_header(header::EXPECT).is_some() => false,
        _ => drain(session, SPARED_BYTES).await,
    }
}

/// Reads on for a moment, `limit` bytes at most. Whether that was all of the body.
async fn drain(session: &mut ServerSession, limit: usize) -> bool {
    let reading = async {
        let mut left = limit;
        while let Ok(Some(piece)) = session.read_request_body().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // Past the time the reset is the client's own doing.
    let _ = tokio::time::timeout(LINGER, reading).await;
    session.is_body_done()
}
