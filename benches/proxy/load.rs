//! The load: bare HTTP/1.1 connections that cost next to nothing beside what is measured.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A small chat request.
pub const SMALL: &str = concat!(
    r#"{"model":"m","temperature":0.2,"messages":[{"role":"system","content":"You are a helpful assistant."},"#,
    r#"{"role":"user","content":"What is the capital of France, and how many people live there?"}]}"#
);

/// One connection.
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Self {
        let socket = TcpStream::connect(to).await.expect("connect");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        Connection { socket, buffer: Vec::with_capacity(16 << 10) }
    }

    /// Sends a request and reads its whole answer, which must be a 200 with a content length.
    pub async fn ask(&mut self, request: &[u8]) {
        self.socket.write_all(request).await.expect("send");
        self.buffer.clear();
        let (head, length) = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break (end + 4, content_length(&self.buffer[..end]));
            }
            self.fill().await;
        };
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "not a 200: {}", String::from_utf8_lossy(&self.buffer));
        while self.buffer.len() < head + length {
            self.fill().await;
        }
    }

    /// Sends a request for a stream and reads all of it as it comes, up to the last chunk.
    pub async fn stream(&mut self, request: &[u8]) -> &[u8] {
        self.socket.write_all(request).await.expect("send");
        self.buffer.clear();
        while !self.buffer.ends_with(b"0\r\n\r\n") {
            self.fill().await;
            assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "not a 200: {}", String::from_utf8_lossy(&self.buffer));
        }
        &self.buffer
    }

    /// Sends a request and reads nothing.
    pub async fn begin(&mut self, request: &[u8]) {
        self.socket.write_all(request).await.expect("send");
    }

    async fn fill(&mut self) {
        let read = self.socket.read_buf(&mut self.buffer).await.expect("read");
        assert!(read > 0, "hung up: {}", String::from_utf8_lossy(&self.buffer));
    }
}

/// The bytes of a chat request.
pub fn request(body: &str) -> Vec<u8> {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
         Authorization: Bearer sk-none\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request for a stream that says `words`.
pub fn streamed(words: &str) -> Vec<u8> {
    request(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{words}"}}],"stream":true}}"#))
}

/// As many requests as so many connections can have answered in this time; per second.
pub async fn closed(to: SocketAddr, connections: usize, time: Duration) -> f64 {
    let request = request(SMALL);
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(to).await);
    }
    let started = Instant::now();
    let asking = open.into_iter().map(|mut connection| {
        let request = request.clone();
        tokio::spawn(async move {
            let mut count = 0_u32;
            while started.elapsed() < time {
                connection.ask(&request).await;
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for task in asking.collect::<Vec<_>>() {
        count += task.await.expect("no panic");
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|value| value.trim().parse().ok()).expect("a content length")
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
