//! HTTP/2 with prior knowledge, on both sides of the proxy, by hyper.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::client::Socket;
use super::within;

/// A body of which one piece comes, and never its end; tells when it is dropped.
pub struct Stalled {
    pub piece: Option<Bytes>,
    pub dropped: Arc<Notify>,
}

impl Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.piece.take() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Poll::Pending,
        }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.dropped.notify_one();
    }
}

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
        Self::over(TcpStream::connect(address).await.expect("connect"), &address.to_string()).await
    }

    /// Over a stream that is there already (TLS, say).
    pub async fn over(stream: impl Socket + 'static, authority: &str) -> Self {
        let (sender, connection) =
            within("an h2 handshake", http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.expect("h2");
        tokio::spawn(connection);
        H2Client { sender, authority: authority.to_owned() }
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

/// An upstream that speaks HTTP/2 only and gives every request the same answer.
pub struct H2Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<H2Request>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl H2Upstream {
    /// With prior knowledge.
    pub async fn start(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::listen(content_type, body.into(), None).await
    }

    pub async fn start_tls(content_type: &'static str, body: impl Into<Bytes>, acceptor: TlsAcceptor) -> Self {
        Self::listen(content_type, body.into(), Some(acceptor)).await
    }

    async fn listen(content_type: &'static str, body: Bytes, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("accept");
                let (record, body, tls) = (Arc::clone(&record), body.clone(), tls.clone());
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
                tokio::spawn(async move {
                    let stream: Box<dyn Socket> = match tls {
                        None => Box::new(socket),
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    // A connection that breaks off is the test's own doing.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
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
