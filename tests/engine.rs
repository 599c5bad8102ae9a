//! Guardrails that a model judges, through the running proxy. The model is the random one of the tree: its verdicts mean
//! nothing, but they are verdicts, and a long effort makes it slow enough to be waited for.
#![cfg(feature = "libtorch")]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::client::request;
use support::proxy::run;
use support::{Answer, Client, Config, Proxy, Response, Upstream, chat, chunk, completion, last_chunk, within};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/random-tiny");

/// A policy that is judged `FOUND` where the model replies with the first of these.
fn policy(form: &str, found: &str, safe: &str, text: &str) -> String {
    let label = |label: &str, reply: &str, safe: bool| {
        format!("[[labels]]\nlabel = \"{label}\"\nreply = \"{reply}\"\nsafe = {safe}\n")
    };
    format!("+++\nform = \"{form}\"\n{}{}+++\n{text}\n", label("FOUND", found, false), label("FINE", safe, true))
}

fn engine(more: &str) -> String {
    format!("[engine.default]\nmodel = {MODEL:?}\nthreads = 1\n{more}")
}

/// A guardrail by `policies/p`.
fn by_model(more: &str) -> String {
    format!("policy = \"p\"\n{more}\n[actions]\nFOUND = \"annotate\"\n")
}

/// A guardrail that never comes to a verdict within its deadline: what happens then is `on_error`.
fn slow(stages: &str, deadline: &str, on_error: &str, more: &str) -> String {
    by_model(&format!(
        "stage = [{stages}]\neffort = \"high\"\ndeadline = \"{deadline}\"\non_error = \"{on_error}\"\n{more}"
    ))
}

fn config(upstream: &Upstream) -> Config {
    Config::new(upstream.address()).section(&engine("")).policy("p", &policy("binary", "1", "0", "Is CONTENT bad?"))
}

async fn fine() -> Upstream {
    Upstream::start(Answer::json(completion("fine"))).await
}

fn post(body: &str) -> Vec<u8> {
    request("POST", "/v1/chat/completions", &[("content-type", "application/json")], body)
}

/// A prompt whose verdict takes about a minute: eleven windows, each to be read and reasoned about. One window alone would
/// not do: how soon the random model ends its reasoning depends on how the processor rounds.
fn endless() -> String {
    chat(&"a long text, word by word; ".repeat(2400), false)
}

async fn ask_endlessly(proxy: &Proxy) -> Client {
    let mut client = proxy.connect().await;
    client.send(post(&endless())).await;
    client
}

fn unavailable(response: &Response) {
    assert_eq!((response.status, response.code().as_str()), (503, "guardrail_unavailable"), "{}", response.text());
    assert!(response.head.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|s| s > 0)));
    assert_eq!(response.json()["error"]["type"], "server_error");
}

#[tokio::test]
async fn the_model_gives_verdicts_in_every_form_and_effort() {
    let upstream = fine().await;
    let mut config = Config::new(upstream.address()).section(&engine("")).audit("content = false");
    let mut names = Vec::new();
    for form in ["binary", "label"] {
        for effort in ["none", "low"] {
            // The same text and replies, read in both senses: one of the two finds something.
            for (sense, found, safe) in [("yes", "1", "0"), ("no", "0", "1")] {
                let name = format!("{form}-{effort}-{sense}");
                config = config.policy(&name, &policy(form, found, safe, "Is CONTENT bad?")).guardrail(
                    &name,
                    &format!(
                        "stage = [\"input\"]\npolicy = \"{name}\"\neffort = \"{effort}\"\non_error = \"block\"\ndeadline = \"1h\"\n\
                         [actions]\nFOUND = \"annotate\"\n"
                    ),
                );
                names.push((name, form, effort));
            }
        }
    }
    let proxy = Proxy::start(config);
    let answer = proxy.chat(chat("some text", false)).await;
    assert_eq!(
        (answer.status, answer.head.header("x-portcullis-decision")),
        (200, Some("annotate")),
        "{}",
        answer.text()
    );
    let line = &proxy.audit(1).await[0];
    let (asked, applied) = (line["asked"].as_array().expect("asked"), line["applied"].as_array().expect("applied"));
    assert_eq!(asked.len(), names.len());
    for (asked, (name, form, effort)) in asked.iter().zip(&names) {
        assert_eq!([&asked["guardrail"], &asked["policy"]], [name.as_str(); 2]);
        assert_eq!([&asked["engine"], &asked["form"], &asked["effort"]], ["libtorch", form, effort]);
        assert!(
            [&asked["model"], &asked["policy_digest"]]
                .iter()
                .all(|digest| digest.as_str().is_some_and(|d| d.len() == 64))
        );
        assert_eq!((&asked["segments"], &asked["answered"], &asked["cached"]), (&json!(1), &json!(1), &json!(0)));
        assert!(asked["took_ms"].as_f64() > Some(0.0));
    }
    for pair in names.chunks(2) {
        let found: Vec<&Value> =
            applied.iter().filter(|applied| pair.iter().any(|(name, ..)| applied["guardrail"] == **name)).collect();
        assert_eq!(found.len(), 1, "{pair:?}: {applied:?}");
        assert_eq!((&found[0]["label"], &found[0]["action"]), (&json!("FOUND"), &json!("annotate")));
        assert!(found[0]["score"].as_f64().is_some_and(|score| (0.5..=1.0).contains(&score)), "{:?}", found[0]);
    }
    // Policy and label stand in the answer's header, and no more than that.
    let named = answer.head.header("x-portcullis-guardrails").expect("names");
    let digest = applied[0]["policy_digest"].as_str().expect("a digest");
    assert!(named.contains(&format!("label=FOUND; policy={}", &digest[..12])), "{named}");
}

