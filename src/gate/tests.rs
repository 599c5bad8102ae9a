//! The gate's tests: examples.

mod codec;
mod properties;

use std::time::Duration;

use codec::Lines;

use super::*;
use crate::text::{Edit, Edits, Span};

fn settings(window: usize, lookahead: usize) -> GateSettings {
    GateSettings {
        window: WindowSize::Bytes(window),
        lookahead,
        max_hold: Duration::from_secs(1),
        max_held: 10_000,
        context: 64,
        observe: false,
    }
}

fn gate(settings: GateSettings) -> Gate {
    Gate::new(Box::<Lines>::default(), settings)
}

fn block() -> Decision {
    Decision { action: Action::Block, ..Decision::allow() }
}

fn redact(id: u32, span: Span) -> Decision {
    redact_all(id, &[span])
}

fn redact_all(id: u32, spans: &[Span]) -> Decision {
    let edits: Edits = spans.iter().map(|span| Edit { span: span.clone(), with: "#".into() }).collect();
    Decision { action: Action::Redact, edits: [(SegmentId(id), edits)].into(), ..Decision::allow() }
}

/// A step in short: what is released or cut as text, what is asked as `id:text@fresh`.
fn say(step: Step) -> String {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap().replace('\n', "/");
    match step {
        Step::Pull => "pull".into(),
        Step::Wait => "wait".into(),
        Step::Done => "done".into(),
        Step::Release(bytes) => format!("> {}", text(bytes)),
        Step::Cut(bytes, _) => text(bytes),
        Step::Ask(window) => {
            let segments = window.segments.iter().map(|s| format!("{}:{}@{}", s.id.0, s.text, s.fresh));
            let segments: Vec<_> = segments.collect();
            format!("ask {}", segments.join(" "))
        }
    }
}

/// Pushes the lines at once and says what follows until the gate waits for something.
fn says(gate: &mut Gate, lines: &[&str], now: Instant) -> Vec<String> {
    gate.push(lines.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes(), now);
    drain(gate, now)
}

fn drain(gate: &mut Gate, now: Instant) -> Vec<String> {
    let mut said = Vec::new();
    loop {
        let step = gate.step(now);
        let stop = !matches!(step, Step::Release(_));
        said.push(say(step));
        if stop {
            return said;
        }
    }
}

#[test]
fn nothing_leaves_before_a_verdict_and_the_tail_waits_for_the_last_one() {
    let now = Instant::now();
    let mut gate = gate(settings(8, 3));
    assert_eq!(says(&mut gate, &["", "0cabcd"], now), ["pull"]);
    assert_eq!(says(&mut gate, &["0cefgh"], now), ["ask 0:abcdefgh@0"]);
    assert!(gate.heartbeat().is_empty());
    // What comes while a verdict is pending is judged in one go, be it two windows.
    assert_eq!(says(&mut gate, &["0cijklmnop", "0cqrstuvwx", "!", "[DONE]"], now), ["pull"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["> /0cabcd/", "ask 0:abcdefghijklmnopqrstuvwx@4"]);
    assert_eq!(&gate.heartbeat()[..], b"#\n");
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), ["wait"]);
    gate.resolve(Decision::allow());
    // All of the text has had its verdict, so the end needs no other.
    assert_eq!(drain(&mut gate, now), ["> 0cefgh/0cijklmnop/0cqrstuvwx/[DONE]/[DONE]/", "done"]);
    assert_eq!(gate.held(), 0);
}

#[test]
fn an_answer_without_text_needs_no_verdict() {
    let now = Instant::now();
    let mut gate = gate(settings(8, 3));
    assert_eq!(says(&mut gate, &["", "0c", "[DONE]"], now), ["pull"]);
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), ["> /0c/[DONE]/", "done"]);
}

