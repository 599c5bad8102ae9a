//! The real OpenAI SDK against the real program: starts the upstream of `examples/` and the proxy, and lets
//! `tests/sdk/test_openai.py` drive them.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Config, PATIENCE, Proxy};

/// Another phrase on each side, so that an answer can be blocked though its prompt was not.
const INPUT: &str = r#"
stage = ["input"]
on_error = "block"
deadline = "5s"
[patterns]
builtin = ["email"]
[patterns.words]
project = ["project bluebird"]
[actions]
email = "redact"
project = "block"
"#;

const OUTPUT: &str = r#"
stage = ["output"]
on_error = "block"
deadline = "5s"
[patterns.regex]
employee = 'EMP-\d{6}'
[patterns.words]
password = ["swordfish"]
[actions]
employee = "redact"
password = "block"
"#;

#[test]
fn the_openai_sdk_works_through_the_proxy() {
    let python = python();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let upstream = Example::upstream(folder.path());
    let config = Config::with_url(&format!("http://{}", upstream.address))
        .guardrail("prompts", INPUT)
        .guardrail("answers", OUTPUT)
        .stream("window = 80\nlookahead = 20\nmax_hold = \"200ms\"");
    let proxy = Proxy::start(config);
    let output = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/test_openai.py"))
        .env("PORTCULLIS_PROXY", format!("http://{}/v1", proxy.address))
        .env("PORTCULLIS_DIRECT", format!("http://{}/v1", upstream.address))
        // Whatever this machine has set must not send loopback traffic elsewhere.
        .env("NO_PROXY", "*")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}", python.display()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tests/sdk/test_openai.py failed:\n{told}");
    // unittest counts what it ran: a script that runs nothing would succeed as well.
    assert!(told.contains("\nRan ") && !told.contains("Ran 0 tests"), "tests/sdk/test_openai.py ran nothing:\n{told}");
}

/// The Python that has the SDK.
fn python() -> PathBuf {
    if let Some(own) = std::env::var_os("PORTCULLIS_PYTHON") {
        return own.into();
    }
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(python.exists(), "the OpenAI SDK is not installed: run `make tools`, once");
    python
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
