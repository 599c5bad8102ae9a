//! Holds what no compiler does: the layers, which crate is used where, the size of files, first doc lines, no leftovers,
//! and a reason for every `unsafe`.

use std::fmt;
use std::fs;
use std::path::Path;

/// The modules and their layers. A module uses only those of lower layers.
const LAYERS: &[(&str, u8)] = &[
    ("text", 0),
    ("config", 1),
    ("model", 1),
    ("policy", 1),
    ("wire", 1),
    ("guardrail", 2),
    ("remote", 2),
    ("detectors", 3),
    ("gate", 3),
    ("telemetry", 3),
    ("live", 4),
    ("proxy", 5),
    ("workbench", 5),
    ("admin", 6),
    ("cli", 7),
];

/// Uses within one layer that are meant: from, to.
const WITHIN_A_LAYER: &[(&str, &str)] = &[("config", "policy"), ("config", "wire")];

/// Foreign crates (or those of a family, by `_`) that stay in their place: under these paths and nowhere else in `src/`.
const FOREIGN: &[(&str, &[&str])] = &[
    ("pingora", &["src/proxy/", "src/proxy.rs", "src/remote/choice.rs"]),
    ("tch", &["src/model/"]),
    ("torch_sys", &["src/model/"]),
    (
        "serde_json",
        &[
            "src/wire/",
            "src/model/",
            "src/detectors/safeguard",
            "src/remote/form/",
            "src/telemetry/",
            "src/admin/",
            "src/workbench/",
            "src/cli/",
        ],
    ),
    ("arc_swap", &["src/live/reload.rs"]),
];

/// What would make the gate wait, or read a clock or a socket of its own.
const NOT_IN_THE_GATE: &[&str] = &["async", "await", "tokio", "now", "elapsed", "SystemTime", "fs", "net", "thread"];

/// Where `unsafe` may stand: at the edges of tensors and mapped files.
const UNSAFE: &str = "src/model/";

/// Lines of a file, at most: of `src` before its tests, of anything else in all.
const SRC_LINES: usize = 400;
const OTHER_LINES: usize = 600;

#[test]
fn the_tree_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = vec![Source::read(root, Path::new("build.rs"))];
    for folder in ["src", "tests", "examples", "benches", "fuzz"] {
        collect(root, Path::new(folder), &mut sources);
    }
    assert!(sources.len() > 10, "the sources are not where they should be");
    let problems: Vec<String> = sources.iter().flat_map(problems).map(|problem| problem.to_string()).collect();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn problems(source: &Source) -> Vec<Problem> {
    [first_line, size, leftovers, layers, foreign, gate, reasons].iter().flat_map(|rule| rule(source)).collect()
}

/// One file.
struct Source {
    /// From the root.
    path: String,
    text: String,
    /// The words and marks of the code, without comments and literals.
    tokens: Vec<Token>,
    /// The line of `#[cfg(test)]` before `mod tests`, or one behind the last; 1 in a file of tests.
    tests: usize,
}

struct Token {
    line: usize,
    text: String,
}

struct Problem {
    at: String,
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at, self.line, self.what)
    }
}

impl Source {
    fn read(root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Source::new(&path.to_string_lossy(), &text)
    }

    fn new(path: &str, text: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let begins = |pair: &[&str]| {
            pair[0] == "#[cfg(test)]" && (pair[1].ends_with("mod tests {") || pair[1].ends_with("mod tests;"))
        };
        let tests = match path.ends_with("/tests.rs") || path.contains("/tests/") {
            true => 0,
            false => lines.windows(2).position(begins).unwrap_or(lines.len()),
        };
        Source { path: path.to_owned(), text: text.to_owned(), tokens: tokens(text), tests: tests + 1 }
    }

    fn problem(&self, line: usize, what: impl Into<String>) -> Problem {
        Problem { at: self.path.clone(), line, what: what.into() }
    }

    /// `src/wire/sse.rs` -> `wire`; none for the roots and for what is not in `src`.
    fn module(&self) -> Option<&str> {
        let name = self.path.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
        (name != "lib" && name != "main").then_some(name)
    }

