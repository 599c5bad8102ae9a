//! Headers on their way through: what a client may send, what goes to the upstream, what comes back.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Uri, Version};
use pingora::http::{RequestHeader, ResponseHeader};

use crate::live::{Limits, Upstream, UpstreamVersion};
use crate::proxy::coding::Coding;
use crate::proxy::refused::Refused;
use crate::proxy::relayed::is_relayed;

/// Headers of ours; whoever else sends one is not believed.
pub const OURS: &str = "x-portcullis-";

/// Meant for one connection only. RFC 9110, section 7.6.1.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Would let a client speak for another, or send an upstream that believes it to another place. Never forwarded.
const UNTRUSTED: [&str; 10] = [
    "cf-connecting-ip",
    "forwarded",
    "request-uri",
    "true-client-ip",
    "x-base-url",
    "x-client-ip",
    "x-host",
    "x-method-override",
    "x-middleware-subrequest",
    "x-sendfile",
];

/// The same, by what their names begin with: what one server in front tells the next, and what has a gateway take another
/// prompt, model or provider than the body says, or an answer that it has kept.
const UNTRUSTED_FAMILIES: [&str; 19] = [
    "cf-aig-",
    "helicone-",
    "x-accel-",
    "x-apisix-",
    "x-arch-",
    "x-bf-",
    "x-envoy-",
    "x-forwarded-",
    "x-http-",
    "x-kong-",
    "x-litellm-",
    "x-original-",
    "x-override-",
    "x-portkey-",
    "x-proxy-",
    "x-real-",
    "x-rewrite-",
    "x-target-",
    "x-upstream",
];

/// Not forwarded with a judged body: framing and host are set anew; validators and ranges would make the answer partial,
/// which can't be judged.
const SET_ANEW: [&str; 12] = [
    "accept-encoding",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
];

/// What every request must keep to, whatever its route.
pub fn check(request: &RequestHeader, limits: &Limits) -> Result<(), Refused> {
    let fields = request.headers.len();
    if fields > limits.max_headers {
        return Err(Refused::TooManyHeaders { limit: limits.max_headers });
    }
    // Name, value, `: ` and the line's end.
    let bytes =
        request.raw_path().len() + request.headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 4).sum::<usize>();
    if bytes > limits.max_header {
        return Err(Refused::HeaderTooLarge { limit: limits.max_header });
    }
    // HTTP/1 carries origin-form only; in HTTP/2 Pingora has put scheme and authority into the URI.
    if request.version != Version::HTTP_2 && !request.raw_path().starts_with(b"/") {
        return Err(Refused::Header("the request target must begin with a slash"));
    }
    if request.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Refused::Header("the scheme is neither http nor https"));
    }
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    // HTTP/2 says it as `:authority`.
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let named = [host.map(HeaderValue::as_bytes), authority];
    let needed = request.version >= Version::HTTP_11;
    if second.is_some() || needed && named == [None; 2] || !named.into_iter().flatten().all(is_host) {
        return Err(Refused::Header("`Host` is missing or malformed"));
    }
    for nominated in list(&request.headers, header::CONNECTION) {
        if !["close", "keep-alive", "te", "upgrade", "http2-settings"].iter().any(|n| nominated.eq_ignore_ascii_case(n))
        {
            return Err(Refused::Header("`Connection` names a header that it may not name"));
        }
    }
    let mut codings = list(&request.headers, header::TRANSFER_ENCODING);
    let coding = codings.next();
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("chunked")) || codings.next().is_some() {
        return Err(Refused::Header("the only transfer coding taken is `chunked`"));
    }
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() || (length.is_some() && coding.is_some()) {
        return Err(Refused::Header("the body's length is given more than once"));
    }
    if length.is_some_and(|length| length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err(Refused::Header("`Content-Length` is not a number"));
    }
    if list(&request.headers, header::EXPECT).any(|expected| !expected.eq_ignore_ascii_case("100-continue")) {
        return Err(Refused::Expectation);
    }
    Ok(())
}

/// What a judged body's header must say: JSON, in UTF-8, in one coding at most.
pub fn check_body(request: &RequestHeader) -> Result<Option<Coding>, Refused> {
    let mut types = request.headers.get_all(header::CONTENT_TYPE).iter();
    if !types.next().is_some_and(is_json) || types.next().is_some() {
        return Err(Refused::MediaType);
    }
    let mut codings = list(&request.headers, header::CONTENT_ENCODING);
    match (codings.next(), codings.next()) {
        (None, _) => Ok(None),
        (Some(coding), None) if coding.eq_ignore_ascii_case("identity") => Ok(None),
        (Some(coding), None) => Coding::of(coding).map(Some).ok_or(Refused::ContentEncoding),
        (Some(_), Some(_)) => Err(Refused::ContentEncoding),
    }
}

/// Whether a header that came from outside goes to no upstream, on any route.
pub fn is_untrusted(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Servers that speak CGI read `_` as `-`, so an underscore could smuggle any of the others.
    let of_a_family = UNTRUSTED_FAMILIES.iter().any(|family| name.starts_with(family));
    of_a_family || name.starts_with(OURS) || name.contains('_') || UNTRUSTED.contains(&name)
}

