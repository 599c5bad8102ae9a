//! The admin server: health, metrics and status over HTTP/1.1, apart from the traffic. Bounded, so that a bad client
//! cannot hold it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::telemetry::record::timestamp;

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// For one header, and between two requests.
const HEADER: Duration = Duration::from_secs(5);
/// For a connection, whatever it does.
const CONNECTION: Duration = Duration::from_secs(60);
/// What hyper reads ahead, at most: a request's header must fit.
const BUFFER: usize = 16 << 10;
const HEADERS: usize = 64;
/// After a failed accept (no file descriptors left, say).
const PAUSE: Duration = Duration::from_millis(100);

/// What the admin server shows.
pub trait AdminState: Send + Sync {
    /// Whether traffic should be sent here: false while starting and while draining.
    fn ready(&self) -> bool;
    /// The metrics in the OpenMetrics text form.
    fn metrics(&self) -> String;
    fn status(&self) -> Status;
}

/// The state of the configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub version: &'static str,
    pub generation: u64,
    pub digest: String,
    #[serde(serialize_with = "rfc3339")]
    pub loaded_at: SystemTime,
    /// Why the last reload was refused; none if it was not.
    pub last_reload_error: Option<String>,
    /// Sections that have changed since the start and take effect with the next.
    pub needs_restart: Vec<&'static str>,
}

