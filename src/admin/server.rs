//! The admin server: accepts connections, apart from the traffic. Bounded, so that a bad client cannot hold it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::admin::Site;

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// For one header, and between two requests.
const HEADER: Duration = Duration::from_secs(5);
/// For a connection, whatever it does but have texts judged.
const CONNECTION: Duration = Duration::from_secs(60);
/// What hyper reads ahead, at most: a request's header must fit.
const BUFFER: usize = 16 << 10;
const HEADERS: usize = 64;
/// After a failed accept (no file descriptors left, say).
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` ends; then open connections are dropped.
pub async fn serve(listener: TcpListener, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
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
                    let site = site.clone();
                    connections.spawn(async move {
                        let _permit = permit;
                        connection(stream, site).await;
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

/// How long a connection may last.
pub struct Lease(watch::Sender<Instant>);

impl Lease {
    /// From now on so long, and as long as any connection may beyond it.
    pub fn extend(&self, by: Duration) {
        self.0.send_replace(Instant::now() + by + CONNECTION);
    }

    /// Does what takes as long as it takes, such as the start of an engine: the lease does not run out before.
    pub async fn hold<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            self.extend(CONNECTION);
            if let Ok(done) = timeout(CONNECTION, work.as_mut()).await {
                return done;
            }
        }
    }
}

/// Waits until a lease has run out, however often it is extended.
async fn run_out(mut lease: watch::Receiver<Instant>) {
    loop {
        let end = *lease.borrow_and_update();
        tokio::select! {
            () = sleep_until(end) => return,
            Ok(()) = lease.changed() => {}
        }
    }
}

/// Until it ends or has had its time. A client that breaks off or is too slow is no news.
async fn connection(stream: TcpStream, site: Arc<Site>) {
    let (until, lease) = watch::channel(Instant::now() + CONNECTION);
    let until = Arc::new(Lease(until));
    let service = service_fn(|request: Request<_>| {
        let (site, until) = (site.clone(), until.clone());
        async move { Ok::<_, Infallible>(site.answer(request, &until).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        () = run_out(lease) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use std::time::SystemTime;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;
    use crate::admin::{AdminState, Status};

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
        let site = Site::new(token, address, state.clone(), None);
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, Arc::new(site), shutdown));
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
        send(server, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")).await
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
            send(&server, "POST /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
                .await;
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
        let long = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(BUFFER));
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

    #[tokio::test(start_paused = true)]
    async fn a_connection_lasts_while_an_engine_starts_and_a_verdict_comes() {
        let (until, lease) = watch::channel(Instant::now() + CONNECTION);
        let held = Lease(until);
        let (start, verdict) = (100 * CONNECTION, 5 * CONNECTION);
        let work = async {
            held.hold(sleep(start)).await;
            held.extend(verdict);
            sleep(verdict).await;
        };
        tokio::select! {
            () = run_out(lease.clone()) => panic!("it ran out before"),
            () = work => {}
        }
        tokio::select! {
            () = run_out(lease) => {}
            () = sleep(start) => panic!("it never runs out"),
        }
    }

    #[tokio::test]
    async fn ends_when_told_and_drops_what_is_open() {
        let server = start(None).await;
        let mut open = TcpStream::connect(server.address).await.unwrap();
        open.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
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
