//! The seeds of the fuzz targets, what these have found, and mutations of both hold what the targets assert.

#[path = "../fuzz/src/lib.rs"]
mod checks;
mod readers;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use checks::random::Random;
use readers::times;

/// The seeds of a target, by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |path: std::path::PathBuf| (path.display().to_string(), fs::read(&path).unwrap());
    let mut seeds: Vec<_> = entries.map(|entry| read(entry.unwrap().path())).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

#[test]
fn every_seed_holds() {
    for (target, check) in checks::TARGETS {
        for (name, seed) in seeds(target) {
            println!("{name}");
            check(&seed);
        }
    }
}

#[test]
fn mutations_of_seeds_hold() {
    let count = times(150, 50_000);
    let mut found = Vec::new();
    for (target, check) in checks::TARGETS {
        let seeds: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, seed)| seed).collect();
        for number in 0..count {
            let mut random = Random::new(number as u64);
            let mut bytes = random.pick(&seeds).clone();
            for _ in 0..random.below(4) + 1 {
                mutate(&mut random, &mut bytes, &seeds);
            }
            if catch_unwind(|| check(&bytes)).is_err() {
                found.push(format!("{target} {number}: {}", bytes.escape_ascii()));
                println!("{target} {number}");
            }
        }
    }
    assert!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
}

/// Parts of JSON and of streams.
const PARTS: [&[u8]; 40] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"0",
    b"-1e5",
    b"\"\"",
    b"{}",
    b"[]",
    b"\n",
    b"\r",
    b"\n\n",
    b"data: ",
    b"event: ",
    b"\\u0436",
    b"\\ud83d\\ude00",
    b"\\n",
    b"\\\\",
    b"\"type\":",
    b"\"text\":",
    b"\"content\":",
    b"\"index\":1,",
    b"\"odd\":\"\xd0\xb6\",",
    b"\"\xd0\xb6\":5,",
    b"\xd0\xb6",
    b"\xe2\x80\xa8",
    b"\xf0\x9f\x98\x80",
    b"[DONE]",
    b"%2F",
    b"/",
    b"{x}",
    b"..",
    b"\xef\xbb\xbf",
    b"\"error\":{\"message\":\"\xd0\xb6\"},",
];

fn mutate(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let (at, length) = (random.below(bytes.len() + 1), random.below(24));
    let end = (at + length).min(bytes.len());
    match random.below(8) {
        0 => drop(bytes.drain(at..end)),
        1 => {
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        2 => {
            let other = random.pick(seeds);
            let from = random.below(other.len());
            let part = other[from..(from + random.below(200)).min(other.len())].to_vec();
            bytes.splice(at..at, part);
        }
        3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        4 | 5 => drop(bytes.splice(at..at, random.pick(&PARTS).iter().copied())),
        6 => drop(bytes.splice(at..end, random.pick(&PARTS).iter().copied())),
        _ => lines(random, bytes),
    }
}

/// Drops, doubles or swaps a line: an event, of most streams.
fn lines(random: &mut Random, bytes: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return;
    }
    let (one, other) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(3) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one].clone()),
        _ => lines.swap(one, other),
    }
    *bytes = lines.concat();
}
