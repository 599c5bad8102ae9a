//! Configurations: every mistake is shown where it is, with what was expected; the shipped ones load.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::config::{self, Config, ConfigError, Handling, OnBlock, WindowSize};
use portcullis::policy::{Action, Label, Mode, Scope, Stage, Timing};
use proptest::prelude::*;
use tempfile::TempDir;

/// A sound deployment; each mistake replaces a piece of it.
const MAIN: &str = r#"[server]
listen = ["127.0.0.1:8080"]

[upstream.openai]
url = "https://api.openai.com"
credential = { header = "authorization", prefix = "Bearer ", env = "OPENAI_API_KEY" }

[engine.default]
model = "models/tiny"

[guardrail.pii]
stage = ["input", "output"]
on_error = "block"
deadline = "250ms"
patterns.builtin = ["email", "phone"]
patterns.regex.employee-id = 'EMP-\d{6}'
actions = { email = "redact", default = "block" }
masks = { email = "<email>" }

[[route]]
id = "chat"
path = "/v1/chat/completions"
dialect = "openai_chat"
upstream = "openai"
guardrails = ["pii", "prompt-injection"]

[[route]]
id = "models"
path = "/v1/models"
upstream = "openai"
pass = true
"#;

const GUARDRAIL: &str = r#"stage = ["input"]
policy = "prompt-injection"
effort = "none"
on_error = "block"
scope = "last_user"
[actions]
INJECTION = "annotate"
"#;

/// What of it says that a policy judges.
const BY_POLICY: &str = "policy = \"prompt-injection\"\neffort = \"none\"";

const POLICY: &str = r#"+++
form = "binary"
[[labels]]
label = "INJECTION"
reply = "1"
[[labels]]
label = "SAFE"
reply = "0"
safe = true
+++
# Prompt injection
Answer 0 or 1.
"#;

struct Deployment {
    dir: TempDir,
}

impl Deployment {
    fn new(main: &str, guardrail: &str, policy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("policies/prompt-injection")).unwrap();
        fs::create_dir_all(at("guardrails")).unwrap();
        fs::write(at("portcullis.toml"), main).unwrap();
        fs::write(at("guardrails/prompt-injection.toml"), guardrail).unwrap();
        fs::write(at("policies/prompt-injection/policy.md"), policy).unwrap();
        Deployment { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("portcullis.toml")
    }

    fn load(&self) -> Result<Config, ConfigError> {
        config::load_with_env(&self.path(), &env)
    }

