//! Real clients against the real program: starts the upstream of `examples/` and a proxy on a deployment of `examples/`, and
//! lets the scripts of `tests/sdk/` drive them with the SDKs that people use, in Python and in JavaScript.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use support::{Config, PATIENCE, Proxy, installed};

/// A test for each script, in front of which stands a proxy on this deployment.
macro_rules! scripts {
    ($($name:ident: $script:literal on $world:expr;)*) => {
        const SCRIPTS: &[&str] = &[$($script),*];
        $(
            #[test]
            fn $name() {
                $world.run($script);
            }
        )*
    };
}

scripts! {
    openai_chat: "test_openai.py" on every_api();
    openai_responses: "test_responses.py" on every_api();
    openai_others: "test_openai_others.py" on every_api();
    openai_at_azure: "test_azure.py" on World::start(|upstream| Config::example("azure.toml", upstream));
    ends: "test_ends.py" on World::start(answering);
    anthropic: "test_anthropic.py" on every_api();
    google: "test_google.py" on every_api();
    bedrock: "test_bedrock.py" on every_api();
    ollama: "test_ollama.py" on every_api();
    langchain: "test_langchain.py" on every_api();
    openai_in_javascript: "openai.test.mjs" on every_api();
    anthropic_in_javascript: "anthropic.test.mjs" on every_api();
    google_in_javascript: "google.test.mjs" on every_api();
    bedrock_in_javascript: "bedrock.test.mjs" on every_api();
    ollama_in_javascript: "ollama.test.mjs" on every_api();
}

#[test]
fn every_script_is_run() {
    for (folder, marks) in [(folder(), ["test_", ".py"]), (folder().join("node"), ["", ".test.mjs"])] {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let name = entry.expect("an entry").file_name().into_string().expect("a plain name");
            let [start, end] = marks;
            let is_script = name.starts_with(start) && name.ends_with(end);
            assert!(!is_script || SCRIPTS.contains(&&*name), "{name} is run by no test");
        }
    }
}

/// The one that most scripts share. It ends with the last of them.
fn every_api() -> Arc<World> {
    static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let world = Arc::new(World::start(|upstream| Config::example("every-api.toml", upstream)));
        *shared = Arc::downgrade(&world);
        world
    })
}

/// Where a blocked prompt is told as an ordinary answer, and events are small.
fn answering(upstream: &str) -> Config {
    let conversation = r#"guardrails = ["prompts", "answers"]"#;
    Config::example("every-api.toml", upstream)
        .behind_each(r#"listen = "127.0.0.1:0""#, "[limits]\nmax_event = \"8 KiB\"")
        .behind_each(conversation, r#"on_block = { message = "I can't help with that." }"#)
}

/// An upstream and a proxy in front of it.
struct World {
    proxy: Proxy,
    upstream: Example,
}

impl World {
    fn start(deployment: impl Fn(&str) -> Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let upstream = Example::upstream(folder.path());
        let proxy = Proxy::start(deployment(&format!("http://{}", upstream.address)));
        World { proxy, upstream }
    }

    /// Lets a script drive both. It must succeed, and have run something: one that runs nothing would succeed as well.
    fn run(&self, script: &str) {
        let output = match script.ends_with(".py") {
            true => self.command(python(), folder().join(script)),
            false => self.command(node(), folder().join("node").join(script)),
        };
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(output.status.success(), "{script} failed:\n{told}");
        // unittest's words, and those of node's reporter.
        let count =
            |line: &str| line.strip_prefix("Ran ").or(line.strip_prefix("# pass "))?.split(' ').next()?.parse().ok();
        let count: usize = told.lines().find_map(count).unwrap_or_default();
        assert!(count > 0, "{script} ran nothing:\n{told}");
    }

    fn command(&self, program: PathBuf, script: PathBuf) -> Output {
        let mut command = Command::new(&program);
        if script.extension().is_some_and(|extension| extension == "mjs") {
            command.arg("--test-reporter=tap");
        }
        command
            .arg(script)
            .env("PORTCULLIS_PROXY", format!("http://{}", self.proxy.address))
            .env("PORTCULLIS_DIRECT", format!("http://{}", self.upstream.address))
            // Whatever this machine has set must not send loopback traffic elsewhere.
            .env("NO_PROXY", "*")
            .env("LANGSMITH_TRACING", "false")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap_or_else(|e| panic!("cannot run {}: {e}", program.display()))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}

/// The Python that has the SDKs.
fn python() -> PathBuf {
    installed("PORTCULLIS_PYTHON", ".venv/bin/python")
}

fn node() -> PathBuf {
    installed("PORTCULLIS_NODE", ".deps/node/node")
}

/// `examples/upstream` as a process. Killed when dropped.
struct Example {
    child: Child,
    address: String,
}

impl Example {
    fn upstream(folder: &Path) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().expect("a file in a folder");
        let program = programs.join("examples/upstream");
        assert!(program.exists(), "{} is not built: run `cargo build --examples`", program.display());
        let port_file = folder.join("upstream");
        let child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--delay-ms", "1", "--port-file"])
            .arg(&port_file)
            .stdout(Stdio::null())
            .spawn()
            .expect("start the upstream");
        let mut example = Example { child, address: String::new() };
        let deadline = Instant::now() + PATIENCE;
        while example.address.is_empty() {
            assert!(Instant::now() < deadline, "the upstream does not listen");
            std::thread::sleep(Duration::from_millis(5));
            example.address = std::fs::read_to_string(&port_file).unwrap_or_default();
        }
        example
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