#[tokio::test]
async fn a_text_is_paid_for_once_for_each_policy() {
    let upstream = fine().await;
    let guardrail = by_model("stage = [\"input\"]\neffort = \"none\"\ndeadline = \"1h\"\non_error = \"block\"");
    let proxy = Proxy::start(config(&upstream).guardrail("model", &guardrail));
    // As a conversation grows: the roles take turns.
    let turns = |texts: &[&str]| {
        let roles = ["user", "assistant"].into_iter().cycle();
        let messages: Vec<Value> =
            roles.zip(texts).map(|(role, text)| json!({"role": role, "content": text})).collect();
        json!({"model": "m", "messages": messages}).to_string()
    };
    // The third asks of the seam between what the user has said, too.
    for (at, (texts, asked, cached)) in
        [(&["one"][..], 1, 0), (&["one", "two"], 2, 1), (&["one", "two", "three"], 4, 2), (&["one"], 1, 1)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(proxy.chat(turns(texts)).await.status, 200);
        let line = &proxy.audit(at + 1).await[at]["asked"][0];
        assert_eq!((&line["segments"], &line["cached"]), (&json!(asked), &json!(cached)), "{texts:?}: {line}");
    }
    proxy.counted("portcullis_verdict_cache_hits_total", 4.0).await;
    proxy.counted("portcullis_verdict_cache_misses_total", 4.0).await;
    // And the policy was read once for the three texts.
    let hits = proxy.metric("portcullis_engine_hit_tokens_total{engine=\"default\"}").await;
    let prompts = proxy.metric("portcullis_engine_prompt_tokens_total{engine=\"default\"}").await;
    assert!(hits > 0.5 * prompts && hits < prompts, "{hits} of {prompts}");
    // Another policy, another verdict.
    proxy.config.write("policies/p/policy.md", &policy("binary", "1", "0", "Is CONTENT good?"));
    proxy.signal("HUP");
    proxy.counted("portcullis_live_generation", 2.0).await;
    assert_eq!(proxy.chat(turns(&["one"])).await.status, 200);
    let audit = proxy.audit(5).await;
    assert_eq!(audit[4]["asked"][0]["cached"], 0);
    assert_ne!(audit[4]["asked"][0]["policy_digest"], audit[0]["asked"][0]["policy_digest"]);
}

#[tokio::test]
async fn on_error_block_refuses_and_says_when_to_come_again() {
    let upstream =
        Upstream::scripted(vec![Answer::json(completion("fine")), Answer::events([chunk("fine"), last_chunk("stop")])])
            .await;
    let input = Proxy::start(
        config(&upstream)
            .guardrail("model", &slow("\"input\"", "1ms", "block", ""))
            .route("on_block = { message = \"No.\" }"),
    );
    for stream in [false, true] {
        unavailable(&input.chat(chat("hi", stream)).await);
    }
    assert!(upstream.requests().is_empty());
    let line = &input.audit(2).await[0];
    assert_eq!((&line["outcome"], &line["applied"][0]["error"]), (&json!("unavailable"), &json!("timeout")));
    assert_eq!(line["applied"][0]["action"], "block");
    input.counted("portcullis_guardrail_errors_total{guardrail=\"model\",kind=\"timeout\"}", 2.0).await;
    input.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"unavailable\"}", 2.0).await;

    let output = Proxy::start(config(&upstream).guardrail("model", &slow("\"output\"", "1ms", "block", "")));
    for stream in [false, true] {
        let refused = output.chat(chat("hi", stream)).await;
        unavailable(&refused);
        assert!(!refused.text().contains("fine"));
    }
}

