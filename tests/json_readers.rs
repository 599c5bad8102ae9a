//! Strict JSON beside the readers of Python, Node and Go: whatever we take, each of them that takes it too reads the same
//! texts at the same places.

#[allow(dead_code)]
#[path = "../fuzz/src/random.rs"]
mod random;
mod readers;

use std::fs;

use portcullis::wire::json::{Document, Limits, Type, Value};
use random::Random;
use readers::{Reader, here, hex, node, python, times};

fn all() -> [Reader; 3] {
    [
        Reader::new("python", python(), &["read_json.py"]),
        Reader::new("node", node(), &["read_json.js"]),
        Reader::new("go", "go", &["run", "read_json.go"]),
    ]
}

/// What we read, in the words of read_json.py.
fn read(document: &[u8]) -> Option<String> {
    let document = Document::parse(document.to_vec(), &Limits::default()).ok()?;
    let mut found = Vec::new();
    dump(document.root(), String::new(), &mut found);
    found.sort();
    Some(found.join(";"))
}

fn dump(value: Value<'_>, path: String, out: &mut Vec<String>) {
    let text = |value: Value<'_>| hex(value.text().unwrap_or_default().as_bytes());
    match value.kind() {
        Type::String => out.push(format!("{path}={}", text(value))),
        Type::Array => value.elements().enumerate().for_each(|(at, value)| dump(value, format!("{path}[{at}]"), out)),
        Type::Object => value.members().for_each(|(key, value)| {
            let path = format!("{path}{{{}}}", text(key));
            out.push(path.clone());
            dump(value, path, out);
        }),
        _ => {}
    }
}

/// The name of each case, and its bytes.
fn cases() -> Vec<(String, Vec<u8>)> {
    let file = fs::read_to_string(here().join("json_cases.txt")).expect("the cases");
    file.lines()
        .map(|line| {
            let (name, escaped) = line.split_once('\t').expect("a tab");
            (name.to_owned(), bytes(escaped))
        })
        .collect()
}

fn bytes(escaped: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = escaped;
    while let Some(first) = rest.chars().next() {
        let (byte, length) = match rest.strip_prefix("\\x") {
            Some(digits) => (u8::from_str_radix(&digits[..2], 16).expect("two digits"), 4),
            None if first == '\\' => (b'\\', 2),
            None => (first as u8, 1),
        };
        out.push(byte);
        rest = &rest[length..];
    }
    out
}

#[test]
fn the_fixed_cases_have_one_reading() {
    let cases = cases();
    let goldens = fs::read_to_string(here().join("json_goldens.txt")).expect("the goldens");
    let goldens: Vec<Vec<&str>> = goldens.lines().map(|line| line.split('\t').collect()).collect();
    assert!(cases.len() >= 300 && cases.iter().map(|(name, _)| name.as_str()).eq(goldens.iter().map(|told| told[0])));
    let ours: Vec<Option<String>> = cases.iter().map(|(_, document)| read(document)).collect();
    for ((name, _), ours) in cases.iter().zip(&ours) {
        let expected = [("y_", true), ("n_", false)].into_iter().find(|(start, _)| name.starts_with(start));
        assert!(expected.is_none_or(|(_, taken)| ours.is_some() == taken), "{name}: {ours:?}");
    }
    let lines: Vec<String> = cases.iter().map(|(_, document)| hex(document)).collect();
    for (at, reader) in all().iter().enumerate() {
        let golden: Vec<String> = goldens.iter().map(|told| told[at + 1].to_owned()).collect();
        let live = reader.is_here();
        if !live {
            println!("no {} here: its goldens serve", reader.name);
        }
        for told in [Some(golden), live.then(|| reader.read(&lines))].into_iter().flatten() {
            for (((name, _), ours), told) in cases.iter().zip(&ours).zip(told) {
                let Some(ours) = ours else { continue };
                assert!(told == "-" || told == *ours, "{name}: {} reads {told}, we read {ours}", reader.name);
                assert!(told != "-" || !name.starts_with("y_"), "{name}: {} refuses it", reader.name);
            }
        }
    }
}

