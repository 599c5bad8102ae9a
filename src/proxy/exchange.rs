//! One exchange on an inspected route. Reads from top to bottom as the way of the data: body, texts, verdicts, upstream,
//! gate, client.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::gate::Gate;
use crate::guardrail::{Cleared, Decision, Stage, evaluate};
use crate::live::{BlockStyle, Inspect, Live, Route};
use crate::proxy::judge::{Observers, ask, blocked, refuse_blocked, unredactable};
use crate::proxy::keeper::Keeper;
use crate::proxy::refused::Refused;
use crate::proxy::trail::Trail;
use crate::proxy::upstream::{Answer, Outgoing, Upstreams};
use crate::proxy::{body, headers, relay, reply};
use crate::text::Segment;
use crate::wire::{Prompt, WireError, named};

/// What one exchange works with. All of it from one snapshot.
pub struct Exchange<'a> {
    pub upstreams: &'a Upstreams,
    pub observers: &'a Observers,
    /// Where the route remembers its answers.
    pub keeper: Option<Keeper>,
    pub live: &'a Arc<Live>,
    pub route: &'a Route,
    pub inspect: &'a Inspect,
    /// The canonical path, and behind it the query that the route takes.
    pub target: &'a str,
    pub trail: Trail,
}

/// The prompt as the input stage leaves it.
struct Judged {
    request: Cleared<Outgoing>,
    /// The verdict of the guardrails that judge while the upstream begins.
    beside: Option<BoxFuture<'static, Decision>>,
    segments: Arc<[Segment]>,
}

