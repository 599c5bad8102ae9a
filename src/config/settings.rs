//! Settings: the sections of portcullis.toml, with their defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::config::value::{Count, Size, Time, via};
use crate::config::{Secret, Url};

/// Where clients connect. Relative paths are taken from the configuration file's directory, here and everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Plain HTTP/1.1 and h2c on one port.
    pub listen: Vec<SocketAddr>,
    pub tls: Vec<Tls>,
    /// Threads that carry traffic.
    pub workers: usize,
    pub max_connections: usize,
    /// On termination, open exchanges may go on at most this long.
    pub drain: Duration,
}

/// A TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub listen: SocketAddr,
    /// PEM: the certificate and its chain.
    pub cert: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// Where health, status and metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Always there when `listen` is not a loopback address.
    pub token: Option<Secret>,
    /// Whether the workbench is served: the page, and the paths that it asks.
    pub workbench: bool,
    /// Ids of the policies of `/v1/moderations`; none: those of the guardrails.
    pub moderations: Option<Vec<Arc<str>>>,
}

/// Where decisions are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// `-` is standard output.
    pub file: PathBuf,
    /// Judged text and rationale are written too.
    #[serde(default)]
    pub content: bool,
}

/// Bounds on what a client may send. Sizes in bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    #[serde(deserialize_with = "via::<Size, _, _>")]
    pub max_body: usize,
    #[serde(deserialize_with = "via::<Size, _, _>")]
    pub max_header: usize,
    #[serde(deserialize_with = "via::<Count, _, _>")]
    pub max_headers: usize,
    #[serde(deserialize_with = "via::<Time, _, _>")]
    pub header_timeout: Duration,
    #[serde(deserialize_with = "via::<Time, _, _>")]
    pub body_timeout: Duration,
    #[serde(deserialize_with = "via::<Count, _, _>")]
    pub max_segments: usize,
    #[serde(deserialize_with = "via::<Size, _, _>")]
    pub max_event: usize,
}

/// How an answer is held. Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    pub window: WindowSize,
    pub lookahead: usize,
    pub max_hold: Duration,
    pub max_held: usize,
    pub context: usize,
}

/// How far a channel grows before a window is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowSize {
    Bytes(usize),
    All,
}

/// An LLM API to forward to.
#[derive(Debug)]
pub struct Upstream {
    pub name: Arc<str>,
    pub url: Url,
    pub http: HttpVersion,
    /// A header that replaces whatever the client sent under that name; its value, prefix included.
    pub credential: Option<(HeaderName, Secret)>,
    /// Certificate authorities to trust instead of the system's.
    pub ca: Option<Arc<Vec<CertificateDer<'static>>>>,
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub idle_timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum HttpVersion {
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    #[serde(rename = "2")]
    Http2,
}

impl Admin {
    pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_body: 4 << 20,
            max_header: 64 << 10,
            max_headers: 100,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            max_segments: 32_768,
            max_event: 4 << 20,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            window: WindowSize::Bytes(200),
            lookahead: 64,
            max_hold: Duration::from_millis(500),
            max_held: 4 << 20,
            context: 32 << 10,
        }
    }
}

/// Threads that this machine can run at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl<'de> Deserialize<'de> for WindowSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let window = toml::Value::deserialize(deserializer)?;
        if window.as_str() == Some("all") {
            return Ok(WindowSize::All);
        }
        match Size::<1>::deserialize(window) {
            Ok(Size(bytes)) => Ok(WindowSize::Bytes(bytes)),
            Err(_) => {
                Err(D::Error::custom("this can't be a window, expected a number of bytes, at least 1, or \"all\""))
            }
        }
    }
}
