//! One endpoint: carries a request to a server and its answer back, over connections that it keeps. Each phase has its own
//! bound and its own error.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::config::{Remote, Url};
use crate::remote::{Phase, RemoteError};

/// Bytes of an answer, at most: one of 8000 tokens, each with its log-probabilities, is half of it.
const LIMIT: usize = 8 << 20;
/// Bytes of an answer's header, at most.
const HEAD_LIMIT: usize = 64 << 10;
/// Connections that wait for their next request: each for so long, which is less than most servers give one.
const IDLE: Duration = Duration::from_secs(4);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// A server, and the connections to it that wait for a request.
pub struct Endpoint {
    url: Url,
    /// For people, and the metrics.
    name: Arc<str>,
    /// Of every request.
    headers: HeaderMap,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    connect_timeout: Duration,
    first_byte_timeout: Option<Duration>,
    idle_timeout: Duration,
    /// The last used at the end.
    kept: Mutex<Vec<(Instant, Sender)>>,
}

type Sender = SendRequest<Full<Bytes>>;

/// Why no request can ever be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("`{0}` is no name that a certificate could have")]
    ServerName(String),
    #[error("the credential can't stand in a header")]
    Credential,
    #[error("nobody is trusted to say who the server is")]
    NoTrust,
}

impl Endpoint {
    /// `tls` is used where the URL asks for it, and an error where it does and there is none.
    pub fn new(url: &Url, settings: &Remote, tls: Option<&Arc<ClientConfig>>) -> Result<Self, EndpointError> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, url.authority.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some((name, secret)) = &settings.credential {
            headers.insert(name, sensitive(secret.expose()).ok_or(EndpointError::Credential)?);
        }
        let server_name = || ServerName::try_from(url.host.clone());
        let wrong_name = |_| EndpointError::ServerName(url.host.clone());
        let tls = match (url.tls, tls) {
            (false, _) => None,
            (true, Some(config)) => Some((config.clone(), server_name().map_err(wrong_name)?)),
            (true, None) => return Err(EndpointError::NoTrust),
        };
        Ok(Endpoint {
            url: url.clone(),
            name: url.to_string().into(),
            headers,
            tls,
            connect_timeout: settings.connect_timeout,
            first_byte_timeout: settings.first_byte_timeout,
            idle_timeout: settings.idle_timeout,
            kept: Mutex::default(),
        })
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Sends JSON and reads the answer whole, a success's body. `path` follows the URL's base path. Dropping the future ends
    /// the exchange, and with it the connection.
    pub async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, RemoteError> {
        self.exchange(Method::POST, path, body, self.first_byte_timeout).await
    }

    /// Asks for a path, within a time for the first byte.
    pub async fn get(&self, path: &str, within: Duration) -> Result<Bytes, RemoteError> {
        self.exchange(Method::GET, path, Bytes::new(), Some(within)).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        first_byte: Option<Duration>,
    ) -> Result<Bytes, RemoteError> {
        let mut kept = self.take();
        loop {
            // A connection that was kept may have been closed meanwhile: a new one tells.
            let again = kept.is_some();
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            let request = self.request(&method, path, body.clone());
            let sent = sender.send_request(request);
            let response = match first_byte {
                Some(within) => timeout(within, sent).await.map_err(|_| RemoteError::Timeout(Phase::Head))?,
                None => sent.await,
            };
            match response.map_err(|error| lost(&error)) {
                Err(RemoteError::Reset) if again => {}
                Err(error) => return Err(error),
                Ok(response) => return self.answer(response, sender).await,
            }
        }
    }

