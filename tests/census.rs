//! The canary census: a request, an answer and a stream for each position of the SDKs' types at which a string may stand,
//! through the real program. Each canary is judged or its exchange refused; see tests/census/README.md.

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis::wire::eventstream;
use serde_json::Value;
use support::client::request;
use support::{Answer, Client, Config, Proxy, Recorded, Upstream};

/// Fewer would mean that the data is not what it was.
const AT_LEAST: usize = 10_000;

/// Names an exchange to the upstream.
const EXCHANGE: &str = "x-exchange";

/// Exchanges under way at a time.
const AT_ONCE: usize = 16;

/// Where a model's calls of tools stand: JSON in a string.
const CALLS: [&str; 4] = ["arguments", "partial_json", "ToolUseBlockDelta.input", "JsonSchemaDefinition.schema"];

/// Of so many cases one wears other clothes, too.
const SAMPLE: usize = 5;

/// Where an API is served, and how it is asked for an answer: `false` becomes `true` for a stream.
struct Api {
    dialect: &'static str,
    path: &'static str,
    /// The same for streams, where that is another.
    streams_at: &'static str,
    ask: &'static str,
    framing: Framing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Events of nothing but data.
    Data,
    /// Events with names.
    Named,
    Lines,
    /// Binary messages of Amazon's: what is the first member of an event is the header that says what it is.
    Messages,
}

