//! Pingora's view of the proxy: every request is routed once, then inspected by an exchange of ours, passed by stock
//! Pingora, or refused.

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource};

use crate::live::{Current, Handling, Live, Route, RouteMatch, canonical_path};
use crate::proxy::connection::{Clock, Connection};
use crate::proxy::exchange::Exchange;
use crate::proxy::refused::Refused;
use crate::proxy::trail::Trail;
use crate::proxy::upstream::{UpstreamError, Upstreams};
use crate::proxy::{headers, reply};
use crate::telemetry::Telemetry;
use crate::wire::openai_chat;

/// Everything that requests share.
pub struct Service {
    pub current: Arc<Current>,
    pub upstreams: Upstreams,
    pub telemetry: Arc<Telemetry>,
}

/// One request's state between Pingora's phases.
pub struct Context {
    live: Arc<Live>,
    /// The connection's header clock; HTTP/2 has none.
    clock: Option<Arc<Clock>>,
    /// Index of the matched `pass` route in `live`, and what is recorded of it.
    passing: Option<(usize, String, Trail)>,
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
        Ok(())
    }

    /// Answers everything but `pass` routes itself.
    async fn request_filter(&self, session: &mut Session, context: &mut Context) -> pingora::Result<bool> {
        let live = context.live.clone();
        let session = session.as_downstream_mut();
        let (path, index) = match find(session, &live) {
            Ok(found) => found,
            Err(refused) => {
                let trail = Trail::new(self.telemetry.clone(), &live, None, session);
                let written =
                    reply::refuse(session, &openai_chat::OpenAiChat::default(), &refused, &trail.headers()).await;
                trail.finish(Some(&refused));
                return written.map(|()| true);
            }
        };
        // `find` has taken the index from these routes.
        let Some(route) = live.routes.get(index) else { return Ok(true) };
        let trail = Trail::new(self.telemetry.clone(), &live, Some(route), session);
        let Handling::Inspect(inspect) = &route.handling else {
            context.passing = Some((index, path, trail));
            return Ok(false);
        };
        let exchange = Exchange { upstreams: &self.upstreams, live: &live, route, inspect, path: &path, trail };
        // The exchange is large; on the heap it does not weigh on every phase of Pingora's.
        Box::pin(exchange.run(session)).await.map(|()| true)
    }

    async fn upstream_peer(&self, _: &mut Session, context: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        let route = context.passing_route().ok_or_else(|| Error::new_str("no route"))?;
        let peer = self.upstreams.peer(&route.upstream).await.map_err(|error| {
            Error::because(pingora::ErrorType::HTTPStatus(502), "the upstream's address", error).into_up()
        })?;
        Ok(Box::new((*peer).clone()))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        let (Some(route), Some((_, path, _))) = (context.passing_route(), &context.passing) else { return Ok(()) };
        let ours: Vec<_> = request
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with(headers::OURS) || name.as_str().contains('_'))
            .cloned()
            .collect();
        for name in ours {
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
        if let Some((_, _, trail)) = &context.passing {
            for (name, value) in trail.headers() {
                answer.insert_header(name, value)?;
            }
        }
        Ok(())
    }

    /// A `pass` route's upstream failed: the same shapes as on inspected routes.
    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, context: &mut Context) -> FailToProxy {
        let refused = match (error.esource(), context.passing_route()) {
            (ErrorSource::Downstream, _) | (_, None) => Refused::ClientGone,
            (_, Some(route)) => Refused::Upstream(UpstreamError::Connect { upstream: route.upstream.id.clone() }),
        };
        let session = session.as_downstream_mut();
        let mut error_code = 0;
        if !matches!(refused, Refused::ClientGone) && session.response_written().is_none() {
            error_code = refused.refusal().status.as_u16();
            session.set_keepalive(None);
            // The client may have gone meanwhile: there is nobody else to tell.
            let _ = reply::refuse(session, &openai_chat::OpenAiChat::default(), &refused, &[]).await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn logging(&self, _: &mut Session, _: Option<&Error>, context: &mut Context) {
        if let Some((_, _, trail)) = context.passing.take() {
            trail.finish(None);
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
        self.passing.as_ref().and_then(|(index, _, _)| self.live.routes.get(*index))
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

fn allowed(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}
