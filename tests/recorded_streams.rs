//! 250 streams as servers write them: however they are cut into chunks, the verdicts are the same and the same bytes leave.

mod readers;
mod recorded;

use portcullis::guardrail::Action;
use readers::times;
use recorded::random::Random;
use recorded::{Judge, Trace, channels, data, pass, settings, shows, streams, strings};

/// Chunks at random, of a byte each, and of the size of a packet.
fn chunkings<'b>(bytes: &'b [u8], random: &mut Random, count: usize) -> Vec<Vec<&'b [u8]>> {
    let mut all = vec![bytes.chunks(1).collect(), bytes.chunks(1400).collect()];
    all.extend((0..count.saturating_sub(2)).map(|at| random.pieces(bytes, if at % 2 == 0 { 4 } else { 60 })));
    all
}

#[test]
fn chunks_change_neither_verdicts_nor_bytes() {
    let count = times(12, 500);
    let (redact, block) = (Judge::new(Action::Redact), Judge::new(Action::Block));
    let (mut cut, mut changed) = (0, 0);
    for (number, recorded) in streams().iter().enumerate() {
        let mut random = Random::new(number as u64);
        let settings = settings(16 + 16 * random.below(12));
        for judge in [&redact, &block] {
            let whole = pass(recorded, &settings, &[&recorded.bytes], judge);
            assert!(matches!(whole.cut, None | Some("blocked")), "{}: {whole:?}", recorded.name);
            cut += usize::from(whole.cut.is_some());
            changed +=
                usize::from(whole.cut.is_none() && whole.verdicts.iter().any(|(_, said)| said.starts_with("Redact")));
            for chunks in chunkings(&recorded.bytes, &mut random, count) {
                let again = pass(recorded, &settings, &chunks, judge);
                assert!(again == whole, "{}: {again:?}\n{whole:?}\n{:?}", recorded.name, chunks);
            }
        }
    }
    assert!(cut > 40 && changed > 40, "{cut} cut, {changed} redacted");
}

/// What is redacted stands in nothing that leaves: no delta, no copy, no end, no JSON in a string; and judged once more, it is
/// found clean and leaves as it is.
#[test]
fn what_is_redacted_is_nowhere() {
    let (redact, block) = (Judge::new(Action::Redact), Judge::new(Action::Block));
    let (mut whole, mut cut) = (0, 0);
    for recorded in streams() {
        for window in [24, 200, 1 << 20] {
            let Trace { released, cut: ended, verdicts } =
                pass(&recorded, &settings(window), &[&recorded.bytes], &redact);
            let text = data(recorded.framing, &released).join("\n");
            for said in strings(recorded.framing, &released).into_iter().chain(channels(&recorded, &released)) {
                assert!(!shows(&said), "{}: {said:?} in {text}", recorded.name);
            }
            cut += usize::from(ended.is_some());
            if ended.is_some() {
                continue;
            }
            whole += usize::from(verdicts.iter().any(|(_, said)| said.starts_with("Redact")));
            let once_more = pass(&recorded, &settings(window), &[&released], &block);
            assert_eq!(once_more.cut, None, "{}: {text}", recorded.name);
            assert_eq!(data(recorded.framing, &once_more.released).join("\n"), text, "{}", recorded.name);
            assert!(once_more.released == released, "{}: {text}", recorded.name);
        }
    }
    println!("{whole} redacted, {cut} cut");
    assert!(whole > 200, "{whole} redacted, {cut} cut");
}
