//! Pingora's view of the proxy: every request is routed once, then inspected by an exchange of ours, passed by stock
//! Pingora, or refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use crate::live::{Current, Handling, Limits, Live, Route, RouteMatch, Upstream, canonical_path};
use crate::proxy::connection::{Clock, Connection};
use crate::proxy::exchange::Exchange;
use crate::proxy::judge::Observers;
use crate::proxy::keeper::Keeper;
use crate::proxy::refused::Refused;
use crate::proxy::seen::Seen;
use crate::proxy::trail::Trail;
use crate::proxy::upstream::{UpstreamError, Upstreams};
use crate::proxy::{body, headers, reply};
use crate::telemetry::Telemetry;
use crate::wire::Dialect;
use crate::wire::openai_chat::OpenAiChat;

/// A client that takes nothing for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that requests share.
pub struct Service {
    pub(super) current: Arc<Current>,
    upstreams: Upstreams,
    pub(super) observers: Observers,
    seen: Arc<Seen>,
    pub(super) telemetry: Arc<Telemetry>,
}

/// One request's state between Pingora's phases.
pub struct Context {
    live: Arc<Live>,
    /// The connection's header clock; HTTP/2 has none.
    clock: Option<Arc<Clock>>,
    passing: Option<Passing>,
}

/// A request on a `pass` route.
struct Passing {
    route: Arc<Route>,
    /// Canonical, without the query.
    path: String,
    trail: Trail,
    /// When its body began to be read, or the latest try.
    begun: Instant,
    /// Bytes of its body so far.
    received: usize,
    /// What to try, in this order; empty before it is known. Others may reorder theirs meanwhile.
    peers: Arc<[Arc<HttpPeer>]>,
    /// So many of them took no connection.
    failed: usize,
    /// Why it ends without its answer.
    refused: Option<Refused>,
}

impl Service {
    pub fn new(current: Arc<Current>, telemetry: Arc<Telemetry>) -> Self {
        let (upstreams, observers, seen) = (Upstreams::new(), Observers::new(), Arc::new(Seen::new()));
        Service { current, upstreams, observers, seen, telemetry }
    }
}

