//! What stands in the place of media: bytes as base64 or as a data URI, or the address where they are. A route may let it by
//! unjudged; what of it can be read as text is judged all the same.

use std::borrow::Cow;

use crate::text::Media;
use crate::wire::ids::from_base64;
use crate::wire::readings::{is_format, text_of};

/// Letters of base64 on end, at least, that are bytes wherever they stand.
const LEAST: usize = 256;

/// Bytes of an address, at most.
const MAX_ADDRESS: usize = 4096;

/// What a string in such a place is.
#[derive(Debug, PartialEq, Eq)]
pub enum Blob<'t> {
    /// Bytes that nobody reads.
    Opaque,
    /// A text: that of an address, or of the bytes.
    Text(Cow<'t, str>),
}

/// Media types of texts, besides `text/*` and what ends in `+json` or `+xml`.
const TEXTS: &[&str] = &[
    "application/json",
    "application/jsonl",
    "application/javascript",
    "application/ecmascript",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/typescript",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-sh",
    "application/x-yaml",
    "application/xml",
    "application/yaml",
];

/// Media types of anything else that these APIs speak of.
const BINARIES: &[&str] = &[
    "application/msword",
    "application/octet-stream",
    "application/pdf",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/zip",
    "audio/aac",
    "audio/aiff",
    "audio/flac",
    "audio/l16",
    "audio/m4a",
    "audio/mp3",
    "audio/mp4",
    "audio/mpeg",
    "audio/ogg",
    "audio/opus",
    "audio/pcm",
    "audio/wav",
    "audio/webm",
    "audio/x-wav",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/jpeg",
    "image/jpg",
    "image/png",
    "image/tiff",
    "image/webp",
    "video/3gpp",
    "video/avi",
    "video/mov",
    "video/mp4",
    "video/mpeg",
    "video/mpg",
    "video/quicktime",
    "video/webm",
    "video/wmv",
    "video/x-flv",
];

/// Names of hosts end so that are not of the public internet: of networks at home and at work, of clusters and what finds
/// services in them, and of other nets.
const PRIVATE: &[&str] = &[
    "arpa",
    "cluster",
    "consul",
    "corp",
    "docker",
    "home",
    "i2p",
    "internal",
    "intra",
    "intranet",
    "invalid",
    "kubernetes",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "localnet",
    "lxd",
    "mesh",
    "nomad",
    "onion",
    "private",
    "svc",
    "test",
    "vm",
];

impl<'t> Blob<'t> {
    /// Reads a string in the place of media of this kind; `None` where it is neither base64, a data URI nor an address that may
    /// be fetched, or a file of no known format that can't be read.
    pub fn read(text: &'t str, kind: Media) -> Option<Self> {
        if let Some(rest) = strip_scheme(text, "data:") {
            return data_uri(rest, kind);
        }
        if text.contains(':') {
            return is_address(text).then_some(Blob::Text(text.into()));
        }
        of_bytes(decode(text)?, kind)
    }
}

/// Whether a string is a data URI of what is no text, or bytes in base64.
///
/// No text is taken for such. Nobody writes 256 letters on end with small ones, capitals and digits among them and not one
/// blank or stop, and of what is written as base64 that can be read the text counts. A data URI must say of what type it is.
pub fn is_bytes(text: &str) -> bool {
    let text = text.trim_ascii();
    match strip_scheme(text, "data:") {
        Some(rest) => says_type(rest) && !matches!(data_uri(rest, Media::Image), Some(Blob::Text(_))),
        None => {
            let has = |fits: fn(&u8) -> bool| text.bytes().any(|byte| fits(&byte));
            let mixed = || has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
            text.len() >= LEAST && mixed() && decode(text).is_some_and(|bytes| text_of(bytes).is_none())
        }
    }
}

/// Whether a media type stands behind `data:`.
fn says_type(rest: &str) -> bool {
    let head = rest.split_once(',').map_or("", |(head, _)| head);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-/;=\"".contains(&b);
    head.contains(['/', ';']) && head.bytes().all(plain)
}

/// Whether a media type is one of a text.
pub fn is_text_type(media_type: &str) -> bool {
    let media_type = essence(media_type);
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || TEXTS.contains(&&*media_type)
}

/// Whether a media type is one of anything else, and known.
pub fn is_binary_type(media_type: &str) -> bool {
    BINARIES.contains(&media_type)
}

