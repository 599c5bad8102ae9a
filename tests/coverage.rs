//! `docs/coverage.md`: every row is there once, and every test that it names is in the sources.

use std::collections::BTreeMap;
use std::path::Path;

/// The sections, with their numbers of rows.
const SECTIONS: [(char, usize); 8] =
    [('A', 21), ('B', 17), ('C', 15), ('D', 20), ('E', 15), ('F', 29), ('G', 10), ('H', 7)];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of the table's rows, in order.
fn rows() -> Vec<Vec<String>> {
    let page = read("docs/coverage.md");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let is_row = |cells: &Vec<String>| cells[0].starts_with(|ch: char| ch.is_ascii_uppercase());
    page.lines().filter(|line| line.starts_with('|')).map(cells).filter(is_row).collect()
}

#[test]
fn every_row_is_there_once() {
    let expected: Vec<String> =
        SECTIONS.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}"))).collect();
    let rows = rows();
    let named: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(named, expected);
    assert_eq!(named.len(), 134);
    for row in &rows {
        assert!(row.len() == 4 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
}

#[test]
fn every_test_is_there() {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for row in rows() {
        let tests: Vec<&str> = row[3].split(", ").collect();
        for test in tests {
            let named = test.strip_prefix('`').and_then(|test| test.strip_suffix('`')).and_then(|t| t.split_once("::"));
            let (file, function) = named.unwrap_or_else(|| panic!("{}: {test} names no test", row[0]));
            let source = sources.entry(file.to_owned()).or_insert_with(|| read(file));
            let at =
                source.find(&format!("fn {function}(")).unwrap_or_else(|| panic!("{}: {test} is not there", row[0]));
            // Of a property the attribute may stand above a comment.
            let before: Vec<&str> = source[..at].lines().rev().take(4).collect();
            let is_test = |line: &&str| line.trim_start().starts_with("#[test]") || line.contains("#[tokio::test");
            assert!(before.iter().any(is_test), "{}: {test} is no test", row[0]);
        }
    }
}

/// What is built is what was reviewed: one registry, and a digest for every crate of it.
#[test]
fn dependencies_are_locked_to_one_registry() {
    let lock: toml::Table = read("Cargo.lock").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    assert!(packages.len() > 100);
    for package in packages {
        let Some(source) = package.get("source") else {
            assert_eq!(package["name"].as_str(), Some(env!("CARGO_PKG_NAME")), "a crate without a source");
            continue;
        };
        assert_eq!(source.as_str(), Some("registry+https://github.com/rust-lang/crates.io-index"), "{package}");
        assert!(package["checksum"].as_str().is_some_and(|digest| digest.len() == 64), "{package}");
    }
    let deny: toml::Table = read("deny.toml").parse().expect("TOML");
    assert_eq!(deny["sources"]["unknown-registry"].as_str(), Some("deny"));
    assert_eq!(deny["sources"]["unknown-git"].as_str(), Some("deny"));
    assert!(deny["advisories"]["ignore"].as_array().is_some_and(Vec::is_empty));
    let makefile = read("Makefile");
    let ci = makefile.lines().find(|line| line.starts_with("ci:")).expect("the gate");
    assert!(ci.contains(" deny "), "{ci}");
    for command in ["cargo test --locked", "cargo build --locked", "cargo clippy --locked"] {
        assert!(makefile.contains(command), "{command}");
    }
}
