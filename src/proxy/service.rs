//! Pingora's view of the proxy: every request is routed once, then inspected by an exchange of ours, passed by stock
//! Pingora, or refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use crate::live::{Current, Handling, Live, Route, RouteMatch, Upstream, canonical_path};
use crate::proxy::connection::{Clock, Connection};
use crate::proxy::exchange::Exchange;
use crate::proxy::judge::Observers;
use crate::proxy::refused::Refused;
use crate::proxy::trail::Trail;
use crate::proxy::upstream::{UpstreamError, Upstreams};
use crate::proxy::{body, headers, reply};
use crate::telemetry::Telemetry;
use crate::wire::openai_chat::OpenAiChat;

/// A client that takes nothing for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that requests share.
pub struct Service {
    pub(super) current: Arc<Current>,
    upstreams: Upstreams,
    observers: Observers,
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
    /// Of the route in `live`.
    index: usize,
    /// Canonical.
    path: String,
    trail: Trail,
    begun: Instant,
    /// Bytes of its body so far.
    received: usize,
    /// Why it ends without its answer.
    refused: Option<Refused>,
}

impl Service {
    pub fn new(current: Arc<Current>, telemetry: Arc<Telemetry>) -> Self {
        Service { current, upstreams: Upstreams::new(), observers: Observers::new(), telemetry }
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
        session.as_downstream_mut().set_write_timeout(Some(WRITE_TIMEOUT));
        Ok(())
    }

    /// Answers everything but `pass` routes itself.
    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        let live = context.live.clone();
        let session = session.as_downstream_mut();
        let (path, index) = match find(session, &live) {
            Ok(found) => found,
            Err(refused) => {
                let trail = Trail::new(self.telemetry.clone(), &live, None, Some(session));
                return refuse(session, trail, &refused).await.map(|()| true);
            }
        };
        // `find` has taken the index from these routes.
        let Some(route) = live.routes.get(index) else { return Ok(true) };
        let trail = Trail::new(self.telemetry.clone(), &live, Some(route), Some(session));
        let Handling::Inspect(inspect) = &route.handling else {
            if let Err(refused) = body::check_declared(session.req_header(), &live.limits) {
                return refuse(session, trail, &refused).await.map(|()| true);
            }
            context.passing = Some(Passing { index, path, trail, begun: Instant::now(), received: 0, refused: None });
            return Ok(false);
        };
        let Service { upstreams, observers, .. } = self;
        let exchange = Exchange { upstreams, observers, live: &live, route, inspect, path: &path, trail };
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
        passing.refused = match taken {
            Err(refused) => Some(refused),
            Ok(()) if passing.begun.elapsed() > limits.body_timeout => {
                Some(Refused::BodyTimeout { after: limits.body_timeout })
            }
            Ok(()) => return Ok(()),
        };
        Err(Error::new_str("the request body is over a limit").into_down())
    }

    async fn upstream_peer(&self, _: &mut Session, context: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        let route = context.passing_route().ok_or_else(|| Error::new_str("no route"))?;
        let peer =
            self.upstreams.peer(&route.upstream).await.map_err(|error| {
                Error::because(ErrorType::HTTPStatus(502), "the upstream's address", error).into_up()
            })?;
        Ok(Box::new((*peer).clone()))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let (Some(route), Some(Passing { path, .. })) = (context.passing_route(), &context.passing) else {
            return Ok(());
        };
        let untrusted: Vec<_> = request.headers.keys().filter(|name| headers::is_untrusted(name)).cloned().collect();
        for name in untrusted {
            request.remove_header(&name);
        }
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
        let failed = context.passing_route().map_or(Refused::ClientGone, |route| failure(error, &route.upstream));
        let Some(passing) = &mut context.passing else {
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        let refused = passing.refused.take().unwrap_or(failed);
        let session = session.as_downstream_mut();
        session.set_keepalive(None);
        let mut error_code = 0;
        if session.response_written().is_some() {
            passing.trail.cut(&refused);
        } else {
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
}

impl Context {
    fn passing_route(&self) -> Option<&Route> {
        self.passing.as_ref().and_then(|passing| self.live.routes.get(passing.index))
    }
}

/// The canonical path of a request, and the index of its route.
fn find(session: &ServerSession, live: &Live) -> Result<(String, usize), Refused> {
    let request = session.req_header();
    headers::check(request, &live.limits)?;
    let path = canonical_path(request.uri.path())?;
    let route = match live.route(&request.method, &path) {
        RouteMatch::Found(route) => route,
        RouteMatch::WrongMethod(route) => return Err(Refused::Method { allow: allowed(&route.methods) }),
        RouteMatch::None => return Err(Refused::NoRoute),
    };
    if matches!(route.handling, Handling::Inspect(_)) && request.uri.query().is_some() {
        return Err(Refused::Query);
    }
    let index = live.routes.iter().position(|other| std::ptr::eq(other, route)).ok_or(Refused::NoRoute)?;
    Ok((path, index))
}

/// Refuses a request that no exchange runs for.
async fn refuse(session: &mut ServerSession, trail: Trail, refused: &Refused) -> pingora::Result<()> {
    let written = reply::refuse(session, &OpenAiChat::default(), refused, &trail.headers()).await;
    trail.finish(Some(refused));
    written
}

/// What an error of Pingora's means on a `pass` route.
fn failure(error: &Error, upstream: &Upstream) -> Refused {
    let id = upstream.id.clone();
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, _) => Refused::ClientGone,
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
