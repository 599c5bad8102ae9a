//! `classify`, `eval` and `replay`, as they are run. The model is the random one of the tree: its verdicts mean nothing, but
//! of two policies that differ only in which reply is safe it violates one and not the other.
#![cfg(feature = "libtorch")]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::config::words;
use support::{Answer, Config, Proxy, Upstream, chat, completion};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/random-tiny");

/// What a hostile text would like to be.
const HOSTILE: &str = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}\u{1b}[2J";

/// A folder with two policies, of which one is violated by exactly what the other finds safe.
struct Folder(tempfile::TempDir);

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Folder {
    fn new() -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, found, safe) in [("one", "1", "0"), ("two", "0", "1")] {
            fs::write(folder.path(&format!("{name}.md")), policy(found, safe)).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command here, on the random model, at effort none unless the arguments say another.
    fn run(&self, arguments: &[&str], input: &str) -> Ran {
        let judge: &[&str] = if arguments.contains(&"--config") { &[] } else { &["--model", MODEL] };
        let effort: &[&str] = if arguments.contains(&"--effort") { &[] } else { &["--effort", "none"] };
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .args(judge)
            .args(effort)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end before it reads.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Eight texts that are all expected to violate `one`, and their file.
    fn data(&self) -> &'static str {
        let line = |at: usize| json!({"text": format!("text {at} {HOSTILE}"), "violation": 1}).to_string();
        fs::write(self.path("data.jsonl"), (0..8).map(line).collect::<Vec<_>>().join("\n")).unwrap();
        "data.jsonl"
    }
}

impl Ran {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }

    #[track_caller]
    fn refused(&self, why: &str) {
        assert_eq!((self.code, self.out.as_str()), (Some(2), ""), "{}", self.err);
        assert!(self.err.contains(why), "{}", self.err);
    }
}