#[tokio::test]
async fn on_error_allow_passes_and_says_so() {
    let upstream =
        Upstream::scripted(vec![Answer::json(completion("fine")), Answer::events([chunk("fine"), last_chunk("stop")])])
            .await;
    let proxy = Proxy::start(config(&upstream).guardrail("model", &slow("\"input\", \"output\"", "1ms", "allow", "")));
    for stream in [false, true] {
        let answer = proxy.chat(chat("hi", stream)).await;
        assert_eq!((answer.status, answer.head.header("x-portcullis-decision")), (200, Some("allow; unjudged")));
        let named = answer.head.header("x-portcullis-guardrails").expect("a name");
        assert!(named.starts_with("model; action=allow; error=timeout; policy="), "{named}");
    }
    let audit = proxy.audit(4).await;
    assert!(audit.iter().all(|line| line["unjudged"] == true && line["outcome"] == "passed"));
    for stage in ["input", "output"] {
        proxy.counted(&format!("portcullis_unjudged_total{{route=\"chat\",stage=\"{stage}\"}}"), 2.0).await;
    }
    proxy.counted("portcullis_guardrail_errors_total{guardrail=\"model\",kind=\"timeout\"}", 4.0).await;
}

#[tokio::test]
async fn the_first_block_ends_the_rest_and_an_observer_is_not_waited_for() {
    let upstream = fine().await;
    let words = "stage = [\"input\"]\non_error = \"block\"\ndeadline = \"5s\"\n[patterns.words]\nsecret = [\"bluebird\"]\n[actions]\nsecret = \"block\"";
    let config = config(&upstream).guardrail("model", &slow("\"input\"", "1h", "block", "")).guardrail("words", words);
    let proxy = Proxy::start(config);
    let refused = proxy.chat(chat("bluebird", false)).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"));

    let observe = slow("\"input\", \"output\"", "1h", "block", "mode = \"observe\"");
    let proxy = Proxy::start(self::config(&upstream).guardrail("model", &observe));
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        let answer = client.chat(endless()).await;
        assert_eq!((answer.status, answer.text()), (200, completion("fine")));
    }
}

#[tokio::test]
async fn beside_starts_the_upstream_and_holds_its_answer() {
    let words = "stage = [\"input\"]\non_error = \"block\"\ndeadline = \"5s\"\ntiming = \"beside\"\n[patterns.words]\nsecret = [\"bluebird\"]\n[actions]\nsecret = \"block\"";
    let upstream = Upstream::scripted(vec![
        Answer::json(completion("fine")),
        Answer::stream().event(chunk("fine")).stall(),
        Answer::default().stall(),
        Answer::json(completion("fine")),
    ])
    .await;
    let beside = |deadline: &str, on_error: &str| slow("\"input\"", deadline, on_error, "timing = \"beside\"");
    let proxy = Proxy::start(config(&upstream).guardrail("model", &beside("2s", "block")));
    // The whole answer is there before the verdict, and none of it gets out.
    let mut client = proxy.connect().await;
    client.send(post(&endless())).await;
    upstream.answered(1).await;
    let refused = client.response().await;
    unavailable(&refused);
    assert!(!refused.text().contains("fine"));
    // A block cancels an answer that has begun, and one that has not.
    for stalled in 2..4 {
        client.send(post(&endless())).await;
        upstream.received(stalled).await;
        unavailable(&client.response().await);
        upstream.hung_up(stalled - 1).await;
    }
    let audit = proxy.audit(3).await;
    assert!(audit.iter().all(|line| line["outcome"] == "unavailable" && line["stage"] == "input"));

    let proxy = Proxy::start(config(&upstream).guardrail("model", &beside("100ms", "allow")).guardrail("words", words));
    let refused = proxy.chat(chat("bluebird", false)).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "content_policy_violation"));
    let answer = proxy.chat(endless()).await;
    assert_eq!((answer.status, answer.head.header("x-portcullis-decision")), (200, Some("allow; unjudged")));
    assert_eq!(answer.text(), completion("fine"));
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_the_engine_and_the_upstream() {
    let upstream = Upstream::scripted(vec![Answer::default().stall(), Answer::json(completion("fine"))]).await;
    let quick = by_model("stage = [\"output\"]\neffort = \"none\"\ndeadline = \"1h\"\non_error = \"block\"");
    let config = config(&upstream).guardrail("slow", &slow("\"input\"", "1h", "block", "timing = \"beside\""));
    let proxy = Proxy::start(config.section(&format!(
        "[guardrail.quick]\n{}\n[[route]]\nid = \"other\"\npath = \"/other\"\ndialect = \"openai_chat\"\nupstream = \"main\"\nguardrails = [\"quick\"]\n",
        quick.replace("[actions]\nFOUND", "actions.FOUND")
    )));
    let client = ask_endlessly(&proxy).await;
    upstream.received(1).await;
    drop(client);
    upstream.hung_up(1).await;
    proxy.counted("portcullis_exchanges_total{route=\"chat\",outcome=\"abandoned\"}", 1.0).await;
    // The engine runs one job at a time: it does this one because the other is gone.
    let answer = proxy
        .connect()
        .await
        .request("POST", "/other", &[("content-type", "application/json")], chat("hi", false))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(proxy.audit(2).await[1]["asked"][0]["answered"], 1);
}