#[test]
fn text_waits_at_most_max_hold() {
    let start = Instant::now();
    let mut gate = gate(settings(100, 2));
    assert_eq!(gate.wake_at(), None);
    assert_eq!(says(&mut gate, &["0cabc"], start), ["pull"]);
    let due = start + Duration::from_secs(1);
    assert_eq!(gate.wake_at(), Some(due));
    let late = start + Duration::from_millis(900);
    assert_eq!(says(&mut gate, &["0cdef"], late), ["pull"]);
    assert_eq!(gate.wake_at(), Some(due));
    assert_eq!(drain(&mut gate, due), ["ask 0:abcdef@0"]);
    assert_eq!(gate.wake_at(), None);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, due), ["> 0cabc/", "pull"]);
    assert_eq!(gate.wake_at(), None);
}

#[test]
fn windows_end_at_a_sentence_where_one_is_near() {
    let now = Instant::now();
    let mut gate = gate(settings(12, 2));
    assert_eq!(says(&mut gate, &["0cSo it is 3.14. No"], now), ["ask 0:So it is 3.14.@0"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["pull"]);
    // The rest goes on waiting for its own.
    assert_eq!(gate.wake_at(), Some(now + Duration::from_secs(1)));
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), ["ask 0:So it is 3.14. No@0"]);
}

#[test]
fn a_block_cuts_and_nothing_follows() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 1));
    assert_eq!(says(&mut gate, &["0cabcd"], now), ["ask 0:abcd@0"]);
    gate.resolve(block());
    assert_eq!(drain(&mut gate, now), ["CUT blocked/"]);
    gate.push(b"0cmore\n", now);
    gate.resolve(Decision::allow());
    gate.fail(&refusal(StatusCode::BAD_GATEWAY, "late", ""));
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), ["done"]);
    assert!(gate.heartbeat().is_empty() && gate.held() == 0);
}

#[test]
fn a_failure_cuts_at_once() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 1));
    assert_eq!(says(&mut gate, &["0cabcd", "0cefgh"], now), ["ask 0:abcd@0"]);
    gate.fail(&refusal(StatusCode::BAD_GATEWAY, "upstream_unreachable", ""));
    assert!(matches!(gate.step(now), Step::Cut(_, CutCause::Failed)));
    gate.resolve(Decision::allow());
    assert!(matches!(gate.step(now), Step::Done));
}

#[test]
fn a_broken_stream_cuts_after_what_was_decided_before_it() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 0));
    assert_eq!(says(&mut gate, &["0cabcd", "0cef", "?"], now), ["ask 0:abcd@0"]);
    assert_eq!(drain(&mut gate, now), ["wait"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["> 0cabcd/", "CUT upstream_invalid_response/"]);

    let mut gate = self::gate(settings(4, 0));
    gate.push(b"0cabc", now);
    gate.finish(now);
    let Step::Cut(_, CutCause::Refused(refusal)) = gate.step(now) else { panic!("no cut") };
    assert_eq!((refusal.code, refusal.status), ("upstream_invalid_response", StatusCode::BAD_GATEWAY));
}

#[test]
fn what_cannot_be_read_is_told_without_its_words() {
    let at = || "canary".to_owned();
    for (error, code) in [
        (WireError::Shape { at: at(), expected: at() }, "upstream_invalid_response"),
        (WireError::Unsupported { at: at(), supported: "canary" }, "upstream_invalid_response"),
        (WireError::NotEditable { at: at() }, "upstream_invalid_response"),
        (WireError::Truncated, "upstream_invalid_response"),
        (WireError::TooLarge { limit: 9 }, "answer_too_large"),
    ] {
        let mut gate = gate(settings(4, 0));
        gate.cut_wire(error);
        let Step::Cut(bytes, CutCause::Refused(refusal)) = gate.step(Instant::now()) else { panic!("no cut") };
        assert!(refusal.code == code && bytes.starts_with(format!("CUT {code}").as_bytes()), "{refusal:?}");
        assert!(!refusal.message.contains("canary"), "{}", refusal.message);
    }
}