    /// How many `super` lead from the file's module to the root: `src/gate.rs` 1, `src/wire/sse.rs` 2.
    fn depth(&self) -> usize {
        let inner = self.path.trim_start_matches("src/").trim_end_matches("/mod.rs");
        inner.split('/').count()
    }
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    let mut paths: Vec<_> = entries.map(|entry| folder.join(entry.unwrap().file_name())).collect();
    paths.sort();
    for path in paths {
        if root.join(&path).is_dir() {
            if !path.ends_with("target") {
                collect(root, &path, sources);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(Source::read(root, &path));
        }
    }
}

fn first_line(source: &Source) -> Vec<Problem> {
    let says = source.text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 8);
    if says { vec![] } else { vec![source.problem(1, "the first line is no `//! ` that says what the file is")] }
}

fn size(source: &Source) -> Vec<Problem> {
    let (lines, limit, what) = match source.path.starts_with("src/") && source.tests > 1 {
        true => (source.tests - 1, SRC_LINES, "lines before the tests"),
        false => (source.text.lines().count(), OTHER_LINES, "lines"),
    };
    if lines <= limit { vec![] } else { vec![source.problem(lines, format!("{lines} {what}, at most {limit}"))] }
}

fn leftovers(source: &Source) -> Vec<Problem> {
    // Put together here, so that this file does not find itself.
    let words =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("todo", "!"), concat!("dbg", "!")];
    let mut found = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        if let Some(word) = words.iter().find(|word| has_word(line, word)) {
            found.push(source.problem(at + 1, format!("`{word}` is left over: do it, or open an issue")));
        }
        let comment = line.trim_start();
        let ruled = comment.trim_start_matches(['/', '!', ' ']);
        if comment.starts_with("//") && ["----", "====", "****", "####", "~~~~"].iter().any(|r| ruled.starts_with(r)) {
            found.push(source.problem(at + 1, "a banner: let the code's order speak, or make it a file of its own"));
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    let edge = |neighbour: Option<char>| neighbour.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    line.match_indices(word).any(|(at, _)| {
        edge(line[..at].chars().next_back()) && (word.ends_with('!') || edge(line[at + word.len()..].chars().next()))
    })
}

fn layers(source: &Source) -> Vec<Problem> {
    let Some(module) = source.module() else { return vec![] };
    let layer = |name: &str| LAYERS.iter().find(|(other, _)| *other == name).map(|(_, layer)| *layer);
    let Some(own) = layer(module) else {
        return vec![
            source.problem(1, format!("module `{module}` has no layer: add it to the table in tests/tidy.rs")),
        ];
    };
    let mut found: Vec<Problem> = crate_uses(&source.tokens)
        .into_iter()
        .filter(|(_, used)| used != module && !WITHIN_A_LAYER.contains(&(module, used)))
        .filter_map(|(line, used)| match layer(&used) {
            Some(layer) if layer < own => None,
            Some(layer) if layer == own => Some((line, format!("`{module}` uses `{used}` of its own layer"))),
            Some(_) => Some((line, format!("`{module}` uses `{used}` of a higher layer"))),
            None => Some((line, format!("`crate::{used}` is no module of the table in tests/tidy.rs"))),
        })
        .map(|(line, what)| source.problem(line, what))
        .collect();
    let inside = |line: usize| source.depth() + usize::from(line > source.tests);
    found.extend(
        super_runs(&source.tokens)
            .into_iter()
            .filter(|&(line, run)| run >= inside(line))
            .map(|(line, _)| source.problem(line, "`super` reaches the root: write `crate::` so that the layer shows")),
    );
    found
}

