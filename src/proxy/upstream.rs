//! The way to an upstream: pooled connections, one request, its answer piece by piece. Takes only what a decision has
//! cleared.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Version, header};
use pingora::RetryType;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::utils::tls::{WrappedX509, parse_x509};
use tokio::time::{Instant, timeout, timeout_at};

use crate::guardrail::Cleared;
use crate::live::{Upstream, UpstreamVersion};
use crate::proxy::headers;

/// A resolved name is kept so long.
const RESOLVED_FOR: Duration = Duration::from_secs(30);
/// An unused connection is kept so long; most servers close theirs after 60 s or more.
const POOLED_FOR: Duration = Duration::from_secs(50);
const MAX_H2_STREAMS: usize = 100;

/// The connections to all upstreams.
pub struct Upstreams {
    connector: Connector,
    peers: Mutex<HashMap<Arc<str>, KnownPeer>>,
}

/// A peer as last resolved.
struct KnownPeer {
    of: Arc<Upstream>,
    peer: Arc<HttpPeer>,
    until: Instant,
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
        Upstreams { connector: Connector::new(None), peers: Mutex::default() }
    }

    /// Sends a request and waits for the answer's header; informational answers are dropped. A request that the upstream
    /// can't have read, on a pooled connection that it had closed meanwhile, is sent once more.
    pub async fn send(&self, upstream: &Arc<Upstream>, request: Cleared<Outgoing>) -> Result<Answer, UpstreamError> {
        let request = request.into_inner();
        let peer = self.peer(upstream).await?;
        let id = || upstream.id.clone();
        let deadline = Instant::now() + upstream.first_byte_timeout;
        let mut again = true;
        loop {
            // Boxed: most exchanges find a pooled connection, and need not carry the room that connecting takes.
            let connecting = Box::pin(self.connector.get_http_session(&*peer));
            let (session, reused) = connecting.await.map_err(|error| {
                tracing::warn!(upstream = %upstream.id, %error, "can't connect");
                UpstreamError::Connect { upstream: id() }
            })?;
            // Boxed: it is handed through every stage of the exchange.
            let mut session = Box::new(session);
            match timeout_at(deadline, exchange_headers(&mut session, &request)).await {
                Err(_) => {
                    return Err(UpstreamError::FirstByteTimeout { upstream: id(), after: upstream.first_byte_timeout });
                }
                Ok(Ok(())) => {
                    let answer = Answer { session, peer, idle_timeout: upstream.idle_timeout };
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

    /// Hands the connection of a finished answer back to the pool; one that still has bytes to come is closed.
    pub async fn finish(&self, mut answer: Answer) {
        if answer.session.response_done() {
            self.connector.release_http_session(*answer.session, &*answer.peer, Some(POOLED_FOR)).await;
        } else {
            answer.cancel().await;
        }
    }

    /// The peer of an upstream, its name resolved within the last half minute.
    pub async fn peer(&self, upstream: &Arc<Upstream>) -> Result<Arc<HttpPeer>, UpstreamError> {
        if let Some(known) = self.peers.lock().unwrap_or_else(PoisonError::into_inner).get(&upstream.id)
            && Arc::ptr_eq(&known.of, upstream)
            && known.until > Instant::now()
        {
            return Ok(known.peer.clone());
        }
        let unresolved = || {
            tracing::warn!(upstream = %upstream.id, host = %upstream.host, "can't be resolved");
            UpstreamError::Resolve { upstream: upstream.id.clone() }
        };
        let resolving = tokio::net::lookup_host((upstream.host.as_str(), upstream.port));
        let address = timeout(upstream.connect_timeout, resolving)
            .await
            .map_err(|_| unresolved())?
            .map_err(|_| unresolved())?
            .next()
            .ok_or_else(unresolved)?;
        let peer = Arc::new(new_peer(upstream, address));
        let known = KnownPeer { of: upstream.clone(), peer: peer.clone(), until: Instant::now() + RESOLVED_FOR };
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).insert(upstream.id.clone(), known);
        Ok(peer)
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
            self.session.shutdown().await;
        }
    }
}

/// Writes the request and reads up to the final header.
async fn exchange_headers(session: &mut HttpSession, request: &Outgoing) -> pingora::Result<()> {
    if let Err(mut error) = write_request(session, request).await {
        error.retry = RetryType::ReusedOnly;
        return Err(error);
    }
    loop {
        if let Err(mut error) = session.read_response_header().await {
            // All of it has been sent, and a prompt is not judged or paid for twice: only where HTTP/2 says so is it unread.
            error.retry.decide_reuse(false);
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

fn new_peer(upstream: &Upstream, address: SocketAddr) -> HttpPeer {
    let mut peer = HttpPeer::new(address, upstream.tls, upstream.host.clone());
    match upstream.version {
        UpstreamVersion::Http1 => peer.options.set_http_version(1, 1),
        UpstreamVersion::Http2 => peer.options.set_http_version(2, 2),
    }
    peer.options.max_h2_streams = MAX_H2_STREAMS;
    peer.options.connection_timeout = Some(upstream.connect_timeout);
    peer.options.total_connection_timeout = Some(upstream.connect_timeout);
    peer.options.idle_timeout = Some(POOLED_FOR);
    // For `pass` routes, which stock Pingora drives: it has one limit for the first byte and the next.
    peer.options.read_timeout = Some(upstream.first_byte_timeout.max(upstream.idle_timeout));
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
    // Connections are shared only between requests to the same upstream under the same trust.
    let mut trust = DefaultHasher::new();
    upstream.id.hash(&mut trust);
    if let Some(ca) = &upstream.ca {
        let certificates = ca.iter().map(|der| WrappedX509::new(der.to_vec(), parse_x509)).collect::<Vec<_>>();
        ca.iter().for_each(|der| der.as_ref().hash(&mut trust));
        peer.options.ca = Some(certificates.into());
    }
    peer.group_key = trust.finish();
    peer
}
