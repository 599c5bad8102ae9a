//! An upstream on bare sockets: records every request to the byte, answers by script, and tells who hung up.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::message::{Head, Length, Reader};
use super::script::{Answer, Step};
use super::within;

/// A listening upstream. Stops when dropped.
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: tokio::task::JoinHandle<()>,
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub head: Head,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// The body's bytes on the wire, chunk sizes and all.
    pub raw_body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

impl Recorded {
    /// `POST`, `/v1/chat/completions`.
    pub fn target(&self) -> (&str, &str) {
        let mut parts = self.head.start.split(' ');
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8 in the request's body")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON in the request's body")
    }
}

/// What the upstream answers, by the number of requests before and the request.
type Script = Box<dyn Fn(usize, &Recorded) -> Answer + Send + Sync>;

struct Seen {
    script: Script,
    requests: Mutex<Vec<Recorded>>,
    counts: watch::Sender<Counts>,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    requests: usize,
    connections: usize,
    /// Connections that the other side closed while an answer was being given.
    hangups: usize,
    answers: usize,
}

impl Upstream {
    /// Answers every request with this.
    pub async fn start(answer: Answer) -> Self {
        Self::scripted(vec![answer]).await
    }

    /// Answers the first request with the first answer and so on; the last answer is repeated.
    pub async fn scripted(script: Vec<Answer>) -> Self {
        Self::listen(in_turn(script), None).await
    }

    /// Over TLS; the acceptor decides on ALPN.
    pub async fn scripted_tls(script: Vec<Answer>, acceptor: TlsAcceptor) -> Self {
        Self::listen(in_turn(script), Some(acceptor)).await
    }

    /// Answers each request by what it says.
    pub async fn answering(script: impl Fn(&Recorded) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(Box::new(move |_, request| script(request)), None).await
    }

    async fn listen(script: Script, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let counts = watch::Sender::new(Counts::default());
        let seen = Arc::new(Seen { script, requests: Mutex::new(Vec::new()), counts });
        let accepting = tokio::spawn(accept(listener, tls, Arc::clone(&seen)));
        Upstream { address, seen, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.seen.requests.lock().expect("no panic while held").clone()
    }

    /// The only request so far.
    pub fn request(&self) -> Recorded {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "expected one request");
        requests.remove(0)
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.seen.counts.borrow().connections
    }

    /// Waits until so many whole requests have come, in all.
    pub async fn received(&self, count: usize) {
        self.until(&format!("{count} requests at the upstream"), |counts| counts.requests >= count).await;
    }

    /// Waits until so many answers have been played to their end.
    pub async fn answered(&self, count: usize) {
        self.until(&format!("{count} answers of the upstream"), |counts| counts.answers >= count).await;
    }

    /// Waits until so many connections were closed by the proxy in the middle of an answer.
    pub async fn hung_up(&self, count: usize) {
        self.until(&format!("{count} hang-ups at the upstream"), |counts| counts.hangups >= count).await;
    }

    /// How many connections the proxy has closed in the middle of an answer.
    pub fn hangups(&self) -> usize {
        self.seen.counts.borrow().hangups
    }

    async fn until(&self, what: &str, reached: impl FnMut(&Counts) -> bool) {
        let mut counts = self.seen.counts.subscribe();
        within(what, counts.wait_for(reached)).await.expect("the upstream is alive");
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One after the other; the last is repeated.
fn in_turn(answers: Vec<Answer>) -> Script {
    assert!(!answers.is_empty(), "a script needs an answer");
    Box::new(move |number, _| answers[number.min(answers.len() - 1)].clone())
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, seen: Arc<Seen>) {
    // Dropped with this task: its connections end with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("accept");
        socket.set_nodelay(true).expect("TCP_NODELAY");
        let seen = Arc::clone(&seen);
        let tls = tls.clone();
        let mut number = 0;
        seen.counts.send_modify(|counts| {
            number = counts.connections;
            counts.connections += 1;
        });
        connections.spawn(async move {
            match tls {
                None => converse(socket, number, &seen, abort_on_drop).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        converse(stream, number, &seen, |stream| abort_on_drop(stream.get_ref().0)).await;
                    }
                }
            }
        });
    }
}

/// One connection, until either side closes it.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, number: usize, seen: &Seen, abort: impl Fn(&S)) {
    let mut pending = Vec::new();
    loop {
        let mut reader = Reader::resume(&mut stream, pending);
        let Ok(Some(head)) = reader.head().await else { return };
        let mut raw_body = Vec::new();
        let Ok(body) = reader.body(head.length(Length::None), &mut raw_body).await else { return };
        pending = reader.into_rest();
        let request = Recorded { head, body, raw_body, connection: number };
        let index = {
            let mut requests = seen.requests.lock().expect("no panic while held");
            requests.push(request.clone());
            requests.len() - 1
        };
        seen.counts.send_modify(|counts| counts.requests += 1);
        let answer = (seen.script)(index, &request);
        let (mut read, mut write) = tokio::io::split(&mut stream);
        let mut watching = Reader::resume(&mut read, pending);
        let end = tokio::select! {
            biased;
            end = play(&answer, &mut write) => end,
            () = watching.closed() => End::HungUp,
        };
        pending = watching.into_rest();
        match end {
            End::Kept => seen.counts.send_modify(|counts| counts.answers += 1),
            End::Closed => {
                let _ = stream.shutdown().await;
                seen.counts.send_modify(|counts| counts.answers += 1);
                return;
            }
            End::Reset => {
                abort(&stream);
                seen.counts.send_modify(|counts| counts.answers += 1);
                return;
            }
            End::HungUp => {
                seen.counts.send_modify(|counts| counts.hangups += 1);
                return;
            }
        }
    }
}

enum End {
    Kept,
    Closed,
    Reset,
    HungUp,
}

async fn play(answer: &Answer, to: &mut (impl AsyncWrite + Unpin)) -> End {
    for step in &answer.steps {
        match step {
            Step::Send(bytes) => {
                if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
                    return End::HungUp;
                }
            }
            Step::Sleep(time) => tokio::time::sleep(*time).await,
            Step::Await(cue) => cue.wait().await,
            Step::Stall => std::future::pending().await,
            Step::Close => return End::Closed,
            Step::Reset => return End::Reset,
        }
    }
    End::Kept
}

/// Makes the close of this socket an RST.
fn abort_on_drop(socket: &TcpStream) {
    let _ = socket.set_zero_linger();
}