impl Exchange<'_> {
    /// Runs the exchange to its end, whatever that is. Errors only where the client can't be written to.
    pub async fn run(mut self, session: &mut ServerSession) -> pingora::Result<()> {
        let outcome = self.drive(session).await;
        let written = match &outcome {
            Ok(()) => Ok(()),
            Err(Refused::ClientGone) => {
                session.set_keepalive(None);
                Ok(())
            }
            Err(refused) => self.refuse(session, refused).await,
        };
        self.trail.finish(outcome.err().as_ref());
        written
    }

    /// Errors before anything has been sent to the client; what goes wrong later is told in the stream.
    async fn drive(&mut self, session: &mut ServerSession) -> Result<(), Refused> {
        let coding = headers::check_body(session.req_header())?;
        let body = body::read(session, &self.live.limits).await?;
        let body = match coding {
            Some(coding) => body::decode(body, coding, &self.live.limits).await?,
            None => body,
        };
        let prompt = self.parse(body.clone())?;
        match self.judge_and_relay(session, prompt.as_deref(), body).await {
            Err(refused) if self.speaks(&refused) => {
                self.trail.refused(&refused);
                self.say(session, prompt.as_deref()).await
            }
            ended => ended,
        }
    }

    async fn judge_and_relay(
        &mut self,
        session: &mut ServerSession,
        prompt: Option<&dyn Prompt>,
        body: Bytes,
    ) -> Result<(), Refused> {
        let judged = match prompt {
            Some(prompt) => self.judge_input(session, prompt, body).await?,
            None => Judged {
                request: self.clear(session, &Decision::allow(), body)?,
                beside: None,
                segments: Arc::default(),
            },
        };
        let mut answer = self.send(session, judged).await?;
        match relay::relay(self, session, prompt, &mut answer).await {
            Ok(()) => self.upstreams.finish(answer).await,
            Err(refused) => {
                answer.cancel().await;
                return Err(refused);
            }
        }
        Ok(())
    }

    /// The prompt's texts; nothing where no guardrail enforces and no answer has to be made up. Guardrails that only observe
    /// refuse nothing; those of the output alone do: a request can ask for answers that they would not see.
    fn parse(&self, body: Bytes) -> Result<Option<Box<dyn Prompt>>, Refused> {
        let Inspect { before, beside, output, observing_input, on_block, .. } = self.inspect;
        let judged = !before.is_empty() || !beside.is_empty() || !output.is_empty();
        let needed = judged || *on_block != BlockStyle::Error;
        if !needed && observing_input.is_empty() {
            return Ok(None);
        }
        match self.inspect.dialect.parse_request(body, self.target) {
            Ok(prompt) => {
                self.keeper.iter().filter(|_| needed).try_for_each(|keeper| keeper.check(&*prompt))?;
                let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
                let words = self.route.path.names(path).chain(self.inspect.query.words(query));
                Ok(Some(named(prompt, words)))
            }
            Err(error) if needed => Err(Refused::Request(error)),
            // The error names members of the body, which could be content.
            Err(_) => {
                tracing::warn!(route = %self.route.id, "a prompt could not be read, so it was not observed");
                Ok(None)
            }
        }
    }

    async fn judge_input(
        &mut self,
        session: &mut ServerSession,
        prompt: &dyn Prompt,
        body: Bytes,
    ) -> Result<Judged, Refused> {
        let segments: Arc<[Segment]> = prompt.segments().into();
        self.observe(Stage::Input, &segments, None);
        let Inspect { before, beside, .. } = self.inspect;
        let decision = match before.is_empty() {
            true => Decision::allow(),
            false => {
                let judging = pin!(evaluate(before, Stage::Input, &segments, &self.live.verdicts));
                unless_gone(session, judging).await?
            }
        };
        self.trail.decided(Stage::Input, None, &decision, &segments);
        refuse_blocked(Stage::Input, &decision)?;
        let body = match decision.edits.is_empty() {
            true => body,
            false => prompt.edited(&decision.edits).map_err(|error| match error {
                WireError::NotEditable { at } => unredactable(Stage::Input, &decision, Some(at)),
                error => Refused::Request(error),
            })?,
        };
        let request = self.clear(session, &decision, body)?;
        self.trail.lets_by(Stage::Input, prompt.media());
        let beside =
            (!beside.is_empty()).then(|| ask(self.live.clone(), beside.clone(), Stage::Input, segments.clone()));
        Ok(Judged { request, beside, segments })
    }

    /// Makes the request that goes out. Only a decision can.
    fn clear(&self, session: &ServerSession, decision: &Decision, body: Bytes) -> Result<Cleared<Outgoing>, Refused> {
        let header = headers::outgoing(session.req_header(), &self.route.upstream, self.target, body.len())?;
        decision.clear(Outgoing { header, body }).ok_or_else(|| blocked(Stage::Input, decision))
    }

    /// Sends the request and waits for the answer's header, and for the verdict that is made beside it.
    async fn send(&mut self, session: &mut ServerSession, judged: Judged) -> Result<Answer, Refused> {
        let Judged { request, beside, segments } = judged;
        let mut sending = pin!(self.upstreams.send(&self.route.upstream, request));
        let mut sent = None;
        if let Some(mut verdict) = beside {
            let judging = pin!(async {
                tokio::select! {
                    decision = &mut verdict => return decision,
                    answer = sending.as_mut() => sent = Some(answer),
                }
                verdict.await
            });
            let decision = unless_gone(session, judging).await?;
            self.trail.decided(Stage::Input, None, &decision, &segments);
            // A block drops `sending`, or the answer: the upstream is cancelled.
            refuse_blocked(Stage::Input, &decision)?;
            if !decision.edits.is_empty() {
                // The prompt has gone out as it was.
                return Err(unredactable(Stage::Input, &decision, None));
            }
        }
        let answer = match sent {
            Some(answer) => answer,
            None => {
                let begun = Instant::now();
                let answer = unless_gone(session, sending).await?;
                self.trail.waited_for_upstream(begun.elapsed());
                answer
            }
        };
        answer.map_err(Refused::Upstream)
    }

    /// Shows the observing guardrails what they stand before. Nobody waits for them.
    pub fn observe(&self, stage: Stage, segments: &Arc<[Segment]>, window: Option<u64>) {
        let guardrails = self.inspect.observing(stage);
        self.observers.observe(self.live, guardrails, (stage, window), segments, || self.trail.observer());
    }

    /// Takes note of what leaves of the answer besides its texts. To be called before it leaves: who has an id may use it at
    /// once.
    pub fn leaving(&mut self, gate: &Gate) {
        self.trail.lets_by(Stage::Output, gate.media());
        self.remember(gate);
    }

    /// What was let through without a verdict is not remembered: a request may not stand on it.
    pub fn remember(&self, gate: &Gate) {
        if let Some(keeper) = self.keeper.as_ref().filter(|_| !self.trail.is_unjudged()) {
            keeper.remember(&gate.kept());
        }
    }

    async fn refuse(&mut self, session: &mut ServerSession, refused: &Refused) -> pingora::Result<()> {
        self.trail.refused(refused);
        reply::refuse(session, &*self.inspect.dialect, refused, &self.trail.headers()).await
    }

    /// Whether a block is told as an ordinary message.
    fn speaks(&self, refused: &Refused) -> bool {
        refused.is_block() && self.inspect.on_block != BlockStyle::Error
    }

    async fn say(&mut self, session: &mut ServerSession, prompt: Option<&dyn Prompt>) -> Result<(), Refused> {
        let (BlockStyle::Message(text), Some(prompt)) = (&self.inspect.on_block, prompt) else { return Ok(()) };
        let (framing, body) = self.inspect.dialect.answer_with(prompt, text);
        let header = Box::new(ResponseHeader::build(StatusCode::OK, Some(5)).map_err(|_| Refused::ClientGone)?);
        reply::whole(session, header, framing.media_type(), body, self.trail.headers())
            .await
            .map_err(|_| Refused::ClientGone)
    }
}

/// Runs `work` until it ends or the client hangs up. Pin what is large before: then it is not moved.
pub async fn unless_gone<T>(session: &mut ServerSession, work: impl Future<Output = T>) -> Result<T, Refused> {
    tokio::select! {
        // Most work is done at once; then the socket need not be asked.
        biased;
        done = work => Ok(done),
        () = body::client_gone(session) => Err(Refused::ClientGone),
    }
}
