//! Prints how fast texts are searched in all their views: ordinary ones, and the worst that are known. Not a test: it measures,
//! and people judge. `cargo bench --bench views`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portcullis::detectors::pattern::{Builtin, PatternDetector, PatternSpec};
use portcullis::guardrail::{Ask, Detector, Priority, Stage};
use portcullis::policy::Label;
use portcullis::text::{Kind, Place, Role, Segment, SegmentId};

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of each text.
const SIZE: usize = 1 << 20;
const ROUNDS: usize = 5;

fn main() {
    let words = ["project bluebird", "operation nightjar"].map(String::from).to_vec();
    let words = PatternSpec { words: vec![(Label::new("names"), words)], ..Default::default() };
    let group = |name: &str| PatternSpec { builtin: Builtin::expand(name).expect("a group"), ..Default::default() };
    let guards = [("words", words), ("pii", group("pii")), ("secrets", group("secrets"))];
    let guards = guards.map(|(name, spec)| (name, PatternDetector::new(&spec).expect("patterns")));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    println!("MB/s, best of {ROUNDS}; texts of 1 MiB\n{:24}{:>9}{:>9}{:>9}", "", "words", "pii", "secrets");
    for (name, text) in texts() {
        print!("{name:24}");
        for (_, guard) in &guards {
            let took = (0..ROUNDS).map(|_| {
                let begun = Instant::now();
                runtime.block_on(guard.detect(&ask(&text))).expect("a verdict");
                begun.elapsed()
            });
            let best = took.min().expect("some rounds");
            print!("{:>9.1}", text.len() as f64 / 1e6 / best.as_secs_f64());
        }
        println!();
    }
}

fn ask(text: &str) -> Ask {
    let place = Place { role: Role::User, kind: Kind::Content, turn: Some(0), editable: true };
    let segment = Segment { id: SegmentId(0), place, text: text.into(), fresh: 0, masked: Vec::new() };
    let within = Duration::from_secs(600);
    let deadline = tokio::time::Instant::now() + within;
    Ask { stage: Stage::Input, segment, priority: Priority::Blocking, deadline, within, listener: None }
}

fn texts() -> BTreeMap<&'static str, String> {
    let mut dice = Dice(1);
    let mut made = BTreeMap::new();
    let mut add = |name, line: &mut dyn FnMut(&mut Dice, usize) -> String| {
        let mut text = String::new();
        for nth in 0.. {
            text.push_str(&line(&mut dice, nth));
            if text.len() >= SIZE {
                break;
            }
        }
        text.truncate(SIZE);
        made.insert(name, text);
    };
    add("prose", &mut |_, _| "The quick brown fox jumps over the lazy dog, and then it sleeps. ".into());
    add("source code", &mut |_, _| include_str!("views.rs").into());
    add("git log", &mut |dice, nth| format!("commit {}\nAuthor: Bob\n\n    fix {nth}\n\n", dice.letters(HEX, 40)));
    add("numbers, csv", &mut |dice, _| dice.row(12, |dice| dice.letters(b"1234567890", 4), ",") + "\n");
    add("numbers, json", &mut |dice, nth| format!("{{\"id\": {nth}, \"x\": 0.{}}}, ", dice.letters(b"1234567890", 16)));
    add("xxd", &mut |dice, nth| {
        format!("{:08x}: {}  ................\n", nth * 16, dice.row(8, |dice| dice.letters(HEX, 4), " "))
    });
    add("log with ids", &mut |dice, nth| {
        format!("2026-11-21T10:00:{:02}Z INFO req={} user={nth} status=200\n", nth % 60, dice.letters(HEX, 32))
    });
    add("pem", &mut |dice, nth| match nth % 25 {
        0 => "-----BEGIN CERTIFICATE-----\n".into(),
        24 => "-----END CERTIFICATE-----\n".into(),
        _ => dice.letters(BASE64, 64) + "\n",
    });
    add("one run of base64", &mut |dice, _| dice.letters(BASE64, 1024));
    add("base64 of prose", &mut |_, _| "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZy4g\n".into());
    add("tokens of 24 letters", &mut |dice, _| dice.letters(BASE64, 24) + " ");
    add("tokens of 4 letters", &mut |dice, _| dice.letters(BASE64, 4) + " ");
    add("pairs of hexadecimal", &mut |dice, _| dice.letters(HEX, 2) + " ");
    add("hexadecimal of prose", &mut |_, _| "54686520717569636b2062726f776e20666f7820\n".into());
    add("escapes", &mut |_, _| r"\u0062\n\\u0065 ".into());
    add("percent escapes", &mut |_, _| "%62%6c%75%65 ".into());
    add("references", &mut |_, _| "&#98;&amp;&lt;b".into());
    add("accents", &mut |_, _| "Ça va être très bientôt prêt, paraît-il. ".into());
    add("marks", &mut |_, _| "a*b_c<b>d</b>".into());
    add("VVVV", &mut |_, _| "VVVV".into());
    add("ICAg", &mut |_, _| "ICAg ".into());
    made
}

const HEX: &[u8] = b"0123456789abcdef";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn letters(&mut self, of: &[u8], count: usize) -> String {
        let mut letter = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(of[(self.0 >> 33) as usize % of.len()])
        };
        (0..count).map(|_| letter()).collect()
    }

    fn row(&mut self, count: usize, mut each: impl FnMut(&mut Dice) -> String, between: &str) -> String {
        (0..count).map(|_| each(self)).collect::<Vec<_>>().join(between)
    }
}