fn policy(found: &str, safe: &str) -> String {
    format!(
        "+++\nform = \"binary\"\nlabels = [{{ label = \"FOUND\", reply = \"{found}\" }}, \
         {{ label = \"FINE\", reply = \"{safe}\", safe = true }}]\n+++\nIs CONTENT bad? Answer 1 or 0.\n"
    )
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_text_is_classified_and_the_exit_code_says_how() {
    let folder = Folder::new();
    let found = ["./one.md", "./two.md"].map(|policy| {
        let ran = folder.run(&["classify", "--policy", policy, "--json", "a text"], "");
        let found = ran.json();
        assert_eq!(ran.code, Some(i32::from(found["safe"] == false)), "{found}");
        assert_eq!(found["label"], if found["safe"] == true { "FINE" } else { "FOUND" });
        let share = |label: &str| found["scores"][label].as_f64().unwrap();
        assert!((share("FOUND") + share("FINE") - 1.0).abs() < 1e-4, "{found}");
        assert_eq!(
            (&found["score"], &found["violation"]),
            (&found["scores"][found["label"].as_str().unwrap()], &found["scores"]["FOUND"])
        );
        assert!(
            found["times"]["total"].as_f64() > found["times"]["queue"].as_f64()
                && found["times"]["prompt_tokens"].as_u64() > Some(20)
        );
        assert_eq!((&found["effort"], &found["reasoning"]), (&json!("none"), &json!("")));
        found
    });
    assert_ne!(found[0]["safe"], found[1]["safe"]);

    let shown = folder.run(&["classify", "--policy", "./one.md", "--effort", "low"], HOSTILE);
    assert!(shown.out.starts_with("violates    FOUND ") || shown.out.starts_with("safe        FINE "), "{}", shown.out);
    assert!(shown.out.contains("\nreasoning   ") && !shown.out.contains('\u{1b}'), "{}", shown.out);
}

#[test]
fn what_cannot_be_judged_is_refused_in_words() {
    let folder = Folder::new();
    let classify = |arguments: &[&str], input: &str| folder.run(&[&["classify"], arguments].concat(), input);
    classify(&["--policy", "./one.md"], " \n").refused("the text is empty");
    classify(&["--policy", "one", "x"], "").refused("no policy is named `one`; there is none in `policies`");
    classify(&["--policy", "./none.md", "x"], "").refused("can't read the policy `./none.md`");
    classify(&["--policy", "./one.md", "--config", "none.toml", "x"], "").refused("can't read `none.toml`");
    let missing = folder.run(&["classify", "--policy", "./one.md", "--model", "nowhere", "x"], "");
    assert_eq!(missing.code, Some(2), "{}", missing.err);
    fs::write(folder.path("bad.csv"), "text,label\na,FOUND\nb,GONE\n").unwrap();
    folder
        .run(&["eval", "--policy", "./one.md", "bad.csv"], "")
        .refused("bad.csv:3: the policy `one` has no label `GONE`; it has FOUND, FINE");
    folder
        .run(&["eval", "--policy", "./one.md", "bad.csv", "--min-f1", "2"], "")
        .refused("expected a number from 0 to 1");
}

#[test]
fn an_evaluation_counts_and_fails_under_the_f1_that_is_asked_for() {
    let folder = Folder::new();
    let data = folder.data();
    let compared = folder.run(&["eval", "--policy", "./one.md", data, "--against-policy", "./two.md", "--json"], "");
    let summary = compared.json();
    let (a, b) = (summary["a"]["accuracy"].as_f64().unwrap(), summary["b"]["accuracy"].as_f64().unwrap());
    assert!((a + b - 1.0).abs() < 1e-9, "{summary}");
    let changes = &summary["changed_lines"];
    let count = |what: &str| changes[what].as_array().unwrap().len();
    assert_eq!((count("fixed") + count("broken"), count("other")), (8, 0), "{changes}");
    assert_eq!((&summary["a"]["items"], &summary["a"]["errors"]), (&json!(8), &json!({})));

    // One of the two finds more than half of what is all violations.
    let (better, worse) = if a > b { ("./one.md", "./two.md") } else { ("./two.md", "./one.md") };
    let passed = folder.run(&["eval", "--policy", better, data, "--min-f1", "0"], "");
    assert_eq!(passed.code, Some(0), "{}", passed.err);
    for line in ["macro F1", "latency p95", "expected \\ given", "8 items of data.jsonl"] {
        assert!(passed.out.contains(line), "{line}: {}", passed.out);
    }
    let failed = folder.run(&["eval", "--policy", worse, data, "--min-f1", "1"], "");
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    assert!(failed.err.contains("less than the 1 of --min-f1"), "{}", failed.err);
    assert!(!failed.out.contains(['\u{1b}', '\u{202e}']), "{}", failed.out);
}

#[test]
fn an_evaluation_that_was_broken_off_goes_on() {
    let folder = Folder::new();
    let data = folder.data();
    let eval = ["eval", "--policy", "./one.md", data, "--out", "out.jsonl", "--together", "3"];
    assert_eq!(folder.run(&eval, "").code, Some(0));
    let whole = read(&folder.path("out.jsonl"));
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 9);
    broken_off(&folder, &whole, 3);
    let again = goes_on(&folder, &eval, &whole, 3);

    folder
        .run(&[&eval[..], &["--effort", "low", "--html", "report.html"]].concat(), "")
        .refused("`out.jsonl` holds results of another run: its effort is another");
    assert!(!folder.path("report.html").exists(), "and no file is left behind");
    fs::write(folder.path("data.jsonl"), "{\"text\": \"other\", \"violation\": 0}").unwrap();
    folder.run(&eval, "").refused("its data are others");
    assert_eq!(read(&folder.path("out.jsonl")), again, "and is left alone");
}

/// Leaves of whole results their head, so many items, and a piece of the next.
fn broken_off(folder: &Folder, whole: &str, judged: usize) {
    let lines: Vec<&str> = whole.lines().collect();
    let kept = format!("{}\n{}", lines[..=judged].join("\n"), &lines[judged + 1][..30]);
    fs::write(folder.path("out.jsonl"), kept).unwrap();
}

/// Resumes results of eight items that were broken off after so many: what they are then.
fn goes_on(folder: &Folder, eval: &[&str], whole: &str, before: usize) -> String {
    let resumed = folder.run(eval, "");
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    assert!(resumed.err.contains(&format!("{before} of 8 items were judged before\n")), "{}", resumed.err);
    let again = read(&folder.path("out.jsonl"));
    assert!(again.lines().take(before + 1).eq(whole.lines().take(before + 1)), "what was there stays");
    assert!(again.lines().map(judged).eq(whole.lines().map(judged)));
    again
}

/// What of a line of results is the same in every run.
fn judged(line: &str) -> Value {
    let mut told: Value = serde_json::from_str(line).unwrap();
    for side in ["a", "b"] {
        if let Some(side) = told[side].as_object_mut() {
            side.retain(|key, _| matches!(key.as_str(), "label" | "safe" | "policy_digest"));
        }
    }
    told
}