#[test]
fn generated_documents_have_one_reading() {
    let count = times(20_000, 1_000_000);
    let mut random = Random::new(0x5eed);
    let readers: Vec<Reader> = all().into_iter().filter(Reader::is_here).collect();
    let mut taken = 0;
    for start in (0..count).step_by(50_000) {
        let documents: Vec<Vec<u8>> = (start..count.min(start + 50_000)).map(|_| document(&mut random)).collect();
        let lines: Vec<String> = documents.iter().map(|document| hex(document)).collect();
        let ours: Vec<Option<String>> = documents.iter().map(|document| read(document)).collect();
        taken += ours.iter().flatten().count();
        for reader in &readers {
            for ((ours, told), document) in ours.iter().zip(reader.read(&lines)).zip(&documents) {
                let same = ours.as_ref().is_none_or(|ours| told == "-" || told == *ours);
                assert!(same, "{} reads {told}, we read {ours:?}: {}", reader.name, String::from_utf8_lossy(document));
            }
        }
    }
    println!("{taken} of {count} taken; readers: {:?}", readers.iter().map(|reader| reader.name).collect::<Vec<_>>());
    assert!(taken > count / 5 && taken < count * 4 / 5, "{taken} of {count} documents are taken: they test little");
}

/// What a string may be made of, as it is written.
const PIECES: [&str; 40] = [
    "a",
    "b",
    "é",
    "😀",
    "\u{2028}",
    "\u{85}",
    "\u{feff}",
    "\u{7f}",
    "\\n",
    "\\\"",
    "\\\\",
    "\\/",
    "\\b",
    "\\f",
    "\\u0061",
    "\\u0062",
    "\\u00e9",
    "\\u00E9",
    "\\ud83d\\ude00",
    "\\uD83D\\uDE00",
    "\\u0000",
    "\\u2028",
    "\\ufeff",
    "\\ud83d",
    "\\ude00",
    "\\u",
    "\\x41",
    "\\",
    "\"",
    "\n",
    "\t",
    "\0",
    "'",
    "/*",
    "*/",
    "//",
    "{",
    "]",
    ",",
    ":",
];

/// What may stand between tokens: mostly nothing.
const SPACES: [&str; 16] = ["", "", "", "", "", "", "", "", "", " ", "\n", "\t", "\r\n", "\u{a0}", "\u{b}", "/**/"];

const SCALARS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "1.5",
    "1e5",
    "1E+5",
    "-1e-5",
    "true",
    "false",
    "null",
    "0",
    "1",
    "2",
    "true",
    "null",
    "01",
    "+1",
    ".5",
    "1.",
    "NaN",
    "-Infinity",
    "0x1",
    "nul",
    "1e400",
];

/// A document, most of it sound, some bytes of it changed now and then.
fn document(random: &mut Random) -> Vec<u8> {
    let mut out = String::new();
    // Half of all are of sound pieces only.
    let odd = random.below(2) == 0;
    value(random, odd, 0, &mut out);
    let mut out = out.into_bytes();
    if odd && random.below(4) == 0 {
        for _ in 0..random.below(3) + 1 {
            mutate(random, &mut out);
        }
    }
    out
}

fn value(random: &mut Random, odd: bool, depth: usize, out: &mut String) {
    space(random, odd, out);
    match random.below(if depth < 4 { 8 } else { 4 }) {
        0 => out.push_str(SCALARS[random.below(if odd { 24 } else { 15 })]),
        1..4 => string(random, odd, out),
        4 | 5 => list(random, odd, out, ['[', ']'], |random, out| value(random, odd, depth + 1, out)),
        _ => list(random, odd, out, ['{', '}'], |random, out| {
            space(random, odd, out);
            string(random, odd, out);
            space(random, odd, out);
            out.push(':');
            value(random, odd, depth + 1, out);
        }),
    }
    space(random, odd, out);
}

fn list(
    random: &mut Random,
    odd: bool,
    out: &mut String,
    marks: [char; 2],
    element: impl Fn(&mut Random, &mut String),
) {
    out.push(marks[0]);
    for at in 0..random.below(4) {
        out.push_str(if at > 0 { "," } else { "" });
        element(random, out);
    }
    out.push_str(if odd && random.below(40) == 0 { "," } else { "" });
    out.push(marks[1]);
}

fn string(random: &mut Random, odd: bool, out: &mut String) {
    out.push('"');
    for _ in 0..random.below(4) {
        let all = if odd && random.below(6) == 0 { 40 } else { 23 };
        out.push_str(PIECES[random.below(all)]);
    }
    out.push('"');
}

fn space(random: &mut Random, odd: bool, out: &mut String) {
    let all = if odd && random.below(20) == 0 { 16 } else { 13 };
    out.push_str(SPACES[random.below(all)]);
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    match random.below(5) {
        0 if !bytes.is_empty() => drop(bytes.remove(at)),
        1 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        2 => bytes.insert(at, random.number() as u8),
        3 => bytes.insert(at, *random.pick(b"\"\\,:{}[] \n\0u0")),
        _ => bytes.extend_from_within(at..),
    }
}
