//! The configurations under which the program is measured.

use std::net::SocketAddr;

use tempfile::TempDir;

use crate::child::Process;

/// A proxy, and the folder that it reads.
pub struct Deployment {
    pub process: Process,
    _folder: TempDir,
}

/// Everything built in, and a word list, at both stages.
const PATTERNS: &str = r#"
[guardrail.patterns]
stage = ["input", "output"]
on_error = "block"
deadline = "1s"
[guardrail.patterns.patterns]
builtin = ["pii", "secrets"]
[guardrail.patterns.patterns.words]
projects = ["project bluebird", "project titan", "operation nightingale"]
[guardrail.patterns.actions]
default = "block"
"#;

/// An inspected route without a guardrail.
pub fn unguarded(upstream: SocketAddr) -> Deployment {
    start(upstream, "[]", "")
}

/// The pattern guard on both stages.
pub fn patterns(upstream: SocketAddr) -> Deployment {
    start(upstream, "[\"patterns\"]", PATTERNS)
}

/// The same, with a window that a stream's first event does not fill, so that it stays held.
pub fn holding(upstream: SocketAddr) -> Deployment {
    start(upstream, "[\"patterns\"]", &format!("[stream]\nwindow = \"all\"\n{PATTERNS}"))
}

fn start(upstream: SocketAddr, guardrails: &str, more: &str) -> Deployment {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("portcullis.toml");
    let text = text(upstream, guardrails, more);
    std::fs::write(&path, text).expect("write the configuration");
    Deployment { process: Process::proxy(&path), _folder: folder }
}

/// A whole `portcullis.toml`.
pub fn text(upstream: SocketAddr, guardrails: &str, more: &str) -> String {
    let workers = crate::WORKERS;
    format!(
        r#"
[server]
listen = ["127.0.0.1:0"]
workers = {workers}
[admin]
listen = "127.0.0.1:0"
{more}
[upstream.bench]
url = "http://{upstream}"
[[route]]
id = "chat"
path = "/v1/chat/completions"
dialect = "openai_chat"
upstream = "bench"
guardrails = {guardrails}
"#
    )
}
