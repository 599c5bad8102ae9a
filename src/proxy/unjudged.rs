//! The way back of an answer that no guardrail is waited for: every byte goes on as it comes, whatever it is. Guardrails in
//! observe mode are shown a copy.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::gate::{Gate, Step};
use crate::guardrail::{Decision, Stage};
use crate::proxy::exchange::{Exchange, unless_gone};
use crate::proxy::refused::Refused;
use crate::proxy::relay::{NO_HEADER, gate};
use crate::proxy::upstream::Answer;
use crate::proxy::{headers, reply};
use crate::text::Segment;
use crate::wire::Prompt;

/// Passes an answer on. Errors while nothing has been sent, and where the client has gone.
pub async fn pass_on(
    exchange: &mut Exchange<'_>,
    session: &mut ServerSession,
    prompt: Option<&dyn Prompt>,
    answer: &mut Answer,
) -> Result<(), Refused> {
    let from = answer.header().ok_or(NO_HEADER)?;
    let mut copy = Copy::new(exchange, prompt, from);
    begin(exchange, session, from).await?;
    loop {
        let begun = Instant::now();
        let read = unless_gone(session, pin!(answer.read())).await?;
        exchange.trail.waited_for_upstream(begun.elapsed());
        match read {
            Ok(Some(piece)) => {
                copy.push(exchange, &piece);
                session.write_response_body(piece, false).await.map_err(|_| Refused::ClientGone)?;
            }
            Ok(None) => {
                copy.finish(exchange);
                return session.write_response_body(Bytes::new(), true).await.map_err(|_| Refused::ClientGone);
            }
            // The header is out: closing the connection is the only way left to say that the body is not whole.
            Err(error) => {
                exchange.trail.cut(&Refused::Upstream(error));
                session.shutdown().await;
                return Err(Refused::ClientGone);
            }
        }
    }
}

async fn begin(exchange: &Exchange<'_>, session: &mut ServerSession, from: &ResponseHeader) -> Result<(), Refused> {
    let out = ResponseHeader::build(from.status, Some(from.headers.len() + 4));
    let mut out = Box::new(out.map_err(|_| Refused::Answer("its status"))?);
    headers::relay_unjudged(from, &mut out).map_err(|_| Refused::Answer("its header"))?;
    reply::begin(session, out, exchange.trail.headers()).await.map_err(|_| Refused::ClientGone)
}

/// What the guardrails in observe mode see of an answer.
struct Copy {
    /// None where nobody looks, and from where on the answer can't be read.
    gate: Option<Gate>,
    windows: u64,
}

impl Copy {
    fn new(exchange: &Exchange<'_>, prompt: Option<&dyn Prompt>, header: &ResponseHeader) -> Self {
        let media_type = headers::media_type(&header.headers);
        let framing = media_type.as_deref().and_then(|media_type| exchange.inspect.dialect.framing(media_type));
        let framing = match framing {
            _ if exchange.inspect.observing_output.is_empty() => None,
            Some(framing) => Some(framing),
            None => {
                unreadable(exchange);
                None
            }
        };
        Copy { gate: framing.map(|framing| gate(exchange, prompt, framing)), windows: 0 }
    }

    fn push(&mut self, exchange: &Exchange<'_>, piece: &[u8]) {
        if let Some(gate) = &mut self.gate {
            gate.push(piece, Instant::now());
            self.observe(exchange);
        }
    }

    fn finish(&mut self, exchange: &Exchange<'_>) {
        if let Some(gate) = &mut self.gate {
            gate.finish(Instant::now());
            self.observe(exchange);
        }
    }

    /// Shows the guardrails what the gate has for them.
    fn observe(&mut self, exchange: &Exchange<'_>) {
        while let Some(gate) = &mut self.gate {
            match gate.step(Instant::now()) {
                Step::Ask(window) => {
                    let segments: Arc<[Segment]> = window.segments.into();
                    exchange.observe(Stage::Output, &segments, Some(self.windows));
                    self.windows += 1;
                    gate.resolve(Decision::allow());
                }
                // The bytes themselves are on their way.
                Step::Release(_) => {}
                Step::Pull | Step::Wait => return,
                Step::Done => self.gate = None,
                Step::Cut(..) => {
                    unreadable(exchange);
                    self.gate = None;
                }
            }
        }
    }
}

/// Without the cause: it names members of the body, which could be content.
fn unreadable(exchange: &Exchange<'_>) {
    tracing::warn!(route = %exchange.route.id, "an answer could not be read, so it was not observed to its end");
}
