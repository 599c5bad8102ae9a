//! The way to an upstream: pooled connections, one request, its answer piece by piece. Takes only what a decision has
//! cleared.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Version, header};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{ErrorType, RetryType};
use tokio::time::timeout;

use crate::guardrail::Cleared;
use crate::live::Upstream;
use crate::proxy::headers;
use crate::proxy::peers::Peers;

/// An unused connection is kept so long; most servers close theirs after 60 s or more.
pub const POOLED_FOR: Duration = Duration::from_secs(50);
/// Unused connections that are kept, over all upstreams: as many as answers that came at once. A new one costs a handshake.
pub const POOLED: usize = 4096;
/// The end of a stream may come so long after its last event.
const LAST_PIECE: Duration = Duration::from_millis(100);

/// The connections to all upstreams.
pub struct Upstreams {
    pub peers: Peers,
    connector: Connector,
}

/// A request as it goes out.
pub struct Outgoing {
    pub header: RequestHeader,
    pub body: Bytes,
}

/// An answer whose header has come.
pub struct Answer {
    session: Box<HttpSession>,
    peer: Arc<HttpPeer>,
    idle_timeout: Duration,
    /// Its connection is closed.
    cancelled: bool,
}

/// Why there is no answer, or no more of it. Always the upstream's side.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("upstream `{upstream}`: its name can't be resolved")]
    Resolve { upstream: Arc<str> },
    #[error("upstream `{upstream}`: can't connect")]
    Connect { upstream: Arc<str> },
    #[error("upstream `{upstream}`: no answer within {} s", .after.as_secs_f32())]
    FirstByteTimeout { upstream: Arc<str>, after: Duration },
    #[error("upstream `{upstream}`: the connection broke before an answer came")]
    Exchange { upstream: Arc<str> },
    #[error("upstream `{upstream}`: the answer's framing is faulty")]
    Framing { upstream: Arc<str> },
    #[error("the upstream's answer stalled for {} s", .after.as_secs_f32())]
    IdleTimeout { after: Duration },
    #[error("the upstream's answer broke off")]
    Broken,
}

impl UpstreamError {
    pub fn is_timeout(&self) -> bool {
        matches!(self, UpstreamError::FirstByteTimeout { .. } | UpstreamError::IdleTimeout { .. })
    }
}

impl Upstreams {
    pub fn new() -> Self {
        Upstreams { peers: Peers::default(), connector: Connector::new(Some(ConnectorOptions::new(POOLED))) }
    }

    /// Sends a request and waits for the answer's header; informational answers are dropped. A request that the upstream
    /// can't have read, on a pooled connection that it had closed meanwhile, is sent once more.
    pub async fn send(&self, upstream: &Arc<Upstream>, request: Cleared<Outgoing>) -> Result<Answer, UpstreamError> {
        let request = request.into_inner();
        let id = || upstream.id.clone();
        let mut again = true;
        loop {
            // Boxed: most exchanges find a pooled connection, and need not carry the room that connecting takes.
            let (mut session, reused, peer) = Box::pin(self.connect(upstream)).await?;
            match timeout(upstream.first_byte_timeout, exchange_headers(&mut session, &request)).await {
                Err(_) => {
                    return Err(UpstreamError::FirstByteTimeout { upstream: id(), after: upstream.first_byte_timeout });
                }
                Ok(Ok(())) => {
                    let answer = Answer { session, peer, idle_timeout: upstream.idle_timeout, cancelled: false };
                    return if answer.is_sound() { Ok(answer) } else { Err(UpstreamError::Framing { upstream: id() }) };
                }
                Ok(Err(mut error)) => {
                    error.retry.decide_reuse(reused);
                    if std::mem::take(&mut again) && error.retry.retry() {
                        continue;
                    }
                    // The whole error could quote the answer.
                    tracing::warn!(upstream = %upstream.id, error = error.etype().as_str(), "no answer");
                    return Err(UpstreamError::Exchange { upstream: id() });
                }
            }
        }
    }

