//! Writes a deployment into a folder of its own: `portcullis.toml`, guardrails, policies.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What [`words`] looks for.
pub const WORD: &str = "bluebird";

/// A guardrail on [`WORD`] at these stages (`"input", "output"`), with further lines.
pub fn words(stages: &str, action: &str, more: &str) -> String {
    word_list(stages, "secret", &[WORD], action, more)
}

fn word_list(stages: &str, label: &str, words: &[&str], action: &str, more: &str) -> String {
    format!(
        "stage = [{stages}]\non_error = \"block\"\ndeadline = \"5s\"\n{more}\n\
         [patterns.words]\n{label} = {words:?}\n[actions]\n{label} = \"{action}\"\n"
    )
}

/// A deployment under construction. By default: one inspected chat route and one `pass` route in front of one upstream,
/// no guardrails, an audit file.
pub struct Config {
    directory: TempDir,
    upstream: String,
    upstream_extra: String,
    route_extra: String,
    guardrails: Vec<String>,
    sections: Vec<String>,
    tls: Option<(String, String)>,
    stream: String,
    server: String,
    admin: String,
    audit: String,
    whole: Option<String>,
}

impl Config {
    /// In front of a plain HTTP/1.1 upstream.
    pub fn new(upstream: SocketAddr) -> Self {
        Self::with_url(&format!("http://{upstream}"))
    }

    pub fn with_url(url: &str) -> Self {
        Config {
            directory: tempfile::tempdir().expect("a temporary folder"),
            upstream: url.to_owned(),
            upstream_extra: String::new(),
            route_extra: String::new(),
            guardrails: Vec::new(),
            sections: Vec::new(),
            tls: None,
            stream: String::new(),
            server: "workers = 2\ndrain = \"2s\"".to_owned(),
            admin: String::new(),
            audit: String::new(),
            whole: None,
        }
    }

    /// One of `examples/`, with all its upstreams here, listeners and an audit of its own, and time enough for a slow machine.
    pub fn example(name: &str, upstream: &str) -> Self {
        Self::of_file(&format!("examples/{name}"), upstream)
    }

    /// The default deployment, in the same way.
    pub fn default_deployment(upstream: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut config = Self::of_file("portcullis.toml", upstream);
        let text = config.whole.take().expect("a file");
        let folders = ["guardrails", "policies"].map(|name| format!("{name}_dir = {:?}\n", root.join(name)));
        let model = format!("model = {:?}", root.join("models/safeguard-nano"));
        config.whole = Some(folders.concat() + &text.replace("model = \"models/safeguard-nano\"", &model));
        config
    }