#[test]
fn redactions_are_made_and_may_grow_while_held() {
    let now = Instant::now();
    let mut gate = gate(settings(6, 3));
    assert_eq!(says(&mut gate, &["0cab", "0ccd", "0cef"], now), ["ask 0:abcdef@0"]);
    gate.resolve(redact_all(0, &[1..2, 5..6]));
    assert_eq!(says(&mut gate, &["0cgh", "0cijkl"], now), ["> 0ca#/", "ask 0:abcdefghijkl@2"]);
    gate.resolve(redact_all(0, &[1..2, 5..8]));
    assert_eq!(drain(&mut gate, now), ["> 0ccd/0ce#/0c/", "pull"]);
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), ["> 0cijkl/", "done"]);
}

#[test]
fn a_redaction_that_goes_on_leaves_one_mask_and_a_stream_that_flows() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 2));
    assert_eq!(says(&mut gate, &["0cab", "0ccd"], now), ["ask 0:abcd@0"]);
    gate.resolve(redact(0, 0..4));
    // What was redacted as a whole stays so, though the next verdict is mild.
    assert_eq!(says(&mut gate, &["0cef", "0cgh"], now), ["> 0c#/", "ask 0:abcdefgh@2"]);
    gate.resolve(redact(0, 6..8));
    assert_eq!(drain(&mut gate, now), ["> 0c/0cef/", "pull"]);
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), ["> 0c#/", "done"]);
}

#[test]
fn a_mild_verdict_takes_no_redaction_back_and_sees_what_has_left_masked() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 2));
    assert_eq!(says(&mut gate, &["0cab", "0ccd"], now), ["ask 0:abcd@0"]);
    gate.resolve(redact_all(0, &[1..2, 3..4]));
    gate.push(b"0cef\n0cgh\n", now);
    assert_eq!(say(gate.step(now)), "> 0ca#/");
    let Step::Ask(window) = gate.step(now) else { panic!("no ask") };
    assert_eq!((&*window.segments[0].text, &window.segments[0].masked[..]), ("abcdefgh", &[1..2][..]));
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["> 0cc#/0cef/", "pull"]);
}

#[test]
fn a_redaction_of_what_has_left_blocks() {
    let now = Instant::now();
    for (span, expected) in [(1..3, "CUT blocked/"), (0..2, "> 0ccd/"), (2..3, "> 0c#d/")] {
        let mut gate = gate(settings(4, 2));
        assert_eq!(says(&mut gate, &["0cab", "0ccd"], now), ["ask 0:abcd@0"]);
        gate.resolve(Decision::allow());
        assert_eq!(says(&mut gate, &["0cef", "0cgh"], now), ["> 0cab/", "ask 0:abcdefgh@2"]);
        gate.resolve(redact(0, span));
        assert_eq!(say(gate.step(now)).split_inclusive('/').next().unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_edited_blocks() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 0));
    assert_eq!(says(&mut gate, &["0cxy", "~0cab"], now), ["ask 0:xyab@0"]);
    gate.resolve(redact(0, 2..3));
    assert_eq!(say(gate.step(now)), "> 0cxy/");
    assert!(matches!(gate.step(now), Step::Cut(_, CutCause::Blocked(_))));
    // So does an edit of a text that was not asked about.
    let mut gate = self::gate(settings(4, 0));
    assert_eq!(says(&mut gate, &["0cabcd"], now), ["ask 0:abcd@0"]);
    gate.resolve(redact(7, 0..1));
    assert_eq!(drain(&mut gate, now), ["CUT blocked/"]);
}

#[test]
fn a_channel_is_over_when_its_choice_has_gone_on() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 3));
    assert_eq!(says(&mut gate, &["0rabcd"], now), ["ask 0:abcd@0"]);
    gate.resolve(Decision::allow());
    assert_eq!(says(&mut gate, &["0cef"], now), ["pull"]);
    // Three bytes of content: the thinking is done, its tail may leave.
    assert_eq!(says(&mut gate, &["0cg"], now), ["> 0rabcd/", "pull"]);
    // Unless it went on meanwhile, and that is not judged yet; or what grew is no text that a model writes.
    for more in [["0re", "0cfgh"], ["0oefg", "1cefg"]] {
        let mut gate = self::gate(settings(4, 3));
        assert_eq!(says(&mut gate, &["0rabcd"], now), ["ask 0:abcd@0"]);
        gate.resolve(Decision::allow());
        assert_eq!(says(&mut gate, &more, now), ["pull"]);
    }
}

