//! Reading a request body: all of it, within a size and a total time.

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::protocols::http::ServerSession;
use tokio::time::timeout;

use crate::live::Limits;
use crate::proxy::headers;
use crate::proxy::refused::Refused;

/// Reads the whole body, after `100 Continue` where the client waits for it.
pub async fn read(session: &mut ServerSession, limits: &Limits) -> Result<Bytes, Refused> {
    let limit = limits.max_body;
    let header = session.req_header();
    let declared =
        header.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(Refused::BodyTooLarge { limit });
    }
    let waits = headers::list(&header.headers, header::EXPECT).next().is_some();
    let reading = async {
        if waits {
            session.write_continue_response().await.map_err(|_| Refused::ClientGone)?;
        }
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(piece) = session.read_request_body().await.map_err(|_| Refused::ClientGone)? {
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

/// Waits until the client hangs up. Never ends while it stays.
pub async fn client_gone(session: &mut ServerSession) {
    // The body has been read, so an error is a hang-up, or bytes that nobody asked for: either ends the exchange.
    while let Ok(Some(_)) = session.read_body_or_idle(true).await {}
}