#[rustfmt::skip]
const APIS: &[Api] = &[
    Api { dialect: "openai_chat", path: "/v1/chat/completions", streams_at: "", framing: Framing::Data,
          ask: r#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":false}"# },
    Api { dialect: "openai_responses", path: "/v1/responses", streams_at: "", framing: Framing::Named,
          ask: r#"{"model":"m","input":"a","stream":false}"# },
    Api { dialect: "openai_completions", path: "/v1/completions", streams_at: "", framing: Framing::Data,
          ask: r#"{"model":"m","prompt":"a","stream":false}"# },
    Api { dialect: "openai_embeddings", path: "/v1/embeddings", streams_at: "", framing: Framing::Data,
          ask: r#"{"model":"m","input":"a"}"# },
    Api { dialect: "openai_moderations", path: "/v1/moderations", streams_at: "", framing: Framing::Data,
          ask: r#"{"model":"m","input":"a"}"# },
    Api { dialect: "openai_images", path: "/v1/images/generations", streams_at: "", framing: Framing::Named,
          ask: r#"{"model":"m","prompt":"a"}"# },
    Api { dialect: "anthropic", path: "/v1/messages", streams_at: "", framing: Framing::Named,
          ask: r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"}],"stream":false}"# },
    Api { dialect: "gemini", path: "/v1beta/models/m:generateContent", streams_at: "/v1beta/models/m:streamGenerateContent?alt=sse",
          framing: Framing::Data, ask: r#"{"contents":[{"role":"user","parts":[{"text":"a"}]}]}"# },
    Api { dialect: "ollama_chat", path: "/api/chat", streams_at: "", framing: Framing::Lines,
          ask: r#"{"model":"m","messages":[{"role":"user","content":"a"}],"stream":false}"# },
    Api { dialect: "ollama_generate", path: "/api/generate", streams_at: "", framing: Framing::Lines,
          ask: r#"{"model":"m","prompt":"a","stream":false}"# },
    Api { dialect: "bedrock_converse", path: "/model/m/converse", streams_at: "/model/m/converse-stream",
          framing: Framing::Messages, ask: r#"{"messages":[{"role":"user","content":[{"text":"a"}]}]}"# },
];

/// Has the canaries found at both ends.
fn guardrail(action: &str) -> String {
    format!(
        "stage = [\"input\", \"output\"]\non_error = \"block\"\ndeadline = \"10s\"\n[patterns.regex]\n\
         canary = 'canary-[0-9]{{6}}-xyzzy'\n[actions]\ncanary = \"{action}\"\n"
    )
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Side {
    Request,
    Answer,
    Stream,
}

/// What becomes of a canary, and of what may well stand in its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    /// A detector finds the canary; what may well stand there passes.
    Judged,
    /// A word of the API: the canary is none and is refused, another passes.
    Word,
    /// Whatever it says, it is refused.
    Refused,
    /// Of an answer: it does not leave.
    Dropped,
}

struct Case {
    number: usize,
    /// `openai_chat.request`.
    surface: String,
    api: &'static Api,
    side: Side,
    /// The position.
    at: String,
    class: Class,
    twin: String,
    /// The body, or the data of each event. `{canary}` is the mark.
    texts: Vec<String>,
}

/// How a canary is dressed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Dress {
    Plain,
    /// Each character as `\u` and its number.
    Escaped,
    /// The same, inside of JSON inside of the string.
    Arguments,
    /// There is no canary, but what may well stand there.
    Twin,
}

impl Case {
    /// The texts in this dress.
    fn dressed(&self, dress: Dress) -> Vec<String> {
        let canary = canary(self.number);
        let escaped: String = canary.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let dressed = match dress {
            Dress::Plain => canary,
            Dress::Escaped => escaped,
            Dress::Arguments => format!("{{\\\"a\\\":[1,\\\"{}\\\"]}}", escaped.replace('\\', "\\\\")),
            Dress::Twin => self.twin.clone(),
        };
        self.texts.iter().map(|text| text.replace("{canary}", &dressed)).collect()
    }

    fn path(&self) -> &'static str {
        match self.side {
            Side::Stream if self.is_array() => self.api.streams_at.trim_end_matches("?alt=sse"),
            Side::Stream if !self.api.streams_at.is_empty() => self.api.streams_at,
            _ => self.api.path,
        }
    }

    /// Whether the events come as the elements of an array, as Gemini sends every other of these streams.
    fn is_array(&self) -> bool {
        self.side == Side::Stream && self.api.dialect == "gemini" && self.number.is_multiple_of(2)
    }

    /// What the client sends for it.
    fn asked(&self, dress: Dress) -> String {
        match self.side {
            Side::Request => self.dressed(dress).remove(0),
            Side::Answer => self.api.ask.to_owned(),
            Side::Stream => self.api.ask.replace("false", "true"),
        }
    }

    /// What the upstream answers.
    fn answered(&self, dress: Dress) -> Answer {
        let mut texts = self.dressed(dress);
        let stream = |media: &str| Answer::head(200, &[("content-type", media), ("transfer-encoding", "chunked")]);
        match (self.side, self.api.framing) {
            (Side::Request, _) => Answer::error(500, "no_answer"),
            (Side::Answer, _) => Answer::json(texts.remove(0)),
            _ if self.is_array() => Answer::json(format!("[{}]", texts.join(",\r\n"))),
            (_, Framing::Data) => {
                texts.iter().fold(stream("text/event-stream"), |answer, text| answer.event(text)).end()
            }
            (_, Framing::Named) => {
                let named = |answer: Answer, text: &String| {
                    let event: Value = serde_json::from_str(text).expect("JSON in each event");
                    answer.chunk(format!("event: {}\ndata: {text}\n\n", event["type"].as_str().unwrap_or_default()))
                };
                texts.iter().fold(stream("text/event-stream"), named).end()
            }
            (_, Framing::Messages) => {
                let message = |answer: Answer, text: &String| answer.chunk(eventstream::frame(text.as_bytes()));
                texts.iter().fold(stream("application/vnd.amazon.eventstream"), message).end()
            }
            (_, Framing::Lines) => texts
                .iter()
                .fold(stream("application/x-ndjson"), |answer, text| answer.chunk(format!("{text}\n")))
                .end(),
        }
    }
}

fn canary(number: usize) -> String {
    format!("canary-{number:06}-xyzzy")
}

/// The name of an exchange, in the headers for the upstream and for the audit.
fn name(number: usize, dress: Dress) -> String {
    format!("{number}-{dress:?}")
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/census/cases");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let frames: BTreeMap<String, Vec<Value>> = serde_json::from_str(&read("frames.json")).expect("frames");
    let mut cases = Vec::new();
    for api in APIS {
        for (side, name) in [(Side::Request, "request"), (Side::Answer, "answer"), (Side::Stream, "stream")] {
            let surface = format!("{}.{name}", api.dialect);
            if side == Side::Stream && !folder.join(format!("{surface}.jsonl")).exists() {
                continue;
            }
            for line in read(&format!("{surface}.jsonl")).lines() {
                let line: Value = serde_json::from_str(line).expect("JSON on each line");
                let text = |name: &str| line[name].as_str();
                let texts = match text("frame") {
                    None => vec![line["body"].to_string()],
                    Some(frame) => frames[frame].iter().map(|event| framed(event, &line["event"])).collect(),
                };
                let class = match text("class") {
                    Some("judged") => Class::Judged,
                    Some("word") => Class::Word,
                    Some("refused") => Class::Refused,
                    Some("dropped") => Class::Dropped,
                    other => panic!("{line}: no class: {other:?}"),
                };
                let (at, twin) = (text("at").expect("a position").to_owned(), text("twin").unwrap_or("a").to_owned());
                cases.push(Case { number: cases.len(), surface: surface.clone(), api, side, at, class, twin, texts });
            }
        }
    }
    cases
}

/// An event of a frame: JSON, a mark of the end, or the case's own.
fn framed(event: &Value, own: &Value) -> String {
    match event.as_str() {
        Some("{event}") => own.to_string(),
        Some(mark) => mark.to_owned(),
        None => event.to_string(),
    }
}

/// The proxy with every dialect, before an upstream that knows the cases.
async fn deployment(cases: &Arc<Vec<Case>>, action: &str) -> (Upstream, Proxy) {
    let own = Arc::clone(cases);
    let upstream = Upstream::answering(move |request| answer(&own, request)).await;
    let mut config = Config::new(upstream.address()).guardrail("census", &guardrail(action));
    for api in &APIS[1..] {
        for (id, path) in [("", api.path), ("-stream", api.streams_at)] {
            let (path, query) = path
                .split_once('?')
                .map_or((path, String::new()), |(path, query)| (path, format!("query = [{query:?}]\n")));
            if !path.is_empty() {
                let dialect = api.dialect;
                // Ids that an earlier case's answer has told would pass.
                let state = if dialect == "openai_responses" { "state = \"refuse\"\n" } else { "" };
                config = config.section(&format!(
                    "[[route]]\nid = \"{dialect}{id}\"\npath = {path:?}\ndialect = {dialect:?}\n{query}{state}\
                     upstream = \"main\"\nguardrails = [\"census\"]"
                ));
            }
        }
    }
    (upstream, Proxy::start(config))
}

/// The answer of the case whose exchange the request names.
fn answer(cases: &[Case], request: &Recorded) -> Answer {
    let (number, dress) = request.head.header(EXCHANGE).and_then(|name| name.split_once('-')).expect("a name");
    let dresses = [Dress::Plain, Dress::Escaped, Dress::Arguments, Dress::Twin];
    let dress = dresses.into_iter().find(|own| format!("{own:?}") == dress).expect("a dress");
    cases[number.parse::<usize>().expect("a number")].answered(dress)
}

/// What is known of the exchanges of one proxy.
struct Seen {
    /// The exchanges whose canary the client has seen.
    leaked: HashSet<String>,
    /// Those whose request the upstream has seen.
    reached: HashSet<String>,
    /// By exchange, the end of what the client was told.
    told: HashMap<String, String>,
    /// By exchange, the audit's lines: outcome, stage and code.
    audit: HashMap<String, Vec<(String, String, String)>>,
}

/// Holds all these exchanges, and tells what has become of them.
async fn held(cases: &Arc<Vec<Case>>, action: &str, exchanges: Vec<(usize, Dress)>) -> Seen {
    let (upstream, mut proxy) = deployment(cases, action).await;
    let exchanges = Arc::new(exchanges);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (cases, exchanges, next) = (Arc::clone(cases), Arc::clone(&exchanges), Arc::clone(&next));
        let address = proxy.address;
        workers.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut results = Vec::new();
            while let Some((number, dress)) = exchanges.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (case, name) = (&cases[*number], name(*number, *dress));
                let headers = [("content-type", "application/json"), ("x-request-id", &*name), (EXCHANGE, &*name)];
                let sent = request("POST", case.path(), &headers, case.asked(*dress));
                client.send(&sent).await;
                let answer = client.response().await;
                let leaked = holds(&[answer.head.raw.as_bytes(), &answer.raw_body].concat(), *number);
                let told = String::from_utf8_lossy(&answer.body[answer.body.len().saturating_sub(300)..]).into_owned();
                results.push((name, leaked, told));
                if answer.head.all("connection").contains(&"close") {
                    client = Client::connect(address).await;
                }
            }
            results
        });
    }
    let results: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    let leaked = results.iter().filter(|result| result.1).map(|result| result.0.clone()).collect();
    let told = results.into_iter().map(|(name, _, told)| (name, told)).collect();
    let named = |request: &Recorded| request.head.header(EXCHANGE).expect("a name").to_owned();
    let reached = upstream.requests().iter().map(named).collect();
    proxy.signal("TERM");
    proxy.ended().await;
    let mut audit: HashMap<String, Vec<_>> = HashMap::new();
    for line in std::fs::read_to_string(proxy.config.audit_path()).expect("the audit").lines() {
        let line: Value = serde_json::from_str(line).expect("JSON in the audit");
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        audit.entry(text("request_id")).or_default().push((text("outcome"), text("stage"), text("code")));
    }
    Seen { leaked, reached, told, audit }
}

/// Whether these bytes say the canary, escapes undone.
fn holds(bytes: &[u8], number: usize) -> bool {
    unescaped(bytes).contains(&canary(number))
}

/// With `\u` of ASCII undone, however deep.
fn unescaped(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace("\\\\", "\\");
    while let Some(at) = text.find("\\u00") {
        let hex = text.get(at + 4..at + 6).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        text.replace_range(at..at + 2, "");
        if let Some(byte) = hex.filter(u8::is_ascii_graphic) {
            text.replace_range(at..at + 4, char::from(byte).encode_utf8(&mut [0; 4]));
        }
    }
    text
}

/// How an exchange has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Leaked,
    Blocked,
    Refused,
    Passed,
    /// In no way that there should be.
    Broken,
}

impl Seen {
    fn end(&self, case: &Case, dress: Dress) -> End {
        let name = name(case.number, dress);
        let lines = self.audit.get(&name).map_or(&[][..], Vec::as_slice);
        let is = |outcome: &str, stage: &str| lines.iter().any(|line| line.0 == outcome && line.1.ends_with(stage));
        let reached = self.reached.contains(&name);
        let (stage, why): (_, &[_]) = match case.side {
            Side::Request => ("input", &["unsupported_content", "invalid_request_body"]),
            _ => ("output", &["upstream_invalid_response"]),
        };
        let ended = lines.iter().any(|line| line.0 == "refused" || line.0 == "cut");
        match () {
            () if self.leaked.contains(&name) => End::Leaked,
            () if case.side == Side::Request && reached => {
                [End::Leaked, End::Passed][usize::from(dress == Dress::Twin)]
            }
            () if case.side != Side::Request && !reached => End::Broken,
            () if is("blocked", stage) => End::Blocked,
            () if lines.iter().any(|line| why.contains(&&*line.2)) => End::Refused,
            () if case.side != Side::Request && !ended => End::Passed,
            () => End::Broken,
        }
    }

    /// What the client was told in the end of what may well stand there.
    fn words(&self, case: &Case) -> String {
        self.told[&name(case.number, Dress::Twin)].replace('\n', " ")
    }

    /// The class that a case has by what became of it.
    fn class(&self, case: &Case, dress: Dress) -> Result<Class, (End, End)> {
        match (self.end(case, dress), self.end(case, Dress::Twin)) {
            (End::Blocked, End::Passed) => Ok(Class::Judged),
            (End::Refused, End::Passed) => Ok(Class::Word),
            // What it is may be judged first.
            (End::Refused | End::Blocked, End::Refused) => Ok(Class::Refused),
            (End::Passed, End::Passed) if case.side != Side::Request => Ok(Class::Dropped),
            other => Err(other),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_canary_is_judged_or_its_exchange_refused() {
    let cases = Arc::new(cases());
    assert!(cases.len() >= AT_LEAST, "only {} cases", cases.len());
    let calls = |case: &Case| CALLS.iter().any(|end| case.at.ends_with(end)) && case.twin == "a";
    let mut dressed: Vec<_> = cases.iter().map(|case| (case.number, Dress::Plain)).collect();
    dressed.extend(cases.iter().step_by(SAMPLE).map(|case| (case.number, Dress::Escaped)));
    dressed.extend(cases.iter().filter(|case| calls(case)).map(|case| (case.number, Dress::Arguments)));
    let twins = cases.iter().map(|case| (case.number, Dress::Twin));
    let seen = held(&cases, "block", dressed.iter().copied().chain(twins).collect()).await;

    let mut exceptions = Vec::new();
    let mut counts: BTreeMap<_, BTreeMap<_, usize>> = BTreeMap::new();
    for (number, dress) in &dressed {
        let case = &cases[*number];
        let found = seen.class(case, *dress);
        *counts.entry((case.api.dialect, case.side)).or_default().entry(case.class).or_default() += 1;
        if found != Ok(case.class) {
            let (Case { surface, at, class, .. }, words) = (case, seen.words(case));
            exceptions.push(format!("{surface}\t{at}\t{dress:?}\t{found:?} and not {class:?}\t{words}"));
        }
    }
    for ((dialect, side), counts) in &counts {
        println!("{dialect} {side:?}: {counts:?}");
    }
    println!("{} positions, {} canaries, {} exceptions", cases.len(), dressed.len(), exceptions.len());
    assert!(exceptions.is_empty(), "exceptions:\n{}", exceptions.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_survives_redaction() {
    let cases = Arc::new(cases());
    let judged = cases.iter().filter(|case| case.side != Side::Request && case.class == Class::Judged);
    let exchanges: Vec<_> = judged.map(|case| (case.number, Dress::Plain)).collect();
    let seen = held(&cases, "redact", exchanges.clone()).await;
    let ends = exchanges.iter().map(|(number, dress)| (&cases[*number], seen.end(&cases[*number], *dress)));
    let mut redacted = 0;
    let mut exceptions = Vec::new();
    for (case, end) in ends {
        match end {
            End::Leaked | End::Broken => exceptions.push(format!("{}\t{}\t{end:?}", case.surface, case.at)),
            End::Passed => redacted += 1,
            End::Blocked | End::Refused => {}
        }
    }
    println!("{} canaries, {redacted} redacted, {} exceptions", exchanges.len(), exceptions.len());
    assert!(exceptions.is_empty(), "exceptions:\n{}", exceptions.join("\n"));
    assert!(redacted > 0, "nothing was redacted");
}

/// The SDKs are of the versions that the cases were made of, or have no position that the cases lack.
#[test]
fn the_cases_are_those_of_the_sdks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("PORTCULLIS_CENSUS_PYTHON")
        .map_or_else(|| root.join(".venv-census/bin/python"), PathBuf::from);
    assert!(python.exists(), "the SDKs are not installed: run `make tools`, once");
    let output =
        Command::new(python).arg(root.join("tests/census/make.py")).arg("--check").output().expect("run make.py");
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "tests/census/make.py --check:\n{}", String::from_utf8_lossy(&told));
}
