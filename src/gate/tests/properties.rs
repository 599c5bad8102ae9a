//! The gate's tests: what holds for every answer, chunking and timing.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::codec::{Lines, split};
use super::*;
use crate::text::{Edit, Edits, Segment};
use crate::wire::Channel;

/// How the driver goes about it: the values are used in turn, over and over.
#[derive(Debug, Clone)]
struct Schedule {
    /// Sizes of the upstream's chunks.
    chunks: Vec<usize>,
    /// While a verdict is pending: whether it comes next, or more of the upstream.
    verdicts: Vec<bool>,
    /// Milliseconds before each step.
    waits: Vec<u64>,
}

impl Schedule {
    /// Verdicts come as soon as they are asked for.
    fn immediate(chunk: usize) -> Self {
        Schedule { chunks: vec![chunk], verdicts: vec![true], waits: vec![0] }
    }
}

/// The segments' ids, texts and fresh offsets.
type Asked = Vec<(u32, String, usize)>;

#[derive(Debug, Default, PartialEq)]
struct Trace {
    /// Of each ask.
    asks: Vec<Asked>,
    out: String,
    cut: Option<&'static str>,
}

/// What a run is expected to keep to at each release; checked against a model of its own.
struct Shadow {
    /// The whole text of each channel.
    full: BTreeMap<Channel, String>,
    released: BTreeMap<Channel, usize>,
    covered: BTreeMap<Channel, usize>,
    /// Whether released text is the upstream's, so that offsets can be compared.
    verbatim: bool,
    /// No choice has two channels: the lookahead then always holds.
    plain: bool,
    lookahead: usize,
    /// More may come than may be held.
    limited: bool,
    finished: bool,
}

impl Shadow {
    fn new(lines: &[u8], settings: &GateSettings, verbatim: bool) -> Self {
        let full = texts(&String::from_utf8_lossy(lines));
        let mut choices: Vec<u32> = full.keys().map(|channel| channel.choice).collect();
        choices.dedup();
        let plain = choices.len() == full.len();
        Shadow {
            full,
            released: BTreeMap::new(),
            covered: BTreeMap::new(),
            verbatim,
            plain,
            lookahead: settings.lookahead,
            limited: lines.len() >= settings.max_held,
            finished: false,
        }
    }

    /// A verdict came for a segment.
    fn judged(&mut self, segment: &Segment) {
        let place = (segment.place.turn, segment.place.kind);
        let (channel, full) = self.full.iter().find(|(c, _)| (Some(c.choice), c.kind) == place).unwrap();
        if self.verbatim {
            let released = self.released.get(channel).copied().unwrap_or_default();
            let end = released + segment.text.len() - segment.fresh;
            assert_eq!(&full[released..end], &segment.text[segment.fresh..]);
            assert!(full[..released].ends_with(&segment.text[..segment.fresh]));
            self.covered.insert(*channel, end);
        }
    }

    fn left(&mut self, bytes: &str) {
        // Of too much that has no text.
        let without_text = self.limited && texts(bytes).is_empty();
        let decided = !self.covered.is_empty() || !self.verbatim || self.full.is_empty();
        assert!(decided || without_text, "left undecided: {bytes}");
        for (channel, text) in texts(bytes) {
            *self.released.entry(channel).or_default() += text.len();
        }
        if !self.verbatim {
            return;
        }
        let ended = self.finished && self.full.iter().all(|(c, text)| self.covered.get(c) == Some(&text.len()));
        for (channel, &released) in &self.released {
            let covered = self.covered.get(channel).copied().unwrap_or_default();
            assert!(released <= covered);
            assert!(ended || !self.plain || released == 0 || released + self.lookahead <= covered);
        }
        assert!(ended || !bytes.lines().any(|line| line.starts_with('!') || line == "[DONE]"));
    }
}

/// The texts of lines, joined by channel.
fn texts(lines: &str) -> BTreeMap<Channel, String> {
    let mut texts: BTreeMap<Channel, String> = BTreeMap::new();
    for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with("CUT") && *line != "[DONE]") {
        for (channel, words) in line.trim_start_matches(['!', '~']).split('|').map(split) {
            if !words.is_empty() {
                *texts.entry(channel).or_default() += words;
            }
        }
    }
    texts
}