#[tokio::test]
async fn a_full_queue_is_an_error_with_a_name() {
    let upstream = fine().await;
    let config = Config::new(upstream.address())
        .section(&engine("queue = 1\nsequences = 1"))
        .policy("p", &policy("binary", "1", "0", "Is CONTENT bad?"));
    let proxy = Proxy::start(config.guardrail("slow", &slow("\"input\"", "1h", "block", "")));
    // One runs and one waits: of three, one at least finds no room.
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(ask_endlessly(&proxy).await);
    }
    let audit = proxy.audit(1).await;
    assert_eq!((&audit[0]["outcome"], &audit[0]["applied"][0]["error"]), (&json!("unavailable"), &json!("overloaded")));
    assert!(proxy.metric("portcullis_guardrail_errors_total{guardrail=\"slow\",kind=\"overloaded\"}").await >= 1.0);
    let answers = clients.iter_mut().map(|client| Box::pin(client.response()));
    unavailable(&futures_util::future::select_all(answers).await.0);
}

#[tokio::test]
async fn while_an_engine_is_replaced_its_name_is_told_once() {
    let upstream = fine().await;
    let proxy = Proxy::start(config(&upstream).guardrail("slow", &slow("\"input\"", "1h", "block", "")));
    let [running, capacity] =
        ["running", "kv_capacity_bytes"].map(|of| format!("portcullis_engine_{of}{{engine=\"default\"}}"));
    let _client = ask_endlessly(&proxy).await;
    within("the old engine is at work", async {
        while proxy.metric(&running).await == 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let before = proxy.metric(&capacity).await;
    let other = std::fs::read_to_string(proxy.config.path())
        .expect("the file")
        .replace("threads = 1", "threads = 1\nqueue = 63");
    proxy.config.write("portcullis.toml", &other);
    proxy.signal("HUP");
    // What the exchange holds lives on: both have room.
    proxy.counted(&capacity, 2.0 * before).await;
    let text = proxy.admin("/metrics").await.text();
    assert_eq!(text.lines().filter(|line| line.starts_with(&capacity)).count(), 1, "{text}");
}

#[test]
fn a_model_that_is_missing_or_broken_ends_the_start() {
    let address = "127.0.0.1:9".parse().expect("an address");
    let start = |model: &Path| {
        let config = Config::new(address)
            .section(&engine("").replace(MODEL, &model.display().to_string()))
            .policy("p", &policy("binary", "1", "0", "Is CONTENT bad?"))
            .guardrail(
                "model",
                &by_model("stage = [\"input\"]\neffort = \"none\"\ndeadline = \"5s\"\non_error = \"block\""),
            );
        config.save();
        let (status, out, error) = run(&["serve", "--config", &config.path().display().to_string()]);
        assert_eq!((status.code(), out.as_str()), (Some(1), ""), "{error}");
        error
    };
    let folder = tempfile::tempdir().expect("a folder");
    let error = start(&folder.path().join("not-there"));
    for part in ["hf download openai/gpt-oss-safeguard-20b", "--local-dir", "not-there", "portcullis.toml:"] {
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(Path::new(MODEL).join(file), folder.path().join(file)).expect("copy");
    }
    let weights = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).expect("the weights");
    for length in [bytes.len() / 2, 100, 4, 0] {
        std::fs::write(&weights, &bytes[..length]).expect("write");
        let error = start(folder.path());
        assert!(error.contains("model.safetensors") && !error.contains("panicked"), "{length}: {error}");
    }
    std::fs::remove_file(&weights).expect("remove");
    assert!(start(folder.path()).contains("no model here"));
    std::fs::write(folder.path().join("config.json"), "{").expect("write");
    assert!(start(folder.path()).contains("config.json"));
}
