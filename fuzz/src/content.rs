//! Content codings: what is taken off ends where the body ends, and the limit holds.

use portcullis::proxy::{Coding, DecodeError};

const LIMIT: usize = 1 << 16;

/// The first byte picks the coding.
pub fn check(mut data: &[u8]) {
    let Some(first) = data.split_off_first() else { return };
    let coding = [Coding::Gzip, Coding::Brotli, Coding::Zstd][usize::from(first % 3)];
    let decode = |body: &[u8], limit| coding.decode(body, limit);
    let Ok(decoded) = decode(data, LIMIT) else { return };
    assert!(decoded.len() <= LIMIT);
    assert_eq!(decode(data, LIMIT).as_ref(), Ok(&decoded));
    assert_eq!(decode(data, decoded.len()).as_ref(), Ok(&decoded));
    if let Some(limit) = decoded.len().checked_sub(1) {
        assert_eq!(decode(data, limit), Err(DecodeError::TooLarge { limit }));
    }
    // Not a byte more, not a byte less.
    assert_eq!(decode(&[data, b"a"].concat(), LIMIT), Err(DecodeError::Malformed));
    assert_eq!(decode(&[data, data].concat(), LIMIT), Err(DecodeError::Malformed));
    assert!(decode(&data[..data.len() - 1], LIMIT).is_err());
}
