//! A verdict as it comes: server-sent events, what the model reasons piece by piece, then the classification.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::unbounded_channel;

use crate::admin::refused::Refused;
use crate::guardrail::{Heard, Listener, Stage};
use crate::telemetry::millis;
use crate::workbench::Classifier;

/// Judges while it is read; dropped, it cancels. `begun`, `read` and `reasoning` come as often as there is something to
/// tell, `verdict` or `error` once, at the end.
pub fn judged(
    classifier: Arc<Classifier>,
    stage: Stage,
    text: Arc<str>,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Bytes> + Send {
    // Bounded by what a model may reason on a text of the greatest length.
    let (sender, mut pieces) = unbounded_channel();
    let listener = Listener::new(move |heard| {
        // Nobody may read any more.
        let _ = sender.send(piece(heard));
    });
    let mut verdict = Some(Box::pin(async move {
        let _permit = permit;
        match classifier.classify(stage, text, Some(listener)).await {
            Ok(classification) => event("verdict", &classification),
            Err(error) => named("error", &Refused::Failed(error).json()),
        }
    }));
    let mut last = None;
    stream::poll_fn(move |context| {
        loop {
            if let Poll::Ready(Some(piece)) = pieces.poll_recv(context) {
                return Poll::Ready(Some(piece));
            }
            let Some(future) = &mut verdict else { return Poll::Ready(last.take()) };
            match pin!(future).poll(context) {
                // What was heard before it goes out before it.
                Poll::Ready(event) => (last, verdict) = (Some(event), None),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
}

fn piece(heard: Heard<'_>) -> Bytes {
    match heard {
        Heard::Begun { window, queued } => event("begun", &json!({ "window": window, "queue": millis(queued) })),
        Heard::Read { window, tokens, kept, took } => {
            event("read", &json!({ "window": window, "tokens": tokens, "kept": kept, "prompt": millis(took) }))
        }
        Heard::Reasoning { window, text } => event("reasoning", &json!({ "window": window, "text": text })),
    }
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    match serde_json::to_string(data) {
        Ok(data) => named(name, &data),
        Err(_) => named("error", &Refused::Internal.json()),
    }
}

/// `data` is JSON, and so one line.
fn named(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}