/// The lines as the codec writes them.
fn canonical(lines: &[u8]) -> String {
    let mut codec = Lines::default();
    codec.push(lines).unwrap();
    let mut out = Vec::new();
    while let Some(event) = codec.next() {
        out.extend_from_slice(&codec.encode(&event, &vec![None; event.texts.len()]).unwrap());
    }
    String::from_utf8(out).unwrap()
}

/// Drives a gate through a whole answer.
fn run(lines: &[u8], settings: &GateSettings, schedule: &Schedule, judge: &dyn Fn(&Window) -> Decision) -> Trace {
    let allows = judge(&Window { segments: Vec::new() }).action != Action::Redact;
    let mut shadow = Shadow::new(lines, settings, allows && !settings.observe);
    let mut gate = Gate::new(Box::<Lines>::default(), settings.clone());
    let longest = lines.split(|&byte| byte == b'\n').map(<[u8]>::len).max().unwrap_or_default();
    let mut chunks = schedule.chunks.iter().cycle();
    let mut verdicts = schedule.verdicts.iter().cycle();
    let mut waits = schedule.waits.iter().cycle();
    let (mut rest, mut now, mut pending, mut trace) = (lines, Instant::now(), None::<Window>, Trace::default());
    loop {
        now += Duration::from_millis(*waits.next().unwrap());
        match gate.step(now) {
            Step::Pull if pending.is_none() || !verdicts.next().unwrap() => {
                let chunk;
                (chunk, rest) = rest.split_at((*chunks.next().unwrap()).min(rest.len()));
                if chunk.is_empty() {
                    shadow.finished = true;
                    gate.finish(now);
                } else {
                    gate.push(chunk, now);
                    let event = if settings.observe { longest } else { 0 };
                    assert!(gate.held() <= settings.max_held + chunk.len() + event, "{} held", gate.held());
                }
            }
            Step::Pull | Step::Wait => {
                let window = pending.take().expect("waits for nothing");
                window.segments.iter().for_each(|segment| shadow.judged(segment));
                gate.resolve(judge(&window));
            }
            Step::Ask(window) => {
                assert!(pending.is_none() && !window.segments.is_empty());
                let said = window.segments.iter().map(|s| (s.id.0, s.text.to_string(), s.fresh)).collect();
                trace.asks.push(said);
                pending = Some(window);
            }
            Step::Release(bytes) => {
                let bytes = std::str::from_utf8(&bytes).unwrap();
                shadow.left(bytes);
                trace.out += bytes;
            }
            Step::Cut(bytes, cause) => {
                trace.out += std::str::from_utf8(&bytes).unwrap();
                trace.cut = Some(match cause {
                    CutCause::Blocked(_) => "blocked",
                    CutCause::Refused(refusal) => refusal.code,
                    CutCause::Failed => "failed",
                });
                gate.push(b"0cmore\n[DONE]\n", now);
                gate.resolve(Decision::allow());
                gate.finish(now);
                assert!(matches!(gate.step(now), Step::Done) && gate.heartbeat().is_empty());
                return trace;
            }
            Step::Done => {
                assert!(shadow.finished && matches!(gate.step(now), Step::Done));
                return trace;
            }
        }
    }
}

fn allow(_: &Window) -> Decision {
    Decision::allow()
}

/// Blocks where a text holds the phrase.
fn blocks(phrase: &str) -> impl Fn(&Window) -> Decision {
    move |window| {
        let found = window.segments.iter().any(|segment| segment.text.contains(phrase));
        if found { block() } else { Decision::allow() }
    }
}

/// Redacts the phrase wherever it stands.
fn redacts(phrase: &str) -> impl Fn(&Window) -> Decision {
    move |window| {
        let edits = window.segments.iter().map(|segment| (segment.id, edits(&segment.text, phrase)));
        Decision { action: Action::Redact, edits: edits.collect(), ..Decision::allow() }
    }
}

fn edits(text: &str, phrase: &str) -> Edits {
    text.match_indices(phrase).map(|(at, _)| Edit { span: at..at + phrase.len(), with: "#".into() }).collect()
}

/// Phrases that the generated texts hold often, and that can't overlap themselves.
const PHRASES: [&str; 4] = ["ab", "ba.", "éa", " b"];

