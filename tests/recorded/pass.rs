//! A stream through codec, gate and guardrail, without a socket.

use std::time::{Duration, Instant};

use portcullis::gate::{CutCause, Gate, GateSettings, Step, WindowSize};
use portcullis::guardrail::Stage;

use super::{Judge, Recorded};

/// What became of it.
#[derive(Debug, PartialEq)]
pub struct Trace {
    pub verdicts: Vec<Judged>,
    /// All that left, but for a cut's own words.
    pub released: Vec<u8>,
    pub cut: Option<&'static str>,
}

/// A verdict: what was asked (lane, text, where the new of it begins), and what was said.
pub type Judged = (Vec<(u32, String, usize)>, String);

pub fn settings(window: usize) -> GateSettings {
    GateSettings {
        window: WindowSize::Bytes(window),
        lookahead: 32,
        max_hold: Duration::from_secs(1),
        max_held: 1 << 20,
        context: 64,
        observe: false,
    }
}

/// Passes it on in these pieces; verdicts come at once.
pub fn pass(recorded: &Recorded, settings: &GateSettings, pieces: &[&[u8]], judge: &Judge) -> Trace {
    let codec = recorded.dialect.answer(recorded.framing, 1 << 16);
    let mut gate = Gate::new(codec, settings.clone());
    let (mut pieces, now) = (pieces.iter(), Instant::now());
    let mut trace = Trace { verdicts: Vec::new(), released: Vec::new(), cut: None };
    loop {
        match gate.step(now) {
            Step::Release(bytes) => trace.released.extend_from_slice(&bytes),
            Step::Ask(window) => {
                let decision = judge.decide(Stage::Output, &window.segments);
                let asked = window.segments.iter().map(|asked| (asked.id.0, asked.text.to_string(), asked.fresh));
                trace.verdicts.push((asked.collect(), format!("{:?} {:?}", decision.action, decision.edits)));
                gate.resolve(decision);
            }
            Step::Pull => match pieces.next() {
                Some(piece) => gate.push(piece, now),
                None => gate.finish(now),
            },
            Step::Wait => panic!("waits for nothing"),
            Step::Cut(_, cause) => {
                trace.cut = Some(match cause {
                    CutCause::Blocked(_) => "blocked",
                    CutCause::Refused(refusal) => refusal.code,
                    CutCause::Failed => "failed",
                });
                return trace;
            }
            Step::Done => return trace,
        }
    }
}