/// Serves until `shutdown` ends; then open connections are dropped. With a token, `/metrics` and `/status` need it as
/// `Authorization: Bearer`; `/healthz` and `/readyz` say one word and need none.
pub async fn serve(
    listener: TcpListener,
    token: Option<Arc<str>>,
    state: Arc<dyn AdminState>,
    shutdown: impl Future<Output = ()>,
) {
    let server = Arc::new(Server { token: token.map(|token| Sha256::digest(token.as_bytes()).into()), state });
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            Some(_) = connections.join_next() => {}
            accepted = async {
                let permit = permits.clone().acquire_owned().await;
                (permit, listener.accept().await)
            } => match accepted {
                (permit, Ok((stream, _))) => {
                    let server = server.clone();
                    connections.spawn(async move {
                        let _permit = permit;
                        // A client that breaks off or is too slow is no news.
                        let _ = timeout(CONNECTION, server.connection(stream)).await;
                    });
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "the admin server could not accept a connection");
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

struct Server {
    /// SHA-256 of the token: of equal length whatever the client sends, so that comparing tells nothing.
    token: Option<[u8; 32]>,
    state: Arc<dyn AdminState>,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) -> Result<(), hyper::Error> {
        let service = service_fn(|request: Request<_>| {
            let response = self.answer(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER)
            .max_buf_size(BUFFER)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .await
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/healthz" | "/readyz" | "/metrics" | "/status") {
            return plain(StatusCode::NOT_FOUND, "not found\n");
        }
        if request.method() != Method::GET {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        match path {
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" if self.state.ready() => plain(StatusCode::OK, "ready\n"),
            "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            _ if !self.authorised(request.headers()) => {
                let mut response = plain(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                response
            }
            "/metrics" => {
                let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                typed(StatusCode::OK, form, self.state.metrics())
            }
            _ => match serde_json::to_string(&self.state.status()) {
                Ok(status) => typed(StatusCode::OK, "application/json", status),
                Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the status can't be written\n"),
            },
        }
    }

    fn authorised(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, value)) = value.as_bytes().split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(Sha256::digest(value)[..].ct_eq(token))
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", text)
}

fn typed(status: StatusCode, form: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn rfc3339<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*at))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    struct State {
        ready: AtomicBool,
    }

    impl AdminState for State {
        fn ready(&self) -> bool {
            self.ready.load(Ordering::SeqCst)
        }

        fn metrics(&self) -> String {
            "portcullis_x_total 1\n# EOF\n".to_owned()
        }

        fn status(&self) -> Status {
            Status {
                version: "1.2.3",
                generation: 7,
                digest: "abc".into(),
                loaded_at: SystemTime::UNIX_EPOCH,
                last_reload_error: Some("portcullis.toml:3:1: unknown key".to_owned()),
                needs_restart: vec!["server"],
            }
        }
    }

    struct Running {
        address: std::net::SocketAddr,
        state: Arc<State>,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start(token: Option<&str>) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { ready: AtomicBool::new(true) });
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, token.map(Arc::from), state.clone(), shutdown));
        Running { address, state, stop, task }
    }

    /// Sends bytes as they are; gives status and the whole answer.
    async fn send(server: &Running, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    async fn get(server: &Running, path: &str, headers: &str) -> (u16, String) {
        send(server, &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")).await
    }

    #[tokio::test]
    async fn shows_health_metrics_and_status() {
        let server = start(None).await;
        assert_eq!(get(&server, "/healthz", "").await.0, 200);
        assert_eq!(get(&server, "/readyz", "").await.0, 200);
        server.state.ready.store(false, Ordering::SeqCst);
        assert_eq!(get(&server, "/readyz", "").await.0, 503);
        assert_eq!(get(&server, "/healthz", "").await.0, 200, "alive, if not ready");
        let (status, metrics) = get(&server, "/metrics", "").await;
        assert!(status == 200 && metrics.contains("openmetrics-text") && metrics.ends_with("# EOF\n"));
        let (_, status) = get(&server, "/status?a=b", "").await;
        let body = status.rsplit("\r\n\r\n").next().unwrap();
        assert_eq!(
            body,
            r#"{"version":"1.2.3","generation":7,"digest":"abc","loaded_at":"1970-01-01T00:00:00.000Z","last_reload_error":"portcullis.toml:3:1: unknown key","needs_restart":["server"]}"#
        );
    }

    #[tokio::test]
    async fn serves_nothing_else() {
        let server = start(None).await;
        for path in ["/", "/metrics/", "/status/x", "/HEALTHZ", "//status"] {
            assert_eq!(get(&server, path, "").await.0, 404, "{path}");
        }
        let (status, answer) =
            send(&server, "POST /status HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
        assert!(status == 405 && answer.contains("allow: GET"));
    }

    #[tokio::test]
    async fn the_token_is_needed_where_there_is_one() {
        let server = start(Some("s3cret")).await;
        for (headers, expected) in [
            ("", 401),
            ("authorization: Bearer s3cret\r\n", 200),
            ("authorization: bearer s3cret\r\n", 200),
            ("authorization: Bearer s3cre\r\n", 401),
            ("authorization: Bearer s3cret2\r\n", 401),
            ("authorization: Bearer \r\n", 401),
            ("authorization: Basic s3cret\r\n", 401),
            ("authorization: s3cret\r\n", 401),
            ("authorization: Bearer s3cret\r\nauthorization: Bearer s3cret\r\n", 401),
        ] {
            for path in ["/metrics", "/status"] {
                assert_eq!(get(&server, path, headers).await.0, expected, "{path} {headers}");
            }
        }
        assert_eq!(get(&server, "/healthz", "").await.0, 200);
        assert_eq!(get(&server, "/readyz", "").await.0, 200);
    }

    #[tokio::test]
    async fn bad_clients_get_errors_and_others_go_on() {
        let server = start(None).await;
        let long = format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(BUFFER));
        assert_eq!(send(&server, &long).await.0, 431);
        let many: String = (0..=HEADERS).map(|n| format!("x{n}: 1\r\n")).collect();
        assert_eq!(get(&server, "/healthz", &many).await.0, 431);
        assert_eq!(send(&server, "\0\0\0\r\n\r\n").await.0, 400);
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS / 2 {
            silent.push(TcpStream::connect(server.address).await.unwrap());
        }
        assert_eq!(get(&server, "/healthz", "").await.0, 200);
    }

    #[tokio::test]
    async fn silent_clients_lose_their_place() {
        let server = start(None).await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(server.address).await.unwrap());
        }
        // All places are taken, so this is served when the first of them has been thrown out.
        assert_eq!(get(&server, "/healthz", "").await.0, 200);
    }

    #[tokio::test]
    async fn ends_when_told_and_drops_what_is_open() {
        let server = start(None).await;
        let mut open = TcpStream::connect(server.address).await.unwrap();
        open.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        open.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        server.stop.send(()).unwrap();
        timeout(Duration::from_secs(20), server.task).await.unwrap().unwrap();
        let mut rest = Vec::new();
        timeout(Duration::from_secs(20), open.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
