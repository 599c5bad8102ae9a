//! The answer's way back: upstream, gate, client. Whole bodies and streams alike go through the gate.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::gate::{CutCause, Gate, Step, Window};
use crate::guardrail::{Decision, Stage};
use crate::proxy::exchange::Exchange;
use crate::proxy::judge::{ask, blocked};
use crate::proxy::refused::Refused;
use crate::proxy::trail::Trail;
use crate::proxy::upstream::{Answer, UpstreamError};
use crate::proxy::{body, headers, reply, unjudged};
use crate::text::Segment;
use crate::wire::{Dialect, Framing, Prompt};

/// A client that has waited so long for the next verdict gets a comment, so that nothing in between gives up.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Every answer has a header.
pub const NO_HEADER: Refused = Refused::Answer("it has no header");

/// Brings the answer to the client. Errors while nothing has been sent; later failures are told in the stream.
pub async fn relay(
    exchange: &mut Exchange<'_>,
    session: &mut ServerSession,
    prompt: Option<&dyn Prompt>,
    answer: &mut Answer,
) -> Result<(), Refused> {
    if exchange.inspect.output.is_empty() {
        return unjudged::pass_on(exchange, session, prompt, answer).await;
    }
    let from = answer.header().ok_or(NO_HEADER)?;
    let (status, framing) = (from.status, accept(from, &*exchange.inspect.dialect)?);
    let mut header = Box::new(ResponseHeader::build(status, Some(12)).map_err(|_| Refused::Answer("its status"))?);
    headers::relay_judged(from, &mut header).map_err(|_| Refused::Answer("its header"))?;
    let gate = gate(exchange, prompt, framing);
    let mut relay = Relay {
        exchange,
        client: Client { session, framing, header: Some(header), whole: Bytes::new(), heard: Instant::now() },
        gate,
        pending: None,
        windows: 0,
        failure: None,
    };
    match relay.run(answer).await {
        // An error answer that is not in the dialect's shape: the client gets one that is, with its status.
        Err(Refused::Unjudgeable(_)) if !status.is_success() => Err(answer.header().map_or(NO_HEADER, failed)),
        ended => ended,
    }
}

/// One answer on its way.
struct Relay<'r, 'a> {
    exchange: &'r mut Exchange<'a>,
    client: Client<'r>,
    gate: Gate,
    /// The verdict that is being made, and on what.
    pending: Option<(BoxFuture<'static, Decision>, Arc<[Segment]>)>,
    windows: u64,
    /// What the gate was told of when the upstream failed.
    failure: Option<Refused>,
}

/// The client's side: the header goes out with the first released byte.
struct Client<'r> {
    session: &'r mut ServerSession,
    framing: Framing,
    /// Until it is sent.
    header: Option<Box<ResponseHeader>>,
    /// A JSON body, until its length is known.
    whole: Bytes,
    /// When the client last got something.
    heard: Instant,
}

/// What can happen while nothing can be sent.
enum Happened {
    Verdict(Decision),
    Piece(Result<Option<Bytes>, UpstreamError>),
    ClientGone,
    /// A moment that the gate or the client waits for.
    Time,
}

impl Relay<'_, '_> {
    async fn run(&mut self, answer: &mut Answer) -> Result<(), Refused> {
        loop {
            match self.gate.step(Instant::now()) {
                Step::Release(bytes) => self.client.send(bytes, &self.exchange.trail).await?,
                Step::Ask(window) => self.ask(window),
                Step::Pull => self.wait(Some(answer)).await?,
                Step::Wait => self.wait(None).await?,
                Step::Cut(bytes, cause) => return self.cut(bytes, cause, answer).await,
                Step::Done => return self.client.end(&self.exchange.trail).await,
            }
            self.exchange.trail.held(self.gate.held());
        }
    }