#[test]
fn held_bytes_are_limited() {
    let now = Instant::now();
    let limited = |window| GateSettings { max_held: 8, window, ..settings(100, 0) };
    let mut gate = gate(limited(WindowSize::Bytes(100)));
    assert_eq!(says(&mut gate, &["0cabcde"], now), ["ask 0:abcde@0"]);
    assert_eq!(drain(&mut gate, now), ["wait"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["> 0cabcde/", "pull"]);
    // Held for the end, and too large for it.
    assert_eq!(says(&mut gate, &["!0cfghij"], now), ["ask 0:abcdefghij@5"]);
    gate.resolve(Decision::allow());
    let Step::Cut(_, CutCause::Refused(refusal)) = gate.step(now) else { panic!("no cut") };
    assert!(refusal.code == "answer_too_large" && refusal.message.contains(" 8 bytes"), "{}", refusal.message);
    // The whole answer or nothing.
    let mut gate = self::gate(limited(WindowSize::All));
    assert_eq!(says(&mut gate, &["0cabcde"], now), ["CUT answer_too_large/"]);
}

#[test]
fn what_has_no_text_leaves_before_it_is_too_much() {
    let now = Instant::now();
    let mut gate = gate(GateSettings { max_held: 8, ..settings(100, 0) });
    assert_eq!(says(&mut gate, &["", "", ""], now), ["pull"]);
    assert_eq!(says(&mut gate, &["", "", "", "", ""], now), ["> ////////", "pull"]);
    // What has a text waits for its verdict all the same.
    assert_eq!(says(&mut gate, &["0cab", "", ""], now), ["pull"]);
    assert_eq!(says(&mut gate, &["", ""], now), ["ask 0:ab@0"]);
    gate.resolve(block());
    assert_eq!(drain(&mut gate, now), ["CUT blocked/"]);
}

#[test]
fn what_stands_alone_waits_for_its_verdict_and_for_nothing_behind_it() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 3));
    assert_eq!(says(&mut gate, &["=0oabcd"], now), ["ask 0:abcd@0"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["> 0oabcd/", "pull"]);
    assert_eq!(says(&mut gate, &["0oefgh"], now), ["ask 0:abcdefgh@4"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["pull"]);
}

#[test]
fn the_whole_answer_is_one_window() {
    let now = Instant::now();
    let mut gate = gate(GateSettings { window: WindowSize::All, ..settings(0, 0) });
    assert_eq!(says(&mut gate, &["0cab", "1ccd", "0ref", "[DONE]"], now), ["pull"]);
    assert_eq!((gate.wake_at(), drain(&mut gate, now + Duration::from_secs(9))), (None, vec!["pull".into()]));
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), ["ask 0:ab@0 1:cd@0 2:ef@0"]);
    gate.resolve(redact(1, 0..1));
    assert_eq!(drain(&mut gate, now), ["> 0cab/1c#d/0ref/[DONE]/", "done"]);
}

#[test]
fn observing_holds_nothing_and_changes_nothing() {
    let now = Instant::now();
    let mut gate = gate(GateSettings { observe: true, ..settings(4, 2) });
    assert_eq!(says(&mut gate, &["", "0cabcd", "0cef"], now), ["> /", "> 0cabcd/", "ask 0:abcd@0"]);
    assert_eq!(drain(&mut gate, now), ["> 0cef/", "pull"]);
    gate.resolve(block());
    assert_eq!(says(&mut gate, &["0cgh"], now), ["> 0cgh/", "ask 0:abcdefgh@4"]);
    gate.resolve(redact(0, 5..6));
    assert_eq!(says(&mut gate, &["[DONE]"], now), ["> [DONE]/", "pull"]);
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), ["done"]);
}