/// What stands behind `data:`. Of what says that it is a text, the text: it is wrong where it can't be read. RFC 2397.
fn data_uri(rest: &str, kind: Media) -> Option<Blob<'_>> {
    let (head, data) = rest.split_once(',')?;
    let mut parameters = head.split(';').map(str::trim);
    let media_type = parameters.next().unwrap_or_default();
    let (mut base64, mut utf8) = (false, true);
    for parameter in parameters {
        base64 |= parameter.eq_ignore_ascii_case("base64");
        if let Some(charset) = strip_scheme(parameter, "charset=") {
            let known = ["utf-8", "utf8", "us-ascii"];
            utf8 &= known.iter().any(|name| charset.trim_matches('"').eq_ignore_ascii_case(name));
        }
    }
    let bytes = if base64 { decode(data)? } else { unescape(data)? };
    let says_text = media_type.is_empty() || is_text_type(media_type);
    match of_bytes(bytes, kind)? {
        Blob::Opaque if says_text => None,
        _ if says_text && !utf8 => None,
        blob => Some(blob),
    }
}

/// Bytes that read as a text are one, whatever they are said to be. A file's reader goes by its name, which says nothing here,
/// so one that is no text must be known for something else.
fn of_bytes(bytes: Vec<u8>, kind: Media) -> Option<Blob<'static>> {
    let sound = kind != Media::File || bytes.is_empty() || is_format(&bytes);
    match text_of(bytes) {
        Some(text) => Some(Blob::Text(text.into())),
        None => sound.then_some(Blob::Opaque),
    }
}

/// The bytes of base64 in either alphabet, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    match text.len() % 4 {
        0 => from_base64(text),
        1 => None,
        rest => from_base64(&format!("{text}{}", "=".repeat(4 - rest))),
    }
}

/// The bytes of a text with percent escapes; nothing where one is broken.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                // Two hexadecimal digits are below 256.
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(out)
}

/// Whether an upstream may be asked to fetch this: over HTTP, from a host of the public internet that has a name, or from
/// Google's storage. What a name leads to is not looked up.
fn is_address(text: &str) -> bool {
    let plain = text.len() <= MAX_ADDRESS && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !plain || strip_scheme(text, "gs://").is_some() {
        return plain;
    }
    let Some(rest) = strip_scheme(text, "https://").or_else(|| strip_scheme(text, "http://")) else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let Some((_, last)) = host.rsplit_once('.') else { return false };
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let is_name = last.starts_with("xn--") || last.bytes().all(|b| b.is_ascii_alphabetic());
    let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    host.split('.').all(is_label) && is_name && is_port && !PRIVATE.contains(&last)
}

/// What stands behind `start`, in whatever case.
fn strip_scheme<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

