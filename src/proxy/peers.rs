//! The peers of upstreams: every address that a name resolves to, the one that took the last connection first.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy, Peer};
use pingora::utils::tls::{WrappedX509, parse_x509};
use tokio::time::{Instant, timeout};

use crate::live::{Upstream, UpstreamVersion};
use crate::proxy::upstream::{POOLED_FOR, UpstreamError};

/// A resolved name is kept so long.
const RESOLVED_FOR: Duration = Duration::from_secs(30);
/// Addresses that are tried for one request, at most; each has the connect timeout.
const MAX_ADDRESSES: usize = 8;
const MAX_H2_STREAMS: usize = 100;

/// The peers of all upstreams.
#[derive(Default)]
pub struct Peers {
    known: Mutex<HashMap<Arc<str>, Known>>,
}

/// An upstream as last resolved.
struct Known {
    of: Arc<Upstream>,
    /// In the order in which to try them. At least one.
    peers: Arc<[Arc<HttpPeer>]>,
    until: Instant,
}

impl Peers {
    /// The peers of an upstream in the order in which to try them, at least one. Its name is resolved every half minute;
    /// while that fails, what it resolved to last stands.
    pub async fn of(&self, upstream: &Arc<Upstream>) -> Result<Arc<[Arc<HttpPeer>]>, UpstreamError> {
        let mut known = None;
        if let Some(last) = self.known().get_mut(&upstream.id)
            && Arc::ptr_eq(&last.of, upstream)
        {
            if last.until > Instant::now() {
                return Ok(last.peers.clone());
            }
            // One request asks anew; the others go on with what is known, and so does it where nobody answers.
            last.until = Instant::now() + upstream.connect_timeout;
            known = Some(last.peers.clone());
        }
        let resolving = tokio::net::lookup_host((upstream.host.as_str(), upstream.port));
        let addresses: Vec<_> = match timeout(upstream.connect_timeout, resolving).await {
            Ok(Ok(addresses)) => addresses.take(MAX_ADDRESSES).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        if addresses.is_empty() {
            tracing::warn!(upstream = %upstream.id, host = %upstream.host, "can't be resolved");
            return known.ok_or_else(|| UpstreamError::Resolve { upstream: upstream.id.clone() });
        }
        Ok(self.learn(upstream, addresses))
    }

    /// A peer took no connection: it goes behind the others.
    pub fn failed(&self, upstream: &Upstream, peer: &HttpPeer, error: &pingora::Error) {
        tracing::warn!(upstream = %upstream.id, address = %peer.address(), %error, "can't connect");
        let mut all = self.known();
        let Some(known) = all.get_mut(&upstream.id) else { return };
        let mut peers = known.peers.to_vec();
        peers.sort_by_key(|other| other.address() == peer.address());
        known.peers = peers.into();
    }

    /// Keeps what a name has resolved to. What came first before comes first again, if it is still there.
    pub(super) fn learn(&self, upstream: &Arc<Upstream>, addresses: Vec<SocketAddr>) -> Arc<[Arc<HttpPeer>]> {
        let mut peers: Vec<_> = addresses.into_iter().map(|address| Arc::new(new_peer(upstream, address))).collect();
        let mut all = self.known();
        if let Some(first) = all.get(&upstream.id).and_then(|known| known.peers.first()) {
            peers.sort_by_key(|peer| peer.address() != first.address());
        }
        let peers: Arc<[_]> = peers.into();
        let known = Known { of: upstream.clone(), peers: peers.clone(), until: Instant::now() + RESOLVED_FOR };
        all.insert(upstream.id.clone(), known);
        peers
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        // Nothing panics while it is held half-changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(host: &str) -> Arc<Upstream> {
        let time = Duration::from_secs(5);
        Arc::new(Upstream {
            id: "u".into(),
            tls: false,
            host: host.into(),
            port: 80,
            authority: http::HeaderValue::from_static("localhost"),
            base_path: String::new(),
            credential: None,
            version: UpstreamVersion::Http1,
            connect_timeout: time,
            first_byte_timeout: time,
            idle_timeout: time,
            ca: None,
        })
    }

    #[tokio::test]
    async fn a_name_stands_for_what_it_was_while_it_cannot_be_resolved() {
        let named = upstream("upstream.invalid");
        let peers = Peers::default();
        assert!(matches!(peers.of(&named).await, Err(UpstreamError::Resolve { .. })));
        let known = peers.learn(&named, vec![SocketAddr::from(([127, 0, 0, 1], 1))]);
        peers.known().get_mut(&named.id).unwrap().until = Instant::now();
        let found = peers.of(&named).await.unwrap();
        assert!(Arc::ptr_eq(&found, &known));
    }

    #[tokio::test]
    async fn what_took_the_last_connection_comes_first() {
        let (peers, upstream) = (Peers::default(), upstream("localhost"));
        let [a, b, c] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let order = |list: &[Arc<HttpPeer>]| -> Vec<_> {
            list.iter().map(|peer| peer.address().as_inet().copied().unwrap()).collect()
        };
        let known = peers.learn(&upstream, vec![a, b, c]);
        let error = pingora::Error::new_str("refused");
        peers.failed(&upstream, &known[0], &error);
        // Told once more, by a request beside the first.
        peers.failed(&upstream, &known[0], &error);
        assert_eq!(order(&peers.of(&upstream).await.unwrap()), [b, c, a]);
        // Resolved anew: what came first still does, where it is still there.
        assert_eq!(order(&peers.learn(&upstream, vec![a, c, b])), [b, a, c]);
        assert_eq!(order(&peers.learn(&upstream, vec![a, c])), [a, c]);
    }
}
