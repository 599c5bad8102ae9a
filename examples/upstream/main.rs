//! A small stand-in for LLM APIs to put behind the proxy: OpenAI's, Azure's, Anthropic's, Gemini's, Bedrock's and Ollama's,
//! all on one port. It answers by rules, not with a model: see `rules.rs`. Each API has a file in `apis/`.

mod answer;
mod apis;
mod ask;
mod rules;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// A stand-in for the APIs of OpenAI, Azure, Anthropic, Gemini, Bedrock and Ollama, over HTTP/1.1 and h2c.
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Pause between two words of a stream.
    #[arg(long, default_value_t = 20)]
    delay_ms: u64,
    /// Written with the address once the server listens.
    #[arg(long)]
    port_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}; is it taken? choose another with --listen", options.listen))?;
    let address = listener.local_addr()?;
    if let Some(path) = &options.port_file {
        announce(path, address).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("listening on http://{address}");
    let settings = Arc::new(serve::Settings { delay: Duration::from_millis(options.delay_ms) });
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some will come free.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = socket.set_nodelay(true);
        let settings = Arc::clone(&settings);
        tokio::spawn(async move {
            let service = service_fn(move |request| serve::serve(request, Arc::clone(&settings)));
            // A client that hangs up in the middle is an error here, and no news.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

/// Renamed into place, so that a reader sees the whole address or no file.
fn announce(path: &std::path::Path, address: SocketAddr) -> std::io::Result<()> {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, address.to_string())?;
    std::fs::rename(draft, path)
}