#[test]
fn context_is_bounded() {
    let now = Instant::now();
    // Few channels have all of it; many share.
    for (channels, expected) in [(1, 64..130), (128, 10..40)] {
        let mut gate = gate(settings(20, 10));
        let mut longest = 0;
        for choice in ('Ā'..).take(channels).cycle().take(4000) {
            gate.push(format!("{choice}c{}\n", "é".repeat(10)).as_bytes(), now);
            loop {
                match gate.step(now) {
                    Step::Ask(window) => {
                        longest = longest.max(window.segments.iter().map(|segment| segment.fresh).max().unwrap());
                        gate.resolve(Decision::allow());
                    }
                    Step::Release(_) => {}
                    _ => break,
                }
            }
        }
        assert!(expected.contains(&longest), "{longest}");
    }
}

#[test]
fn what_is_not_seen_is_held_beside_the_lookahead() {
    let now = Instant::now();
    let mut gate = gate(settings(4, 3));
    let unseen = format!("0c{}", "\u{200b}".repeat(40));
    let ask = format!("ask 0:abcd{}ef@0", &unseen[2..]);
    assert_eq!(says(&mut gate, &["0cab", "0ccd"], now), ["ask 0:abcd@0"]);
    assert_eq!(says(&mut gate, &[&unseen, "0cef"], now), ["pull"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), [ask]);
    gate.resolve(Decision::allow());
    // Of what is seen, `d` is the third from the end.
    assert_eq!(drain(&mut gate, now), ["> 0cab/", "pull"]);
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), [format!("> 0ccd/{unseen}/0cef/"), "done".into()]);
}

#[test]
fn text_that_shows_next_to_nothing_is_held() {
    let now = Instant::now();
    let unseen = format!("0c{}", "\u{1}".repeat(5000));
    let mut gate = gate(settings(4, 3));
    assert_eq!(says(&mut gate, &["0cab", "0ccd", &unseen, "0rxyz"], now), ["ask 0:abcd@0"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), [format!("ask 0:abcd{}@0", &unseen[2..])]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["pull"]);
    // Not even when the channel is over.
    assert_eq!(says(&mut gate, &["0rw"], now), ["ask 1:xyzw@0"]);
    gate.resolve(Decision::allow());
    assert_eq!(drain(&mut gate, now), ["pull"]);
    gate.finish(now);
    assert_eq!(drain(&mut gate, now), [format!("> 0cab/0ccd/{unseen}/0rxyz/0rw/"), "done".into()]);
}

#[test]
fn a_channel_that_was_taken_for_over_goes_on_in_sight_of_what_it_said() {
    let now = Instant::now();
    let mut gate = gate(GateSettings { context: 0, ..settings(4, 3) });
    let unseen = format!("0r{}", "\u{200b}".repeat(40));
    assert_eq!(says(&mut gate, &["0rabcd"], now), ["ask 0:abcd@0"]);
    gate.resolve(Decision::allow());
    assert_eq!(says(&mut gate, &[&unseen], now), [format!("ask 0:abcd{}@0", &unseen[2..])]);
    gate.resolve(Decision::allow());
    assert_eq!(says(&mut gate, &["0cefg"], now), [format!("> 0rabcd/{unseen}/"), "pull".into()]);
    let asked = says(&mut gate, &["0rhijk"], now).remove(0);
    assert!(asked.starts_with(&format!("ask 0:bcd{}hijk@123", &unseen[2..])), "{asked}");
}

#[test]
fn windows_grow_while_verdicts_free_nothing() {
    let now = Instant::now();
    let mut gate = gate(GateSettings { max_held: 1 << 20, ..settings(10, 5) });
    // What leaves last stands first, so every window has all of the text to look at.
    gate.push(b"!0cx\n", now);
    let (mut asks, mut looked_at) = (0, 0);
    for _ in 0..20_000 {
        gate.push(b"0cabcde\n", now);
        while let Step::Ask(window) = gate.step(now) {
            asks += 1;
            looked_at += window.segments[0].text.len();
            gate.resolve(Decision::allow());
        }
    }
    assert!(asks > 20, "{asks}");
    assert!(looked_at < 10 * 100_000, "{looked_at}");
}
