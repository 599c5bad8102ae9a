//! Values: durations, sizes, names, addresses and URLs, read once into types that cannot be wrong.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, de};

use crate::config::path::{Reach, RoutePath};
use crate::policy::Nats;

/// A duration: more than nothing, at most a day, so that adding it to a clock cannot overflow.
pub struct Time(pub Duration);

/// Bytes: at least `MIN`, at most 1 TiB.
pub struct Size<const MIN: u64 = 1>(pub usize);

/// A count: 1 to `MAX`.
pub struct Count<const MAX: usize = 1_000_000>(pub usize);

/// A difference of scores, in nats.
pub struct Margin(pub Nats);

/// A name of something in the configuration. Names become file names, header values and metric labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub Arc<str>);

/// The place of an upstream: `scheme://host[:port][/base]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub tls: bool,
    /// Without brackets or port.
    pub host: String,
    pub port: u16,
    /// `Host` as sent upstream.
    pub authority: HeaderValue,
    /// Empty, or `/prefix` without a slash at its end.
    pub base_path: String,
}

/// For a field whose written form `T` reads into `U`: `deserialize_with = "via::<T, _, _>"`.
pub fn via<'de, T, U, D>(deserializer: D) -> Result<U, D::Error>
where
    T: Deserialize<'de> + Into<U>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Into::into)
}

/// Reads a string by `parse`; `expected` says what should have stood there.
pub fn text<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Text<T>(&'static str, fn(&str) -> Option<T>, PhantomData<T>);
    impl<T> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self.0))
        }
    }
    deserializer.deserialize_str(Text(expected, parse, PhantomData))
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let day = Duration::from_secs(24 * 60 * 60);
        text(deserializer, "a duration such as \"250ms\", \"10s\" or \"2min\", more than 0 and at most 1 day", |text| {
            humantime::parse_duration(text).ok()
        })
        .and_then(|time| match time {
            time if time.is_zero() || time > day => {
                Err(D::Error::custom("this duration is out of range, expected more than 0 and at most 1 day"))
            }
            time => Ok(Time(time)),
        })
    }
}

impl<'de, const MIN: u64> Deserialize<'de> for Size<MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64 KiB\", \"1 MiB\" or a number of bytes")
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
                u64::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
                text.parse::<bytesize::ByteSize>()
                    .map(|size| size.as_u64())
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        let bytes = deserializer.deserialize_any(Bytes)?;
        match usize::try_from(bytes) {
            Ok(size) if (MIN..=1 << 40).contains(&bytes) => Ok(Size(size)),
            _ => Err(D::Error::custom(format!("this size is out of range, expected {MIN} to 1 TiB"))),
        }
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Count<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = i64::deserialize(deserializer)?;
        match usize::try_from(count) {
            Ok(count) if (1..=MAX).contains(&count) => Ok(Count(count)),
            _ => Err(D::Error::custom(format!("this count is out of range, expected 1 to {MAX}"))),
        }
    }
}

impl<'de> Deserialize<'de> for Margin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let margin = Nats::new(f64::deserialize(deserializer)?);
        let most = Nats::MOST;
        let wrong =
            || D::Error::custom(format!("this margin is out of range, expected more than 0 and at most {most}"));
        margin.map(Margin).ok_or_else(wrong)
    }
}

impl Name {
    pub const RULE: &str = "a name of 1 to 64 letters, digits, `-`, `_` or `.`, and it starts with a letter or digit";

    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && text.len() <= 64
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        fits.then(|| Name(text.into()))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, Name::RULE, Name::parse)
    }
}

impl Url {
    pub fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let sound_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        let after_host = authority.as_str().rsplit(']').next().unwrap_or_default();
        let port = match (authority.port_u16(), after_host.contains(':')) {
            (Some(port @ 1..), _) => port,
            (None, false) => {
                if tls {
                    443
                } else {
                    80
                }
            }
            _ => return None,
        };
        let base_path = uri.path().trim_end_matches('/');
        let sound_path =
            base_path.is_empty() || RoutePath::parse(base_path).is_some_and(|path| path.reach() == Reach::One);
        let alone = uri.query().is_none() && !text.contains(['#', '@']);
        (sound_host && sound_path && alone).then_some(())?;
        let authority = HeaderValue::from_str(authority.as_str()).ok()?;
        Some(Url { tls, host: host.to_owned(), port, authority, base_path: base_path.to_owned() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority.to_str().unwrap_or_default(), self.base_path)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = "a URL such as \"https://api.example.com\" or \"http://127.0.0.1:9100/base\"";
        // The text is not repeated in the message: people put passwords into URLs.
        let parsed = text(deserializer, url, |text| Some(Url::parse(text)))?;
        parsed.ok_or_else(|| {
            D::Error::custom(format!("this URL can't be used, expected {url}, without user, query or fragment"))
        })
    }
}

/// A listening address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "an IP address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"";
        text(deserializer, expected, |text| text.parse().ok()).map(Address)
    }
}

/// An HTTP method that a route can take.
pub struct Verb(pub Method);

impl<'de> Deserialize<'de> for Verb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "one of \"GET\", \"POST\", \"PUT\", \"PATCH\", \"DELETE\", \"HEAD\", \"OPTIONS\"";
        let known =
            [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
        let method = text(deserializer, expected, |text| Method::from_bytes(text.as_bytes()).ok())?;
        match known.contains(&method) {
            true => Ok(Verb(method)),
            false => Err(D::Error::invalid_value(de::Unexpected::Str(method.as_str()), &expected)),
        }
    }
}

/// A header name.
pub struct Header(pub HeaderName);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "a header name such as \"authorization\"", |text| text.parse().ok()).map(Header)
    }
}

macro_rules! into_inner {
    ($($wrapper:ty => $inner:ty),*) => {$(
        impl From<$wrapper> for $inner {
            fn from(wrapper: $wrapper) -> $inner {
                wrapper.0
            }
        }
    )*};
}
into_inner!(Time => Duration, Name => Arc<str>, Verb => Method, Header => HeaderName);

impl<const MAX: usize> From<Count<MAX>> for usize {
    fn from(count: Count<MAX>) -> usize {
        count.0
    }
}

impl<const MIN: u64> From<Size<MIN>> for usize {
    fn from(size: Size<MIN>) -> usize {
        size.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_one_reading() {
        let url = |text| Url::parse(text).map(|u| (u.tls, u.host, u.port, u.base_path));
        let some = |tls, host: &str, port, base: &str| Some((tls, host.to_owned(), port, base.to_owned()));
        assert_eq!(url("https://api.openai.com"), some(true, "api.openai.com", 443, ""));
        assert_eq!(url("http://127.0.0.1:9100/base/"), some(false, "127.0.0.1", 9100, "/base"));
        assert_eq!(url("http://[::1]:80/a/b"), some(false, "::1", 80, "/a/b"));
        assert_eq!(url("https://[2001:db8::1]"), some(true, "2001:db8::1", 443, ""));
        for bad in [
            "api.openai.com",
            "ftp://a",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:99999",
            "http://a:",
            "https://u:p@a",
            "http://a/?q",
            "http://a/#f",
            "http://a/../b",
            "http://a/%2e",
            "http://a/*",
            "http://a/{b}",
            "/v1",
            "http://a b",
            "http://ä",
        ] {
            assert_eq!(url(bad), None, "{bad}");
        }
    }
}