#[test]
fn a_comparison_that_was_broken_off_goes_on() {
    let folder = Folder::new();
    let data = folder.data();
    let alone = ["eval", "--policy", "./one.md", data, "--out", "out.jsonl"];
    let eval = [&alone[..], &["--against-policy", "./two.md"]].concat();
    assert_eq!(folder.run(&eval, "").code, Some(0));
    let whole = read(&folder.path("out.jsonl"));
    broken_off(&folder, &whole, 5);
    folder.run(&alone, "").refused("one of them compares, the other does not");
    let again = goes_on(&folder, &eval, &whole, 5);
    // Both sides of every item are there, of which one violates.
    let differ = |line: &Value| line["a"]["safe"] != line["b"]["safe"] && line["b"]["safe"].is_boolean();
    assert!(again.lines().skip(1).map(judged).all(|line| differ(&line)), "{again}");
}

#[test]
fn what_failed_is_judged_again_where_that_is_asked_for() {
    let folder = Folder::new();
    let data = folder.data();
    let eval = ["eval", "--policy", "./one.md", data, "--against-policy", "./two.md", "--out", "out.jsonl"];
    let retry = [&eval[..], &["--retry-failed"]].concat();
    assert_eq!(folder.run(&eval, "").code, Some(0));
    let lines = || -> Vec<Value> {
        read(&folder.path("out.jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let whole = lines();
    // As if an engine had been away for a while.
    let mut failed = whole.clone();
    for (line, side) in [(3, "a"), (5, "b")] {
        failed[line][side] = json!({"error": "engine", "detail": "away"});
    }
    let broken: String = failed.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.path("out.jsonl"), &broken).unwrap();

    let kept = folder.run(&eval, "");
    assert!(kept.err.contains("8 of 8 items were judged before; 2 of them have no verdict"), "{}", kept.err);
    assert!(kept.out.contains("1 engine"), "{}", kept.out);
    assert_eq!(read(&folder.path("out.jsonl")), broken);

    let again = folder.run(&retry, "");
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.err.contains("2 of them have no verdict and are judged again"), "{}", again.err);
    assert!(!again.out.contains("1 engine"), "{}", again.out);
    let found = lines();
    assert_eq!(found.len(), whole.len());
    for (at, (found, before)) in found.iter().zip(&failed).enumerate() {
        let sides = match at {
            3 => vec!["b"],
            5 => vec!["a"],
            _ => vec!["a", "b"],
        };
        // What had a verdict was left alone, to the time it took.
        assert!(sides.iter().all(|&side| found[side] == before[side]), "{found} {before}");
        assert_eq!(judged(&found.to_string()), judged(&whole[at].to_string()));
    }
    folder.run(&["eval", "--policy", "./one.md", data, "--retry-failed"], "").refused("--out <FILE>");
}

#[test]
fn two_efforts_are_compared() {
    let folder = Folder::new();
    fs::write(
        folder.path("few.jsonl"),
        "{\"text\": \"a\", \"label\": \"FOUND\"}\n{\"text\": \"b\", \"label\": \"FINE\"}\n",
    )
    .unwrap();
    let eval = ["eval", "--policy", "./one.md", "few.jsonl", "--against-effort", "low", "--out", "out.jsonl", "--json"];
    let ran = folder.run(&eval, "");
    let summary = ran.json();
    assert_eq!((&summary["run"]["a"]["effort"], &summary["run"]["b"]["effort"]), (&json!("none"), &json!("low")));
    assert_eq!(summary["run"]["a"]["policy_digest"], summary["run"]["b"]["policy_digest"]);
    assert_eq!((&summary["counted_by"], &summary["b"]["items"]), (&json!("label"), &json!(2)));
    for line in read(&folder.path("out.jsonl")).lines().skip(1) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["a"]["reasoning"].is_null() && line["a"]["label"].is_string(), "{line}");
        // Reasoning takes its time, whatever comes of it.
        assert!(line["b"]["took"].as_f64() > Some(0.0) && line["b"]["label"].is_string(), "{line}");
    }
}

