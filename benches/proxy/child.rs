//! Processes that are measured.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running process. Killed when dropped.
pub struct Process {
    child: Child,
    /// The first address that it has said it listens on.
    pub address: SocketAddr,
}

impl Process {
    /// This program again, in another role.
    pub fn role(words: &[&str]) -> Self {
        let own = std::env::current_exe().expect("this program's path");
        Self::start(&own, words)
    }

    /// The proxy on a configuration.
    pub fn proxy(config: &Path) -> Self {
        let config = config.to_str().expect("a path in UTF-8");
        Self::start(Path::new(env!("CARGO_BIN_EXE_portcullis")), &["serve", "--config", config])
    }

    fn start(program: &Path, words: &[&str]) -> Self {
        // A thousand streams need more descriptors than most shells allow.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\""])
            .arg(program)
            .args(words)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a process");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next().expect("a line once it listens").expect("a line");
        let (_, address) = line.split_once("://").unwrap_or_else(|| panic!("no address: {line}"));
        let address = address.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
        // The pipe is read on, so that it never fills.
        std::thread::spawn(move || lines.for_each(drop));
        Process { child, address }
    }

    /// Processor time used so far, in seconds.
    pub fn cpu(&self) -> f64 {
        let stat = self.proc("stat");
        // Fields 14 and 15, user and system time, in ticks of 1/100 s; the name in field 2 may hold spaces.
        let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
        rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("kilobytes") * 1024.0
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("the process lives")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