    async fn answer(&self, response: Response<Incoming>, sender: Sender) -> Result<Bytes, RemoteError> {
        let status = response.status();
        if status != StatusCode::OK {
            // What it says beside that is not read: the connection goes with it.
            let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(RemoteError::Status { status: status.as_u16(), retry_after: seconds.map(Duration::from_secs) });
        }
        let mut body = response.into_body();
        let mut read = Vec::new();
        if body.size_hint().lower() > LIMIT as u64 {
            return Err(RemoteError::TooLarge { limit: LIMIT });
        }
        while let Some(frame) =
            timeout(self.idle_timeout, body.frame()).await.map_err(|_| RemoteError::Timeout(Phase::Body))?
        {
            let frame = frame.map_err(|_| RemoteError::BrokenOff)?;
            let Ok(data) = frame.into_data() else { continue };
            if read.len() + data.len() > LIMIT {
                return Err(RemoteError::TooLarge { limit: LIMIT });
            }
            read.extend_from_slice(&data);
        }
        self.keep(sender);
        Ok(read.into())
    }

    fn request(&self, method: &Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let has_body = *method == Method::POST;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.headers_mut() = self.headers.clone();
        // Both were parsed as paths, so their concatenation is one.
        *request.uri_mut() = format!("{}{path}", self.url.base_path).parse().unwrap_or_default();
        if has_body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
    }

    async fn connect(&self) -> Result<Sender, RemoteError> {
        let connected = timeout(self.connect_timeout, async {
            let stream = self.tcp().await?;
            match &self.tls {
                None => shake_hands(stream).await,
                Some((config, name)) => {
                    let connector = TlsConnector::from(config.clone());
                    let stream = connector.connect(name.clone(), stream).await.map_err(|error| tls(&error))?;
                    shake_hands(stream).await
                }
            }
        });
        connected.await.unwrap_or(Err(RemoteError::Timeout(Phase::Connect)))
    }

    async fn tcp(&self) -> Result<TcpStream, RemoteError> {
        let addresses = tokio::net::lookup_host((self.url.host.as_str(), self.url.port)).await;
        let mut last = RemoteError::Dns;
        for address in addresses.map_err(|_| RemoteError::Dns)?.take(ADDRESSES) {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Only a little faster with it: no reason to fail without.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => last = RemoteError::Refused,
                Err(error) => last = RemoteError::Unreachable(error.kind()),
            }
        }
        Err(last)
    }

    /// A connection that waits, if it waits not too long.
    fn take(&self) -> Option<Sender> {
        let mut kept = self.kept();
        kept.retain(|(since, sender)| since.elapsed() < IDLE && !sender.is_closed());
        // One that has just ended an exchange may not have noticed yet.
        let at = kept.iter().rposition(|(_, sender)| sender.is_ready())?;
        Some(kept.remove(at).1)
    }

    fn keep(&self, sender: Sender) {
        if !sender.is_closed() {
            self.kept().push((Instant::now(), sender));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(Instant, Sender)>> {
        // A panic under the lock leaves a list of connections all the same.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection's task ends by itself: with its sender.
async fn shake_hands<S>(stream: S) -> Result<Sender, RemoteError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|_| RemoteError::Reset)?;
    // Its errors are told to whoever waits for an answer on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// What it means that no head of an answer came.
fn lost(error: &hyper::Error) -> RemoteError {
    if error.is_parse_too_large() {
        RemoteError::TooLarge { limit: HEAD_LIMIT }
    } else if error.is_parse() {
        RemoteError::Garbage("it is not HTTP")
    } else {
        RemoteError::Reset
    }
}

/// TLS's own words for what is wrong with the other side, or that the connection was lost.
fn tls(error: &io::Error) -> RemoteError {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let words = match cause {
        Some(rustls::Error::InvalidCertificate(why)) => format!("invalid certificate: {why:?}"),
        Some(rustls::Error::AlertReceived(alert)) => format!("the server said {alert:?}"),
        Some(_) => "the server does not speak it as it should".to_owned(),
        None => "the connection was closed".to_owned(),
    };
    RemoteError::Tls(words.into())
}

fn sensitive(secret: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret).ok()?;
    value.set_sensitive(true);
    Some(value)
}
