//! The pattern detector: built-in PII and secrets, own regexes and word lists, looked for in every view of a text.

mod assignment;
mod builtin;
mod card;
mod email;
mod iban;
mod ip;
mod numbers;
mod phone;
mod reach;
mod secrets;
mod set;
mod ssn;
mod words;

pub use builtin::{Builtin, UnknownBuiltin};

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::guardrail::{Ask, DetectError, Detector, Finding, Identity, Verdict};
use crate::policy::{Label, Reasoning};
use crate::text::view::{View, Views};
use crate::text::{Segment, Span};
use reach::Block;
use set::PatternSet;

/// Counted up when a built-in pattern or a view changes, so that equal identities mean equal verdicts.
const VERSION: &str = "portcullis-patterns-5";

/// So many bytes are searched before others have their turn.
const TURN: usize = 64 << 10;

/// An answer is given so long before the deadline.
const MARGIN: Duration = Duration::from_millis(2);

/// What to look for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatternSpec {
    /// Each finds under its own name as label.
    pub builtin: Vec<Builtin>,
    /// Own regexes, in the `regex` crate's syntax.
    pub regexes: Vec<(Label, String)>,
    /// Words and phrases: found whole, in any case, in any disguise that a view takes off.
    pub words: Vec<(Label, Vec<String>)>,
}

/// What is wrong with a pattern set. The fault is the configuration's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("the regex of label `{label}` is not valid: {reason}")]
    Regex { label: Label, reason: String },
    #[error("the regex of label `{label}` matches the empty text, so it would match everywhere")]
    EmptyMatch { label: Label },
    #[error("the word list of label `{label}` is empty or has an empty word")]
    EmptyWord { label: Label },
    #[error("the guardrail names no pattern: give `builtin`, `regex` or `words`")]
    NoPatterns,
    #[error("the patterns can't be compiled together: {0}")]
    Build(String),
}

/// Looks for a set of patterns. Needs no model; a verdict takes microseconds for each KiB.
pub struct PatternDetector {
    set: PatternSet,
    identity: Identity,
}

impl PatternDetector {
    pub fn new(spec: &PatternSpec) -> Result<Self, PatternError> {
        let set = PatternSet::new(spec)?;
        let model = digest(spec).into();
        Ok(PatternDetector {
            set,
            identity: Identity { engine: "pattern", model, policy: None, form: "spans", reasoning: Reasoning::NONE },
        })
    }

    /// Adds the matches in a view of `block` of the segment's text that end after `fresh`, by label.
    fn judge(&self, segment: &Segment, block: &Span, view: &View, spans: &mut BTreeMap<usize, Vec<Span>>) {
        self.set.find(&view.text, &mut |label, span| {
            let raw = view.raw_span(span);
            let raw = block.start + raw.start..block.start + raw.end;
            if raw.end > segment.fresh {
                spans.entry(label).or_default().push(raw);
            }
        });
    }
}

#[async_trait]
impl Detector for PatternDetector {
    /// Looks at the text as it is first, all of it, whatever the deadline: that costs little. Then at what it reads as, one view
    /// after the other, as far as time allows. What was found by then counts.
    async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
        let labels = self.set.labels();
        let keys = self.set.looks_for(Builtin::PrivateKey);
        // Most texts have no match: then this takes no memory.
        let mut spans = BTreeMap::new();
        let mut pace = Pace { until: ask.deadline - MARGIN.min(ask.within / 8), done: 0 };
        for block in reach::raw_blocks(&ask.segment, keys) {
            if let Some(raw) = Views::of(&ask.segment.text[block.clone()]).next() {
                self.judge(&ask.segment, &block, &raw, &mut spans);
            }
            pace.goes_on(block.len()).await;
        }
        let mut in_time = true;
        'blocks: for block in reach::blocks(&ask.segment, keys) {
            let block = match block {
                Block::Look(block) => block,
                // Nobody writes so. It may be anything, so it is taken for everything.
                Block::Opaque(block) => {
                    (0..labels.len()).for_each(|label| spans.entry(label).or_default().push(block.clone()));
                    continue;
                }
            };
            let mut views = Views::of(&ask.segment.text[block.clone()]).skip(1);
            in_time = pace.goes_on(block.len()).await;
            while in_time && let Some(view) = views.next() {
                self.judge(&ask.segment, &block, &view, &mut spans);
                in_time = pace.goes_on(view.text.len()).await;
            }
            if !in_time {
                break 'blocks;
            }
        }
        let found = spans.into_iter().filter_map(|(label, spans)| Some((labels.get(label)?, spans)));
        let findings = found.map(|(label, spans)| Finding::new(label.clone(), merged(spans))).collect();
        let failed = (!in_time).then_some(DetectError::Timeout(ask.within));
        Ok(Verdict { findings, failed, ..Verdict::default() })
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn labels(&self) -> &[Label] {
        self.set.labels()
    }

    /// Finding a verdict in the cache means hashing the text, which costs about as much as judging it.
    fn cacheable(&self) -> bool {
        false
    }

    fn finds_at_once(&self) -> bool {
        true
    }
}

