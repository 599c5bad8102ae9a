//! The workbench of a running proxy, judged by the random model of the tree: on bare sockets, with OpenAI's SDK, and on its
//! page in a real Chromium. Verdicts mean nothing here, but they are verdicts. Where a test must wait, or a model say what it
//! would not, a server judges that answers by script.
#![cfg(feature = "libtorch")]

mod remote_servers;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis::workbench::visible;
use remote_servers::{BINARY, JSON, Kind, judged};
use serde_json::{Value, json};
use support::client::{events, request};
use support::config::words;
use support::{Answer, Client, Config, Cue, Proxy, Response, Upstream, chat, completion, installed};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const TOKEN: &str = "s3cret";
const HEADERS: [(&str, &str); 2] = [("host", "localhost"), ("content-type", "application/json")];

/// A policy that finds something where the model replies with this.
fn policy(found: &str, safe: &str) -> String {
    format!(
        "+++\nform = \"binary\"\n[[labels]]\nlabel = \"FOUND\"\nreply = \"{found}\"\nmoderation = \"sexual/minors\"\n\
         [[labels]]\nlabel = \"FINE\"\nreply = \"{safe}\"\nsafe = true\n+++\nIs CONTENT bad?\n"
    )
}

/// A guardrail that watches, and holds nothing up.
fn observer(policy: &str) -> String {
    format!(
        "stage = [\"input\"]\npolicy = \"{policy}\"\neffort = \"none\"\non_error = \"allow\"\ndeadline = \"1h\"\n\
         mode = \"observe\"\n[actions]\nFOUND = \"annotate\"\n"
    )
}

/// Several labels that find something.
const LEVELS: &str = "+++\nform = \"label\"\n[[labels]]\nlabel = \"WORSE\"\nreply = \"2\"\n\
    moderation = \"self-harm/intent\"\n[[labels]]\nlabel = \"BAD\"\nreply = \"1\"\n[[labels]]\nlabel = \"FINE\"\nreply = \"0\"\nsafe = true\n+++\n\
    How bad is CONTENT?\n";

/// Two policies of which one finds something in whatever there is, and two that no guardrail has.
fn config(upstream: &Upstream) -> Config {
    let engine = format!("[engine.default]\nmodel = \"{ROOT}/models/random-tiny\"\nthreads = 1\n");
    let shipped = Path::new(ROOT).join("policies/prompt-injection/policy.md");
    let shipped = std::fs::read_to_string(shipped).expect("a policy");
    Config::new(upstream.address())
        .section(&engine)
        .policy("found", &policy("1", "0"))
        .policy("lost", &policy("0", "1"))
        .policy("levels", LEVELS)
        .policy("prompt-injection", &shipped)
        .guardrail("observer", &observer("found"))
        .guardrail("other", &observer("lost"))
}

async fn start() -> (Upstream, Proxy) {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let proxy = Proxy::start(config(&upstream));
    (upstream, proxy)
}

/// A policy whose file is none that can be read.
fn unreadable(config: &Config, id: &str) {
    config.write(&format!("policies/{id}/policy.md"), "");
    std::fs::write(config.directory().join("policies").join(id).join("policy.md"), b"+++\n\xff")
        .expect("write the file");
}

async fn post(proxy: &Proxy, path: &str, body: Value) -> Response {
    Client::connect(proxy.admin).await.request("POST", path, &HEADERS, body.to_string()).await
}