/// Answers: lines of texts over `channels`, a few marked last, `end` now and then at the end.
fn answer(channels: &'static [&'static str], end: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::collection::vec(proptest::sample::select(&['a', 'b', ' ', '.', 'é'][..]), 0..6);
    let text = (proptest::sample::select(channels), words)
        .prop_map(|(channel, words)| channel.chars().chain(words).collect::<String>());
    let line = prop_oneof![
        20 => text.clone(),
        2 => proptest::collection::vec(text.clone(), 2..4).prop_map(|texts| texts.join("|")),
        1 => Just(String::new()),
    ];
    let last = prop_oneof![3 => Just(usize::MAX), 1 => 0usize..40];
    (proptest::collection::vec(line, 0..40), last, any::<bool>()).prop_map(move |(lines, last, ends)| {
        let mut out = String::new();
        for (at, line) in lines.iter().enumerate() {
            out += if at == last && !line.is_empty() { "!" } else { "" };
            out += line;
            out.push('\n');
        }
        out += if ends { end } else { "" };
        out.into_bytes()
    })
}

const ONE: &[&str] = &["0c"];
const CHOICES: &[&str] = &["0c", "1c", "2c"];
const MIXED: &[&str] = &["0c", "0r", "1c", "1r"];

fn any_settings() -> impl Strategy<Value = GateSettings> {
    (0usize..30, 3usize..12, 0usize..40).prop_map(|(window, lookahead, context)| GateSettings {
        context,
        max_held: 100_000,
        ..settings(window, lookahead)
    })
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let chunks = proptest::collection::vec(1usize..60, 1..6);
    let verdicts = proptest::collection::vec(any::<bool>(), 0..6);
    let waits = proptest::collection::vec(prop_oneof![Just(0u64), 0u64..900], 1..5);
    (chunks, verdicts, waits).prop_map(|(chunks, mut verdicts, waits)| {
        verdicts.push(true);
        Schedule { chunks, verdicts, waits }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn chunking_changes_nothing(
        lines in answer(MIXED, "?\n"), cut_off in 0usize..4, settings in any_settings(),
        chunk in 1usize..80, phrase in proptest::sample::select(&PHRASES[..]),
    ) {
        let lines = &lines[..lines.len().saturating_sub(cut_off / 3)];
        for judge in [&allow as &dyn Fn(&Window) -> Decision, &blocks(phrase), &redacts(phrase)] {
            let whole = run(lines, &settings, &Schedule::immediate(lines.len().max(1)), judge);
            prop_assert_eq!(&whole, &run(lines, &settings, &Schedule::immediate(chunk), judge));
        }
    }

    #[test]
    fn what_is_allowed_arrives_whole_and_in_order(
        lines in answer(MIXED, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(), all in any::<bool>(),
    ) {
        let window = if all { WindowSize::All } else { settings.window };
        let trace = run(&lines, &GateSettings { window, ..settings }, &schedule, &allow);
        prop_assert_eq!(trace.out, canonical(&lines));
        prop_assert_eq!(trace.cut, None);
        prop_assert!(!all || trace.asks.len() <= 1);
    }

    #[test]
    fn a_blocked_phrase_never_begins(
        lines in answer(CHOICES, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(),
        phrase in proptest::sample::select(&PHRASES[..]),
    ) {
        let trace = run(&lines, &settings, &schedule, &blocks(phrase));
        let (full, out) = (texts(&String::from_utf8_lossy(&lines)), texts(&trace.out));
        prop_assert_eq!(trace.cut == Some("blocked"), full.values().any(|text| text.contains(phrase)));
        for (channel, text) in &out {
            prop_assert!(full[channel].find(phrase).is_none_or(|at| text.len() <= at), "{text}");
        }
        prop_assert!(trace.cut.is_some() || trace.out == canonical(&lines));
    }

    #[test]
    fn a_blocked_phrase_never_begins_though_what_is_not_seen_stretches_it(
        lines in answer(CHOICES, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(),
        phrase in proptest::sample::select(&["ab", "ba."][..]), unseen in proptest::sample::select(&["\u{200b}", "\u{1}\u{336}"][..]),
    ) {
        let lines = String::from_utf8(lines).unwrap().replace([' ', 'é'], &unseen.repeat(5));
        let seen = |text: &str| text.replace(|ch| unseen.contains(ch), "");
        let judge = |window: &Window| {
            let found = window.segments.iter().any(|segment| seen(&segment.text).contains(phrase));
            if found { block() } else { Decision::allow() }
        };
        let trace = run(lines.as_bytes(), &settings, &schedule, &judge);
        let full = texts(&lines);
        prop_assert_eq!(trace.cut == Some("blocked"), full.values().any(|text| seen(text).contains(phrase)));
        for (channel, text) in &texts(&trace.out) {
            prop_assert!(seen(&full[channel]).find(phrase).is_none_or(|at| seen(text).len() <= at), "{text}");
        }
    }

    #[test]
    fn a_blocked_phrase_never_completes_though_channels_take_turns(
        lines in answer(MIXED, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(),
        phrase in proptest::sample::select(&PHRASES[..]),
    ) {
        let trace = run(&lines, &settings, &schedule, &blocks(phrase));
        prop_assert!(texts(&trace.out).values().all(|text| !text.contains(phrase)), "{}", trace.out);
    }

    #[test]
    fn a_redacted_phrase_is_replaced_and_the_rest_stays(
        lines in answer(CHOICES, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(),
        phrase in proptest::sample::select(&PHRASES[..]),
    ) {
        let trace = run(&lines, &settings, &schedule, &redacts(phrase));
        prop_assert_eq!(trace.cut, None);
        let full = texts(&String::from_utf8_lossy(&lines));
        let expected: BTreeMap<_, _> = full.iter().map(|(c, text)| (*c, edits(text, phrase).apply(text))).collect();
        prop_assert_eq!(texts(&trace.out), expected);
        prop_assert_eq!(trace.out.lines().count(), lines.iter().filter(|&&b| b == b'\n').count());
    }

    #[test]
    fn a_redacted_phrase_never_shows_though_channels_take_turns(
        lines in answer(MIXED, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(),
        phrase in proptest::sample::select(&PHRASES[..]),
    ) {
        let trace = run(&lines, &settings, &schedule, &redacts(phrase));
        prop_assert!(texts(&trace.out).values().all(|text| !text.contains(phrase)), "{}", trace.out);
        prop_assert!(trace.cut.is_none_or(|cut| cut == "blocked"));
    }

    #[test]
    fn a_text_flagged_as_a_whole_is_masked_wherever_it_has_begun_to_be(
        lines in answer(ONE, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(),
    ) {
        let whole = |window: &Window| {
            let edits = window.segments.iter().map(|segment| {
                let span = segment.fresh..segment.text.len();
                (segment.id, [Edit { span, with: "#".into() }].into_iter().collect::<Edits>())
            });
            Decision { action: Action::Redact, edits: edits.collect(), ..Decision::allow() }
        };
        let trace = run(&lines, &settings, &schedule, &whole);
        prop_assert_eq!(trace.cut, None);
        let empty = texts(&String::from_utf8_lossy(&lines)).is_empty();
        prop_assert_eq!(texts(&trace.out).into_values().collect::<String>(), if empty { "" } else { "#" });
    }

    #[test]
    fn the_limit_holds_and_cuts_in_good_order(
        lines in answer(CHOICES, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(),
        max_held in 1usize..80, all in any::<bool>(),
    ) {
        let window = if all { WindowSize::All } else { settings.window };
        let trace = run(&lines, &GateSettings { max_held, window, ..settings }, &schedule, &allow);
        let canonical = canonical(&lines);
        match trace.cut {
            None => prop_assert_eq!(trace.out, canonical),
            Some(cut) => {
                prop_assert_eq!(cut, "answer_too_large");
                prop_assert!(canonical.starts_with(trace.out.strip_suffix("CUT answer_too_large\n").unwrap()));
            }
        }
    }

    #[test]
    fn observing_changes_no_byte(
        lines in answer(MIXED, "[DONE]\n"), settings in any_settings(), schedule in any_schedule(),
        max_held in 1usize..200, phrase in proptest::sample::select(&PHRASES[..]),
    ) {
        let settings = GateSettings { observe: true, max_held, ..settings };
        let trace = run(&lines, &settings, &schedule, &blocks(phrase));
        prop_assert_eq!(&trace.out, &canonical(&lines));
        // Every text was asked about, to its end.
        let full: usize = texts(&String::from_utf8_lossy(&lines)).values().map(String::len).sum();
        let asked: usize = trace.asks.iter().flatten().map(|(_, text, fresh)| text.len() - fresh).sum();
        prop_assert_eq!(asked, full);
    }
}