/// The modules named by `crate::a` and `crate::{a::x, b}`, with their lines.
fn crate_uses(tokens: &[Token]) -> Vec<(usize, String)> {
    let is_name = |token: &Token| token.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut uses = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.text == "crate") {
        match tokens.get(at + 1..at + 3) {
            Some([path, next]) if path.text == "::" && is_name(next) => uses.push((next.line, next.text.clone())),
            Some([path, group]) if path.text == "::" && group.text == "{" => {
                let (mut depth, mut begins) = (0, false);
                for token in &tokens[at + 2..] {
                    match token.text.as_str() {
                        "{" => (depth, begins) = (depth + 1, depth == 0),
                        "}" => depth -= 1,
                        "," => begins = depth == 1,
                        _ if begins => {
                            uses.push((token.line, token.text.clone()));
                            begins = false;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    uses
}

/// Runs of `super::super::`, with their lengths.
fn super_runs(tokens: &[Token]) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let run =
            tokens[at..].chunks(2).take_while(|two| two[0].text == "super" && two.len() == 2 && two[1].text == "::");
        let run = run.count();
        if run > 0 {
            runs.push((tokens[at].line, run));
        }
        at += (2 * run).max(1);
    }
    runs
}

fn foreign(source: &Source) -> Vec<Problem> {
    if !source.path.starts_with("src/") {
        return vec![];
    }
    let text = |at: Option<usize>| at.and_then(|at| source.tokens.get(at)).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let (before, after) = (text(at.checked_sub(1)), text(Some(at + 1)));
        // After `::` it is a crate only where the path begins with that.
        let outer = text(at.checked_sub(2));
        let begins =
            before != "::" || matches!(outer, "" | "use" | "impl" | "for" | "dyn" | "as" | "(" | "<" | "," | ";");
        let is_crate = begins && (after == "::" || (before == "use" && matches!(after, ";" | "as")));
        for (name, places) in FOREIGN.iter().filter(|_| is_crate) {
            let family = token.text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
            if family && !places.iter().any(|place| source.path.starts_with(place)) {
                let places = places.join(", ");
                found.push(source.problem(token.line, format!("`{}` is used only in {places}", token.text)));
            }
        }
    }
    found
}

fn gate(source: &Source) -> Vec<Problem> {
    let in_gate = source.module() == Some("gate");
    let pairs = source.tokens.windows(2).filter(|pair| in_gate && pair[1].line < source.tests);
    // A `now` that is handed in is no clock.
    let clock = |pair: &&[Token]| pair[1].text != "now" || pair[0].text == "::";
    pairs
        .filter(|pair| NOT_IN_THE_GATE.contains(&pair[1].text.as_str()))
        .filter(clock)
        .map(|pair| source.problem(pair[1].line, format!("`{}` in the gate, which waits for nothing", pair[1].text)))
        .collect()
}

fn reasons(source: &Source) -> Vec<Problem> {
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for token in source.tokens.iter().filter(|token| token.text == "unsafe") {
        if !source.path.starts_with(UNSAFE) {
            found.push(source.problem(token.line, format!("`unsafe` outside {UNSAFE}")));
        } else if !has_reason(&lines[..token.line - 1]) {
            found.push(source.problem(token.line, "`unsafe` without a `SAFETY:` comment just above its statement"));
        }
    }
    found
}

/// Whether what stands above a line, back to where its statement begins, ends in a comment with `SAFETY:`.
fn has_reason(above: &[&str]) -> bool {
    let begins =
        |line: &&&str| !line.starts_with("//") && !line.starts_with("#[") && line.ends_with([';', '{', '}', ',']);
    above
        .iter()
        .rev()
        .take_while(|line| !begins(line) && !line.is_empty())
        .any(|line| line.starts_with("//") && line.contains("SAFETY:"))
}

/// Names, `::` and single marks. Comments, strings and character literals are left out; a lifetime is a mark and a name.
fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    while at < bytes.len() {
        let rest = &text[at..];
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(len) = literal(rest) {
            len
        } else if word(bytes[at]) {
            let len = bytes[at..].iter().take_while(|&&byte| word(byte)).count();
            out.push(Token { line, text: rest[..len].to_owned() });
            len
        } else {
            let len = if rest.starts_with("::") { 2 } else { 1 };
            if !bytes[at].is_ascii_whitespace() {
                out.push(Token { line, text: rest[..len].to_owned() });
            }
            len
        };
        line += rest[..skip].matches('\n').count();
        at += skip;
    }
    out
}

/// The length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let two = rest.as_bytes().get(at..at + 2);
        match two {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string or character literal that stands here, if one does.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('"') || (prefix.ends_with('r') && rest.starts_with('#')))
    });
    if let Some(prefix) = prefix {
        let inner = &rest[prefix.len()..];
        if !prefix.ends_with('r') {
            return Some(prefix.len() + quoted(inner, b'"'));
        }
        let hashes = inner.bytes().take_while(|&byte| byte == b'#').count();
        // `r#name` is a name.
        let body = inner[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(prefix.len() + hashes + 1 + body.find(&end).map_or(body.len(), |found| found + end.len()));
    }
    let (prefix, inner) = rest.strip_prefix("b'").map_or((0, rest), |_| (1, &rest[1..]));
    let mut chars = inner.chars();
    let is_char = chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\''));
    is_char.then(|| prefix + quoted(inner, b'\''))
}

