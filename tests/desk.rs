//! The workbench, of a running proxy and on the command line, judged by a server that answers by script, so that each verdict
//! is known: what moderations call it, who is asked, what is right, and why there is none.

mod remote_servers;
mod support;

use std::process::Command;

use remote_servers::{Kind, engine, judged};
use serde_json::{Value, json};
use support::{Client, Config, Proxy, Response, Upstream};
use tokio::task::spawn_blocking;

const HEADERS: [(&str, &str); 2] = [("host", "localhost"), ("content-type", "application/json")];

/// A server that answers each question with the text that it is about.
async fn echo() -> Upstream {
    Upstream::answering(|request| Kind::Vllm.answer(&judged(&request.json()), "It says so itself.")).await
}

/// A policy that finds something where the model replies with this.
fn policy(found: &str, safe: &str) -> String {
    format!(
        "+++\nform = \"binary\"\n[[labels]]\nlabel = \"FOUND\"\nreply = \"{found}\"\nmoderation = \"hate/threatening\"\n\
         [[labels]]\nlabel = \"FINE\"\nreply = \"{safe}\"\nsafe = true\n+++\nIs CONTENT bad?\n"
    )
}

/// One that ships.
fn shipped(id: &str) -> String {
    let path = format!("{}/policies/{id}/policy.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("a policy")
}

/// Two policies of which one finds something in `1` and the other in `0`. There is no traffic.
fn config() -> Config {
    Config::with_url("http://127.0.0.1:9").policy("one", &policy("1", "0")).policy("two", &policy("0", "1"))
}

fn asking(server: &Upstream, config: Config) -> Proxy {
    Proxy::start(config.section(&engine(Kind::Vllm, server.address(), "")))
}

async fn post(proxy: &Proxy, path: &str, body: Value) -> Response {
    Client::connect(proxy.admin).await.request("POST", path, &HEADERS, body.to_string()).await
}

/// Runs a command of the workbench in the deployment's folder: what it prints.
async fn run(config: &Config, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments).arg("--config").arg(config.path()).current_dir(config.directory());
    let ran = spawn_blocking(move || command.output()).await.expect("no panic").expect("run portcullis");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("UTF-8")
}

