//! The deployments that come with the program: each loads, assembles, and comes to what its comments say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis::cli::check;
use portcullis::config::{self, Config, EngineRun, Handling};
use portcullis::live::missing_models;
use portcullis::policy::{Action, Mode, Stage};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn load(path: &Path) -> Config {
    let env = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-test".to_owned());
    config::load_with_env(path, &env).unwrap_or_else(|error| panic!("{}:\n{error}", path.display()))
}

fn shipped() -> Vec<PathBuf> {
    let examples = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = examples.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    paths.sort();
    paths.push(root().join("portcullis.toml"));
    paths
}

#[test]
fn every_shipped_deployment_checks() {
    let shipped = shipped();
    assert!(shipped.len() >= 6);
    for path in shipped {
        let config = load(&path);
        let by_model = config.guardrails.iter().any(|guardrail| guardrail.judge.by_policy().is_some());
        match check::warnings(&config) {
            // Models are not shipped with the examples.
            Ok(warnings) => {
                assert!(warnings.iter().all(|w| w.render(false).contains("there is no model")), "{warnings:?}")
            }
            Err(error) => {
                assert!(by_model && !cfg!(feature = "libtorch"), "{error}");
                assert!(error.to_string().contains("was built without libtorch"), "{error}");
            }
        }
    }
}

#[test]
fn the_default_deployment_is_what_the_demo_needs() {
    let config = load(&root().join("portcullis.toml"));
    assert!(config.server.listen.iter().all(|address| address.ip().is_loopback()));
    let [chat, models] = &config.routes[..] else { panic!("two routes") };
    assert!(matches!(models.handling, Handling::Pass));
    let Handling::Inspect { guardrails, .. } = &chat.handling else { panic!("judged") };
    let ids: Vec<&str> = guardrails.iter().map(|guardrail| &*guardrail.id).collect();
    assert_eq!(ids, ["blocklist", "pii", "secrets", "prompt-injection"]);
    let engine = &guardrails[3].judge.by_policy().expect("a policy").engine;
    let EngineRun::Here(run) = &engine.run else { panic!("in this process") };
    assert!(run.model.ends_with("models/safeguard-nano"), "one line of the file names another model");
    assert!(guardrails.iter().all(|guardrail| guardrail.mode == Mode::Enforce));
    assert!(missing_models(&config).is_empty());
    // All that ship but the one that flags whatever is not about shoes.
    let moderated: BTreeSet<&str> = config.admin.moderations.iter().flatten().map(|id| &**id).collect();
    let expected = ["hate", "illicit", "personal-data", "prompt-injection", "self-harm", "sexual", "violence"];
    assert_eq!(moderated, BTreeSet::from(expected));
}

#[test]
fn the_example_chatbot_is_plain_to_read() {
    let config = load(&root().join("examples/chatbot.toml"));
    let Handling::Inspect { guardrails, .. } = &config.routes[0].handling else { panic!("judged") };
    assert_eq!(guardrails[0].stages, [Stage::Input, Stage::Output]);
    assert!(guardrails[0].actions.values().all(|action| *action == Action::Redact));
}

#[test]
fn the_example_of_every_api_has_them_all() {
    let routes = load(&root().join("examples/every-api.toml")).routes;
    let judged = routes.iter().filter_map(|route| match &route.handling {
        Handling::Inspect { dialect, .. } => Some(dialect.as_str()),
        Handling::Pass => None,
    });
    let openai = ["chat", "completions", "embeddings", "images", "moderations", "responses"];
    let mut dialects: BTreeSet<String> = openai.iter().map(|api| format!("openai_{api}")).collect();
    dialects.extend(["anthropic", "bedrock_converse", "gemini", "ollama_chat", "ollama_generate"].map(str::to_owned));
    assert_eq!(judged.map(str::to_owned).collect::<BTreeSet<_>>(), dialects);
}

/// A checkpoint has its `config.json` in its folder, or in the `original/` below.
#[test]
fn a_model_of_either_layout_is_one() {
    for (file, warned) in [("none/config.json", false), ("none/original/config.json", false), ("none/other", true)] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("models").join(file);
        for name in ["portcullis.toml", "policies/spam/policy.md"] {
            let to = dir.path().join(name);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(root().join("tests/deployments").join(name), to).unwrap();
        }
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "{}").unwrap();
        let missing = missing_models(&load(&dir.path().join("portcullis.toml")));
        assert_eq!(!missing.is_empty(), warned, "{}", file.display());
    }
}

#[test]
fn the_plan_reads_as_a_table() {
    let config = load(&root().join("tests/deployments/portcullis.toml"));
    insta::assert_snapshot!("plan", check::plan(&config));
}