async fn classify(proxy: &Proxy, body: Value) -> Value {
    let answer = post(proxy, "/v1/classify", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_text_is_classified_by_a_policy_of_the_deployment_and_by_a_draft() {
    let (_upstream, proxy) = start().await;
    let found = classify(&proxy, json!({"policy": "found", "text": "one"})).await;
    let lost = classify(&proxy, json!({"policy": "lost", "text": "one", "stage": "output"})).await;
    assert_ne!(found["safe"], lost["safe"], "the one finds what the other does not");
    for (told, policy, stage) in [(&found, "found", "input"), (&lost, "lost", "output")] {
        // As its guardrail has it.
        assert_eq!([&told["policy"], &told["stage"], &told["effort"]], [policy, stage, "none"]);
        let label = if told["safe"] == true { "FINE" } else { "FOUND" };
        assert_eq!(told["label"], label);
        let scores = told["scores"].as_object().expect("scores");
        let sum: f64 = scores.values().filter_map(Value::as_f64).sum();
        assert!((sum - 1.0).abs() < 1e-3 && scores[label] == told["score"], "{told}");
        assert!(told["times"]["total"].as_f64() > Some(0.0) && told["reasoning"] == "", "{told}");
    }
    // The same text as a draft is the same policy to the model; in another effort it reasons first.
    let draft = json!({"policy_text": policy("1", "0"), "policy": "found", "text": "one"});
    let drafted = classify(&proxy, draft).await;
    assert_eq!([&drafted["label"], &drafted["effort"]], [&found["label"], &json!("none")]);
    let alone = classify(&proxy, json!({"policy_text": policy("1", "0"), "text": "one"})).await;
    assert_eq!([&alone["policy"], &alone["effort"]], ["draft", "low"]);
    assert!(alone["reasoning"].as_str().is_some_and(|text| !text.is_empty()), "{alone}");
    // And nowhere else: neither as a file nor under its name.
    assert!(!proxy.config.directory().join("policies/draft").exists());
    let kept = std::fs::read_to_string(proxy.config.directory().join("policies/found/policy.md")).expect("the file");
    assert_eq!(kept, policy("1", "0"));
    assert_eq!(post(&proxy, "/v1/classify", json!({"policy": "draft", "text": "one"})).await.status, 404);
    // None of it is traffic.
    assert_eq!(proxy.admin("/v1/decisions").await.json()["told"], 0);
}

#[tokio::test]
async fn a_stream_tells_the_reasoning_piece_by_piece_and_then_the_verdict() {
    let (_upstream, proxy) = start().await;
    let ask = json!({"policy": "found", "text": "one", "effort": "low", "stream": true}).to_string();
    let mut client = Client::connect(proxy.admin).await;
    client.send(request("POST", "/v1/classify", &HEADERS, ask)).await;
    let mut answer = client.open().await;
    assert_eq!((answer.status, answer.head.header("content-type")), (200, Some("text/event-stream")));
    let begun = answer.until("event: reasoning").await;
    assert!(!begun.contains("event: verdict"), "all in one piece: {begun}");
    let text = begun + &answer.rest().await;
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let data: Vec<Value> = events(&text).iter().map(|data| serde_json::from_str(data).expect("JSON")).collect();
    let pieces = names.len() - 3;
    assert!(pieces > 1 && names[..2] == ["begun", "read"], "{names:?}");
    assert!(
        names[2..2 + pieces].iter().all(|name| *name == "reasoning") && names[2 + pieces] == "verdict",
        "{names:?}"
    );
    let verdict = data.last().expect("a verdict");
    let reasoned: String = data[2..2 + pieces].iter().filter_map(|piece| piece["text"].as_str()).collect();
    assert_eq!(verdict["reasoning"], reasoned);
    assert!(data[1]["tokens"].as_u64() > Some(10) && verdict["label"].is_string(), "{verdict}");
}

#[tokio::test]
async fn what_is_known_of_a_text_is_told_while_the_rest_is_judged() {
    let cue = Cue::new();
    let server = Upstream::answering({
        let cue = cue.clone();
        move |request| {
            let answer = Kind::Vllm.answer("0", "It looks fine.");
            match judged(&request.json()).contains("the end") {
                true => Answer::default().wait(&cue).then(answer),
                false => answer,
            }
        }
    })
    .await;
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let engine = remote_servers::engine(Kind::Vllm, server.address(), "window = 2048");
    let proxy = Proxy::start(Config::new(upstream.address()).section(&engine).policy("p", BINARY));
    let text = format!("{}the end", "a word ".repeat(400));
    let ask = json!({"policy": "p", "text": text, "effort": "high", "stream": true}).to_string();
    let mut client = Client::connect(proxy.admin).await;
    client.send(request("POST", "/v1/classify", &HEADERS, ask)).await;
    let mut answer = client.open().await;
    // Without the last window there is no verdict.
    let begun = answer.until("event: reasoning").await;
    assert!(begun.contains("It looks fine.") && !begun.contains("event: verdict"), "{begun}");
    cue.give();
    let rest = answer.rest().await;
    assert!(rest.contains("event: verdict") && rest.contains("\"safe\":true"), "{rest}");
}

#[tokio::test]
async fn who_leaves_is_not_judged_for_and_more_than_may_be_are_told_so() {
    let (_upstream, proxy) = start().await;
    let long = "a long text, word by word; ".repeat(100);
    let ask = json!({"policy": "found", "text": long, "effort": "high", "stream": true}).to_string();
    let mut clients = Vec::new();
    let refused = loop {
        let mut client = Client::connect(proxy.admin).await;
        client.send(request("POST", "/v1/classify", &HEADERS, &ask)).await;
        if client.open().await.status != 200 {
            break post(&proxy, "/v1/classify", json!({"policy": "found", "text": "one"})).await;
        }
        clients.push(client);
        assert!(clients.len() < 64, "no bound was met");
    };
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_requests"));
    assert_eq!(refused.head.header("retry-after"), Some("1"));
    // Health is heard all the same.
    assert_eq!(proxy.admin("/healthz").await.status, 200);
    drop(clients);
    support::within("there is room again", async {
        while post(&proxy, "/v1/classify", json!({"policy": "found", "text": "one"})).await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_policy_comes_with_the_digest_that_its_verdicts_name() {
    let (_upstream, proxy) = start().await;
    unreadable(&proxy.config, "broken");
    let digests = async |id: &str| {
        let source = proxy.admin(&format!("/v1/policies/{id}")).await.json();
        let verdict = classify(&proxy, json!({"policy": id, "text": "one", "effort": "none"})).await;
        let list = proxy.admin("/v1/policies").await.json();
        let listed = list["policies"].as_array().expect("a list").iter().find(|one| one["id"] == *id).expect("listed");
        assert!(source["digest"].as_str().is_some_and(|digest| digest.len() == 64), "{source}");
        [&source["digest"], &listed["digest"], &verdict["policy_digest"]].map(Value::clone)
    };
    let [shown, listed, judged] = digests("found").await;
    assert_eq!([&shown, &listed], [&judged; 2]);
    // No reload sees a policy that no guardrail has: its file is what judges.
    let [before, ..] = digests("levels").await;
    proxy.config.write("policies/levels/policy.md", &format!("{LEVELS}And how is it meant?\n"));
    let [shown, listed, judged] = digests("levels").await;
    assert_eq!([&shown, &listed], [&judged; 2]);
    assert_ne!(shown, before);
    // That it can't be read is not that there is none.
    let answer = proxy.admin("/v1/policies/broken").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "unusable_policy"));
    assert!(answer.text().contains("UTF-8"), "{}", answer.text());
    assert_eq!(proxy.admin("/v1/policies/nowhere").await.code(), "policy_not_found");
}

#[tokio::test]
async fn a_reload_lets_go_of_what_the_page_has_judged_by() {
    let (_upstream, proxy) = start().await;
    classify(&proxy, json!({"policy_text": policy("1", "0"), "text": "one", "effort": "none"})).await;
    // Another engine takes the place of the one that the draft was judged on.
    let toml = proxy.config.toml();
    proxy.config.write("portcullis.toml", &toml.replace("threads = 1", "threads = 1\nqueue = 63"));
    proxy.signal("HUP");
    proxy.counted("portcullis_live_generation", 2.0).await;
    let engines = async || proxy.admin("/metrics").await.text().matches("portcullis_engine_steps_total{").count();
    support::within("the first engine has gone", async {
        while engines().await != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(classify(&proxy, json!({"policy": "found", "text": "one"})).await["policy"], "found");
}

#[tokio::test]
async fn moderations_can_be_by_policies_that_no_guardrail_has() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let proxy = Proxy::start(config(&upstream).admin("moderations = [\"lost\", \"levels\"]"));
    let answer =
        post(&proxy, "/v1/moderations", json!({"input": ["one", "two"], "model": "omni-moderation-latest"})).await;
    let told = answer.json();
    assert_eq!((answer.status, told["results"].as_array().map(Vec::len)), (200, Some(2)), "{told}");
    let categories: Vec<&String> = told["results"][1]["categories"].as_object().expect("categories").keys().collect();
    let expected = ["levels", "levels/BAD", "levels/WORSE", "lost", "self-harm/intent", "sexual/minors"];
    assert_eq!(categories, expected);
    let list = proxy.admin("/v1/policies").await.json();
    let list = list["policies"].as_array().expect("a list");
    let moderated: Vec<&Value> = list.iter().filter(|one| one["moderated"] == true).map(|one| &one["id"]).collect();
    assert_eq!(moderated, ["levels", "lost"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_sdk_reads_the_moderations() {
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let proxy = guarded(&upstream);
    run("test_moderations.py", &[("PORTCULLIS_GUARDED", &admin(&proxy)), ("PORTCULLIS_TOKEN", TOKEN)]);
}

/// It stands in the script a second time.
#[test]
fn the_page_shows_what_acts_by_the_rule_of_the_command_line() {
    let script = include_str!("../src/admin/page/dom.js");
    let class = script.split_once("[\\p{Cc}").and_then(|(_, rest)| rest.split_once("]/gu")).expect("its characters").0;
    let (mut listed, mut first) = (Vec::new(), None);
    for point in class.split("\\u{").skip(1) {
        let (digits, then) = point.split_once('}').expect("a code point");
        let point = u32::from_str_radix(digits, 16).expect("a number");
        match then {
            "-" => first = Some(point),
            _ => listed.push(first.take().unwrap_or(point)..=point),
        }
    }
    for c in '\0'..=char::MAX {
        let control = c.is_control() && !matches!(c, '\n' | '\t');
        let acts = control || listed.iter().any(|range| range.contains(&u32::from(c)));
        let text = c.to_string();
        assert_eq!(visible(&text) != text, acts, "U+{:04X}", u32::from(c));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_in_a_browser() {
    // `scripts/browser.sh` says so where Chromium can't be installed.
    if Path::new(ROOT).join(".deps/no-chromium").exists() {
        eprintln!("left out: there is no Chromium; on Debian: apt install chromium");
        return;
    }
    let upstream = Upstream::start(Answer::json(completion("fine"))).await;
    let proxy =
        Proxy::start(config(&upstream).guardrail("words", &words("\"input\"", "block", "")).audit("content = true"));
    let guarded = guarded(&upstream);
    let (server, remote) = remote(&upstream).await;
    let (_slow, _waiting, draining) = draining().await;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(ROOT).join("target"), PathBuf::from);
    let pictures = target.join("page").display().to_string();
    run(
        "test_page.py",
        &[
            ("PORTCULLIS_PROXY", &format!("http://{}", proxy.address)),
            ("PORTCULLIS_ADMIN", &admin(&proxy)),
            ("PORTCULLIS_GUARDED", &admin(&guarded)),
            ("PORTCULLIS_TOKEN", TOKEN),
            ("PORTCULLIS_REMOTE_PROXY", &format!("http://{}", remote.address)),
            ("PORTCULLIS_REMOTE", &admin(&remote)),
            ("PORTCULLIS_POLICIES", &remote.config.directory().join("policies").display().to_string()),
            ("PORTCULLIS_DRAINING", &admin(&draining)),
            ("PORTCULLIS_PICTURES", &pictures),
        ],
    );
    // What was stopped on the page is asked of nobody any more.
    server.hung_up(1).await;
}

/// What a model may say: it ends lines for some readers, turns the direction, hides. `test_page.py` has it, too.
const HIDING: &str = "It\u{2028}says\u{2029}so\u{85}: \u{202e}backwards\u{200b}\u{e0041}.";

/// One whose policies a server judges by. What the text says is how it answers.
async fn remote(upstream: &Upstream) -> (Upstream, Proxy) {
    let server = Upstream::answering(|request| {
        let text = judged(&request.json());
        let reply = |found: u8| json!({"violation": found, "policy_category": null, "rationale": HIDING}).to_string();
        if text.contains("stalls") {
            Answer::default().stall()
        } else if text.contains("babbles") {
            Kind::Vllm.answer("maybe", "")
        } else if text.contains("hides") {
            Kind::Vllm.answer(&reply(1), HIDING)
        } else {
            Kind::Vllm.answer(&reply(0), "")
        }
    })
    .await;
    let config = Config::new(upstream.address())
        .section(&remote_servers::engine(Kind::Vllm, server.address(), ""))
        .policy("p", JSON)
        .policy("free", JSON)
        .guardrail("judge", &remote_servers::guardrail("annotate", "allow"));
    unreadable(&config, "unreadable");
    (server, Proxy::start(config))
}

/// One that was told to end, and waits for an exchange that does not. Its only policy can't be read.
async fn draining() -> (Upstream, Client, Proxy) {
    let slow = Upstream::start(Answer::default().stall()).await;
    let config =
        Config::new(slow.address()).server("workers = 2\ndrain = \"1h\"").upstream("first_byte_timeout = \"1h\"");
    unreadable(&config, "unreadable");
    let proxy = Proxy::start(config);
    let mut client = proxy.connect().await;
    client.send(request("POST", "/v1/chat/completions", &HEADERS, chat("hi", false))).await;
    slow.received(1).await;
    proxy.signal("TERM");
    (slow, client, proxy)
}

/// One with a token.
fn guarded(upstream: &Upstream) -> Proxy {
    let config = config(upstream).admin("token = { env = \"TEST_ADMIN_TOKEN\" }");
    Proxy::start_with(config, &[("TEST_ADMIN_TOKEN", TOKEN)])
}

fn admin(proxy: &Proxy) -> String {
    format!("http://{}", proxy.admin)
}

/// Runs a script of `tests/page/`. It must succeed, and have run something.
fn run(script: &str, environment: &[(&str, &str)]) {
    let python = installed("PORTCULLIS_PYTHON", ".venv/bin/python");
    let output = Command::new(python)
        .arg(Path::new(ROOT).join("tests/page").join(script))
        .envs(environment.iter().copied())
        .env("NO_PROXY", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("{script}: {error}"));
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success(), "{script} failed:\n{told}");
    let ran = told.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse::<usize>().ok());
    assert!(ran > Some(0), "{script} ran nothing:\n{told}");
}
