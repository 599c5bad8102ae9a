//! A server of the model that takes a fixed time for an answer, and says in it how long it really took.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Of this program, in a process of its own. Killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

/// In this process. Gone, with all its connections, when dropped.
pub struct Replica {
    pub address: SocketAddr,
    /// What it was asked: the bodies of the questions.
    pub asked: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Process {
    pub fn start(wait: Duration) -> Self {
        let own = std::env::current_exe().expect("this program's path");
        let wait = wait.as_millis().to_string();
        let command = Command::new(own).args(["run-server", &wait]).stdout(Stdio::piped()).spawn();
        let mut child = command.expect("start a process");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line once it listens");
        Process { child, address: line.trim().parse().expect("an address") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Replica {
    pub async fn start() -> Self {
        let listener = listen().await;
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Duration::ZERO, asked.clone()));
        Replica { address, asked, _task: task }
    }
}

/// The process's own task.
pub async fn run(wait: Duration) {
    let listener = listen().await;
    println!("{}", listener.local_addr().expect("an address"));
    accept(listener, wait, Arc::default()).await;
}

async fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port")
}

async fn accept(listener: TcpListener, wait: Duration, asked: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(converse(socket, wait, asked.clone()));
    }
}

/// Ends with the connection.
async fn converse(mut socket: TcpStream, wait: Duration, asked: Arc<Mutex<Vec<String>>>) {
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut socket, &mut buffer).await {
        let begun = Instant::now();
        if head.starts_with("POST") {
            asked.lock().expect("no panic while held").push(body);
            sleep(wait).await;
        }
        let answer = answer(begun.elapsed());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request, head and body, once it is whole.
async fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if buffer.len() >= whole {
                let body = String::from_utf8_lossy(&buffer[end + 4..whole]).into_owned();
                buffer.drain(..whole);
                return Some((head.to_ascii_uppercase(), body));
            }
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Nothing is found. The tokens of the prompt are the microseconds that it took.
fn answer(took: Duration) -> String {
    let body = format!(
        "{{\"choices\":[{{\"index\":0,\"finish_reason\":\"stop\",\"message\":{{\"role\":\"assistant\",\"content\":\"0\"}}}}],\
         \"usage\":{{\"prompt_tokens\":{},\"completion_tokens\":1}}}}",
        took.as_micros()
    );
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