    /// A connection to the first peer that takes one, and whether it was used before.
    async fn connect(
        &self,
        upstream: &Arc<Upstream>,
    ) -> Result<(Box<HttpSession>, bool, Arc<HttpPeer>), UpstreamError> {
        for peer in self.peers.of(upstream).await?.iter() {
            match self.connector.get_http_session(&**peer).await {
                // Boxed: it is handed through every stage of the exchange.
                Ok((session, reused)) => return Ok((Box::new(session), reused, peer.clone())),
                Err(error) => {
                    self.peers.failed(upstream, peer, &error);
                }
            }
        }
        Err(UpstreamError::Connect { upstream: upstream.id.clone() })
    }

    /// Hands the connection of a finished answer back to the pool; one that still has bytes to come is closed, and one that
    /// was given up stays so.
    pub async fn finish(&self, mut answer: Answer) {
        if answer.cancelled {
            return;
        }
        if !answer.session.response_done() {
            // Often the last chunk comes alone. What else comes is of no use, and ends the connection.
            let _ = timeout(LAST_PIECE, answer.session.read_response_body()).await;
        }
        if answer.session.response_done() {
            self.connector.release_http_session(*answer.session, &*answer.peer, Some(POOLED_FOR)).await;
        } else {
            answer.cancel().await;
        }
    }
}

impl Default for Upstreams {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    /// The final header (not 1xx).
    pub fn header(&self) -> Option<&ResponseHeader> {
        self.session.response_header()
    }

    /// HTTP/1.0 has no transfer codings, and of those that there are only one can be read. RFC 9112, section 6.1.
    fn is_sound(&self) -> bool {
        let Some(header) = self.header() else { return false };
        let mut codings = headers::list(&header.headers, header::TRANSFER_ENCODING);
        match codings.next() {
            None => true,
            Some(coding) => {
                coding.eq_ignore_ascii_case("chunked") && codings.next().is_none() && header.version != Version::HTTP_10
            }
        }
    }

    /// The next piece of the body; `None` at its end.
    pub async fn read(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match timeout(self.idle_timeout, self.session.read_response_body()).await {
            Err(_) => Err(UpstreamError::IdleTimeout { after: self.idle_timeout }),
            Ok(Err(_)) => Err(UpstreamError::Broken),
            Ok(Ok(piece)) => Ok(piece),
        }
    }

    /// Gives the answer up: closes the connection (HTTP/1) or resets the stream (HTTP/2), so that the upstream stops
    /// generating. One that has come whole leaves its connection usable.
    pub async fn cancel(&mut self) {
        if !self.session.response_done() {
            self.cancelled = true;
            self.session.shutdown().await;
        }
    }
}

/// Writes the request and reads up to the final header.
async fn exchange_headers(session: &mut HttpSession, request: &Outgoing) -> pingora::Result<()> {
    let Err(mut unwritten) = write_request(session, request).await else { return read_header(session).await };
    unwritten.retry = RetryType::ReusedOnly;
    // A stream of HTTP/2 that takes no more was refused unread, or has been answered. On a connection of HTTP/1 nothing could
    // follow half a request.
    match session {
        HttpSession::H2(_) => match read_header(session).await {
            Err(error) if !error.retry.retry() => Err(unwritten),
            told => told,
        },
        _ => Err(unwritten),
    }
}

async fn read_header(session: &mut HttpSession) -> pingora::Result<()> {
    loop {
        if let Err(mut error) = session.read_response_header().await {
            // All of it has been sent, and a prompt is not judged or paid for twice: only where the upstream says so, in
            // HTTP/2, is it unread. An upstream that breaks the protocol has said nothing.
            error.retry.decide_reuse(false);
            if *error.etype() == ErrorType::InvalidH2 {
                error.set_retry(false);
            }
            return Err(error);
        }
        match session.response_header() {
            Some(header) if header.status.is_informational() => continue,
            _ => return Ok(()),
        }
    }
}

async fn write_request(session: &mut HttpSession, request: &Outgoing) -> pingora::Result<()> {
    session.write_request_header(Box::new(request.header.clone())).await?;
    session.write_request_body(request.body.clone(), true).await?;
    session.finish_request_body().await
}
