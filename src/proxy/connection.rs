//! A client's connection, watched: a total deadline for each request header, and an idle limit between requests. Pingora's
//! own timeouts are per read and end after the first request, so a client that drips bytes would stay for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufWriter, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What a client that speaks HTTP/2 without TLS sends first. RFC 9113, section 3.4.
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A kept connection may wait so long for its next request.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// A client's connection over TCP or TLS.
#[derive(Debug)]
pub struct Connection {
    io: BufWriter<Stream>,
    /// Bytes read to tell the protocol, not yet given out.
    sniffed: BytesMut,
    protocol: Protocol,
    clock: Arc<Clock>,
    timer: Pin<Box<Sleep>>,
    /// The state of the clock that `timer` was set for.
    timed: Option<u64>,
    header_timeout: Duration,
    socket: Arc<SocketDigest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    /// Pingora closes an idle HTTP/2 connection itself; its streams' bodies have deadlines of ours.
    Http2,
}

/// Tells the connection where in a request it stands. Shared with the exchange.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

/// The clock counts states; a request goes through three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waiting for a request's first byte.
    Idle,
    /// Reading its header.
    Header,
    /// The header is read: the exchange has its own deadlines.
    Open,
}

impl Clock {
    /// The header has been read.
    pub fn header_done(&self) {
        self.advance_to(Phase::Open);
    }

    /// The exchange is over; the next header may come.
    pub fn exchange_done(&self) {
        self.advance_to(Phase::Idle);
    }

    fn advance_to(&self, phase: Phase) {
        // One task owns the connection, so nothing else moves the count between load and store.
        let mut state = self.0.load(Ordering::Relaxed);
        while Clock::phase_of(state) != phase {
            state += 1;
        }
        self.0.store(state, Ordering::Relaxed);
    }

    fn state(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn phase_of(state: u64) -> Phase {
        match state % 3 {
            0 => Phase::Idle,
            1 => Phase::Header,
            _ => Phase::Open,
        }
    }
}

impl Connection {
    /// Takes a fresh connection and tells its protocol: by ALPN over TLS, else by its first bytes. `socket` names the
    /// peer. Errors when no byte comes within `header_timeout`, or the client leaves.
    pub async fn accept(stream: Stream, socket: Arc<SocketDigest>, header_timeout: Duration) -> io::Result<Self> {
        let mut connection = Connection {
            protocol: if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
                Protocol::Http2
            } else {
                Protocol::Http1
            },
            io: BufWriter::with_capacity(4096, stream),
            sniffed: BytesMut::new(),
            clock: Arc::default(),
            timer: Box::pin(sleep(header_timeout)),
            timed: None,
            header_timeout,
            socket,
        };
        if connection.io.get_ref().get_ssl_digest().is_none() {
            tokio::time::timeout(header_timeout, connection.sniff()).await??;
        }
        // What was sniffed counts as the header's begin.
        if !connection.sniffed.is_empty() {
            connection.clock.advance_to(Phase::Header);
        }
        Ok(connection)
    }

    /// For the exchange, to find its connection again from Pingora's session.
    pub fn clock(&self) -> Arc<Clock> {
        self.clock.clone()
    }

    /// Reads until the bytes are the HTTP/2 preface or cannot become it. A short HTTP/1 request must not wait for more.
    async fn sniff(&mut self) -> io::Result<()> {
        while H2_PREFACE.starts_with(&self.sniffed) && self.sniffed.len() < H2_PREFACE.len() {
            let room = H2_PREFACE.len() - self.sniffed.len();
            let mut limited = (&mut self.io).take(room as u64);
            if limited.read_buf(&mut self.sniffed).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if self.sniffed == H2_PREFACE {
            self.protocol = Protocol::Http2;
        }
        Ok(())
    }

    /// Errors once the phase has lasted too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let state = self.clock.state();
        let limit = match (self.protocol, Clock::phase_of(state)) {
            (Protocol::Http2, _) | (_, Phase::Open) => return Ok(()),
            (_, Phase::Header) => self.header_timeout,
            // A connection that has never asked for anything gets less patience.
            (_, Phase::Idle) if state == 0 => self.header_timeout,
            (_, Phase::Idle) => IDLE_LIMIT,
        };
        if self.timed != Some(state) {
            self.timed = Some(state);
            self.timer.as_mut().reset(Instant::now() + limit);
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "the request header took too long")),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.sniffed.is_empty() {
            let count = this.sniffed.len().min(buf.remaining());
            buf.put_slice(&this.sniffed[..count]);
            this.sniffed.advance(count);
            return Poll::Ready(Ok(()));
        }
        this.poll_deadline(cx)?;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if buf.filled().len() > before && Clock::phase_of(this.clock.state()) == Phase::Idle {
            this.clock.advance_to(Phase::Header);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[async_trait]
impl Peek for Connection {
    /// Pingora asks for the length of the HTTP/2 preface. An HTTP/1 connection answers with zeros, which are none.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        buf.fill(0);
        if self.protocol == Protocol::Http2 {
            let count = buf.len().min(self.sniffed.len());
            buf[..count].copy_from_slice(&self.sniffed[..count]);
        }
        Ok(true)
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // An error here means that the client is gone already.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut self.io).await;
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.io.get_ref().id()
    }
}

impl Ssl for Connection {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.io.get_ref().get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.get_ref().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.get_ref().selected_alpn_proto()
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.get_ref().get_timing_digest()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}