    /// Has a window judged.
    fn ask(&mut self, window: Window) {
        let segments: Arc<[Segment]> = window.segments.into();
        self.exchange.observe(Stage::Output, &segments, Some(self.windows));
        let (live, guardrails) = (self.exchange.live.clone(), self.exchange.inspect.output.clone());
        self.pending = Some((ask(live, guardrails, Stage::Output, segments.clone()), segments));
    }

    /// Waits for the next thing to happen. `answer` is read on only where the gate has room.
    async fn wait(&mut self, answer: Option<&mut Answer>) -> Result<(), Refused> {
        let now = Instant::now();
        let unjudged = self.pending.is_none();
        // One read over all heartbeats: they must not put off the timeout of an upstream that has stalled.
        let mut reading = pin!(read(answer));
        let happened = loop {
            let verdict = self.pending.as_mut().map(|(verdict, _)| verdict);
            let beat = self.client.next_beat();
            let wake = [self.gate.wake_at(), beat].into_iter().flatten().min();
            match happened(self.client.session, reading.as_mut(), verdict, wake).await {
                Happened::Time if beat.is_some_and(|at| at <= Instant::now()) => {
                    self.client.write(self.gate.heartbeat()).await?;
                }
                happened => break happened,
            }
        };
        if unjudged {
            self.exchange.trail.waited_for_upstream(now.elapsed());
        }
        match happened {
            Happened::Verdict(decision) => {
                if let Some((_, segments)) = self.pending.take() {
                    self.exchange.trail.decided(Stage::Output, Some(self.windows), &decision, &segments);
                    self.windows += 1;
                }
                self.gate.resolve(decision);
            }
            Happened::Piece(Ok(Some(piece))) => self.gate.push(&piece, Instant::now()),
            Happened::Piece(Ok(None)) => self.gate.finish(Instant::now()),
            Happened::Piece(Err(error)) => {
                let refused = Refused::Upstream(error);
                if !self.client.began() {
                    return Err(refused);
                }
                self.gate.fail(&refused.refusal());
                self.failure = Some(refused);
            }
            Happened::ClientGone => return Err(Refused::ClientGone),
            // The gate looks at the clock by itself.
            Happened::Time => {}
        }
        Ok(())
    }

    /// Ends the stream in the dialect's way, or with a refusal where nothing has been sent.
    async fn cut(&mut self, bytes: Bytes, cause: CutCause, answer: &mut Answer) -> Result<(), Refused> {
        let refused = match cause {
            CutCause::Blocked(decision) => blocked(Stage::Output, &decision),
            CutCause::Refused(refusal) => {
                tracing::warn!(route = %self.exchange.route.id, reason = refusal.message, "an answer can't be judged");
                Refused::Unjudgeable(refusal)
            }
            CutCause::Failed => self.failure.take().unwrap_or(Refused::Answer("it broke off")),
        };
        if !self.client.began() {
            return Err(refused);
        }
        // The client may be slow to take the end: the upstream need not wait for it.
        answer.cancel().await;
        self.exchange.trail.cut(&refused);
        self.client.write(bytes).await?;
        self.client.end(&self.exchange.trail).await
    }
}