#[test]
fn policies_whose_labels_have_other_names_are_compared_by_violation() {
    let folder = Folder::new();
    // It judges as `one` does, and calls what it finds something else.
    let other = policy("1", "0").replace("FOUND", "INVALID").replace("FINE", "VALID");
    fs::write(folder.path("other.md"), other).unwrap();
    fs::write(folder.path("labels.csv"), "text,label\na text,FOUND\nanother text,FINE\na third one,FOUND\n").unwrap();
    for (a, b) in [("./one.md", "./other.md"), ("./other.md", "./one.md")] {
        let eval = ["eval", "--policy", a, "labels.csv", "--against-policy", b];
        let summary = folder.run(&[&eval[..], &["--json"]].concat(), "").json();
        assert_eq!(summary["counted_by"], "violation");
        assert_eq!(summary["changed_lines"], json!({"fixed": [], "broken": [], "other": []}));
        assert_eq!(summary["a"]["confusion"]["classes"], json!(["violation", "safe"]));
        assert_eq!(summary["a"]["confusion"], summary["b"]["confusion"]);
        assert_eq!(summary["a"]["violation"]["support"], 2);
        let shown = folder.run(&[&eval[..], &["--html", "report.html"]].concat(), "").out;
        let said = "the policy `other` has no label `FOUND`, so all texts count by violation";
        assert!(
            shown.contains(said) && shown.contains("A: label") && shown.contains("B: expected \\ given"),
            "{shown}"
        );
        assert!(read(&folder.path("report.html")).contains(said));
    }
    let same =
        folder.run(&["eval", "--policy", "./one.md", "labels.csv", "--against-policy", "./two.md", "--json"], "");
    assert_eq!(same.json()["counted_by"], "label");
    fs::write(folder.path("labels.csv"), "text,label\na text,GONE\n").unwrap();
    folder
        .run(&["eval", "--policy", "./one.md", "labels.csv", "--against-policy", "./other.md"], "")
        .refused("the policy `one` has no label `GONE`; it has FOUND, FINE; the policy `other` has no label `GONE`");
}

#[test]
fn a_report_is_one_page_on_which_a_text_is_text() {
    let folder = Folder::new();
    let data = folder.data();
    for against in [&[][..], &["--against-policy", "./two.md"]] {
        let eval = [&["eval", "--policy", "./one.md", data, "--html", "report.html"], against].concat();
        let ran = folder.run(&eval, "");
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let page = read(&folder.path("report.html"));
        assert!(page.starts_with("<!doctype html>\n<html") && page.contains("default-src &#39;none&#39;"));
        for tag in ["<script", "<img", "<link", "<a ", "href", "src=\"", "url(", "@import", "\u{202e}", "\u{1b}"] {
            assert!(!page.contains(tag), "{tag}");
        }
        assert_eq!(page.matches("<svg").count(), 3);
        // All of them show something, and the tables are those of each side.
        assert!(page.contains("<circle ") && page.contains("<rect ") && !page.contains("points=\"\""));
        let sides = 1 + usize::from(!against.is_empty());
        for each in ["<polyline class=\"a\"", "<polyline class=\"b\""].iter().take(sides) {
            assert_eq!(page.matches(each).count(), 2, "{each}");
        }
        assert_eq!(page.matches(">precision</th>").count(), sides);
        assert_eq!(page.matches("expected \u{2193} given \u{2192}</th>").count(), sides);
        assert_eq!(page.contains("What changes from A to B: 8"), !against.is_empty());
        // Of eight violations either policy misses some, or none; with both, all are shown as changes.
        let shows = page.contains("&lt;script&gt;alert(1)&lt;/script&gt;");
        assert!(shows || page.contains("Nothing: every text was given what was expected"));
    }
    let nowhere = folder.run(&["eval", "--policy", "./one.md", data, "--html", "no/such/report.html"], "");
    nowhere.refused("can't write the report `no/such/report.html`");
}

#[tokio::test]
async fn recorded_traffic_is_judged_anew() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let engine = format!("[engine.default]\nmodel = {MODEL:?}\nthreads = 1\n");
    let recorded = async |content: bool| {
        let config = Config::new(upstream.address())
            .guardrail("words", &words("\"input\", \"output\"", "block", ""))
            .audit(&format!("content = {content}"));
        let config = config.section(&engine).policy("one", &policy("1", "0")).policy("two", &policy("0", "1"));
        let proxy = Proxy::start(config);
        for prompt in ["a first question", "a second question"] {
            assert_eq!(proxy.chat(&chat(prompt, false)).await.status, 200);
        }
        proxy.audited(2, |line| line["stage"] == "input").await;
        proxy
    };
    let folder = Folder::new();
    let proxy = recorded(true).await;
    let (config, audit) = (proxy.config.path().display().to_string(), proxy.config.audit_path().display().to_string());
    let found: Vec<usize> = ["one", "two"]
        .map(|policy| {
            let ran = folder
                .run(&["replay", &audit, "--policy", policy, "--config", &config, "--stage", "input", "--json"], "");
            assert_eq!(ran.code, Some(0), "{}", ran.err);
            let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(
                lines.len() == 2 && lines.iter().all(|line| line["was"] == "nothing" && line["stage"] == "input"),
                "{}",
                ran.out
            );
            assert!(ran.err.contains("2 decisions judged by policy"), "{}", ran.err);
            lines.iter().filter(|line| line["now"]["found"] == json!(["FOUND"]) && line["changed"] == true).count()
        })
        .to_vec();
    assert_eq!(found.iter().sum::<usize>(), 2, "what one finds safe, the other does not: {found:?}");
    let shown = folder.run(&["replay", &audit, "--policy", "one", "--config", &config], "");
    assert!(shown.out.contains("was nothing") && shown.out.contains("decisions would change"), "{}", shown.out);

    let quiet = recorded(false).await;
    let audit = quiet.config.audit_path().display().to_string();
    let none = folder.run(&["replay", &audit, "--policy", "one", "--config", &config], "");
    assert_eq!(none.code, Some(2));
    assert!(
        none.out.contains("decisions have no content and could not be judged: set `content = true`"),
        "{}",
        none.out
    );
    assert!(none.err.contains("no decision could be judged"), "{}", none.err);
}

