//! Content codings of a request's body: one layer of gzip, Brotli or Zstandard, which is taken off before the body is read.
//! What goes upstream is not compressed. RFC 9110, section 8.4.

use std::io::{self, Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::Bytes;

/// The largest window that Zstandard may ask for, as a power of two: 8 MiB. RFC 9659, section 3.
const ZSTD_WINDOW: u32 = 23;
/// Brotli's output is taken so many bytes at a time.
const PIECE: usize = 64 << 10;

/// A coding that can be taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("is not what its `Content-Encoding` says, to its last byte")]
    Malformed,
}

impl Coding {
    /// By its name in `Content-Encoding`.
    pub fn of(name: &str) -> Option<Self> {
        let known = [("gzip", Coding::Gzip), ("x-gzip", Coding::Gzip), ("br", Coding::Brotli), ("zstd", Coding::Zstd)];
        known.into_iter().find(|(own, _)| name.eq_ignore_ascii_case(own)).map(|(_, coding)| coding)
    }

    /// The body without the coding, at most `limit` bytes. What follows the first member or frame is an error: others might
    /// read it, or not.
    pub fn decode(self, body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
        let mut rest = body;
        let decoded = match self {
            Coding::Gzip => bounded(flate2::bufread::GzDecoder::new(&mut rest), limit),
            Coding::Brotli => brotli(&mut rest, limit),
            Coding::Zstd => zstd::stream::read::Decoder::with_buffer(&mut rest).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW)?;
                bounded(decoder.single_frame(), limit)
            }),
        };
        let decoded = decoded.map_err(|_| DecodeError::Malformed)?;
        match decoded.len() > limit {
            true => Err(DecodeError::TooLarge { limit }),
            false if rest.is_empty() => Ok(decoded.into()),
            false => Err(DecodeError::Malformed),
        }
    }
}

/// All there is to read, up to one byte more than `limit`.
fn bounded(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut out)?;
    Ok(out)
}

/// The same of a Brotli stream. The crate's own reader reads ahead, and would not tell what follows the stream.
fn brotli(rest: &mut &[u8], limit: usize) -> io::Result<Vec<u8>> {
    let mut state = BrotliState::new(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let mut out = Vec::new();
    let mut piece = vec![0; PIECE];
    let (mut available_in, mut read, mut total) = (rest.len(), 0, 0);
    loop {
        let (mut available_out, mut written) = (piece.len(), 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut read,
            rest,
            &mut available_out,
            &mut written,
            &mut piece,
            &mut total,
            &mut state,
        );
        // Never more than the function has just been given.
        out.extend_from_slice(&piece[..written]);
        match result {
            BrotliResult::NeedsMoreOutput if out.len() <= limit => {}
            BrotliResult::NeedsMoreOutput | BrotliResult::ResultSuccess => break,
            BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    *rest = &rest[read..];
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    fn encode(coding: Coding, body: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Brotli => {
                let mut out = Vec::new();
                brotli::BrotliCompress(&mut &body[..], &mut out, &Default::default()).unwrap();
                out
            }
            Coding::Zstd => zstd::encode_all(body, 1).unwrap(),
        }
    }

    #[test]
    fn what_follows_is_refused() {
        for coding in ALL {
            let one = encode(coding, b"{}");
            assert_eq!(coding.decode(&one, 10).as_deref(), Ok(&b"{}"[..]), "{coding:?}");
            for more in [&b"x"[..], &one] {
                assert_eq!(coding.decode(&[&one, more].concat(), 10), Err(DecodeError::Malformed), "{coding:?}");
            }
            for end in 0..one.len() {
                assert_eq!(coding.decode(&one[..end], 10), Err(DecodeError::Malformed), "{coding:?} {end}");
            }
        }
    }

    #[test]
    fn a_frame_that_says_nothing_hides_none() {
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0][..], b"hi"].concat();
        let body = [skippable, encode(Coding::Zstd, b"{}")].concat();
        assert_eq!(Coding::Zstd.decode(&body, 10), Err(DecodeError::Malformed));
    }

    #[test]
    fn bombs_end_at_the_limit() {
        let zeros = vec![0; 4 << 20];
        for coding in ALL {
            let bomb = encode(coding, &zeros);
            assert!(bomb.len() < 32 << 10, "{coding:?}");
            assert_eq!(coding.decode(&bomb, 1 << 20), Err(DecodeError::TooLarge { limit: 1 << 20 }), "{coding:?}");
            assert_eq!(coding.decode(&bomb, 4 << 20).map(|body| body.len()), Ok(4 << 20), "{coding:?}");
        }
    }

    #[test]
    fn a_window_that_is_too_large_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(&[b'a'; 100_000]).unwrap();
        let wide = encoder.finish().unwrap();
        assert_eq!(Coding::Zstd.decode(&wide, 1 << 20), Err(DecodeError::Malformed));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(body: Vec<u8>) {
            for coding in ALL {
                let decoded = coding.decode(&encode(coding, &body), body.len());
                prop_assert_eq!(decoded.as_deref(), Ok(&body[..]));
            }
        }

        #[test]
        fn any_bytes_end(body: Vec<u8>) {
            for coding in ALL {
                let _ = coding.decode(&body, 1000);
            }
        }
    }
}
