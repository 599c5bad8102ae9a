//! The upstream of the measurements: says the same to everybody, and does nothing else.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;

use crate::listen;

/// Events of a stream, each of [`WORD`] bytes of text.
pub const EVENTS: usize = 40;
/// Between two events.
pub const PAUSE: Duration = Duration::from_millis(10);
/// Bytes of text in an event.
pub const WORD: usize = 8;
/// What the last quarter of a stream holds where the request asks for it.
pub const FORBIDDEN: &str = "forbid! ";
/// Text in the only event of a stream that stays open.
pub const HELD: usize = 1024;

/// Words in a request's body that choose the answer.
pub const STREAM: &str = "\"stream\":true";
pub const BAD: &str = "be bad";
pub const STALL: &str = "stay open";

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

const COMPLETION: &str = concat!(
    r#"{"id":"chatcmpl-1","object":"chat.completion","created":1735689600,"model":"m","system_fingerprint":"fp_1","#,
    r#""choices":[{"index":0,"message":{"role":"assistant","content":"The capital of France is Paris. It lies on the "#,
    r#"Seine, has about two million inhabitants, and has been the seat of government for most of the last thousand "#,
    r#"years.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":24,"completion_tokens":36,"total_tokens":60}}"#
);

/// Serves until it is killed.
pub fn run() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = listen();
        println!("listening on http://{}", listener.local_addr().expect("an address"));
        loop {
            let (socket, _) = listener.accept().await.expect("accept");
            let _ = socket.set_nodelay(true);
            let serving = hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(socket), service_fn(answer));
            // Hang-ups are no news.
            tokio::spawn(async move { serving.await.ok() });
        }
    });
}

async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asks = |word: &str| body.windows(word.len()).any(|window| window == word.as_bytes());
    if !asks(STREAM) {
        return Ok(with_type("application/json", Full::from(COMPLETION).boxed_unsync()));
    }
    let (bad, stall) = (asks(BAD), asks(STALL));
    let frames = stream::unfold(0, move |index| async move {
        let event = match index {
            0 if stall => chunk(&"held text ".repeat(HELD / 10)),
            _ if stall => std::future::pending().await,
            _ if index < EVENTS => {
                if index > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                chunk(if bad && index == EVENTS * 3 / 4 { FORBIDDEN } else { "plain w " })
            }
            _ if index == EVENTS => Bytes::from_static(
                b"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
            ),
            _ => return None,
        };
        Some((Ok(Frame::data(event)), index + 1))
    });
    Ok(with_type("text/event-stream", StreamBody::new(frames).boxed_unsync()))
}

fn chunk(text: &str) -> Bytes {
    format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    )
    .into()
}

fn with_type(media_type: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    answer
}
