//! Paths: one form for all readings, and one route for one path.

use portcullis::config::RoutePath;
use portcullis::live::canonical_path;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

/// A path, and behind each line feed a pattern.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let path = lines.next().unwrap_or_default();
    let canonical = canonical_path(path).ok();
    if let Some(canonical) = &canonical {
        assert_eq!(canonical_path(canonical).as_ref(), Ok(canonical));
        let read = decoded(canonical.as_bytes());
        assert_eq!(read, decoded(path.as_bytes()), "another path");
        // Whoever decodes it, once or again, sees the same segments.
        assert_eq!(decoded(&read), read);
        let slashes = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'/' || byte == b'\\').count();
        assert_eq!(slashes(&read), slashes(canonical.as_bytes()));
        assert!(!read.iter().any(|byte| byte.is_ascii_control() || *byte == b';'));
        let odd = |segment: &[u8]| segment.is_empty() || segment == b"." || segment == b"..";
        assert!(canonical == "/" || !read[1..].split(|&byte| byte == b'/').any(odd));
    }
    let patterns: Vec<RoutePath> = lines.filter_map(pattern).collect();
    for (at, one) in patterns.iter().enumerate() {
        assert_eq!(pattern(one.as_str()).as_ref(), Some(one));
        assert!(one.clashes(one));
        let Some(canonical) = &canonical else { continue };
        assert!(!one.takes(canonical) || one.may_take(canonical));
        for other in &patterns[..at] {
            assert_eq!(one.clashes(other), other.clashes(one));
            let both = one.may_take(canonical) && other.may_take(canonical);
            let ranked = one.reach() != other.reach() || one.as_str().len() != other.as_str().len();
            assert!(!both || ranked || one.clashes(other) || same_but_for_case(one, other), "{one} {other}");
        }
    }
}

/// One path in two spellings: each route takes its own to the letter.
fn same_but_for_case(one: &RoutePath, other: &RoutePath) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

fn pattern(text: &str) -> Option<RoutePath> {
    let deserializer: StrDeserializer<'_, Error> = text.into_deserializer();
    RoutePath::deserialize(deserializer).ok()
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                out.push(first);
                rest = after;
            }
        }
    }
    out
}