/// Keeps a long search from holding up others, and itself from going on when nobody waits for it.
struct Pace {
    until: Instant,
    /// Bytes searched since others had their turn.
    done: usize,
}

impl Pace {
    /// Whether there is time left after so many bytes more. Past the deadline nobody else is let in between: whoever waits would
    /// take that for no answer, and what was found would be lost.
    async fn goes_on(&mut self, bytes: usize) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        self.done += bytes;
        if self.done >= TURN {
            self.done = 0;
            tokio::task::yield_now().await;
        }
        true
    }
}

/// Sorted, and overlapping or touching spans made one.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.start, span.end));
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut().filter(|last| span.start <= last.end) {
            Some(last) => last.end = last.end.max(span.end),
            None => merged.push(span),
        }
    }
    merged
}

/// Hex SHA-256 of all that the verdicts depend on.
fn digest(spec: &PatternSpec) -> String {
    let mut hash = Sha256::new();
    // Lengths first, so that no two sets give the same bytes.
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(VERSION);
    let mut builtins: Vec<_> = spec.builtin.iter().map(|builtin| builtin.name()).collect();
    builtins.sort_unstable();
    builtins.dedup();
    builtins.into_iter().for_each(&mut add);
    for (label, source) in &spec.regexes {
        ["regex", label.as_str(), source].into_iter().for_each(&mut add);
    }
    for (label, words) in &spec.words {
        ["words", label.as_str()].into_iter().chain(words.iter().map(String::as_str)).for_each(&mut add);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;
    use std::time::Duration;

    use crate::guardrail::{Priority, Stage};
    use crate::text::{Kind, Place, Role, SegmentId};
    use proptest::prelude::*;

    /// What a detector finds in a text of which `fresh..` is new.
    fn verdict(detector: &PatternDetector, text: &str, fresh: usize) -> BTreeMap<String, Vec<Span>> {
        let place = Place { role: Role::User, kind: Kind::Content, turn: Some(0), editable: true };
        let segment = Segment { id: SegmentId(0), place, text: text.into(), fresh, masked: Vec::new() };
        let within = Duration::from_secs(600);
        let deadline = tokio::time::Instant::now() + within;
        let ask = Ask { stage: Stage::Input, segment, priority: Priority::Blocking, deadline, within, listener: None };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let verdict = runtime.block_on(detector.detect(&ask)).unwrap();
        verdict.findings.into_iter().map(|finding| (finding.label.as_str().to_owned(), finding.spans)).collect()
    }

    fn new(spec: PatternSpec) -> PatternDetector {
        PatternDetector::new(&spec).unwrap()
    }

    fn builtin(name: &str) -> PatternDetector {
        new(PatternSpec { builtin: Builtin::expand(name).unwrap(), ..Default::default() })
    }

    fn word_spec(words: &[&str]) -> PatternSpec {
        let words = words.iter().map(|word| word.to_string()).collect();
        PatternSpec { words: vec![(Label::new("word"), words)], ..Default::default() }
    }

    fn words(words: &[&str]) -> PatternDetector {
        new(word_spec(words))
    }

    /// The texts that a detector finds, in order.
    fn found<'t>(detector: &PatternDetector, text: &'t str) -> Vec<&'t str> {
        merged(verdict(detector, text, 0).into_values().flatten().collect())
            .into_iter()
            .map(|span| &text[span])
            .collect()
    }

    /// Each of `yes` holds the pattern where `«»` mark it; none of `no` holds it.
    pub(super) fn check(name: &str, yes: &[&str], no: &[&str]) {
        let detector = builtin(name);
        for marked in yes {
            let expected: Vec<&str> = marked.split('«').skip(1).map(|part| part.split('»').next().unwrap()).collect();
            assert!(!expected.is_empty(), "{marked}");
            let text = marked.replace(['«', '»'], "");
            assert_eq!(found(&detector, &text), expected, "{name} in {text:?}");
        }
        for text in no {
            assert_eq!(found(&detector, text), Vec::<&str>::new(), "{name} in {text:?}");
        }
    }

    #[test]
    fn finds_built_in_patterns_in_disguise() {
        for (name, marked) in [
            ("card", "pay «4111\u{200b}1111\u{ad}1111 \u{2060}1111» now"),
            ("card", "«４１１１ １１１１ １１１１ １１１１»"),
            ("card", "«\u{664}\u{661}\u{661}\u{661}111111111111»"),
            ("card", "«4111–1111—1111−1111»"),
            ("card", "«4111\u{a0}1111\u{2003}1111\u{2800}1111»"),
            ("card", "«𝟒𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏»"),
            ("card", "«④①①① ①①①① ①①①① ①①①①»"),
            ("email", "«bob＠example.com»"),
            ("email", "«b\u{43e}b@\u{435}xample.com»"),
            ("email", r#"{"to":"«bob\u0040example.com»"}"#),
            ("email", r#"{"a":"{\"to\":\"«bob\\u0040example.com»\"}"}"#),
            ("email", r#"{"text":"hi«\nbob@example.com»"}"#),
            ("email", "«bob@example。com»"),
            ("us-ssn", "«078\u{2011}05\u{2011}1120»"),
            ("ip", "«10.0.0.\u{200d}1»"),
            ("anthropic-key", "«sk\u{2010}ant\u{2010}api03\u{2010}abcdefghij0123456789»"),
            ("aws-access-key", "«\u{410}KIAIOSFODNN7EXAMPLE»"),
            ("private-key", r#"{"k": "«-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----»"}"#),
        ] {
            check(name, &[marked], &[]);
        }
    }

    #[test]
    fn finds_words_whole_in_any_case_and_disguise() {
        let detector = words(&["Project Bluebird", "Восток", "蓝鸟", "C++", "Jürgen", "ΗΛΙΟΣ"]);
        for marked in [
            "about «project bluebird».",
            "«PROJECT  BLUEBIRD»",
            "«project\nbluebird»",
            "«Project-Bluebird», «project_bluebird»",
            "«pr\u{43e}ject blu\u{435}bird»",
            "«рrојесt вluebird»",
            "«ｐｒｏｊｅｃｔ　ｂｌｕｅｂｉｒｄ»",
            "«pro\u{200b}ject blue\u{ad}bird»",
            "«p\u{336}r\u{336}o\u{336}j\u{336}e\u{336}c\u{336}t\u{336} b\u{336}l\u{336}u\u{336}e\u{336}b\u{336}i\u{336}r\u{336}d\u{336}»",
            r"«project\u0020blu\u0065bird»",
            "«𝐏𝐫𝐨𝐣𝐞𝐜𝐭 𝓫𝓵𝓾𝓮𝓫𝓲𝓻𝓭»",
            "план «восток», «ВОСТОК», «ВоСтОк»",
            "我喜欢«蓝鸟»项目",
            "in «c++» and «C++»",
            "«Ju\u{308}rgen» und «JÜRGEN»",
            "«ηλιος» «ΗΛΙΟΣ»",
            "«\u{e0050}\u{e0072}\u{e006f}\u{e006a}\u{e0065}\u{e0063}\u{e0074}\u{e0020}\u{e0042}\u{e006c}\u{e0075}\u{e0065}\u{e0062}\u{e0069}\u{e0072}\u{e0064}» hi",
        ] {
            let expected: Vec<&str> = marked.split('«').skip(1).map(|part| part.split('»').next().unwrap()).collect();
            assert_eq!(found(&detector, &marked.replace(['«', '»'], "")), expected, "{marked}");
        }
        for text in
            ["projects bluebird", "project bluebirds", "project blue bird", "project; bluebird", "bluebird", "Востоку"]
        {
            assert_eq!(found(&detector, text), Vec::<&str>::new(), "{text}");
        }
    }

    #[test]
    fn own_regexes_find_under_their_labels() {
        let detector = new(PatternSpec {
            builtin: vec![Builtin::Email],
            regexes: vec![(Label::new("employee"), r"EMP-\d{6}".into()), (Label::new("ticket"), r"T\d+".into())],
            words: vec![(Label::new("employee"), vec!["intern".into()])],
        });
        let labels: Vec<&str> = detector.labels().iter().map(Label::as_str).collect();
        assert_eq!(labels, ["email", "employee", "ticket"]);
        let text = "EMP-123456 and the intern: a@b.co EMP-ⅰ23456";
        let verdict = verdict(&detector, text, 0);
        assert_eq!(verdict["employee"], [0..10, 19..25]);
        assert_eq!(verdict["email"], std::slice::from_ref(&(27..33)));
        assert!(!verdict.contains_key("ticket"));
    }

    /// This repository's own sources: code with hashes, escapes, base64 and long names.
    #[test]
    fn honest_texts_have_no_word_that_is_not_there() {
        let detector = words(&["amber lantern", "kestrel", "nova", "wren"]);
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders = vec![root.join("src/text"), root.join("docs")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                    continue;
                }
                let Ok(text) = std::fs::read_to_string(&entry) else { continue };
                files += 1;
                assert_eq!(found(&detector, &text), Vec::<&str>::new(), "{entry:?}");
            }
        }
        assert!(files > 20, "{files}");
    }

    #[test]
    fn natural_spellings_of_a_phrase_are_found() {
        let detector = words(&["project bluebird"]);
        for marked in [
            "«project\n    bluebird»",
            "> «project\n> bluebird»",
            "«project\u{200b}bluebird»",
            "«ProjectBluebird»",
            "«project, bluebird»",
            "«pro**ject blue**bird»",
            "«project\u{b7}bluebird»",
            "\"«project\" (bluebird»)",
        ] {
            let expected = marked.split(['«', '»']).nth(1).unwrap();
            assert_eq!(found(&detector, &marked.replace(['«', '»'], "")), [expected], "{marked}");
        }
    }

    #[test]
    fn bad_pattern_sets_are_errors_that_name_the_label() {
        let error = |spec: PatternSpec| PatternDetector::new(&spec).err().unwrap().to_string();
        let regex =
            |source: &str| PatternSpec { regexes: vec![(Label::new("mine"), source.into())], ..Default::default() };
        assert!(error(regex("a(b")).contains("`mine` is not valid"));
        assert!(error(regex(r"(?=a)")).contains("`mine` is not valid"));
        assert!(error(regex(r"\w{1000}{1000}")).contains("`mine` is not valid"));
        for empty in ["a*", "", r"\b", "^", "x?|y"] {
            assert!(error(regex(empty)).contains("`mine` matches the empty text"), "{empty}");
        }
        assert!(error(word_spec(&[])).contains("`word` is empty"));
        assert!(error(word_spec(&["a", "\u{200b} "])).contains("`word` is empty"));
        assert_eq!(PatternDetector::new(&PatternSpec::default()).err(), Some(PatternError::NoPatterns));
    }

    #[test]
    fn the_identity_follows_the_patterns() {
        let model = |detector: &PatternDetector| detector.identity().model.clone();
        assert_eq!(model(&builtin("pii")), model(&builtin("pii")));
        assert_ne!(model(&builtin("pii")), model(&builtin("secrets")));
        assert_ne!(model(&words(&["ab", "c"])), model(&words(&["a", "bc"])));
        assert_eq!(model(&builtin("pii")).len(), 64);
    }

    #[test]
    fn every_built_in_name_can_be_looked_for() {
        for name in Builtin::names() {
            assert!(!builtin(name).labels().is_empty(), "{name}");
        }
    }

    #[test]
    fn findings_that_ended_before_what_is_fresh_are_left_out() {
        let (text, detector) = ("a@b.co and c@d.co", builtin("email"));
        let found = |fresh| verdict(&detector, text, fresh).remove("email").unwrap_or_default();
        assert_eq!(found(0), [0..6, 11..17]);
        assert_eq!(found(5), [0..6, 11..17]);
        assert_eq!(found(6), std::slice::from_ref(&(11..17)));
        assert!(found(17).is_empty());
    }

    #[test]
    fn a_private_key_that_streams_by_is_found_in_every_window() {
        let body = "MIIEpAIBAAKCAQEA1234567890abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL\n".repeat(40);
        let key = format!("here: -----BEGIN PRIVATE KEY-----\n{body}");
        let detector = builtin("private-key");
        for fresh in (0..key.len()).step_by(200) {
            let part = &key[..(fresh + 200).min(key.len())];
            let found = verdict(&detector, part, fresh).remove("private-key");
            assert_eq!(found, Some(std::iter::once(6..part.len()).collect()), "{fresh}");
        }
    }

    #[test]
    fn a_long_text_is_judged_to_its_end() {
        let far = "lorem ipsum dolor ".repeat(20_000);
        let detector = builtin("email");
        for text in [
            format!("{far}bob@example.com"),
            format!("{far}bob@example.com {far}"),
            format!("{}\u{435} bob@example.com", "x".repeat(70_000)),
        ] {
            assert_eq!(found(&detector, &text), ["bob@example.com"]);
        }
        let tight = format!("{}bob@example.com", "é".repeat(33_000));
        assert_eq!(verdict(&detector, &tight, 0).len(), 1);
    }

    /// Characters that no reader sees, as they come and spelled as JSON.
    const UNSEEN: [&str; 7] = ["\u{200b}", "\u{1}", "\u{ad}", "\u{fe0f}", "\u{336}", r"\u200b", r"\\u0001"];

    #[test]
    fn no_run_of_unseen_characters_hides_a_match() {
        let detector = new(PatternSpec { builtin: vec![Builtin::Email], ..word_spec(&["project bluebird"]) });
        for (unseen, count) in UNSEEN.into_iter().flat_map(|unseen| [100, 22_000, 66_000].map(|count| (unseen, count)))
        {
            let run = unseen.repeat(count);
            let text = format!("about project{run} bluebird");
            let spans = &verdict(&detector, &text, 0)["word"];
            assert!(
                spans.iter().any(|span| span.start <= 6 && span.end == text.len()),
                "{count} of {unseen:?}: {spans:?}"
            );
            let text = format!("bob{run}@example.com and more");
            let spans = &verdict(&detector, &text, 0)["email"];
            assert!(spans.iter().any(|span| span.start == 0 && span.end >= text.len() - 9), "{count} of {unseen:?}");
        }
    }

    #[test]
    fn a_match_that_unseen_characters_stretch_is_found_in_a_stream() {
        let detector = words(&["project bluebird"]);
        for (unseen, count) in UNSEEN.into_iter().flat_map(|unseen| [500, 1_700, 9_000].map(|count| (unseen, count))) {
            let text = format!("{}about project{} bluebird", "so much for that. ".repeat(500), unseen.repeat(count));
            let fresh = text.len() - 5;
            assert!(verdict(&detector, &text, fresh).contains_key("word"), "{count} of {unseen:?}");
            let spread: String =
                "project bluebird".chars().flat_map(|ch| [ch.to_string(), unseen.repeat(90)]).collect();
            let text = format!("{} {spread}", "so much for that. ".repeat(500));
            assert!(verdict(&detector, &text, text.len() - 5).contains_key("word"), "90 of {unseen:?} each");
        }
    }

    #[test]
    fn text_that_shows_next_to_nothing_counts_as_everything() {
        let detector = new(PatternSpec { builtin: vec![Builtin::Email], ..word_spec(&["bluebird"]) });
        for unseen in UNSEEN {
            let text = format!("a word {}", unseen.repeat((2 << 20) / unseen.len()));
            let found = verdict(&detector, &text, 0);
            assert_eq!(
                (found.len(), found["email"].clone()),
                (2, std::iter::once(0..text.len()).collect()),
                "{unseen:?}"
            );
        }
    }

    #[test]
    fn what_people_write_with_unseen_characters_is_left_alone() {
        let detector = new(PatternSpec {
            builtin: ["pii", "secrets"].map(|group| Builtin::expand(group).unwrap()).concat(),
            ..word_spec(&["bluebird"])
        });
        for text in [
            "👨\u{200d}👩\u{200d}👧\u{200d}👦 ❤\u{fe0f} 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} ",
            "می\u{200c}خواهم مُحَمَّد ",
            "क्\u{200d}ष नमस्ते हिन्दी ",
            "e\u{301}te\u{301} Z\u{336}a\u{336}l\u{336}g\u{336}o\u{336} ",
            r#"{"a":"\u4f60\u597d\ud83d\udc68\u200d\ud83d\udc69"} "#,
            r#"{"a":"\\u4f60\\u597d\\ud83d\\udc68\\u200d"} "#,
            "\u{34f}\u{200c}\u{a0}\u{34f}\u{200c}\u{a0}",
        ] {
            let text = text.repeat(300_000 / text.len());
            for fresh in [0, 100_000] {
                let fresh = crate::text::window::floor(&text, fresh);
                assert_eq!(verdict(&detector, &text, fresh), BTreeMap::new(), "{}", &text[..40]);
            }
        }
    }

    #[test]
    fn a_private_key_in_disguise_is_found_in_every_window() {
        let body = "MIIEpAIBAAKCAQEA1234567890abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL\n".repeat(50);
        for begin in
            ["-----begin private key-----", "-----BE\u{200b}GIN PRIVATE KEY-----", "－－－－－BEGIN PRIVATE KEY-----"]
        {
            let key = format!("{begin}\n{}", body.replace("A", "\u{ad}A"));
            let found = verdict(&builtin("private-key"), &key, key.len() - 10).remove("private-key");
            assert_eq!(found, Some(std::iter::once(0..key.len()).collect()), "{begin}");
        }
    }

    /// Text made of what the patterns and views look at.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<char>().prop_map(String::from),
            "[0-9a-zA-Z@.:+() _/=-]{1,12}",
            "\\PC{0,6}",
            prop::sample::select(vec![
                "4111 1111 1111 1111",
                "bob@example.com",
                "DE89370400440532013000",
                "::1",
                "10.0.0.1",
                "+44 20 7946 0958",
                "-----BEGIN PRIVATE KEY-----",
                "-----END PRIVATE KEY-----",
                "eyJhbGciOiJI.eyJ",
                "sk-ant-",
                "token=",
                "\\u0040",
                "\\",
                "\u{200b}",
                "\u{336}",
                "４",
                "\u{e0041}",
                "078-05-1120",
                "ghp_",
                "\"",
                "password: \"",
            ])
            .prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn spans_are_sorted_disjoint_fresh_and_on_boundaries(text in text(), fresh in 0usize..200) {
            let fresh = (0..=fresh.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap();
            static DETECTOR: LazyLock<PatternDetector> = LazyLock::new(|| new(PatternSpec {
                builtin: ["pii", "secrets"].map(|group| Builtin::expand(group).unwrap()).concat(),
                regexes: vec![(Label::new("vowels"), "(?i)[aeiou\u{e9}]{2,}".into())],
                words: vec![(Label::new("words"), vec!["key".into(), "bob example".into(), "\u{e9}".into()])],
            }));
            for spans in verdict(&DETECTOR, &text, fresh).into_values() {
                prop_assert!(spans.windows(2).all(|two| two[0].end < two[1].start));
                for span in spans {
                    prop_assert!(span.start < span.end && span.end > fresh);
                    prop_assert!(text.get(span.clone()).is_some(), "{:?}", span);
                }
            }
        }

        #[test]
        fn a_word_is_found_wherever_it_stands_and_however_it_is_split(
            before in "[ -~]{0,40}", after in "[ -~]{0,40}", at in 1usize..8, upper in any::<bool>(),
        ) {
            let word = if upper { "BLUEBIRD" } else { "bluebird" };
            let split = format!("{}\u{200b}{}", &word[..at], &word[at..]);
            let text = format!("{before} {split} {after}");
            let spans = &verdict(&words(&["bluebird"]), &text, 0)["word"];
            prop_assert!(spans.contains(&(before.len() + 1..before.len() + 1 + split.len())), "{:?}", spans);
        }
    }
}