    fn of_file(name: &str, upstream: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join(name)).expect("a deployment");
        let mut config = Self::with_url(upstream);
        let audit = config.audit_path();
        let line = |line: &str| match line.split(" = ").next() {
            Some("url") => format!("url = {upstream:?}\n"),
            Some("file") => format!("file = {audit:?}\n"),
            Some("deadline") => "deadline = \"30s\"\n".to_owned(),
            Some("guardrails_dir") => format!("guardrails_dir = {:?}\n", root.join("guardrails")),
            Some("policies_dir") => format!("policies_dir = {:?}\n", root.join("policies")),
            Some("listen") => line.replace(":8080", ":0").replace(":9090", ":0") + "\n",
            _ => format!("{line}\n"),
        };
        config.whole = Some(text.lines().map(line).collect());
        config
    }

    /// An example with further lines behind each that is this one.
    pub fn behind_each(mut self, line: &str, more: &str) -> Self {
        let text = self.whole.take().expect("an example");
        assert!(text.contains(line), "the example has no line {line}");
        self.whole = Some(text.replace(line, &format!("{line}\n{more}")));
        self
    }

    /// A guardrail, in the form of a file in `guardrails/`, put on the chat route.
    pub fn guardrail(mut self, name: &str, toml: &str) -> Self {
        self.write(&format!("guardrails/{name}.toml"), toml);
        self.guardrails.push(name.to_owned());
        self
    }

    /// One word list that blocks, at these stages (`"input", "output"`).
    pub fn block(self, stages: &str, words: &[&str]) -> Self {
        self.guardrail("words", &word_list(stages, "forbidden", words, "block", ""))
    }

    /// A policy: front matter and text.
    pub fn policy(self, id: &str, text: &str) -> Self {
        self.write(&format!("policies/{id}/policy.md"), text);
        self
    }

    /// Lines of the chat route's table (`on_block = ...`, `[route.stream]` last).
    pub fn route(mut self, lines: &str) -> Self {
        self.route_extra.push_str(lines);
        self.route_extra.push('\n');
        self
    }

    /// Lines of the upstream's table.
    pub fn upstream(mut self, lines: &str) -> Self {
        self.upstream_extra.push_str(lines);
        self.upstream_extra.push('\n');
        self
    }

    /// Lines of `[stream]`.
    pub fn stream(mut self, lines: &str) -> Self {
        self.stream = lines.to_owned();
        self
    }

    /// Lines of `[server]`, instead of the default's two workers and a short drain.
    pub fn server(mut self, lines: &str) -> Self {
        self.server = lines.to_owned();
        self
    }

    /// Further lines of `[admin]`.
    pub fn admin(mut self, lines: &str) -> Self {
        self.admin = lines.to_owned();
        self
    }

    /// Further lines of `[audit]`.
    pub fn audit(mut self, lines: &str) -> Self {
        self.audit = lines.to_owned();
        self
    }

    /// A further TLS listener with these PEM files' contents.
    pub fn tls(mut self, certificate: &str, key: &str) -> Self {
        self.tls = Some((certificate.to_owned(), key.to_owned()));
        self
    }

    /// Any other table, whole.
    pub fn section(mut self, toml: &str) -> Self {
        self.sections.push(toml.to_owned());
        self
    }

    /// The deployment's folder.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `portcullis.toml`.
    pub fn path(&self) -> PathBuf {
        self.directory().join("portcullis.toml")
    }

    pub fn audit_path(&self) -> PathBuf {
        self.directory().join("audit.jsonl")
    }

    /// Lines that `serve` prints on standard output once it is ready.
    pub fn listeners(&self) -> usize {
        2 + usize::from(self.tls.is_some())
    }

    /// Writes any file of the folder.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.directory().join(name);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("make the folder");
        std::fs::write(path, text).expect("write the file");
    }

    /// Writes `portcullis.toml`; again, after a change, for a reload.
    pub fn save(&self) {
        self.write("portcullis.toml", &self.toml());
    }

    pub fn toml(&self) -> String {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        let Config { upstream, upstream_extra, route_extra, guardrails, server, admin, audit, .. } = self;
        let mut toml = format!("[server]\nlisten = [\"127.0.0.1:0\"]\n{server}\n");
        if let Some((certificate, key)) = &self.tls {
            self.write("cert.pem", certificate);
            self.write("key.pem", key);
            toml.push_str("[[server.tls]]\nlisten = \"127.0.0.1:0\"\ncert = \"cert.pem\"\nkey = \"key.pem\"\n");
        }
        toml.push_str(&format!("[admin]\nlisten = \"127.0.0.1:0\"\n{admin}\n"));
        toml.push_str(&format!("[audit]\nfile = {:?}\n{audit}\n", self.audit_path()));
        if !self.stream.is_empty() {
            toml.push_str(&format!("[stream]\n{}\n", self.stream));
        }
        for section in &self.sections {
            toml.push_str(&format!("{section}\n"));
        }
        toml.push_str(&format!("[upstream.main]\nurl = {upstream:?}\n{upstream_extra}\n"));
        toml.push_str("[[route]]\nid = \"models\"\npath = \"/v1/models\"\nupstream = \"main\"\npass = true\n");
        toml.push_str(&format!(
            "[[route]]\nid = \"chat\"\npath = \"/v1/chat/completions\"\ndialect = \"openai_chat\"\nupstream = \"main\"\n\
             guardrails = {guardrails:?}\n{route_extra}"
        ));
        toml
    }
}