fn is_stripped(name: &HeaderName) -> bool {
    is_untrusted(name) || HOP_BY_HOP.contains(&name.as_str()) || SET_ANEW.contains(&name.as_str())
}

/// The request's header as it goes to the upstream of an inspected route. `target`: canonical path and query.
pub fn outgoing(
    request: &RequestHeader,
    upstream: &Upstream,
    target: &str,
    body_len: usize,
) -> Result<RequestHeader, Refused> {
    let malformed = |_| Refused::Header("it can't be forwarded");
    let target = format!("{}{target}", upstream.base_path);
    let mut out = RequestHeader::build(request.method.clone(), target.as_bytes(), Some(request.headers.len() + 4))
        .map_err(malformed)?;
    for (name, value) in request.headers.iter().filter(|(name, _)| !is_stripped(name)) {
        out.append_header(name.clone(), value.clone()).map_err(malformed)?;
    }
    join_cookies(&mut out).map_err(malformed)?;
    out.insert_header(header::CONTENT_TYPE, "application/json").map_err(malformed)?;
    out.insert_header(header::CONTENT_LENGTH, body_len).map_err(malformed)?;
    // A compressed answer could not be judged as it comes.
    out.insert_header(header::ACCEPT_ENCODING, "identity").map_err(malformed)?;
    address(&mut out, upstream, &target).map_err(malformed)?;
    Ok(out)
}

/// Makes one line of cookies that HTTP/2 has in several. RFC 9113, section 8.2.3.
pub fn join_cookies(out: &mut RequestHeader) -> pingora::Result<()> {
    let mut cookies = out.headers.get_all(header::COOKIE).iter();
    if let (Some(first), Some(second)) = (cookies.next(), cookies.next()) {
        let all: Vec<&[u8]> = [first, second].into_iter().chain(cookies).map(HeaderValue::as_bytes).collect();
        out.insert_header(header::COOKIE, all.join(&b"; "[..]))?;
    }
    Ok(())
}

/// Sets host (or, for HTTP/2, the URI's authority) and credential to the upstream's.
pub fn address(out: &mut RequestHeader, upstream: &Upstream, target: &str) -> pingora::Result<()> {
    match upstream.version {
        UpstreamVersion::Http1 => out.insert_header(header::HOST, upstream.authority.clone())?,
        UpstreamVersion::Http2 => {
            out.remove_header(&header::HOST);
            out.set_version(Version::HTTP_2);
            let uri = Uri::builder()
                .scheme(if upstream.tls { "https" } else { "http" })
                .authority(upstream.authority.as_bytes())
                .path_and_query(target)
                .build();
            out.set_uri(uri.map_err(|error| {
                pingora::Error::because(pingora::ErrorType::InvalidHTTPHeader, "the upstream's URI", error)
            })?);
        }
    }
    if let Some((name, secret)) = &upstream.credential {
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|_| pingora::Error::explain(pingora::ErrorType::InvalidHTTPHeader, "the credential's value"))?;
        value.set_sensitive(true);
        out.insert_header(name.clone(), value)?;
    }
    Ok(())
}

/// What of an upstream's answer header comes back with a judged body.
pub fn relay_judged(from: &ResponseHeader, to: &mut ResponseHeader) -> pingora::Result<()> {
    for (name, value) in &from.headers {
        if is_relayed(name.as_str(), value.as_bytes()) {
            to.append_header(name.clone(), value.clone())?;
        }
    }
    Ok(())
}

/// When the upstream asks to be tried again.
pub fn retry_after(from: &ResponseHeader) -> Option<HeaderValue> {
    let fits = |value: &&HeaderValue| is_relayed(header::RETRY_AFTER.as_str(), value.as_bytes());
    from.headers.get(header::RETRY_AFTER).filter(fits).cloned()
}

/// What of it comes back with a body that no guardrail stands before.
pub fn relay_unjudged(from: &ResponseHeader, to: &mut ResponseHeader) -> pingora::Result<()> {
    let nominated: Vec<_> = list(&from.headers, header::CONNECTION).map(str::to_ascii_lowercase).collect();
    for (name, value) in &from.headers {
        let name_str = name.as_str();
        let ends_here = HOP_BY_HOP.contains(&name_str) || nominated.iter().any(|n| n == name_str);
        if !ends_here && !name_str.starts_with(OURS) {
            to.append_header(name.clone(), value.clone())?;
        }
    }
    Ok(())
}

/// The media type of a `Content-Type`, lower case, without parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The comma-separated members of a header, over all its lines.
pub fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    // A value that is not text is one member that equals nothing.
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("\u{fffd}").split(','))
        .map(str::trim)
        .filter(|m| !m.is_empty())
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
        && parts.filter(|parameter| !parameter.is_empty()).all(|parameter| {
            let charset = parameter.to_ascii_lowercase();
            charset == "charset=utf-8" || charset == "charset=\"utf-8\""
        })
}

/// Host and port, and nothing that some reader could take for a path or a user. RFC 9110, section 7.2.
fn is_host(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(b))
}
