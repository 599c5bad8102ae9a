//! HTTP/1.1 messages on the wire, read without mercy and without a library, so that a test sees what was really sent.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Start line and headers, as they came.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// All of it, with the empty line at the end.
    pub raw: String,
    pub start: String,
    /// In order; names in lower case.
    pub headers: Vec<(String, String)>,
}

/// How the body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    None,
    Exact(usize),
    Chunked,
    UntilClose,
}

/// Reads messages from one side of a connection.
pub struct Reader<R> {
    source: R,
    /// Bytes read and not yet consumed.
    buffer: Vec<u8>,
}

impl Head {
    fn parse(raw: &[u8]) -> Self {
        let raw = String::from_utf8_lossy(raw).into_owned();
        let mut lines = raw.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let pair =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let headers = lines.filter_map(pair).collect();
        Head { raw, start, headers }
    }

    /// The value of a header that may be there at most once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() <= 1, "{name} is there {} times:\n{}", values.len(), self.raw);
        values.first().copied()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn length(&self, default: Length) -> Length {
        if self.all("transfer-encoding").iter().any(|v| v.eq_ignore_ascii_case("chunked")) {
            return Length::Chunked;
        }
        match self.header("content-length") {
            Some(length) => Length::Exact(length.parse().expect("a number as content-length")),
            None => default,
        }
    }
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(source: R) -> Self {
        Reader::resume(source, Vec::new())
    }

    /// Goes on with bytes that an earlier reader had left.
    pub fn resume(source: R, buffer: Vec<u8>) -> Self {
        Reader { source, buffer }
    }

    pub fn into_rest(self) -> Vec<u8> {
        self.buffer
    }

    /// The next head; `None` where the other side has closed instead.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let raw: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return Ok(Some(Head::parse(&raw)));
            }
            if !self.fill().await? {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the middle of a head")),
                };
            }
        }
    }

    /// The next piece of a body: one chunk, or what there is of it. `None` at its end. Bytes as on the wire are added
    /// to `raw`.
    pub async fn piece(&mut self, length: &mut Length, raw: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
        match length {
            Length::None | Length::Exact(0) => Ok(None),
            Length::Exact(left) => {
                self.some().await?;
                let piece: Vec<u8> = self.buffer.drain(..self.buffer.len().min(*left)).collect();
                *left -= piece.len();
                raw.extend_from_slice(&piece);
                Ok(Some(piece))
            }
            Length::UntilClose => match self.buffer.is_empty() && !self.fill().await? {
                true => Ok(None),
                false => {
                    let piece = std::mem::take(&mut self.buffer);
                    raw.extend_from_slice(&piece);
                    Ok(Some(piece))
                }
            },
            Length::Chunked => {
                let line = self.line(raw).await?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(size, 16).map_err(|_| invalid(&format!("chunk size {line:?}")))?;
                if size == 0 {
                    while !self.line(raw).await?.is_empty() {}
                    *length = Length::None;
                    return Ok(None);
                }
                while self.buffer.len() < size + 2 {
                    self.more().await?;
                }
                let piece: Vec<u8> = self.buffer.drain(..size + 2).collect();
                raw.extend_from_slice(&piece);
                if !piece.ends_with(b"\r\n") {
                    return Err(invalid("a chunk that is longer than its size"));
                }
                Ok(Some(piece[..size].to_vec()))
            }
        }
    }

    /// A whole body, decoded.
    pub async fn body(&mut self, mut length: Length, raw: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(&mut length, raw).await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Waits until the other side has closed; what comes before that is kept for the next message.
    pub async fn closed(&mut self) {
        while matches!(self.fill().await, Ok(true)) {}
    }

    /// Bytes that came and were not asked for.
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }

    async fn line(&mut self, raw: &mut Vec<u8>) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                raw.extend_from_slice(&line);
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.more().await?;
        }
    }

    async fn some(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { self.more().await } else { Ok(()) }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.fill().await? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the middle of a body")),
        }
    }

    async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.source.read_buf(&mut self.buffer).await? > 0)
    }
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