/// The length of what stands between two marks, marks and escapes included.
fn quoted(rest: &str, mark: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != mark {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// What all rules say of a sample, as `line: words`.
#[cfg(test)]
fn says(path: &str, body: &str) -> Vec<String> {
    let source = Source::new(path, &format!("//! A sample for a rule.\n{body}"));
    problems(&source).iter().map(|problem| format!("{}: {}", problem.line, problem.what)).collect()
}

#[track_caller]
fn refused(path: &str, body: &str, expected: &str) {
    let said = says(path, body);
    assert!(said.len() == 1 && said[0].contains(expected), "{body:?} -> {said:?}");
}

#[track_caller]
fn fine(path: &str, body: &str) {
    let said = says(path, body);
    assert!(said.is_empty(), "{body:?} -> {said:?}");
}

#[test]
fn a_problem_names_file_and_line() {
    let source = Source::new("src/text/a.rs", "//! A sample for a rule.\n\nuse crate::wire;\n");
    assert_eq!(problems(&source)[0].to_string(), "src/text/a.rs:3: `text` uses `wire` of a higher layer");
}

#[test]
fn layers_hold_in_every_way_of_writing() {
    refused("src/wire/a.rs", "use crate::guardrail::Action;", "2: `wire` uses `guardrail` of a higher layer");
    refused("src/wire/a.rs", "use crate::policy;", "`wire` uses `policy` of its own layer");
    refused("src/policy/a.rs", "fn f() -> crate::config::Secret {}", "`policy` uses `config` of its own layer");
    refused(
        "src/gate.rs",
        "use crate::{\n    text::{Span, Edits},\n    live::Live,\n};",
        "4: `gate` uses `live` of a higher",
    );
    refused("src/gate.rs", "#[cfg(test)]\nmod tests {\n    use crate::proxy;\n}", "`gate` uses `proxy`");
    refused("src/wire/a.rs", "use crate::unheard;", "no module of the table");
    refused("src/unheard/mod.rs", "", "has no layer");
    refused("src/gate.rs", "use super::live;", "`super` reaches the root");
    refused("src/wire/a.rs", "use super::super::live;", "`super` reaches the root");
    fine("src/config/a.rs", "use crate::policy::Label;\nuse crate::text::{Span, Kind};\nuse crate::config::b;");
    fine("src/wire/a.rs", "use super::b;\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use super::super::b;\n}");
    fine("src/wire/a.rs", "// crate::live\npub(crate) const A: &str = \"crate::live\"; /* crate::live */");
    fine("src/lib.rs", "use crate::cli;");
}

#[test]
fn foreign_crates_stay_in_their_place() {
    refused("src/live/a.rs", "use pingora_core::upstreams;", "`pingora_core` is used only in src/proxy/");
    refused("src/gate.rs", "fn f(t: tch::Tensor) {}", "`tch` is used only in src/model/");
    refused("src/proxy/a.rs", "use serde_json;", "`serde_json` is used only in");
    refused("src/live/mod.rs", "use ::arc_swap::ArcSwap;", "`arc_swap` is used only in src/live/reload.rs");
    fine("src/proxy/a.rs", "use pingora::prelude::*;");
    fine("src/live/reload.rs", "use arc_swap::ArcSwap;");
    fine("src/gate.rs", "fn tch() {}\nfn f() { tch(); self.tch; a::tch::b() }");
    fine("benches/a.rs", "use pingora::prelude::*;");
}

#[test]
fn files_stay_small() {
    let lines = |n: usize| "\n".repeat(n);
    refused("src/gate.rs", &lines(SRC_LINES), "401 lines before the tests, at most 400");
    fine("src/gate.rs", &lines(SRC_LINES - 1));
    fine("src/gate.rs", &format!("#[cfg(test)]\npub(super) mod tests {{\n{}}}", lines(2 * SRC_LINES)));
    refused("src/gate.rs", &format!("#[cfg(test)]\nuse a;\n{}", lines(SRC_LINES)), "lines before the tests");
    fine("src/gate/tests.rs", &lines(SRC_LINES));
    refused("src/gate/tests/a.rs", &lines(OTHER_LINES), "601 lines, at most 600");
    refused("tests/a.rs", &lines(OTHER_LINES), "601 lines, at most 600");
}

#[test]
fn the_first_line_says_what_the_file_is() {
    for text in ["", "use a;\n//! A late word.\n", "// A plain comment.\n", "//! \n", "#![allow(a)]\n"] {
        assert_eq!(first_line(&Source::new("src/gate.rs", text)).len(), 1, "{text:?}");
    }
}

#[test]
fn nothing_is_left_over() {
    refused("src/gate.rs", concat!("// TO", "DO: later"), "is left over");
    refused("src/gate.rs", concat!("fn f() { todo", "!() }"), "is left over");
    fine("src/gate.rs", concat!("// a TO", "DOS machine"));
    for banner in ["// ----", "    // ===== Types =====", "/// ****", "//! ####", "//------"] {
        refused("src/gate.rs", banner, "a banner");
    }
    fine("src/gate.rs", "// --flag is an option\n/// | --- | --- |\n// a ---- b");
}

#[test]
fn the_gate_waits_for_nothing() {
    refused("src/gate.rs", "fn f() {}\nasync fn f() {}", "`async` in the gate");
    fine("src/gate/tests.rs", "use tokio::a;\nfn f(b: B) { Instant::now() }");
    refused("src/gate/hold.rs", "fn f(now: Instant) { Instant::now(); }", "`now` in the gate");
    fine("src/gate.rs", "// async\n#[cfg(test)]\nmod tests {\n    use tokio::a;\n}");
    fine("src/proxy/a.rs", "async fn f() {}");
}

#[test]
fn every_unsafe_has_its_place_and_its_reason() {
    refused("src/wire/a.rs", "// SAFETY: none.\nunsafe { f() }", "`unsafe` outside src/model/");
    refused("src/model/a.rs", "fn f() {\n    unsafe { g() }\n}", "3: `unsafe` without");
    refused("src/model/a.rs", "// SAFETY: of another.\nlet a = 1;\nunsafe { g() }", "`unsafe` without");
    refused("src/model/a.rs", "// SAFETY: far away.\n\nunsafe { g() }", "`unsafe` without");
    fine("src/model/a.rs", "fn f() {\n    // SAFETY: it is mapped\n    // read-only.\n    unsafe { g() }\n}");
    fine("src/model/a.rs", "// SAFETY: as above.\n#[allow(unsafe_code)]\nlet a =\n    unsafe { g() };");
    fine("src/wire/a.rs", "#![deny(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";");
}

#[test]
fn words_in_literals_and_comments_are_no_code() {
    let words = |text: &str| tokens(text).into_iter().map(|token| token.text).collect::<Vec<_>>().join(" ");
    assert_eq!(
        words(r####"a("b\"c", b"d", r#"e"f"#, 'g', '\'', b'\\', '"', c"h", br##"i"##)"####),
        "a ( , , , , , , , , )"
    );
    assert_eq!(words("&'a str, 'b: loop, r#type /* x /* y */ z */ b"), "& ' a str , ' b : loop , r # type b");
    assert_eq!(words("'é' \"é\" é"), "é");
    let lines: Vec<usize> = tokens("a\n\"b\nc\"\n/* d\n*/ e").iter().map(|token| token.line).collect();
    assert_eq!(lines, [1, 5]);
}
