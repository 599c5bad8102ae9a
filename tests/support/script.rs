//! What a scripted upstream does in answer to a request, step by step.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// One answer: bytes and what happens between them.
#[derive(Clone, Default)]
pub struct Answer {
    pub(super) steps: Vec<Step>,
}

#[derive(Clone)]
pub(super) enum Step {
    Send(Vec<u8>),
    Sleep(Duration),
    /// Until the test says so.
    Await(Cue),
    /// Says nothing more and keeps the connection open.
    Stall,
    /// Hangs up in the orderly way.
    Close,
    /// Hangs up with RST.
    Reset,
}

/// A signal from the test to the upstream. Given once, it lets one waiting step go on.
#[derive(Clone)]
pub struct Cue(Arc<Semaphore>);

impl Default for Cue {
    fn default() -> Self {
        Cue(Arc::new(Semaphore::new(0)))
    }
}

impl Cue {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn give(&self) {
        self.0.add_permits(1);
    }

    pub async fn wait(&self) {
        self.0.acquire().await.expect("never closed").forget();
    }
}

impl Answer {
    /// Exactly these bytes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Answer::default().send(bytes)
    }

    /// A whole answer with a content length.
    pub fn whole(status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        Answer::head(status, &[("content-type", content_type), ("content-length", &body.len().to_string())]).send(body)
    }

    pub fn json(body: impl AsRef<[u8]>) -> Self {
        Answer::whole(200, "application/json", body)
    }

    /// An error in OpenAI's shape.
    pub fn error(status: u16, code: &str) -> Self {
        let body = serde_json::json!({ "error": { "message": "no", "type": "error", "param": null, "code": code } });
        Answer::whole(status, "application/json", body.to_string())
    }

    /// A head alone; say how the body is delimited.
    pub fn head(status: u16, headers: &[(&str, &str)]) -> Self {
        let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        Answer::raw(head + "\r\n")
    }

    /// An interim answer (100, 103) before what follows.
    pub fn interim(status: u16, headers: &[(&str, &str)]) -> Self {
        Answer::head(status, headers)
    }

    /// The head of a chunked event stream; go on with [`Answer::event`], end with [`Answer::done`].
    pub fn stream() -> Self {
        Answer::head(200, &[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
    }

    /// A whole event stream of these `data:` payloads, ended by `[DONE]`.
    pub fn events<S: AsRef<str>>(datas: impl IntoIterator<Item = S>) -> Self {
        datas.into_iter().fold(Answer::stream(), |answer, data| answer.event(data)).done()
    }

    /// One event in a chunk of its own.
    pub fn event(self, data: impl AsRef<str>) -> Self {
        self.chunk(format!("data: {}\n\n", data.as_ref()))
    }

    /// `[DONE]`, and the last chunk.
    pub fn done(self) -> Self {
        self.event("[DONE]").end()
    }

    /// The last chunk.
    pub fn end(self) -> Self {
        self.send("0\r\n\r\n")
    }

    /// One chunk of a chunked body.
    pub fn chunk(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.send([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
    }

    pub fn send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Send(bytes.into()));
        self
    }

    /// Sends byte by byte, each in a write of its own.
    pub fn drip(mut self, bytes: impl AsRef<[u8]>, every: Duration) -> Self {
        for byte in bytes.as_ref() {
            self.steps.extend([Step::Send(vec![*byte]), Step::Sleep(every)]);
        }
        self
    }

    pub fn sleep(mut self, time: Duration) -> Self {
        self.steps.push(Step::Sleep(time));
        self
    }

    pub fn wait(mut self, cue: &Cue) -> Self {
        self.steps.push(Step::Await(cue.clone()));
        self
    }

    pub fn stall(mut self) -> Self {
        self.steps.push(Step::Stall);
        self
    }

    pub fn close(mut self) -> Self {
        self.steps.push(Step::Close);
        self
    }

    pub fn reset(mut self) -> Self {
        self.steps.push(Step::Reset);
        self
    }

    /// Both, one after the other.
    pub fn then(mut self, next: Answer) -> Self {
        self.steps.extend(next.steps);
        self
    }
}