#[async_trait]
impl ProxyHttp for Service {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context { live: self.current.load(), clock: None, passing: None }
    }

    async fn early_request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<()> {
        context.clock = session.stream().and_then(|stream| (**stream).as_any().downcast_ref()).map(Connection::clock);
        if let Some(clock) = &context.clock {
            clock.header_done();
        }
        let session = session.as_downstream_mut();
        session.set_write_timeout(Some(WRITE_TIMEOUT));
        // Pingora's own would end a body before its time. HTTP/2 has none.
        session.set_read_timeout(Some(context.live.limits.body_timeout));
        Ok(())
    }

    /// Answers everything but `pass` routes itself.
    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        let live = context.live.clone();
        let session = session.as_downstream_mut();
        let (target, route) = match find(session, &live) {
            Ok(found) => found,
            Err((route, refused)) => {
                let trail = Trail::new(self.telemetry.clone(), &live, route.map(|route| &**route), Some(session));
                return refuse(session, trail, route, &refused).await.map(|()| true);
            }
        };
        let trail = Trail::new(self.telemetry.clone(), &live, Some(route), Some(session));
        let Handling::Inspect(inspect) = &route.handling else {
            if let Err(refused) = body::check_declared(session.req_header(), &live.limits) {
                return refuse(session, trail, Some(route), &refused).await.map(|()| true);
            }
            let (path, route, begun) = (target, route.clone(), Instant::now());
            let peers = Arc::default();
            context.passing = Some(Passing { route, path, trail, begun, received: 0, peers, failed: 0, refused: None });
            return Ok(false);
        };
        let Service { upstreams, observers, .. } = self;
        let keeper = Keeper::new(&self.seen, route, inspect, &session.req_header().headers);
        let exchange = Exchange { upstreams, observers, keeper, live: &live, route, inspect, target: &target, trail };
        // The exchange is large; on the heap it does not weigh on every phase of Pingora's.
        Box::pin(exchange.run(session)).await.map(|()| true)
    }

    /// Bodies that pass are not judged, and have the same limits.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        piece: &mut Option<Bytes>,
        _: bool,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let limits = &context.live.limits;
        let (Some(passing), Some(piece)) = (&mut context.passing, piece) else { return Ok(()) };
        passing.received += piece.len();
        let taken = body::check_length(&session.req_header().method, passing.received, limits);
        let left = limits.body_timeout.saturating_sub(passing.begun.elapsed());
        passing.refused = match taken {
            Err(refused) => Some(refused),
            Ok(()) if left.is_zero() => Some(Refused::BodyTimeout { after: limits.body_timeout }),
            Ok(()) => {
                // All pieces together have the body's time.
                session.as_downstream_mut().set_read_timeout(Some(left));
                return Ok(());
            }
        };
        Err(Error::new_str("the request body is over a limit").into_down())
    }

    /// The peer to try first, or next.
    async fn upstream_peer(&self, session: &mut Session, context: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        let passing = context.passing.as_mut().ok_or_else(|| Error::new_str("no route"))?;
        if passing.peers.is_empty() {
            passing.peers = self.upstreams.peers.of(&passing.route.upstream).await.map_err(|error| {
                Error::because(ErrorType::HTTPStatus(502), "the upstream's address", error).into_up()
            })?;
        }
        let peer = passing.peers.get(passing.failed).ok_or_else(|| Error::new_str("no address"))?;
        let mut peer = HttpPeer::clone(peer);
        if !session.as_downstream_mut().is_body_done() {
            // The upstream can't answer before the client has sent all, which has a time of its own.
            peer.options.read_timeout = peer.options.read_timeout.max(Some(context.live.limits.body_timeout));
        }
        Ok(Box::new(peer))
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        peer: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let Some(passing) = &mut context.passing {
            passing.failed += 1;
            self.upstreams.peers.failed(&passing.route.upstream, peer, &error);
            error.set_retry(passing.failed < passing.peers.len());
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let Some(Passing { route, path, begun, received, .. }) = &mut context.passing else { return Ok(()) };
        // To connect took a time of its own, and each try sends the body from its start: it is read from here on.
        (*begun, *received) = (Instant::now(), 0);
        let untrusted: Vec<_> = request.headers.keys().filter(|name| headers::is_untrusted(name)).cloned().collect();
        for name in untrusted {
            request.remove_header(&name);
        }
        headers::join_cookies(request)?;
        let mut target = format!("{}{path}", route.upstream.base_path);
        if let Some(query) = session.req_header().uri.query() {
            target.push('?');
            target.push_str(query);
        }
        request.set_raw_path(target.as_bytes())?;
        headers::address(request, &route.upstream, &target)
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        answer: &mut ResponseHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let theirs: Vec<_> =
            answer.headers.keys().filter(|name| name.as_str().starts_with(headers::OURS)).cloned().collect();
        for name in theirs {
            answer.remove_header(&name);
        }
        if let Some(passing) = &context.passing {
            for (name, value) in passing.trail.headers() {
                answer.insert_header(name, value)?;
            }
        }
        Ok(())
    }

    /// A request on a `pass` route failed: the same shapes as on inspected routes.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut Context) -> FailToProxy {
        let Some(passing) = &mut context.passing else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        let session = session.as_downstream_mut();
        let refused = match passing.refused.take() {
            Some(refused) => refused,
            None => failure(error, session, &passing.route.upstream, &context.live.limits),
        };
        session.set_keepalive(None);
        // What was left of the body's time.
        session.set_read_timeout(None);
        let mut error_code = 0;
        if session.response_written().is_some_and(|answer| !answer.status.is_informational()) {
            passing.trail.cut(&refused);
        } else {
            passing.trail.refused(&refused);
            if !matches!(refused, Refused::ClientGone) {
                error_code = refused.refusal().status.as_u16();
                // The client may have gone meanwhile: there is nobody else to tell.
                let _ = reply::refuse(session, &OpenAiChat::default(), &refused, &passing.trail.headers()).await;
            }
            passing.refused = Some(refused);
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, _: &mut Session, _: Option<&Error>, context: &mut Context) {
        if let Some(Passing { trail, refused, .. }) = context.passing.take() {
            trail.finish(refused.as_ref());
        }
        if let Some(clock) = &context.clock {
            clock.exchange_done();
        }
    }

    /// Pingora's own error lines quote the request; ours do not.
    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Context, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}

/// Why a request is refused, and the route that it is refused on, where there is one.
type RefusedOn<'l> = (Option<&'l Arc<Route>>, Refused);