/// The policy is asked about prompts, once to act and once to observe; answers are only searched for addresses of mail.
#[tokio::test]
async fn traffic_is_compared_with_what_the_same_policy_found_and_nothing_else() {
    let upstream = Upstream::start(Answer::json(completion("Write to ann@example.org"))).await;
    let mail = "stage = [\"output\"]\non_error = \"block\"\ndeadline = \"5s\"\n[patterns]\nbuiltin = [\"email\"]\n\
        [actions]\nemail = \"redact\"\n";
    let judge = |more: &str| {
        format!(
            "stage = [\"input\"]\npolicy = \"one\"\neffort = \"none\"\non_error = \"allow\"\ndeadline = \"1h\"\n{more}\
             [actions]\nFOUND = \"annotate\"\n"
        )
    };
    let config = Config::new(upstream.address())
        .section(&format!("[engine.default]\nmodel = {MODEL:?}\nthreads = 1\n"))
        .policy("one", &policy("1", "0"))
        .policy("two", &policy("0", "1"))
        .guardrail("mail", mail)
        .guardrail("judge", &judge(""))
        .guardrail("watch", &judge("mode = \"observe\"\n"))
        .audit("content = true");
    let proxy = Proxy::start(config);
    for prompt in ["a first question", "a second question"] {
        assert!(proxy.chat(&chat(prompt, false)).await.text().contains("[REDACTED:email]"));
    }
    proxy.audited(6, |line| line["action"].is_string()).await;
    let (config, audit) = (proxy.config.path().display().to_string(), proxy.config.audit_path().display().to_string());
    let folder = Folder::new();
    let replay = |more: &[&str], input: &str| {
        let ran = folder.run(&[&["replay", "--config", &config, "--json"], more].concat(), input);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines, ran.err)
    };
    let stages = |lines: &[Value]| -> Vec<String> {
        let mut stages: Vec<_> = lines.iter().map(|line| line["stage"].as_str().unwrap().to_owned()).collect();
        stages.sort();
        stages
    };

    let (lines, told) = replay(&[&audit, "--policy", "one"], "");
    assert_eq!(stages(&lines), ["input", "input"], "{lines:?}");
    assert!(
        lines.iter().all(|line| line["was"] == "nothing" || line["was"] == json!({"found": ["FOUND"]})),
        "{lines:?}"
    );
    assert!(told.contains("compared with what guardrails of the policy `one` found"), "{told}");
    assert!(told.contains("2 lines tell more of a decision that has a line before"), "{told}");
    assert!(told.contains("2 lines left out"), "{told}");

    // Nobody was asked by the other policy, so all there is is compared.
    let (lines, told) = replay(&[&audit, "--policy", "two"], "");
    assert_eq!(stages(&lines), ["input", "input", "output", "output"], "{lines:?}");
    let email = json!({"found": ["email"]});
    assert!(lines.iter().all(|line| (line["was"] == email) == (line["stage"] == "output")), "{lines:?}");
    assert!(told.contains("compared with what any guardrail found"), "{told}");

    // It is another form of what a guardrail judges by. What comes through a pipe is read all the same.
    let recorded = read(&proxy.config.audit_path());
    let (lines, told) = replay(&["-", "--policy", "two", "--guardrail", "watch"], &recorded);
    assert_eq!(stages(&lines), ["input", "input"], "{lines:?}");
    assert!(told.contains("compared with what the guardrail `watch` found"), "{told}");
}
