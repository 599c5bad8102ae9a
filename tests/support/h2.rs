//! HTTP/2 with prior knowledge, on both sides of the proxy, by hyper.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use super::within;

/// One h2c connection to the proxy.
#[derive(Clone)]
pub struct H2Client {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

/// A whole answer.
#[derive(Debug)]
pub struct H2Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl H2Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("connect");
        let (sender, connection) =
            within("an h2 handshake", http2::handshake(TokioExecutor::new(), TokioIo::new(socket))).await.expect("h2");
        tokio::spawn(connection);
        H2Client { sender, authority: address.to_string() }
    }

    /// Sends a request; the answer's body is still to be read. Dropping it resets the stream.
    pub async fn open(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let uri = format!("http://{}{path}", self.authority);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        within("an h2 answer", self.sender.send_request(request)).await.expect("an h2 answer")
    }

    /// POSTs JSON to the chat endpoint and reads the whole answer.
    pub async fn chat(&mut self, body: impl Into<Bytes>) -> H2Response {
        let answer = self.open("POST", "/v1/chat/completions", &[("content-type", "application/json")], body).await;
        let (head, body) = answer.into_parts();
        let body = within("an h2 body", body.collect()).await.expect("a whole body").to_bytes();
        H2Response { status: head.status, headers: head.headers, body }
    }
}

impl H2Response {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A request's head and body.
pub type H2Request = (Request<()>, Bytes);

/// An upstream that speaks h2c only and gives every request the same answer.
pub struct H2Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<H2Request>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl H2Upstream {
    pub async fn start(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let body = body.into();
        let record = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("accept");
                let (record, body) = (Arc::clone(&record), body.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (record, body) = (Arc::clone(&record), body.clone());
                    async move {
                        assert_eq!(request.version(), Version::HTTP_2);
                        let (head, sent) = request.into_parts();
                        let sent = sent.collect().await.expect("a whole request").to_bytes();
                        record.lock().expect("no panic while held").push((Request::from_parts(head, ()), sent));
                        let answer = Response::builder().header("content-type", content_type).body(Full::new(body));
                        Ok::<_, Infallible>(answer.expect("an answer"))
                    }
                });
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { http.serve_connection(TokioIo::new(socket), service).await });
            }
        });
        H2Upstream { address, seen, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<H2Request> {
        self.seen.lock().expect("no panic while held").clone()
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
