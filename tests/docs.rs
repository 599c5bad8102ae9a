//! The documents against the program: what they show loads, and every key, code and metric stands in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use portcullis::config;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of a language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    document.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// What stands in quotes as a word of code.
fn words(document: &str) -> BTreeSet<&str> {
    document.split('`').skip(1).step_by(2).collect()
}

/// Loads `text` as the main file, among what ships with the program.
fn load(text: &str) -> Result<config::Config, config::ConfigError> {
    let root = env!("CARGO_MANIFEST_DIR");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.toml");
    let folders = format!("guardrails_dir = \"{root}/guardrails\"\npolicies_dir = \"{root}/policies\"\n");
    fs::write(&path, format!("{folders}{text}")).unwrap();
    config::load_with_env(&path, &|_| Some("sk-test".to_owned()))
}

/// The keys that a section knows, in the words of the error on one that it does not know.
fn keys(section: &str) -> Vec<String> {
    let error = load(&section.replace('?', "no_such_key = 1")).expect_err(section).to_string();
    let expected =
        error.lines().find_map(|line| line.split_once("= help: expected ")).unwrap_or_else(|| panic!("{error}"));
    expected.1.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn what_the_readme_shows_loads() {
    let readme = read("README.md");
    let shown = blocks(&readme, "toml");
    let [deployment, guardrail, engine] = &shown[..] else { panic!("{} blocks", shown.len()) };
    let whole =
        deployment.replace("guardrails = [\"pii\", \"secrets\"]", "guardrails = [\"pii\", \"secrets\", \"shown\"]");
    assert_ne!(&whole, deployment);
    let inline = guardrail.replace("[actions]", "[guardrail.shown.actions]");
    let config =
        load(&format!("{whole}\n{engine}\n[guardrail.shown]\n{inline}")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.guardrails.len(), 3);
    let policy = blocks(&readme, "").into_iter().find(|block| block.starts_with("+++")).expect("a policy");
    let shipped = read("policies/prompt-injection/policy.md");
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty()).take_while(|line| !line.starts_with("## "));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(lines(&policy), lines(&shipped), "the policy that it shows is ours");
}

#[test]
fn every_key_is_documented() {
    let document = read("docs/configuration.md");
    let words: BTreeSet<&str> =
        words(&document).into_iter().flat_map(|word| word.split([' ', ',', '{', '}', '='])).collect();
    let guardrail = "[guardrail.a]\nstage = [\"input\"]\non_error = \"block\"\n";
    let route = "[[route]]\nid = \"a\"\npath = \"/a\"\nupstream = \"a\"\n";
    let mut seen = 0;
    for section in [
        "?",
        "[server]\n?",
        "[[server.tls]]\n?",
        "[admin]\n?",
        "[admin]\ntoken = { ? }",
        "[limits]\n?",
        "[audit]\n?",
        "[stream]\n?",
        "[state]\n?",
        "[engine.a]\n?",
        "[engine.a]\nendpoints = [{ ? }]",
        "[upstream.a]\n?",
        "[upstream.a]\ncredential = { ? }",
        &format!("{route}?"),
        &format!("{route}[route.stream]\n?"),
        "[dialect.a]\n?",
        "[dialect.a.request]\n?",
        "[dialect.a.request]\nroles = { ? }",
        "[dialect.a.request]\nstream = { ? }",
        "[dialect.a.answer]\n?",
        "[dialect.a.stream]\n?",
        "[dialect.a.reply]\n?",
        &format!("{guardrail}?"),
        &format!("{guardrail}[guardrail.a.patterns]\n?"),
        &format!("{guardrail}[[guardrail.a.then]]\n?"),
    ] {
        for key in keys(section) {
            let named = words.contains(&*key)
                || document.contains(&format!("[{key}"))
                || document.contains(&format!(".{key}]"));
            assert!(named, "`{key}` of {section:?} is not in docs/configuration.md");
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} keys");
}

/// String literals of a source file that follow one of the marks.
fn literals(source: &str, marks: &[&str]) -> BTreeSet<String> {
    let after = |mark: &&str| -> Vec<String> {
        source.split(*mark).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    marks.iter().flat_map(after).collect()
}

/// What clients branch on, by the function that has it all.
fn codes(path: &str) -> BTreeSet<String> {
    let refused = read(path);
    let code = refused.split("fn code").nth(1).and_then(|rest| rest.split("pub fn").next()).expect("the codes");
    literals(code, &["=> \""])
}

#[test]
fn every_code_of_the_workbench_is_documented() {
    let document = read("docs/workbench.md");
    let words = words(&document);
    let codes = codes("src/admin/refused.rs");
    assert!(codes.len() > 15, "{codes:?}");
    for code in &codes {
        assert!(words.contains(&**code), "the code `{code}` is not in docs/workbench.md");
    }
}

#[test]
fn every_code_and_metric_is_documented() {
    let document = read("docs/operation.md");
    let words = words(&document);
    let mut codes = codes("src/proxy/refused.rs");
    let gate = literals(&read("src/gate/mod.rs"), &["TooLarge { .. } => \"", "StatusCode::SERVICE_UNAVAILABLE, \""]);
    codes.extend(gate.into_iter().filter(|text| !text.contains(' ')));
    assert!(codes.len() > 20, "{codes:?}");
    for code in &codes {
        assert!(words.contains(&**code), "the code `{code}` is not in docs/operation.md");
    }
    let metrics = read("src/telemetry/metrics.rs");
    let mut names = literals(&metrics, &["r.register(\"", "counter(\""]);
    for (file, least) in [("engines", 6), ("endpoints", 5)] {
        let figures = literals(&read(&format!("src/telemetry/{file}.rs")), &["    (\""]);
        assert!(figures.len() >= least, "{figures:?}");
        names.extend(figures);
    }
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let name = format!("portcullis_{name}");
        let named = [name.clone(), format!("{name}_total")].iter().any(|name| words.contains(&**name));
        assert!(named, "the metric `{name}` is not in docs/operation.md");
    }
}