/// The objects that it prints.
async fn objects(config: &Config, arguments: &[&str]) -> Vec<Value> {
    let printed = run(config, &[arguments, &["--json"]].concat()).await;
    printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The result of the only text.
async fn moderated(proxy: &Proxy, body: Value) -> Value {
    let answer = post(proxy, "/v1/moderations", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["results"][0].take()
}

/// What was found, of all that was looked for. The scores say the same: this server tells no others.
fn found(result: &Value) -> Vec<&str> {
    let categories = result["categories"].as_object().expect("categories");
    for (name, is_found) in categories {
        let certain = if *is_found == true { 1.0 } else { 0.0 };
        assert_eq!(result["category_scores"][name], certain, "{name}: {result}");
    }
    let found = categories.iter().filter(|(_, is_found)| **is_found == true);
    found.map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn what_openai_has_a_name_for_is_told_under_it_too() {
    let server = echo().await;
    let config = config().policy("self-harm", &shipped("self-harm")).policy("sexual", &shipped("sexual"));
    let proxy = asking(&server, config.admin("moderations = [\"self-harm\", \"sexual\"]"));
    let all = [
        "self-harm",
        "self-harm/PROMOTION",
        "self-harm/RISK",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/MINORS",
        "sexual/SEXUAL",
        "sexual/minors",
    ];
    let worst = [all[0], all[1], all[3], all[5], all[6], all[8]];
    let lesser = [all[0], all[2], all[4], all[5], all[7]];
    for (reply, expected) in [("2", &worst[..]), ("1", &lesser[..]), ("0", &all[..0])] {
        let result = moderated(&proxy, json!({"input": reply, "model": "omni-moderation-latest"})).await;
        let told: Vec<&String> = result["categories"].as_object().expect("categories").keys().collect();
        assert_eq!(told, all, "whatever is found, all that was looked for is told");
        assert_eq!(found(&result), expected, "{reply}");
        assert_eq!(result["flagged"], reply != "0", "{reply}");
    }
}

#[tokio::test]
async fn what_several_labels_are_told_as_is_found_where_one_of_them_is() {
    let server = echo().await;
    let proxy = asking(&server, config().admin("moderations = [\"one\", \"two\"]"));
    for (reply, policy) in [("1", "one"), ("0", "two")] {
        let result = moderated(&proxy, json!({"input": reply})).await;
        assert_eq!(found(&result), ["hate/threatening", policy], "{reply}");
    }
    let result = moderated(&proxy, json!({"input": "0", "model": "one"})).await;
    assert!(found(&result).is_empty() && result["categories"]["hate/threatening"] == false, "{result}");
}

#[tokio::test]
async fn an_effort_that_the_engine_does_not_have_is_a_wrong_value() {
    let server = echo().await;
    let proxy = asking(&server, config());
    for effort in ["none", "adaptive"] {
        let answer = post(&proxy, "/v1/classify", json!({"policy": "one", "text": "1", "effort": effort})).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"], &error["param"]), (400, &json!("invalid_value"), &json!("effort")));
        assert!(error["message"].as_str().is_some_and(|message| message.contains("asked in words")), "{error}");
    }
    assert!(server.requests().is_empty());
    let answer = post(&proxy, "/v1/classify", json!({"policy": "one", "text": "1", "effort": "medium"})).await.json();
    assert_eq!((&answer["label"], &answer["effort"]), (&json!("FOUND"), &json!("medium")));
}

#[tokio::test]
async fn a_text_without_a_verdict_is_not_called_safe() {
    let server = echo().await;
    let proxy = asking(&server, config());
    let long = "x".repeat((1 << 20) + 1);
    for (text, status, code) in [(&*long, 413, "content_too_long"), ("perhaps", 503, "guardrail_unavailable")] {
        let classify = post(&proxy, "/v1/classify", json!({"policy": "one", "text": text})).await;
        let moderate = post(&proxy, "/v1/moderations", json!({"model": "one", "input": ["0", text]})).await;
        for answer in [classify, moderate] {
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
        }
    }
}

/// A long text is judged in parts, of which the last says something else than a reply of the policy.
#[tokio::test]
async fn what_was_found_in_a_part_says_nothing_of_labels_that_may_stand_in_another() {
    let server = Upstream::answering(|request| {
        let text = judged(&request.json());
        let said = ["perhaps", "2", "1"].into_iter().find(|said| text.contains(&format!("says {said}")));
        Kind::Vllm.answer(said.unwrap_or("0"), "")
    })
    .await;
    let config = config().policy("sexual", &shipped("sexual"));
    let proxy = Proxy::start(config.section(&engine(Kind::Vllm, server.address(), "window = 2048")));
    let text = |parts: &[&str]| parts.join(&" and so on".repeat(400));
    for (policy, said) in [("sexual", &["says 1"][..]), ("sexual", &["says 2"]), ("one", &["says nothing"])] {
        let input = text(&[said, &["says perhaps"]].concat());
        let answer = post(&proxy, "/v1/moderations", json!({"model": policy, "input": input})).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "guardrail_unavailable"), "{policy} {said:?}");
    }
    // Where all that is looked for was found, nothing else can stand in the rest.
    for (policy, said, expected) in [
        ("one", &["says 1"][..], &["hate/threatening", "one"][..]),
        ("sexual", &["says 1", "says 2"], &["sexual", "sexual/MINORS", "sexual/SEXUAL", "sexual/minors"]),
    ] {
        let input = text(&[said, &["says perhaps"]].concat());
        let result = moderated(&proxy, json!({"model": policy, "input": input})).await;
        assert_eq!((found(&result), &result["flagged"]), (expected.to_vec(), &json!(true)), "{result}");
    }
    // And each by itself in a text that is judged whole.
    let result = moderated(&proxy, json!({"model": "sexual", "input": text(&["says 1", "says nothing"])})).await;
    assert_eq!(found(&result), ["sexual", "sexual/SEXUAL"]);
}

#[tokio::test]
async fn the_figures_and_the_list_of_what_went_wrong_count_in_one_way() {
    let server = echo().await;
    let config = config().policy("sexual", &shipped("sexual")).section(&engine(Kind::Vllm, server.address(), ""));
    config.save();
    let eval = ["eval", "--policy", "sexual", "data.jsonl"];
    // The first is found to be SEXUAL, which violates as MINORS does.
    let labelled = "{\"text\": \"1\", \"label\": \"MINORS\"}\n";
    for (more, counted_by, right, wrong) in
        [("", "label", 0.0, true), ("{\"text\": \"0\", \"violation\": 0}\n", "violation", 1.0, false)]
    {
        config.write("data.jsonl", &format!("{labelled}{more}"));
        let summary = objects(&config, &eval).await.remove(0);
        assert_eq!((&summary["counted_by"], &summary["a"]["accuracy"]), (&json!(counted_by), &json!(right)));
        let shown = run(&config, &eval).await;
        assert_eq!(shown.contains("wrong: 1\n"), wrong, "{shown}");
    }
}

/// No scores say so, here.
#[tokio::test]
async fn of_several_labels_that_are_safe_the_one_that_was_given_is_told() {
    let server = echo().await;
    let labels = "{ label = \"BAD\", reply = \"2\" }, { label = \"NEUTRAL\", reply = \"1\", safe = true }, \
        { label = \"VALID\", reply = \"0\", safe = true }";
    let config =
        config().policy("levels", &format!("+++\nform = \"label\"\nlabels = [{labels}]\n+++\nHow is CONTENT?\n"));
    let proxy = asking(&server, config);
    let all = [("2", "BAD"), ("1", "NEUTRAL"), ("0", "VALID")];
    for (text, label) in all {
        let told = post(&proxy, "/v1/classify", json!({"policy": "levels", "text": text})).await.json();
        assert_eq!((&told["label"], &told["safe"]), (&json!(label), &json!(label != "BAD")), "{told}");
    }
    let item = |(text, label): (&str, &str)| format!("{}\n", json!({"text": text, "label": label}));
    proxy.config.write("data.jsonl", &all.map(item).concat());
    let summary = objects(&proxy.config, &["eval", "--policy", "levels", "data.jsonl"]).await.remove(0);
    assert_eq!((&summary["a"]["errors"], &summary["a"]["accuracy"]), (&json!({}), &json!(1.0)), "{summary}");

    let decision = |(text, _): (&str, &str)| {
        let asked = json!([{"guardrail": "old", "policy": "levels", "segments": 1, "answered": 1}]);
        let texts = json!([{"role": "user", "kind": "content", "text": text}]);
        let decision =
            json!({"ts": "t", "exchange": text, "stage": "input", "action": "allow", "asked": asked, "texts": texts});
        format!("{decision}\n")
    };
    proxy.config.write("recorded.jsonl", &all.map(decision).concat());
    let lines = objects(&proxy.config, &["replay", "recorded.jsonl", "--policy", "levels"]).await;
    let now: Vec<&Value> = lines.iter().map(|line| &line["now"]).collect();
    assert_eq!(now, [&json!({"found": ["BAD"]}), &json!("nothing"), &json!("nothing")]);
}

#[tokio::test]
async fn of_several_engines_none_is_taken_for_the_usual_one() {
    let server = echo().await;
    let named = |name: &str| engine(Kind::Vllm, server.address(), "").replace(".default]", &format!(".{name}]"));
    let proxy = Proxy::start(config().section(&named("near")).section(&named("far")));
    let answer = post(&proxy, "/v1/classify", json!({"policy": "one", "text": "1"})).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "unusable_policy"));
    let text = answer.text();
    assert!(text.contains("`far`, `near`") && !text.contains("there is no engine"), "{text}");
}

#[tokio::test]
async fn of_a_cascade_the_first_classifier_judges() {
    let (first, second) = (echo().await, echo().await);
    let other = engine(Kind::LlamaCpp, second.address(), "").replace(".default]", ".second]");
    let guardrail = "stage = [\"input\"]\npolicy = \"one\"\neffort = \"medium\"\non_error = \"block\"\ndeadline = \"15s\"\n\
        [[then]]\nlabels = [\"FOUND\", \"FINE\"]\nengine = \"second\"\neffort = \"high\"\n[actions]\nFOUND = \"block\"\n";
    let proxy = asking(&first, config().section(&other).guardrail("judge", guardrail));
    let told = post(&proxy, "/v1/classify", json!({"policy": "one", "text": "1"})).await.json();
    assert_eq!((&told["label"], &told["effort"]), (&json!("FOUND"), &json!("medium")), "{told}");
    assert!(told["model"].as_str().is_some_and(|model| model.starts_with(Kind::Vllm.model())), "{told}");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 0));
}