impl Client<'_> {
    fn began(&self) -> bool {
        self.header.is_none()
    }

    /// When the next comment is due. A JSON body has no comments, and nothing goes before the header.
    fn next_beat(&self) -> Option<Instant> {
        (self.framing == Framing::Sse && self.began()).then(|| self.heard + HEARTBEAT)
    }

    async fn send(&mut self, bytes: Bytes, trail: &Trail) -> Result<(), Refused> {
        match self.framing {
            // The whole body is one event.
            Framing::Json if self.whole.is_empty() => self.whole = bytes,
            Framing::Json => self.whole = [&self.whole[..], &bytes].concat().into(),
            Framing::Sse | Framing::Ndjson | Framing::EventStream => {
                self.begin_stream(trail).await?;
                self.write(bytes).await?;
            }
        }
        Ok(())
    }

    async fn begin_stream(&mut self, trail: &Trail) -> Result<(), Refused> {
        let Some(mut header) = self.header.take() else { return Ok(()) };
        let built = header
            .insert_header(header::CONTENT_TYPE, HeaderValue::from_static(self.framing.media_type()))
            .and_then(|()| header.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache")));
        match built {
            Ok(()) => reply::begin(self.session, header, trail.headers()).await.map_err(|_| Refused::ClientGone),
            Err(_) => Err(Refused::ClientGone),
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Refused> {
        self.heard = Instant::now();
        self.session.write_response_body(bytes, false).await.map_err(|_| Refused::ClientGone)
    }

    /// All is released.
    async fn end(&mut self, trail: &Trail) -> Result<(), Refused> {
        let ended = match self.header.take_if(|_| self.framing == Framing::Json) {
            Some(header) => {
                let body = std::mem::take(&mut self.whole);
                reply::whole(self.session, header, "application/json", body, trail.headers()).await
            }
            None => {
                // Of a stream without a single event.
                self.begin_stream(trail).await?;
                self.session.write_response_body(Bytes::new(), true).await
            }
        };
        ended.map_err(|_| Refused::ClientGone)
    }
}

/// The gate of an answer in this framing to this prompt, where that was read.
pub fn gate(exchange: &Exchange<'_>, prompt: Option<&dyn Prompt>, framing: Framing) -> Gate {
    let settings = exchange.inspect.gate.clone();
    let max_event = match framing {
        Framing::Json => settings.max_held,
        Framing::Sse | Framing::Ndjson | Framing::EventStream => exchange.live.limits.max_event,
    };
    let dialect = &exchange.inspect.dialect;
    let codec = match prompt {
        Some(prompt) => dialect.answer_to(prompt, framing, max_event),
        None => dialect.answer(framing, max_event),
    };
    Gate::new(codec, settings)
}

async fn happened(
    session: &mut ServerSession,
    reading: Pin<&mut impl Future<Output = Result<Option<Bytes>, UpstreamError>>>,
    pending: Option<&mut BoxFuture<'static, Decision>>,
    wake: Option<Instant>,
) -> Happened {
    let verdict = async {
        match pending {
            Some(verdict) => verdict.await,
            None => std::future::pending().await,
        }
    };
    let time = async {
        match wake {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // A client may hang up as soon as it has read all: the end of the answer counts before that.
        biased;
        decision = verdict => Happened::Verdict(decision),
        piece = reading => Happened::Piece(piece),
        () = body::client_gone(session) => Happened::ClientGone,
        () = time => Happened::Time,
    }
}

/// The next piece of the answer; never, where it is not to be read.
async fn read(answer: Option<&mut Answer>) -> Result<Option<Bytes>, UpstreamError> {
    match answer {
        Some(answer) => answer.read().await,
        None => std::future::pending().await,
    }
}

/// How an answer is framed, by its header alone. Whatever can't be judged is refused.
fn accept(header: &ResponseHeader, dialect: &dyn Dialect) -> Result<Framing, Refused> {
    let status = header.status;
    let partial = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::PARTIAL_CONTENT].contains(&status);
    if status.is_redirection() || partial {
        return Err(Refused::Answer("it is a redirect, partial or empty"));
    }
    if headers::list(&header.headers, header::CONTENT_ENCODING).any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Refused::Answer("it is compressed, although that was declined"));
    }
    match headers::media_type(&header.headers).as_deref().and_then(|media_type| dialect.framing(media_type)) {
        Some(framing) if framing == Framing::Json || status.is_success() => Ok(framing),
        _ if !status.is_success() => Err(failed(header)),
        _ => Err(Refused::Answer("it is neither JSON, JSON lines nor an event stream")),
    }
}

/// The upstream's own failure, in words of ours.
fn failed(header: &ResponseHeader) -> Refused {
    Refused::UpstreamStatus { status: header.status, retry_after: headers::retry_after(header) }
}
