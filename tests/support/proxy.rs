//! The real program, as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::client::{Client, Response};
use super::config::Config;
use super::{PATIENCE, within};

/// A running proxy. Killed when dropped.
pub struct Proxy {
    child: Child,
    /// The first plain listener.
    pub address: SocketAddr,
    /// The TLS listener, where the configuration has one.
    pub tls: Option<SocketAddr>,
    pub admin: SocketAddr,
    pub config: Config,
    stderr: Arc<Mutex<String>>,
}

impl Proxy {
    /// Starts `portcullis serve` and waits until it is ready.
    pub fn start(config: Config) -> Self {
        Self::start_with(config, &[])
    }

    /// The same, with further environment variables.
    pub fn start_with(config: Config, environment: &[(&str, &str)]) -> Self {
        Self::try_start(config, environment).unwrap_or_else(|output| panic!("the proxy did not start:\n{output}"))
    }

    /// The error is what it wrote before it ended.
    pub fn try_start(config: Config, environment: &[(&str, &str)]) -> Result<Self, String> {
        config.save();
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--config"])
            .arg(config.path())
            .current_dir(config.directory())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start portcullis");
        let stderr = collect(child.stderr.take().expect("piped"));
        let lines = lines(child.stdout.take().expect("piped"));
        let deadline = Instant::now() + PATIENCE;
        let (mut plain, mut tls, mut admin) = (None, None, None);
        for _ in 0..config.listeners() {
            let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                let _ = child.kill();
                let _ = child.wait();
                // Gives the collecting thread time to see the end.
                std::thread::sleep(Duration::from_millis(50));
                return Err(stderr.lock().expect("no panic while held").clone());
            };
            let (what, url) = line.split_once(" on ").unwrap_or_else(|| panic!("unexpected on stdout: {line}"));
            let (scheme, address) = url.split_once("://").unwrap_or_else(|| panic!("no address: {line}"));
            let address = Some(address.parse().unwrap_or_else(|e| panic!("{e}: {line}")));
            match (what, scheme) {
                ("admin", _) => admin = address,
                (_, "https") => tls = address,
                _ => plain = plain.or(address),
            }
        }
        let address = plain.expect("a plain listener");
        Ok(Proxy { child, address, tls, admin: admin.expect("an admin listener"), config, stderr })
    }

    /// A new connection to the plain listener.
    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One chat request on a connection of its own.
    pub async fn chat(&self, body: impl AsRef<[u8]>) -> Response {
        self.connect().await.chat(body).await
    }

    /// GET from the admin listener.
    pub async fn admin(&self, path: &str) -> Response {
        Client::connect(self.admin).await.request("GET", path, &[("host", "localhost")], "").await
    }

    /// The value of a metric's line that starts with `name` (labels and all); 0 where there is none.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").await.text();
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    /// Waits until a metric has this value: an exchange is counted when all of it is over, a moment after its answer.
    pub async fn counted(&self, name: &str, value: f64) {
        within(&format!("{name} is {value}"), async {
            while self.metric(name).await != value {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// The audit's lines, once there are so many.
    pub async fn audit(&self, count: usize) -> Vec<serde_json::Value> {
        self.audited(count, |_| true).await
    }

    /// The audit's lines that `hold`, once there are so many.
    pub async fn audited(&self, count: usize, hold: impl Fn(&serde_json::Value) -> bool) -> Vec<serde_json::Value> {
        let path = self.config.audit_path();
        let read = || -> Vec<serde_json::Value> {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines = whole.lines().map(|line| serde_json::from_str(line).expect("JSON in the audit"));
            lines.filter(|line| hold(line)).collect()
        };
        within(&format!("{count} lines in the audit"), async {
            while read().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        read()
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        self.stderr.lock().expect("no panic while held").clone()
    }

    /// Waits until the log holds `text`.
    pub async fn logged(&self, text: &str) {
        within(&format!("{text:?} in the log"), async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Sends a signal by name (`HUP`, `TERM`).
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(status.expect("run sh").success(), "kill -{name}");
    }

    /// Waits until the process has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        within("the proxy ends", async {
            loop {
                match self.child.try_wait().expect("wait") {
                    Some(status) => return status,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await
    }

    /// Resident memory, bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the proxy's log ---\n{}", self.log());
        }
    }
}

/// Runs the program to its end: `check`, and whatever else does not serve.
pub fn run(arguments: &[&str]) -> (ExitStatus, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).output().expect("run portcullis");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

fn collect(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let all = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&all);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            into.lock().expect("no panic while held").push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
    all
}

fn lines(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody listens once it is ready; the pipe is read on all the same, so that it never fills.
            let _ = sender.send(line);
        }
    });
    receiver
}
