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

use crate::live::Current;
use crate::proxy::connection::Connection;
use crate::proxy::judge::Observers;
use crate::proxy::refused::Refused;
use crate::proxy::reply;
use crate::proxy::service::Service;
use crate::proxy::trail::Trail;
use crate::proxy::upstream::POOLED;
use crate::telemetry::Telemetry;

/// A TLS handshake takes at most so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// An HTTP/2 connection without open streams is closed after so long.
const H2_IDLE: Duration = Duration::from_secs(60);

/// The proxy, ready to be given listeners.
pub struct Server {
    proxy: Arc<HttpProxy<Service>>,
    current: Arc<Current>,
    telemetry: Arc<Telemetry>,
    observers: Observers,
    /// As many permits as connections may be open.
    connections: Arc<Semaphore>,
    max_connections: usize,
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
        let (current, telemetry) = (service.current.clone(), service.telemetry.clone());
        let observers = service.observers.clone();
        let pooled = POOLED.div_ceil(workers.max(1));
        let conf = ServerConf { threads: workers, upstream_keepalive_pool_size: pooled, ..ServerConf::default() };
        let mut proxy = HttpProxy::new(service, Arc::new(conf));
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(H2_IDLE);
        proxy.server_options = Some(options);
        proxy.handle_init_modules();
        let connections = Arc::new(Semaphore::new(max_connections));
        let stop = watch::Sender::new(false);
        Server { proxy: Arc::new(proxy), current, telemetry, observers, connections, max_connections, stop }
    }

    /// Serves a listener until the drain begins.
    pub async fn serve(self: Arc<Self>, listener: Listener) {
        let mut stop = self.stop.subscribe();
        let acceptor = listener.tls.map(|config| Arc::new(Acceptor::from_server_config(config)));
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(|stopped| *stopped) => return,
                accepted = listener.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, from)) => match self.connections.clone().try_acquire_owned() {
                    Ok(permit) => {
                        tokio::spawn(self.clone().connection(socket, from, acceptor.clone(), stop.clone(), permit));
                    }
                    Err(_) => self.turn_away(&socket, acceptor.is_some()),
                },
                Err(error) => {
                    tracing::error!(%error, "can't accept a connection");
                    // Out of file descriptors, most likely: give others time to close.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Stops accepting, ends idle connections, and waits until the others have ended and what they left to observers is
    /// judged, at most `limit`. Returns how many were still open.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.stop.send_replace(true);
        ServerApp::cleanup(&*self.proxy).await;
        // All permits are back when no connection is left.
        let all = u32::try_from(self.max_connections).unwrap_or(u32::MAX);
        let ended = async {
            let _ = self.connections.acquire_many(all).await;
            self.observers.idle().await;
        };
        let late = timeout(limit, ended).await.is_err();
        let left = self.max_connections - self.connections.available_permits().min(self.max_connections);
        if late && left == 0 {
            tracing::warn!("observers were still judging at the end of the drain");
        }
        left
    }

    async fn connection(
        self: Arc<Self>,
        socket: TcpStream,
        from: SocketAddr,
        tls: Option<Arc<Acceptor>>,
        mut stop: watch::Receiver<bool>,
        permit: OwnedSemaphorePermit,
    ) {
        let opened = tokio::select! {
            biased;
            opened = self.open(socket, from, tls) => opened,
            // Nothing has been asked on it yet.
            _ = stop.wait_for(|stopped| *stopped) => return,
        };
        match opened {
            Ok(connection) => {
                let clock = connection.clock();
                self.proxy.process_new(Box::new(connection), &stop).await;
                if let Some(refused) = clock.refused() {
                    self.record(refused);
                }
            }
            Err(error) => tracing::debug!(%from, %error, "connection ended before a request"),
        }
        drop(permit);
    }

    /// Tells a client that there are too many, where it would understand.
    fn turn_away(&self, socket: &TcpStream, tls: bool) {
        if !tls {
            // The client may not read it; the connection closes either way.
            let _ = socket.try_write(&reply::bare(&Refused::TooManyConnections));
        }
        self.record(&Refused::TooManyConnections);
    }

    /// Records a refusal that no exchange knows of.
    fn record(&self, refused: &Refused) {
        Trail::new(self.telemetry.clone(), &self.current.load(), None, None).finish(Some(refused));
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
        Connection::accept(stream, Arc::new(digest), &self.current.load().limits).await
    }
}
