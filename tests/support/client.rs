//! An HTTP/1.1 client on a bare socket: sends exactly the bytes that it is given and shows all that comes back.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::message::{Head, Length, Reader};
use super::within;

/// One connection.
pub struct Client {
    reader: Reader<ReadHalf<Box<dyn Socket>>>,
    writer: WriteHalf<Box<dyn Socket>>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub head: Head,
    /// Decoded.
    pub body: Vec<u8>,
    /// As on the wire.
    pub raw_body: Vec<u8>,
    /// Statuses of interim answers that came before.
    pub interim: Vec<u16>,
}

/// An answer whose body is still coming.
pub struct Stream<'a> {
    pub status: u16,
    pub head: Head,
    client: &'a mut Client,
    length: Length,
    raw: Vec<u8>,
}

pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = within("a connection", TcpStream::connect(address)).await.expect("connect");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        Self::over(socket)
    }

    /// Over a stream that is there already (TLS, say).
    pub fn over(stream: impl Socket + 'static) -> Self {
        let (reader, writer) = tokio::io::split(Box::new(stream) as Box<dyn Socket>);
        Client { reader: Reader::new(reader), writer }
    }

    /// Sends exactly these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("send");
    }

    /// The same, for where the proxy may have hung up.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.writer.write_all(bytes.as_ref()).await?;
        self.writer.flush().await
    }

    /// Closes the sending side only.
    pub async fn shutdown(&mut self) {
        self.writer.shutdown().await.expect("shutdown");
    }

    /// Sends a whole request with a content length, and reads the whole answer.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Response {
        self.send(request(method, path, headers, body)).await;
        self.response().await
    }

    /// POSTs JSON to the chat endpoint.
    pub async fn chat(&mut self, body: impl AsRef<[u8]>) -> Response {
        self.request("POST", "/v1/chat/completions", &[("content-type", "application/json")], body).await
    }

    /// Reads the whole next answer.
    pub async fn response(&mut self) -> Response {
        self.try_response().await.expect("an answer")
    }

    /// The same; an error where the connection broke off first.
    pub async fn try_response(&mut self) -> std::io::Result<Response> {
        within("an answer", async {
            let mut interim = Vec::new();
            loop {
                let head = self.reader.head().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
                let status = status(&head);
                if status < 200 {
                    interim.push(status);
                    continue;
                }
                let mut raw_body = Vec::new();
                let body = self.reader.body(body_length(status, &head), &mut raw_body).await?;
                return Ok(Response { status, head, body, raw_body, interim });
            }
        })
        .await
    }

    /// POSTs JSON to the chat endpoint and reads the head of the answer; its body is read piece by piece.
    pub async fn open_chat(&mut self, body: impl AsRef<[u8]>) -> Stream<'_> {
        let headers = [("content-type", "application/json")];
        self.send(request("POST", "/v1/chat/completions", &headers, body)).await;
        self.open().await
    }

    /// Reads the head of the next answer.
    pub async fn open(&mut self) -> Stream<'_> {
        let head = within("a head", self.reader.head()).await.expect("a head").expect("a head and not the end");
        let status = status(&head);
        let length = body_length(status, &head);
        Stream { status, head, client: self, length, raw: Vec::new() }
    }

    /// Waits until the proxy has closed; gives what else it sent.
    pub async fn closed(mut self) -> Vec<u8> {
        within("the proxy closes the connection", self.reader.closed()).await;
        self.reader.into_rest()
    }
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8 in the answer")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }

    /// `error.code` of the body.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The payloads of an event stream, in order, `[DONE]` and all; comments left out.
    pub fn events(&self) -> Vec<String> {
        events(&self.text())
    }

    /// All content of a chat stream's first choice.
    pub fn content(&self) -> String {
        content(&self.events())
    }
}

impl Stream<'_> {
    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Option<String> {
        let piece = within("a piece of the body", self.client.reader.piece(&mut self.length, &mut self.raw)).await;
        piece.expect("a piece").map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads on until what came holds `text`; gives all that came.
    pub async fn until(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let piece = self.piece().await;
            all.push_str(&piece.unwrap_or_else(|| panic!("the body ended without {text:?}: {all}")));
        }
        all
    }

    /// All the rest.
    pub async fn rest(&mut self) -> String {
        let mut all = String::new();
        while let Some(piece) = self.piece().await {
            all.push_str(&piece);
        }
        all
    }
}

/// The payloads of an event stream.
pub fn events(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("data:")).map(|data| data.trim_start().to_owned()).collect()
}

/// The first choice's content, over all chunks.
pub fn content(events: &[String]) -> String {
    let chunks = events.iter().filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// A whole request with a content length. Its host is `proxy.test` where the headers name no other.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let host = if headers.iter().any(|(name, _)| *name == "host") { "" } else { "host: proxy.test\r\n" };
    let mut head = format!("{method} {path} HTTP/1.1\r\n{host}content-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

fn status(head: &Head) -> u16 {
    head.start
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status: {}", head.start))
}

fn body_length(status: u16, head: &Head) -> Length {
    match status {
        ..200 | 204 | 304 => Length::None,
        _ => head.length(Length::UntilClose),
    }
}
