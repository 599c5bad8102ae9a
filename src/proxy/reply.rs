//! Writing answers of our own: refusals, and whole bodies.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::proxy::refused::Refused;
use crate::wire::Dialect;

/// How long, and how much, of a body that nobody wants is read so that the client can see the refusal.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// Seconds after which a client may try again when a guardrail can't judge.
const RETRY_AFTER: u32 = 1;

/// Sends a refusal in the dialect's shape, with the headers given besides. The connection stays usable where the request
/// was read to its end.
pub async fn refuse(
    session: &mut ServerSession,
    dialect: &dyn Dialect,
    refused: &Refused,
    extra: &[(&'static str, String)],
) -> pingora::Result<()> {
    let refusal = refused.refusal();
    let mut header = ResponseHeader::build(refusal.status, Some(6))?;
    if let Refused::Method { allow } = refused {
        header.insert_header(header::ALLOW, allow)?;
    }
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        header.insert_header(header::RETRY_AFTER, RETRY_AFTER)?;
    }
    let unread = !session.is_body_done();
    if unread {
        session.set_keepalive(None);
    }
    whole(session, header, "application/json", dialect.refuse(&refusal), extra).await?;
    if unread {
        linger(session).await;
    }
    Ok(())
}

/// Sends a whole body.
pub async fn whole(
    session: &mut ServerSession,
    mut header: ResponseHeader,
    media_type: &str,
    body: Bytes,
    extra: &[(&'static str, String)],
) -> pingora::Result<()> {
    header.insert_header(header::CONTENT_TYPE, media_type)?;
    header.insert_header(header::CONTENT_LENGTH, body.len())?;
    for (name, value) in extra {
        header.insert_header(*name, value)?;
    }
    session.write_response_header(Box::new(header)).await?;
    session.write_response_body(body, true).await
}

/// Begins a body whose length is not known.
pub async fn begin_stream(
    session: &mut ServerSession,
    mut header: ResponseHeader,
    extra: &[(&'static str, String)],
) -> pingora::Result<()> {
    if session.req_header().version == Version::HTTP_11 {
        header.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    for (name, value) in extra {
        header.insert_header(*name, value)?;
    }
    session.write_response_header(Box::new(header)).await
}

/// Closing a socket with unread bytes resets it, and the reset can overtake the refusal: read on for a moment.
async fn linger(session: &mut ServerSession) {
    let reading = async {
        let mut left = LINGER_BYTES;
        while let Ok(Some(piece)) = session.read_request_body().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    };
    // Past the limit the reset is the client's own doing.
    let _ = tokio::time::timeout(LINGER, reading).await;
}