    /// What is wrong with it, with the temporary directory's name taken out.
    fn complaint(&self, name: &str) -> String {
        let Err(error) = self.load() else { panic!("{name}: was accepted") };
        error.to_string().replace(&format!("{}/", self.dir.path().display()), "")
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "OPENAI_API_KEY" => Some("sk-from-the-environment".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

#[test]
fn a_sound_deployment_loads_whole() {
    let config = Deployment::new(MAIN, GUARDRAIL, POLICY).load().unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.limits.max_body, 4 << 20);
    assert_eq!(config.sources.files().count(), 3);
    let [chat, models] = &config.routes[..] else { panic!("two routes") };
    assert!(matches!(models.handling, Handling::Pass));
    assert_eq!(models.methods, [http::Method::GET]);
    assert_eq!(chat.methods, [http::Method::POST]);
    let (_, secret) = chat.upstream.credential.as_ref().unwrap();
    assert_eq!(secret.expose(), "Bearer sk-from-the-environment");
    assert!(!format!("{config:?}").contains("sk-from"), "secrets are never printed");
    let Handling::Inspect { guardrails, on_block, stream, .. } = &chat.handling else { panic!("inspected") };
    assert_eq!((on_block, stream.window), (&OnBlock::Error, WindowSize::Bytes(200)));
    let [pii, injection] = &guardrails[..] else { panic!("two guardrails") };
    assert_eq!(pii.stages, [Stage::Input, Stage::Output]);
    let actions: Vec<_> = pii.actions.iter().map(|(label, action)| (label.as_str(), *action)).collect();
    assert_eq!(actions, [("email", Action::Redact), ("employee-id", Action::Block), ("phone", Action::Block)]);
    assert_eq!(&*pii.masks[&Label::new("email")], "<email>");
    assert_eq!((pii.scope, pii.mode, pii.timing), (Scope::Conversation, Mode::Enforce, Timing::Before));
    assert_eq!(injection.scope, Scope::LastUser);
    let policy = &injection.judge.by_policy().expect("a policy").policy;
    assert_eq!(&*policy.text, "# Prompt injection\nAnswer 0 or 1.");
}

/// One mistake: its name, the file it is in, what is replaced by what.
struct Mistake(&'static str, In, &'static str, &'static str);

enum In {
    Main,
    Guardrail,
    Policy,
}

const MISTAKES: &[Mistake] = &[
    Mistake("syntax", In::Main, "stage = [\"input\", \"output\"]", "stage = [\"input\", \"output\""),
    Mistake("unquoted", In::Main, "on_error = \"block\"", "on_error = block"),
    Mistake("duplicate_key", In::Main, "deadline = \"250ms\"", "deadline = \"250ms\"\ndeadline = \"1s\""),
    Mistake("unknown_section", In::Main, "[server]", "[serve]"),
    Mistake("unknown_key", In::Main, "dialect =", "dialects ="),
    Mistake("unknown_guardrail_key", In::Guardrail, "on_error =", "on-error ="),
    Mistake("missing_on_error", In::Guardrail, "on_error = \"block\"\n", ""),
    Mistake("missing_on_error_inline", In::Main, "on_error = \"block\"\n", ""),
    Mistake("missing_url", In::Main, "url = \"https://api.openai.com\"\n", ""),
    Mistake("unknown_guardrail", In::Main, "\"pii\", \"prompt-injection\"]", "\"pii\", \"promt-injection\"]"),
    Mistake("guardrail_twice", In::Main, "\"pii\", \"prompt-injection\"]", "\"pii\", \"pii\"]"),
    Mistake("guardrail_path", In::Main, "\"pii\", \"prompt-injection\"]", "\"../../etc/passwd\"]"),
    Mistake("unknown_policy", In::Guardrail, "policy = \"prompt-injection\"", "policy = \"injection\""),
    Mistake("unknown_builtin", In::Main, "[\"email\", \"phone\"]", "[\"e-mail\", \"fone\"]"),
    Mistake("unknown_label", In::Guardrail, "INJECTION = \"annotate\"", "INJECTOIN = \"annotate\""),
    Mistake("safe_label", In::Guardrail, "INJECTION = \"annotate\"", "INJECTION = \"block\"\nSAFE = \"allow\""),
    Mistake("uncovered_label", In::Main, "email = \"redact\", default = \"block\"", "email = \"redact\""),
    Mistake("unknown_action", In::Guardrail, "\"annotate\"", "\"anotate\""),
    Mistake("unknown_mask", In::Main, "masks = { email =", "masks = { fax ="),
    Mistake("unused_mask", In::Main, "masks = { email =", "masks = { phone ="),
    Mistake("unknown_engine", In::Guardrail, "effort =", "engine = \"big\"\neffort ="),
    Mistake("no_default_engine", In::Main, "[engine.default]", "[engine.main]"),
    Mistake("unknown_effort", In::Guardrail, "effort = \"none\"", "effort = \"lots\""),
    Mistake(
        "reasoning_without_effort",
        In::Guardrail,
        "effort = \"none\"",
        "effort = \"none\"\nreasoning_tokens = 100",
    ),
    Mistake("margin_without_adaptive", In::Guardrail, "effort = \"none\"", "effort = \"low\"\nadaptive_margin = 1.0"),
    Mistake("margin_out_of_range", In::Guardrail, "effort = \"none\"", "effort = \"adaptive\"\nadaptive_margin = 0"),
    Mistake("effort_on_patterns", In::Main, "deadline = \"250ms\"", "effort = \"low\""),
    Mistake("unknown_device", In::Main, "model = \"models/tiny\"", "model = \"models/tiny\"\ndevice = \"gpu\""),
    Mistake("unknown_upstream", In::Main, "upstream = \"openai\"\npass", "upstream = \"open-ai\"\npass"),
    Mistake("unknown_dialect", In::Main, "\"openai_chat\"", "\"openai-chat\""),
    Mistake("missing_dialect", In::Main, "dialect = \"openai_chat\"\n", ""),
    Mistake("missing_guardrails", In::Main, "guardrails = [\"pii\", \"prompt-injection\"]\n", ""),
    Mistake("pass_with_guardrails", In::Main, "pass = true", "pass = true\nguardrails = [\"pii\"]"),
    Mistake("wildcard_on_judged", In::Main, "/v1/chat/completions", "/v1/*"),
    Mistake("bad_path", In::Main, "/v1/chat/completions", "v1/../chat"),
    Mistake("bad_parameter", In::Main, "/v1/chat/completions", "/v1/{model}{name}/chat"),
    Mistake("wildcard_with_parameter", In::Main, "/v1/chat/completions", "/v1/{model}/*"),
    Mistake(
        "ambiguous_pattern",
        In::Main,
        "[[route]]\nid = \"models\"",
        "[[route]]\nid = \"one\"\npath = \"/v1/{any}/list\"\nupstream = \"openai\"\npass = true\n\n\
         [[route]]\nid = \"two\"\npath = \"/v1/x/{any}\"\nupstream = \"openai\"\npass = true\n\n\
         [[route]]\nid = \"models\"",
    ),
    Mistake("bad_query", In::Main, "dialect =", "query = [\"$alt\", \"alt\"]\ndialect ="),
    Mistake("query_twice", In::Main, "dialect =", "query = [\"api-version\", \"api-version=1\"]\ndialect ="),
    Mistake("query_of_the_dialect", In::Main, "dialect = \"openai_chat\"", "query = [\"alt\"]\ndialect = \"gemini\""),
    Mistake("key_beside_credential", In::Main, "dialect = \"openai_chat\"", "query = [\"key\"]\ndialect = \"gemini\""),
    Mistake("media_of_no_kind", In::Main, "dialect =", "pass_media = [\"images\"]\ndialect ="),
    Mistake("media_twice", In::Main, "dialect =", "pass_media = [\"image\", \"file\", \"image\"]\ndialect ="),
    Mistake(
        "media_of_another_dialect",
        In::Main,
        "dialect = \"openai_chat\"",
        "pass_media = [\"image\", \"video\"]\ndialect = \"anthropic\"",
    ),
    Mistake(
        "media_of_texts",
        In::Main,
        "dialect = \"openai_chat\"",
        "pass_media = [\"image\"]\ndialect = \"openai_embeddings\"",
    ),
    Mistake("media_on_pass", In::Main, "pass = true", "pass = true\npass_media = [\"image\"]"),
    Mistake("unknown_state", In::Main, "dialect = \"openai_chat\"", "state = \"all\"\ndialect = \"openai_responses\""),
    Mistake("state_of_another_dialect", In::Main, "dialect =", "state = \"seen\"\ndialect ="),
    Mistake("state_on_pass", In::Main, "pass = true", "pass = true\nstate = \"refuse\""),
    Mistake("unknown_key_of_the_state", In::Main, "[engine.default]", "[state]\nsize = 5\n[engine.default]"),
    Mistake("bad_ttl", In::Main, "[engine.default]", "[state]\nttl = \"2 days\"\n[engine.default]"),
    Mistake("query_on_pass", In::Main, "pass = true", "pass = true\nquery = [\"alt\"]"),
    Mistake("bad_method", In::Main, "pass = true", "pass = true\nmethods = [\"get\"]"),
    Mistake(
        "duplicate_route",
        In::Main,
        "path = \"/v1/models\"",
        "path = \"/v1/chat/completions\"\nmethods = [\"GET\", \"POST\"]",
    ),
    Mistake("duplicate_id", In::Main, "id = \"models\"", "id = \"chat\""),
    Mistake("bad_url", In::Main, "https://api.openai.com", "api.openai.com"),
    Mistake("url_with_password", In::Main, "https://api.openai.com", "https://me:hunter2@api.openai.com"),
    Mistake("bad_duration", In::Main, "\"250ms\"", "\"250 millies\""),
    Mistake("duration_without_unit", In::Main, "\"250ms\"", "250"),
    Mistake("zero_duration", In::Main, "\"250ms\"", "\"0s\""),
    Mistake("bad_size", In::Main, "[engine.default]", "[limits]\nmax_body = \"4 megs\"\n[engine.default]"),
    Mistake("bad_window", In::Main, "[engine.default]", "[stream]\nwindow = \"everything\"\n[engine.default]"),
    Mistake("window_over_max_held", In::Main, "[engine.default]", "[stream]\nmax_held = 100\n[engine.default]"),
    Mistake("engine_without_model", In::Main, "model = \"models/tiny\"", "threads = 2"),
    Mistake("unknown_preset", In::Main, "model = \"models/tiny\"", "preset = \"vlm\""),
    Mistake(
        "mixed_engine",
        In::Main,
        "model = \"models/tiny\"",
        "preset = \"vllm\"\nkv_cache = \"1 GiB\"\ndevice = \"cuda\"",
    ),
    Mistake(
        "remote_key_here",
        In::Main,
        "model = \"models/tiny\"",
        "model = \"models/tiny\"\nurl = \"http://127.0.0.1:8000\"",
    ),
    Mistake("hosted_engine_without_credential", In::Main, "model = \"models/tiny\"", "preset = \"groq\""),
    Mistake("engine_without_url", In::Main, "model = \"models/tiny\"", "preset = \"openai-compatible\"\nmodel = \"m\""),
    Mistake(
        "engine_without_model_id",
        In::Main,
        "model = \"models/tiny\"",
        "preset = \"openai-compatible\"\nurl = \"http://127.0.0.1:8000\"",
    ),
    Mistake(
        "url_and_endpoints",
        In::Main,
        "model = \"models/tiny\"",
        "preset = \"vllm\"\nendpoints = [{ url = \"http://127.0.0.1:8000\" }]\nurl = \"http://127.0.0.1:8001\"",
    ),
    Mistake(
        "endpoint_twice",
        In::Main,
        "model = \"models/tiny\"",
        "preset = \"vllm\"\nendpoints = [{ url = \"http://127.0.0.1:8000\" }, { url = \"http://127.0.0.1:8000/v1\" }]",
    ),
    Mistake(
        "effort_of_another_api",
        In::Main,
        "model = \"models/tiny\"",
        "preset = \"ollama\"\neffort_in = \"chat_template_kwargs\"",
    ),
    Mistake("tokens_of_another_server", In::Main, "model = \"models/tiny\"", "preset = \"ollama\"\napi = \"tokens\""),
    Mistake(
        "schema_of_a_prompt_in_token_ids",
        In::Main,
        "model = \"models/tiny\"",
        "preset = \"vllm\"\napi = \"tokens\"\nschema = true\neffort_in = \"policy\"",
    ),
    Mistake(
        "tokenizer_of_words",
        In::Main,
        "model = \"models/tiny\"",
        "preset = \"vllm\"\ntokenizer = \"models/tiny\"",
    ),
    // llama.cpp's own port is the proxy's here.
    Mistake("engine_at_the_proxy", In::Main, "model = \"models/tiny\"", "preset = \"llama-cpp\""),
    Mistake("no_endpoint", In::Main, "model = \"models/tiny\"", "preset = \"vllm\"\nendpoints = []"),
    Mistake(
        "literal_credential_of_an_engine",
        In::Main,
        "model = \"models/tiny\"",
        "preset = \"groq\"\ncredential = \"sk-hunter2\"",
    ),
    Mistake("too_many_workers", In::Main, "[server]", "[server]\nworkers = 100000"),
    Mistake("bad_listen", In::Main, "\"127.0.0.1:8080\"", "\"localhost:8080\""),
    Mistake("no_listen", In::Main, "listen = [\"127.0.0.1:8080\"]", "listen = []"),
    Mistake("listen_twice", In::Main, "\"127.0.0.1:8080\"", "\"127.0.0.1:9090\""),
    Mistake(
        "missing_certificate",
        In::Main,
        "[upstream.openai]",
        "[[server.tls]]\nlisten = \"0.0.0.0:8443\"\ncert = \"cert.pem\"\nkey = \"portcullis.toml\"\n[upstream.openai]",
    ),
    Mistake("missing_authority", In::Main, "credential =", "ca = \"ca.pem\"\ncredential ="),
    Mistake("open_admin", In::Main, "[engine.default]", "[admin]\nlisten = \"0.0.0.0:9090\"\n[engine.default]"),
    Mistake("literal_token", In::Main, "[engine.default]", "[admin]\ntoken = \"hunter2\"\n[engine.default]"),
    Mistake(
        "literal_credential",
        In::Main,
        "{ header = \"authorization\", prefix = \"Bearer \", env = \"OPENAI_API_KEY\" }",
        "\"sk-hunter2\"",
    ),
    Mistake("literal_in_credential", In::Main, "env = \"OPENAI_API_KEY\"", "value = \"sk-hunter2\""),
    Mistake("literal_as_variable", In::Main, "env = \"OPENAI_API_KEY\"", "env = \"sk-hunter2\""),
    Mistake("literal_in_broken_file", In::Main, "env = \"OPENAI_API_KEY\" }", "value = \"sk-hunter2 }"),
    Mistake("unset_variable", In::Main, "OPENAI_API_KEY", "OPENAI_KEY"),
    Mistake("empty_variable", In::Main, "OPENAI_API_KEY", "EMPTY"),
    Mistake("missing_secret_file", In::Main, "env = \"OPENAI_API_KEY\"", "file = \"key.txt\""),
    Mistake("two_sources", In::Main, "env = \"OPENAI_API_KEY\"", "env = \"OPENAI_API_KEY\", file = \"key.txt\""),
    Mistake("bad_regex", In::Main, "EMP-\\d{6}", "EMP-(\\d{6}"),
    Mistake("empty_regex", In::Main, "EMP-\\d{6}", "\\d*"),
    Mistake("bad_label", In::Main, "patterns.regex.employee-id", "patterns.regex.\"employee id\""),
    Mistake(
        "no_patterns",
        In::Main,
        "patterns.builtin = [\"email\", \"phone\"]\npatterns.regex.employee-id = 'EMP-\\d{6}'",
        "patterns = {}",
    ),
    Mistake("then_never", In::Guardrail, "[actions]", "[[then]]\neffort = \"high\"\n[actions]"),
    Mistake("then_label", In::Guardrail, "[actions]", "[[then]]\nlabels = [\"INJECTON\"]\n[actions]"),
    Mistake("then_engine", In::Guardrail, "[actions]", "[[then]]\nerror = true\nengine = \"big\"\n[actions]"),
    Mistake("then_policy", In::Guardrail, "[actions]", "[[then]]\nerror = true\npolicy = \"other\"\n[actions]"),
    Mistake(
        "then_without_policy",
        In::Guardrail,
        BY_POLICY,
        "patterns.builtin = [\"email\"]\nthen = [{ nothing = true }]",
    ),
    Mistake("then_margin", In::Guardrail, BY_POLICY, "patterns.builtin = [\"email\"]\nthen = [{ margin = 1.0 }]"),
    Mistake(
        "then_pattern",
        In::Guardrail,
        BY_POLICY,
        "patterns.builtin = [\"email\"]\nthen = [{ labels = [\"INJECTION\"] }]",
    ),
    Mistake(
        "then_label_of_both",
        In::Guardrail,
        BY_POLICY,
        "patterns.builtin = [\"email\"]\npatterns.words.SAFE = [\"ok\"]\nthen = [{ nothing = true, policy = \"prompt-injection\" }]",
    ),
    Mistake(
        "then_without_action",
        In::Guardrail,
        BY_POLICY,
        "patterns.builtin = [\"email\"]\nthen = [{ nothing = true, policy = \"prompt-injection\" }]",
    ),
    Mistake("no_judge", In::Guardrail, "policy = \"prompt-injection\"\n", ""),
    Mistake("two_judges", In::Guardrail, "[actions]", "patterns.builtin = [\"email\"]\n[actions]"),
    Mistake("no_stage", In::Guardrail, "[\"input\"]", "[]"),
    Mistake("scope_without_input", In::Guardrail, "[\"input\"]", "[\"output\"]"),
    Mistake("redact_beside", In::Main, "deadline = \"250ms\"", "timing = \"beside\""),
    Mistake("empty_message", In::Main, "dialect =", "on_block = { message = \" \" }\ndialect ="),
    Mistake("unknown_block_style", In::Main, "dialect =", "on_block = \"err\"\ndialect ="),
    Mistake(
        "message_without_a_place",
        In::Main,
        "dialect = \"openai_chat\"",
        "on_block = { message = \"No.\" }\ndialect = \"openai_embeddings\"",
    ),
    Mistake("block_style_of_another_type", In::Main, "dialect =", "on_block = true\ndialect ="),
    Mistake("block_style_without_words", In::Main, "dialect =", "on_block = {}\ndialect ="),
    Mistake("list_without_brackets", In::Main, "guardrails = [\"pii\", \"prompt-injection\"]", "guardrails = \"pii\""),
    Mistake("section_that_is_none", In::Main, "[server]\nlisten = [\"127.0.0.1:8080\"]", "server = 8080"),
    Mistake("policy_without_fence", In::Policy, "+++\nform", "form"),
    Mistake("policy_form", In::Policy, "\"binary\"", "\"binray\""),
    Mistake("policy_replies", In::Policy, "reply = \"1\"", "reply = \"yes\""),
    Mistake("policy_all_safe", In::Policy, "reply = \"1\"", "reply = \"1\"\nsafe = true"),
    Mistake("policy_empty", In::Policy, "# Prompt injection\nAnswer 0 or 1.\n", "\n"),
];

#[test]
fn every_mistake_is_shown_where_it_is() {
    let mut shown = String::new();
    for Mistake(name, file, from, to) in MISTAKES {
        let (mut main, mut guardrail, mut policy) = (MAIN.to_owned(), GUARDRAIL.to_owned(), POLICY.to_owned());
        let text = match file {
            In::Main => &mut main,
            In::Guardrail => &mut guardrail,
            In::Policy => &mut policy,
        };
        assert!(text.contains(from), "{name}: the piece to replace is there");
        *text = text.replacen(from, to, 1);
        let complaint = Deployment::new(&main, &guardrail, &policy).complaint(name);
        assert!(!complaint.contains("hunter2"), "{name} shows a secret:\n{complaint}");
        shown.push_str(&format!("=== {name}\n{complaint}\n\n"));
    }
    insta::assert_snapshot!("mistakes", shown);
}

#[test]
fn mistakes_in_several_places_are_told_together() {
    let main = MAIN.replace("upstream = \"openai\"", "upstream = \"azure\"").replace("\"phone\"", "\"fax\"");
    let error = Deployment::new(&main, &GUARDRAIL.replace("INJECTION", "X"), POLICY).load().unwrap_err();
    assert_eq!(error.problems().len(), 4, "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = config::load(Path::new("no/such/portcullis.toml")).unwrap_err();
    insta::assert_snapshot!("missing_file", error.to_string());
}

#[test]
fn a_secret_file_is_read_and_kept_out_of_the_digest() {
    let main = MAIN.replace("env = \"OPENAI_API_KEY\"", "file = \"key.txt\"");
    let deployment = Deployment::new(&main, GUARDRAIL, POLICY);
    fs::write(deployment.dir.path().join("key.txt"), "sk-one\n").unwrap();
    let one = deployment.load().unwrap();
    assert_eq!(one.routes[0].upstream.credential.as_ref().unwrap().1.expose(), "Bearer sk-one");
    assert!(!one.sources.changed());
    fs::write(deployment.dir.path().join("key.txt"), "sk-two\n").unwrap();
    assert!(one.sources.changed(), "a new secret is a change");
    assert_eq!(one.sources.digest(), deployment.load().unwrap().sources.digest());
}

#[test]
fn a_secret_has_no_blank_at_its_ends_where_a_header_loses_it() {
    let main = MAIN.replace("env = \"OPENAI_API_KEY\"", "file = \"key.txt\"");
    let deployment = Deployment::new(&main, GUARDRAIL, POLICY);
    let write = |secret: &str| fs::write(deployment.dir.path().join("key.txt"), secret).unwrap();
    for secret in [" sk-hunter2", "sk-hunter2 ", "sk-hunter2 \r\n", " "] {
        write(secret);
        let complaint = deployment.complaint(secret);
        assert!(complaint.contains("the file `key.txt` holds no usable secret"), "{complaint}");
        assert!(complaint.contains("expected no blank at either end") && !complaint.contains("hunter2"), "{complaint}");
    }
    write("sk hunter2\r\n");
    assert_eq!(
        deployment.load().unwrap().routes[0].upstream.credential.as_ref().unwrap().1.expose(),
        "Bearer sk hunter2"
    );
}

#[test]
fn a_change_of_any_file_is_seen_and_changes_the_digest() {
    let deployment = Deployment::new(MAIN, GUARDRAIL, POLICY);
    let before = deployment.load().unwrap();
    for file in ["portcullis.toml", "guardrails/prompt-injection.toml", "policies/prompt-injection/policy.md"] {
        let path = deployment.dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}\n")).unwrap();
        assert!(before.sources.changed(), "{file}");
        assert_ne!(before.sources.digest(), deployment.load().unwrap().sources.digest(), "{file}");
        fs::write(&path, text).unwrap();
        assert!(!before.sources.changed(), "{file}");
    }
}

#[test]
fn what_is_looked_for_in_vain_is_watched_too() {
    let main = MAIN.replace("\"pii\", \"prompt-injection\"", "\"later\"");
    let deployment = Deployment::new(&main, GUARDRAIL, POLICY);
    let error = deployment.load().unwrap_err();
    assert!(!error.sources().changed());
    fs::write(deployment.dir.path().join("guardrails/later.toml"), GUARDRAIL).unwrap();
    assert!(error.sources().changed());
    assert!(deployment.load().is_ok());
}

#[test]
fn allowed_and_odd_is_a_warning() {
    let unencrypted = MAIN.replace("\"pii\", ", "").replace("https://api", "http://api");
    let base = MAIN.replace("api.openai.com", "api.openai.com/v1");
    let unguarded = MAIN.replace("guardrails = [\"pii\", \"prompt-injection\"]", "guardrails = []");
    let wildcard = |methods: &str| MAIN.replace("\"/v1/models\"", &format!("\"/v1/*\"\nmethods = {methods}"));
    let watched = MAIN.replace(", \"prompt-injection\"]", "]").replace("deadline =", "mode = \"observe\"\ndeadline =");
    for (main, expected) in [
        (unencrypted, &["sent unencrypted", "no route asks the guardrail `pii`"][..]),
        (base, &["requests go to /v1/v1/chat/completions", "requests go to /v1/v1/models"]),
        (unguarded, &["route `chat` judges nothing", "no route asks the guardrail `pii`"]),
        (wildcard("[\"GET\", \"POST\"]"), &["route `models` passes bodies unjudged to any path below `/v1/*`"]),
        (wildcard("[\"GET\"]"), &[]),
        (watched, &["route `chat` lets everything by"]),
    ] {
        let config = Deployment::new(&main, GUARDRAIL, POLICY).load().unwrap();
        let warnings: Vec<String> = config.warnings.iter().map(|warning| warning.render(false)).collect();
        assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
        assert!(warnings.iter().zip(expected).all(|(warning, part)| warning.contains(part)), "{warnings:?}");
    }
}

#[test]
fn patterns_that_keep_a_policy_from_being_asked_are_a_warning() {
    let guardrail = |then: &str, action: &str| {
        let judge = format!("patterns.builtin = [\"email\"]\nthen = [{{ policy = \"prompt-injection\", {then} }}]");
        let guardrail = GUARDRAIL.replace(BY_POLICY, &judge);
        guardrail.replace("[actions]", &format!("[actions]\nemail = {action:?}"))
    };
    for (then, action, warns) in [
        ("nothing = true", "annotate", true),
        ("nothing = true", "redact", true),
        ("nothing = true", "block", false),
        ("nothing = true, labels = [\"email\"]", "redact", false),
        ("labels = [\"email\"]", "annotate", false),
    ] {
        let config = Deployment::new(MAIN, &guardrail(then, action), POLICY).load().unwrap();
        let warnings: Vec<String> = config.warnings.iter().map(|warning| warning.render(false)).collect();
        let told =
            warnings.iter().filter(|told| told.contains("a text in which `email` is found is not judged")).count();
        assert_eq!((told == 1, warnings.len()), (warns, usize::from(warns)), "{then} {action}: {warnings:?}");
    }
}

#[test]
fn a_route_overrides_the_stream_settings() {
    let main =
        MAIN.replace("[[route]]\nid = \"models\"", "[route.stream]\nwindow = \"all\"\n\n[[route]]\nid = \"models\"");
    let main = format!("{main}\n[stream]\nlookahead = 16\nmax_hold = \"1s\"\n");
    let config = Deployment::new(&main, GUARDRAIL, POLICY).load().unwrap();
    let Handling::Inspect { stream, .. } = config.routes[0].handling else { panic!("inspected") };
    assert_eq!((stream.window, stream.lookahead, stream.max_hold.as_millis()), (WindowSize::All, 16, 1000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_text_never_panics(main in "\\PC{0,200}", guardrail in any::<String>(), policy in any::<String>()) {
        let _ = Deployment::new(&main, &guardrail, &policy).load().map_err(|error| error.render(true));
        let _ = Deployment::new(MAIN, &guardrail, &policy).load().map_err(|error| error.render(true));
        let _ = Deployment::new(MAIN, GUARDRAIL, &policy).load().map_err(|error| error.render(true));
    }

    #[test]
    fn a_damaged_file_never_panics(
        which in 0..3usize,
        at in any::<prop::sample::Index>(),
        length in 0..12usize,
        with in "[\\[\\]{}\"'=.\\\\é\u{0}\n#a-z0-9]{0,8}",
    ) {
        let mut files = [MAIN.to_owned(), GUARDRAIL.to_owned(), POLICY.to_owned()];
        let text = &mut files[which];
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let start = at.index(starts.len());
        let end = starts.get(start + length).copied().unwrap_or(text.len());
        text.replace_range(starts[start]..end, &with);
        let deployment = Deployment::new(&files[0], &files[1], &files[2]);
        if let Err(error) = deployment.load() {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn an_upstream_that_is_the_proxy_itself_is_refused() {
    let deployment = |listen: &str, url: &str| {
        let route = "[[route]]\nid = \"r\"\npath = \"/x\"\nupstream = \"u\"\npass = true\n";
        let main = format!("[server]\nlisten = [\"{listen}\"]\n[upstream.u]\nurl = \"{url}\"\n{route}");
        Deployment::new(&main, GUARDRAIL, POLICY)
    };
    for (listen, url) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://localhost:8080/v1"),
        ("127.0.0.1:8080", "http://[::ffff:127.0.0.1]:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("0.0.0.0:8080", "http://0.0.0.0:8080"),
        ("10.0.0.1:80", "http://10.0.0.1"),
        ("127.0.0.1:8080", "http://127.0.0.1:9090"),
    ] {
        let complaint = deployment(listen, url).complaint(url);
        assert!(complaint.contains("the upstream `u` is this proxy itself"), "{listen} {url}: {complaint}");
    }
    for (listen, url) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8081"),
        ("127.0.0.1:8080", "http://127.0.0.2:8080"),
        ("0.0.0.0:8080", "http://10.0.0.1:8080"),
        ("127.0.0.1:8080", "https://api.example.com:8080"),
        ("127.0.0.1:0", "http://127.0.0.1:8080"),
    ] {
        assert!(deployment(listen, url).load().is_ok(), "{listen} {url}");
    }
}
