//! A program that the demo starts: waited for until it is ready, ended with the demo.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

/// Loading a checkpoint takes its time.
const READY: Duration = Duration::from_secs(120);
/// Lines of a program's log that are shown when it fails.
const LAST_LINES: usize = 20;

pub struct Process {
    name: &'static str,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it, and waits until it has said so many times where it listens.
    pub async fn start(name: &'static str, command: &Command, listeners: usize) -> anyhow::Result<Self> {
        let mut copy = Command::new(command.get_program());
        copy.args(command.get_args()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = command.get_current_dir() {
            copy.current_dir(folder);
        }
        let mut child = copy.spawn().with_context(|| format!("cannot start {name}"))?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let (ready, said) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            each_line(pipe, move |line| {
                // Nobody listens once it is ready.
                let _ = ready.send(line);
            });
        }
        if let Some(pipe) = child.stderr.take() {
            let log = Arc::clone(&log);
            each_line(pipe, move |line| {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                if log.len() == LAST_LINES {
                    log.remove(0);
                }
                log.push(line);
            });
        }
        let process = Process { name, child, log };
        let heard =
            tokio::task::spawn_blocking(move || (0..listeners).try_for_each(|_| said.recv_timeout(READY).map(drop)));
        match heard.await? {
            Ok(()) => Ok(process),
            Err(_) => bail!("{name} did not start{}", process.last_words()),
        }
    }

    /// Waits until it has ended by itself, which is an error.
    pub async fn ended(&mut self) -> anyhow::Error {
        loop {
            match self.child.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(200)).await,
                Ok(Some(status)) => return anyhow!("{} has ended ({status}){}", self.name, self.last_words()),
                Err(error) => return anyhow!("{} cannot be waited for: {error}", self.name),
            }
        }
    }

    fn last_words(&self) -> String {
        // The reading thread may be a moment behind.
        std::thread::sleep(Duration::from_millis(100));
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = String::new();
        for line in log.iter() {
            // Writing to a string cannot fail.
            let _ = write!(words, "\n    {line}");
        }
        if words.is_empty() { words } else { format!("; its last words:{words}") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn each_line(pipe: impl Read + Send + 'static, mut with: impl FnMut(String) + Send + 'static) {
    std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).for_each(&mut with));
}