/// Where a request goes, and its route: the canonical path, and where it is judged the query behind it.
fn find<'l>(session: &ServerSession, live: &'l Live) -> Result<(String, &'l Arc<Route>), RefusedOn<'l>> {
    let request = session.req_header();
    headers::check(request, &live.limits).map_err(|refused| (None, refused))?;
    let written = request.uri.path();
    let path = canonical_path(written).map_err(|error| (live.meant(written), error.into()))?;
    let route = match live.route(&request.method, &path) {
        RouteMatch::Found(route) => route,
        RouteMatch::WrongMethod(route) => {
            return Err((Some(route), Refused::Method { allow: allowed(&route.methods) }));
        }
        RouteMatch::None => return Err((live.meant(&path), Refused::NoRoute)),
    };
    match &route.handling {
        Handling::Inspect(inspect) => match request.uri.query() {
            Some(query) if !inspect.query.takes(query) => Err((Some(route), Refused::Query)),
            Some(query) => Ok((format!("{path}?{query}"), route)),
            None => Ok((path, route)),
        },
        Handling::Pass => Ok((path, route)),
    }
}

/// Refuses a request that no exchange runs for, in the words of the route's dialect where it has one.
async fn refuse(
    session: &mut ServerSession,
    mut trail: Trail,
    route: Option<&Arc<Route>>,
    refused: &Refused,
) -> pingora::Result<()> {
    // Told first: who reads the refusal and then the audit finds it there.
    trail.refused(refused);
    let own: Arc<dyn Dialect> = match route.map(|route| &route.handling) {
        Some(Handling::Inspect(inspect)) => inspect.dialect.clone(),
        _ => Arc::new(OpenAiChat::default()),
    };
    let written = reply::refuse(session, &*own, refused, &trail.headers()).await;
    trail.finish(Some(refused));
    written
}

/// What an error of Pingora's means on a `pass` route.
fn failure(error: &Error, session: &mut ServerSession, upstream: &Upstream, limits: &Limits) -> Refused {
    let id = upstream.id.clone();
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, _) => body::unreadable(error, limits),
        // It was given the body's time at least: the client has not sent all.
        (_, ErrorType::ReadTimedout) if !session.is_body_done() => Refused::BodyTimeout { after: limits.body_timeout },
        (_, ErrorType::ReadTimedout) => {
            UpstreamError::IdleTimeout { after: upstream.first_byte_timeout.max(upstream.idle_timeout) }.into()
        }
        (_, ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::H2Error) => {
            UpstreamError::Exchange { upstream: id }.into()
        }
        (_, ErrorType::InvalidHTTPHeader) => UpstreamError::Framing { upstream: id }.into(),
        _ => UpstreamError::Connect { upstream: id }.into(),
    }
}

fn allowed(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;
    use crate::config;
    use crate::guardrail::VerdictCache;
    use crate::live::{Engines, assemble};
    use crate::proxy::{Listener, Server};
    use crate::telemetry::{Audit, Target};

    const CONFIG: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n[upstream.u]\nurl = \"http://upstream.test\"\n\
        [[route]]\nid = \"chat\"\npath = \"/chat\"\ndialect = \"openai_chat\"\nupstream = \"u\"\nguardrails = []\n\
        [[route]]\nid = \"pass\"\npath = \"/pass\"\nupstream = \"u\"\npass = true\nmethods = [\"POST\"]\n";

    /// A proxy whose upstream has these addresses.
    async fn proxy(addresses: &[SocketAddr]) -> SocketAddr {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.toml");
        std::fs::write(&path, CONFIG).unwrap();
        let verdicts = Arc::new(VerdictCache::new(0));
        let live = assemble(&config::load(&path).unwrap(), 1, &Engines::unstarted(), verdicts.clone()).unwrap();
        let upstream = live.routes[0].upstream.clone();
        let telemetry = Telemetry::new(Audit::open(Target::None, false).unwrap(), verdicts, Arc::new(Vec::new));
        let service = Service::new(Arc::new(Current::new(live)), Arc::new(telemetry));
        service.upstreams.peers.learn(&upstream, addresses.to_vec());
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(Arc::new(Server::new(service, 100, 1)).serve(Listener { socket, tls: None }));
        address
    }

    /// Reads a message with a content length; gives its first line.
    async fn message(stream: &mut BufReader<TcpStream>) -> Option<String> {
        let (mut first, mut length) = (String::new(), 0);
        if stream.read_line(&mut first).await.ok()? == 0 {
            return None;
        }
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            match line.to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        Some(first)
    }

    /// An upstream that says `{}`.
    async fn answering() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                tokio::spawn(async move {
                    while message(&mut stream).await.is_some() {
                        let answer =
                            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        address
    }

    /// An address that nobody listens on, as long as the socket lives.
    fn closed() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    async fn status(proxy: SocketAddr, path: &str) -> String {
        let mut stream = BufReader::new(TcpStream::connect(proxy).await.unwrap());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let first = tokio::time::timeout(Duration::from_secs(20), message(&mut stream)).await.unwrap().unwrap();
        first.split(' ').nth(1).unwrap().to_owned()
    }

    #[tokio::test]
    async fn every_address_of_an_upstream_is_tried() {
        let ((_one, one), (_two, two), open) = (closed(), closed(), answering().await);
        for path in ["/chat", "/pass"] {
            for addresses in [vec![one, two, open], vec![one, open, two], vec![open, one]] {
                let proxy = proxy(&addresses).await;
                // Once more with what is known now.
                assert_eq!([status(proxy, path).await, status(proxy, path).await], ["200", "200"], "{path}");
            }
            let proxy = proxy(&[one, two]).await;
            assert_eq!(status(proxy, path).await, "502", "{path}");
        }
    }
}
