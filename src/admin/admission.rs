//! Admission: who may ask. A token, where there is one; and never the page of another site that an operator's browser
//! has open beside this one.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::admin::refused::Refused;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The rules for one listener.
pub struct Admission {
    /// SHA-256 of the token: of equal length whatever the client sends, so that comparing tells nothing.
    token: Option<[u8; 32]>,
    listen: IpAddr,
}

impl Admission {
    pub fn new(token: Option<&str>, listen: SocketAddr) -> Self {
        Admission { token: token.map(|token| Sha256::digest(token).into()), listen: listen.ip().to_canonical() }
    }

    /// Whether a request may see what is more than a word, or ask for a verdict.
    pub fn admits(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        let host = only(headers, HOST).flatten();
        // A name that leads here today may be anybody's: it is how a page elsewhere becomes one of the same origin. A
        // token it could not know; without one, the name must be ours.
        if self.token.is_none() && !host.is_some_and(|host| self.is_here(host)) {
            return Err(Refused::Host);
        }
        if !is_own_page(method, headers, host) {
            return Err(Refused::Origin);
        }
        match &self.token {
            Some(token) if !is_authorised(token, headers) => Err(Refused::Token),
            _ => Ok(()),
        }
    }

    /// Whether a `Host` is a loopback name or the listener's own address.
    fn is_here(&self, host: &str) -> bool {
        let name = name_of(host);
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match IpAddr::from_str(bare) {
            Ok(ip) => ip.to_canonical().is_loopback() || ip.to_canonical() == self.listen,
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// Whether a body says that it is JSON: a page elsewhere can't send that without being asked first.
pub fn is_json(headers: &HeaderMap) -> bool {
    let form = only(headers, CONTENT_TYPE).flatten().unwrap_or_default();
    let mut parts = form.split(';').map(str::trim);
    parts.next().is_some_and(|form| form.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| parameter.eq_ignore_ascii_case("charset=utf-8"))
}

/// Browsers say where a request comes from; other clients say nothing.
fn is_own_page(method: &Method, headers: &HeaderMap, host: Option<&str>) -> bool {
    let site = match only(headers, SEC_FETCH_SITE) {
        None => true,
        Some(Some("same-origin")) => true,
        // What a person types or has among the bookmarks.
        Some(Some("none")) => method == Method::GET,
        Some(_) => false,
    };
    let origin = match only(headers, ORIGIN) {
        None => true,
        Some(origin) => {
            let place = origin.and_then(|origin| origin.split_once("://"));
            let place = place.filter(|(scheme, _)| matches!(*scheme, "http" | "https")).map(|(_, place)| place);
            place.is_some_and(|place| host.is_some_and(|host| host.eq_ignore_ascii_case(place)))
        }
    };
    site && origin
}

fn is_authorised(token: &[u8; 32], headers: &HeaderMap) -> bool {
    let Some(Some(value)) = only(headers, AUTHORIZATION) else { return false };
    let Some((scheme, value)) = value.split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case("bearer ") && bool::from(Sha256::digest(value)[..].ct_eq(token))
}

/// The value of a header that is there once and plain; `Some(None)` for one that is there in any other way.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<Option<&str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(first.to_str().ok().filter(|_| values.next().is_none()))
}

/// Without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn code(token: Option<&str>, method: Method, list: &[(&'static str, &str)]) -> &'static str {
        let admission = Admission::new(token, "127.0.0.2:9090".parse().unwrap());
        admission.admits(&method, &headers(list)).err().map_or("", |refused| refused.code())
    }

    #[test]
    fn without_a_token_the_name_must_be_of_this_machine() {
        for host in ["localhost", "LOCALHOST:9090", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:9090", "[::1]", "[::1]:9090"]
        {
            assert_eq!(code(None, Method::GET, &[("host", host)]), "", "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9090",
            "localhost:9090@evil.example",
            "192.0.2.1:9090",
            "0.0.0.0:9090",
            "[::]",
            "localhost.",
            "",
            ":9090",
        ] {
            assert_eq!(code(None, Method::GET, &[("host", host)]), "wrong_host", "{host}");
        }
        assert_eq!(code(None, Method::GET, &[]), "wrong_host");
        assert_eq!(code(None, Method::GET, &[("host", "localhost"), ("host", "localhost")]), "wrong_host");
        let bearer = ("authorization", "Bearer t");
        assert_eq!(code(Some("t"), Method::GET, &[("host", "admin.example"), bearer]), "");
    }

    #[test]
    fn a_page_elsewhere_is_not_heard() {
        let host = ("host", "localhost:9090");
        for (origin, expected) in [
            ("http://localhost:9090", ""),
            ("HTTP://localhost:9090", "cross_origin"),
            ("https://LOCALHOST:9090", ""),
            ("http://localhost:3000", "cross_origin"),
            ("http://localhost", "cross_origin"),
            ("http://127.0.0.1:9090", "cross_origin"),
            ("https://evil.example", "cross_origin"),
            ("chrome-extension://localhost:9090", "cross_origin"),
            ("null", "cross_origin"),
            ("", "cross_origin"),
        ] {
            assert_eq!(code(None, Method::POST, &[host, ("origin", origin)]), expected, "{origin}");
        }
        for (site, get, post) in [
            ("same-origin", "", ""),
            ("none", "", "cross_origin"),
            ("same-site", "cross_origin", "cross_origin"),
            ("cross-site", "cross_origin", "cross_origin"),
            ("other", "cross_origin", "cross_origin"),
        ] {
            let list = [host, ("sec-fetch-site", site)];
            assert_eq!([code(None, Method::GET, &list), code(None, Method::POST, &list)], [get, post], "{site}");
        }
        // A token does not make it another page.
        let list = [host, ("authorization", "Bearer t"), ("origin", "https://evil.example")];
        assert_eq!(code(Some("t"), Method::POST, &list), "cross_origin");
    }

    #[test]
    fn only_json_that_says_so_is_json() {
        for (form, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json; charset=utf-16", false),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("application/jsonx", false),
            ("", false),
        ] {
            assert_eq!(is_json(&headers(&[("content-type", form)])), expected, "{form}");
        }
        assert!(!is_json(&headers(&[])));
        assert!(!is_json(&headers(&[("content-type", "application/json"), ("content-type", "text/plain")])));
    }
}
