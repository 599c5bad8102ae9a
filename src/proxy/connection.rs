//! A client's connection, watched: a total deadline and a size for each request header, and an idle limit between requests.
//! Pingora's own timeouts are per read and end after the first request, so a client that drips bytes would stay for ever.
//! A header that can't be read is refused here: Pingora makes no request of it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::live::Limits;
use crate::proxy::refused::Refused;
use crate::proxy::reply;

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
    /// Bytes of the current header, so far and at most.
    header: usize,
    max_header: usize,
    /// Whether the shutdown has begun.
    closing: bool,
    socket: Arc<SocketDigest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    /// Pingora closes an idle HTTP/2 connection itself; its streams' bodies have deadlines of ours.
    Http2,
}

/// Tells the connection where in a request it stands. Shared with the exchange and the server.
#[derive(Debug, Default)]
pub struct Clock {
    state: AtomicU64,
    /// Why a header never became a request. Ends the connection.
    refused: OnceLock<Refused>,
}

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

    /// Why the connection's last header was refused, if it was.
    pub fn refused(&self) -> Option<&Refused> {
        self.refused.get()
    }

    fn advance_to(&self, phase: Phase) {
        // One task owns the connection, so nothing else moves the count between load and store.
        let mut state = self.state();
        while Clock::phase_of(state) != phase {
            state += 1;
        }
        self.state.store(state, Ordering::Relaxed);
    }

    fn state(&self) -> u64 {
        self.state.load(Ordering::Relaxed)
    }

    fn phase(&self) -> Phase {
        Clock::phase_of(self.state())
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
    /// peer. Errors when the first bytes do not come within the header's time, or the client leaves.
    pub async fn accept(stream: Stream, socket: Arc<SocketDigest>, limits: &Limits) -> io::Result<Self> {
        let mut connection = Connection {
            io: BufWriter::with_capacity(4096, stream),
            sniffed: BytesMut::new(),
            protocol: Protocol::Http1,
            clock: Arc::default(),
            timer: Box::pin(sleep(limits.header_timeout)),
            timed: None,
            header_timeout: limits.header_timeout,
            header: 0,
            max_header: limits.max_header,
            closing: false,
            socket,
        };
        timeout(limits.header_timeout, connection.sniff()).await??;
        connection.header = connection.sniffed.len();
        // What was sniffed counts as the header's begin.
        connection.clock.advance_to(Phase::Header);
        connection.timed = Some(connection.clock.state());
        let negotiated = matches!(connection.selected_alpn_proto(), Some(ALPN::H2));
        let preface = connection.sniffed == H2_PREFACE;
        match (connection.get_ssl_digest().is_some(), negotiated, preface) {
            (false, _, true) | (true, true, true) => connection.protocol = Protocol::Http2,
            (true, true, false) => return Err(io::Error::new(io::ErrorKind::InvalidData, "no HTTP/2 preface")),
            _ => {}
        }
        Ok(connection)
    }

    /// For the exchange, to find its connection again from Pingora's session, and for the server.
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
        Ok(())
    }

    /// Whether a header is being read. Frames of HTTP/2 have limits of their own.
    fn in_header(&self) -> bool {
        self.protocol == Protocol::Http1 && self.clock.phase() == Phase::Header
    }

    /// Ends the connection at this header. The client is told when Pingora shuts it down.
    fn refuse(&self, refused: Refused) -> io::Error {
        let error = io::Error::new(io::ErrorKind::InvalidData, refused.to_string());
        // The first reason stands.
        let _ = self.clock.refused.set(refused);
        error
    }

    /// Reads what the client still sends, up to a limit. Closing a socket with unread bytes resets it, and the reset can
    /// overtake the refusal.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while self.header < reply::LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            match buf.filled().len() {
                0 => break,
                count => self.header += count,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Errors once the phase has lasted too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let state = self.clock.state();
        let limit = match (self.protocol, Clock::phase_of(state)) {
            (Protocol::Http2, _) | (_, Phase::Open) => return Ok(()),
            (_, Phase::Header) => self.header_timeout,
            (_, Phase::Idle) => IDLE_LIMIT,
        };
        if self.timed != Some(state) {
            self.timed = Some(state);
            self.timer.as_mut().reset(Instant::now() + limit);
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) if self.in_header() => Err(self.refuse(Refused::HeaderTimeout { after: limit })),
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
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
        // Whoever reads on does so because the header is not complete.
        if this.in_header() && this.header >= this.max_header {
            let refused = Refused::HeaderTooLarge { limit: this.max_header };
            return Poll::Ready(Err(this.refuse(refused)));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        if count > 0 && this.clock.phase() == Phase::Idle {
            this.clock.advance_to(Phase::Header);
            this.header = 0;
        }
        this.header += count;
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.in_header() {
            // No request has come of it, so this is Pingora's own bare refusal: ours takes its place.
            this.refuse(Refused::Unreadable);
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut this.io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    /// Tells a refusal first, if there is one. Takes a moment at most: a client that reads nothing is not waited for.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let clock = this.clock.clone();
        if !this.closing {
            this.closing = true;
            this.timer.as_mut().reset(Instant::now() + reply::LINGER);
            if let Some(refused) = clock.refused() {
                // Smaller than the buffer, which nothing else is in: taken whole and at once.
                let _ = Pin::new(&mut this.io).poll_write(cx, &reply::bare(refused))?;
            }
        }
        if this.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        match clock.refused() {
            Some(_) => this.poll_drain(cx),
            None => Poll::Ready(Ok(())),
        }
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
        let _ = AsyncWriteExt::shutdown(self).await;
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