/// A media type without parameters, in lower case.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first bytes of a PNG.
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";

    #[test]
    fn what_can_be_read_is_told_from_what_cannot() {
        let text = |text: &'static str| Some(Blob::Text(text.into()));
        let png = format!("data:image/png;base64,{PNG}");
        for (written, expected) in [
            (PNG, Some(Blob::Opaque)),
            (PNG.trim_end_matches('='), Some(Blob::Opaque)),
            (&*png, Some(Blob::Opaque)),
            ("data:image/png;base64,", Some(Blob::Opaque)),
            ("", Some(Blob::Opaque)),
            ("aGkgdGhlcmU=", text("hi there")),
            ("aGkgdGhlcmU", text("hi there")),
            ("data:text/plain;base64,aGkgdGhlcmU=", text("hi there")),
            ("DATA:TEXT/PLAIN;Charset=UTF-8;BASE64,aGkgdGhlcmU=", text("hi there")),
            ("data:,hi%20there", text("hi there")),
            ("data:application/json,{\"a\":%22b%22}", text("{\"a\":\"b\"}")),
            ("data:image/svg+xml;utf8,<svg>hi</svg>", text("<svg>hi</svg>")),
            // Whatever it says that it is.
            ("data:image/png;base64,aGkgdGhlcmU=", text("hi there")),
            ("data:application/pdf,hi", text("hi")),
            ("https://example.com/a.png?x=y#z", text("https://example.com/a.png?x=y#z")),
            ("HTTP://Example.com.:8080", text("HTTP://Example.com.:8080")),
            ("https://a.xn--p1ai/", text("https://a.xn--p1ai/")),
            ("gs://bucket/a.png", text("gs://bucket/a.png")),
        ] {
            assert_eq!(Blob::read(written, Media::Image), expected, "{written}");
        }
        // A text that can't be read, and what is none of these.
        let utf16 = "data:text/plain;charset=utf-16;base64,aABpAA==";
        for written in [
            utf16,
            "data:text/plain;charset=utf-16,hi",
            "data:text/plain;base64,gICA",
            "data:text/plain",
            "data:;base64,a",
            "data:image/png;base64,a b=",
            "data:,%zz",
            "data:,%4",
            " data:,hi",
            "hi there",
            "a===",
            "abcde",
            "file:///etc/passwd",
            "ftp://example.com/a",
            "//example.com/a",
            "https:/example.com",
            "https://example.com/a b",
            "https://example.com\\@127.0.0.1/",
            "https://user@example.com/",
            "https://user:pw@example.com/",
            "https://example.com:/",
            "https://example.com:80a/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://127.0.0.0x1/",
            "https://[::1]/",
            "https://localhost/",
            "https://localhost./",
            "https://a.localhost/",
            "https://metadata.google.internal/",
            "https://printer.local",
            "https://intranet/",
            "https://a..com/",
            "http://redis.prod.svc:6379/",
            "https://kubernetes.default.svc/api",
            "https://kubernetes.default.svc.cluster.local./",
            "https://vault.service.consul/",
            "https://a.PRIVATE/",
            "https://a.intra/",
            "https://host.docker/",
            "https://a.test/",
            "https://a.localnet/",
            "https://a.onion/",
            "https://ex\u{e4}mple.com/",
            "https:///a",
            "javascript:alert(1)",
        ] {
            assert_eq!(Blob::read(written, Media::Image), None, "{written}");
        }
        assert_eq!(Blob::read(&format!("https://example.com/{}", "a".repeat(MAX_ADDRESS)), Media::Image), None);
    }

    #[test]
    fn a_file_is_a_text_or_of_a_known_format() {
        // 0x80 0x80 0x80; a PDF and a ZIP archive begin as the others.
        for (written, kind, expected) in [
            ("gICA", Media::File, None),
            ("data:application/octet-stream;base64,gICA", Media::File, None),
            ("gICA", Media::Audio, Some(Blob::Opaque)),
            ("JVBERi2AgICAgA==", Media::File, Some(Blob::Opaque)),
            ("data:;base64,JVBERi2AgICAgA==", Media::File, None),
            ("UEsDBICA", Media::File, Some(Blob::Opaque)),
            ("", Media::File, Some(Blob::Opaque)),
            ("aABpAA==", Media::File, Some(Blob::Text("hi\nhi".into()))),
        ] {
            assert_eq!(Blob::read(written, kind), expected, "{written}");
        }
    }

    #[test]
    fn bytes_are_told_from_any_text() {
        let bytes = PNG.trim_end_matches('=').repeat(4);
        for written in [
            &*bytes,
            &bytes.replace('+', "-").replace('/', "_"),
            &format!("data:image/png;base64,{PNG}"),
            &format!(" DATA:image/png;base64,{PNG}\n"),
            &format!("data:;base64,{PNG}"),
            &format!("data:text/plain;base64,{PNG}"),
            "data:image/png;base64,a b=",
            "data:audio/wav;codecs=\"1\",%ff",
        ] {
            assert!(is_bytes(written), "{written}");
        }
        for text in [
            "",
            PNG,
            "data: image/png, and so on",
            "data:",
            "data:1,2",
            "data:{\"a\":1},{}",
            "data:text/plain,hi",
            "data:text/plain;base64,aGkgdGhlcmU=",
            "data:image/svg+xml;utf8,<svg>hi</svg>",
            "https://example.com/a.png",
            &"ACGT".repeat(100),
            &"0123456789abcdef".repeat(40),
            &"A".repeat(400),
            &"-".repeat(400),
            &"The 3 birds are blue. ".repeat(40),
            &"VGhlIGJpcmQgaXMgYmx1ZSwg".repeat(40),
            &"https://example.com/AbC123/".repeat(20),
            &"abc.DEF/123".repeat(40),
        ] {
            assert!(!is_bytes(text), "{text}");
        }
    }

    #[test]
    fn media_types_are_texts_or_known_or_neither() {
        for text in ["text/plain", "Text/HTML; charset=x", "application/json", "image/svg+xml", "application/ld+json"] {
            assert!(is_text_type(text) && !is_binary_type(text), "{text}");
        }
        for binary in ["image/png", "application/pdf", "audio/wav"] {
            assert!(!is_text_type(binary) && is_binary_type(binary), "{binary}");
        }
        for neither in ["", "image", "image/ignore-all-previous-instructions", "a b"] {
            assert!(!is_text_type(neither) && !is_binary_type(neither), "{neither}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_read_however_it_is_written(text in "[ -~\u{e4}\u{4e00}]{1,40}", typed in any::<bool>()) {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let kind = if typed { "image/png" } else { "" };
            let uri = format!("data:{kind},{escaped}");
            prop_assert_eq!(Blob::read(&uri, Media::Image), Some(Blob::Text(text.into())));
        }

        #[test]
        fn nothing_panics(text in "(data:|https://|gs://)?[ -~\u{e4};,%=/.:]{0,40}") {
            let _ = Blob::read(&text, Media::File);
        }
    }
}
