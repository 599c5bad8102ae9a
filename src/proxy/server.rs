//! Listeners, the connection cap, and the drain: stop taking connections, let what is open end, leave early when idle.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora::protocols::l4::stream::Stream as TcpIo;
use pingora::protocols::{SocketDigest, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::proxy::connection::Connection;
use crate::proxy::service::Service;

/// A TLS handshake takes at most so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// An HTTP/2 connection without open streams is closed after so long.
const H2_IDLE: Duration = Duration::from_secs(60);

/// The proxy, ready to be given listeners.
pub struct Server {
    proxy: Arc<HttpProxy<Service>>,
    /// As many permits as connections may be open.
    connections: Arc<Semaphore>,
    max_connections: usize,
    header_timeout: Duration,
    stop: watch::Sender<bool>,
}

/// A listening socket, and its certificate if it speaks TLS.
pub struct Listener {
    pub socket: TcpListener,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

impl Server {
    /// `workers` sizes the pools of Pingora that are kept by thread.
    pub fn new(service: Service, max_connections: usize, workers: usize) -> Self {
        let header_timeout = service.current.load().limits.header_timeout;
        let conf = ServerConf { threads: workers, ..ServerConf::default() };
        let mut proxy = HttpProxy::new(service, Arc::new(conf));
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(H2_IDLE);
        proxy.server_options = Some(options);
        proxy.handle_init_modules();
        let connections = Arc::new(Semaphore::new(max_connections));
        Server { proxy: Arc::new(proxy), connections, max_connections, header_timeout, stop: watch::Sender::new(false) }
    }

    /// Serves a listener until the drain begins.
    pub async fn serve(self: Arc<Self>, listener: Listener) {
        let mut stop = self.stop.subscribe();
        let acceptor = listener.tls.map(|config| Arc::new(Acceptor::from_server_config(config)));
        loop {
            let accepted = tokio::select! {
                accepted = listener.socket.accept() => accepted,
                _ = stop.wait_for(|stopped| *stopped) => return,
            };
            match accepted {
                Ok((socket, from)) => match self.connections.clone().try_acquire_owned() {
                    Ok(permit) => {
                        tokio::spawn(self.clone().connection(socket, from, acceptor.clone(), permit));
                    }
                    Err(_) => turn_away(&socket, acceptor.is_some()),
                },
                Err(error) => {
                    tracing::error!(%error, "can't accept a connection");
                    // Out of file descriptors, most likely: give others time to close.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Stops accepting, ends idle connections, and waits until the others have ended, at most `limit`. Returns how many
    /// were still open.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.stop.send_replace(true);
        ServerApp::cleanup(&*self.proxy).await;
        // All permits are back when no connection is left.
        let all = u32::try_from(self.max_connections).unwrap_or(u32::MAX);
        let _ = timeout(limit, self.connections.acquire_many(all)).await;
        self.max_connections - self.connections.available_permits().min(self.max_connections)
    }

    async fn connection(
        self: Arc<Self>,
        socket: TcpStream,
        from: SocketAddr,
        tls: Option<Arc<Acceptor>>,
        permit: OwnedSemaphorePermit,
    ) {
        match self.open(socket, from, tls).await {
            Ok(connection) => {
                self.proxy.process_new(Box::new(connection), &self.stop.subscribe()).await;
            }
            Err(error) => tracing::debug!(%from, %error, "connection ended before a request"),
        }
        drop(permit);
    }

    async fn open(&self, socket: TcpStream, from: SocketAddr, tls: Option<Arc<Acceptor>>) -> io::Result<Connection> {
        socket.set_nodelay(true)?;
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // The cell is new, so nothing has been set before.
        let _ = digest.peer_addr.set(Some(PeerAddr::Inet(from)));
        let io = TcpIo::from(socket);
        let stream: Stream = match tls {
            None => Box::new(io),
            Some(acceptor) => {
                Box::new(timeout(HANDSHAKE, acceptor.tls_handshake(io)).await?.map_err(io::Error::other)?)
            }
        };
        Connection::accept(stream, Arc::new(digest), self.header_timeout).await
    }
}

/// Tells a client that there are too many, where it would understand.
fn turn_away(socket: &TcpStream, tls: bool) {
    tracing::warn!("connection limit reached; a connection was turned away");
    if !tls {
        // The client may not read it; the connection closes either way.
        let _ = socket.try_write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        );
    }
}
