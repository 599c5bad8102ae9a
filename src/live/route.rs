//! Routes: which path is inspected, which passes, where it goes. What no route names is refused.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::config::{Query, Reach, RoutePath, Secret};
use crate::gate::GateSettings;
use crate::guardrail::{Guardrail, Stage};
use crate::live::{Keeps, Live};
use crate::wire::Dialect;

/// One path, or those of a pattern, and what happens to it.
pub struct Route {
    /// The name in the configuration, for logs, metrics and the audit.
    pub id: Arc<str>,
    /// Of canonical paths.
    pub path: RoutePath,
    pub methods: Vec<Method>,
    pub upstream: Arc<Upstream>,
    pub handling: Handling,
}

pub enum Handling {
    /// Judged; boxed because a `pass` route carries nothing.
    Inspect(Box<Inspect>),
    /// Stock proxying, unjudged, by explicit setting.
    Pass,
}

/// Guardrails in the order of the configuration.
pub type Guardrails = Arc<[Arc<Guardrail>]>;

/// What an inspected route is judged by.
pub struct Inspect {
    pub dialect: Arc<dyn Dialect>,
    pub query: Query,
    /// Asked of a request before it goes out.
    pub before: Guardrails,
    /// Asked of it while the upstream works.
    pub beside: Guardrails,
    /// Asked of the answer.
    pub output: Guardrails,
    /// Those in observe mode, whom nobody waits for: of the request, and of the answer.
    pub observing_input: Guardrails,
    pub observing_output: Guardrails,
    pub gate: GateSettings,
    /// What is remembered of its answers; none where a request may not name them.
    pub keeps: Option<Keeps>,
    pub on_block: BlockStyle,
}

/// What the client sees of a blocked prompt, and of an answer that is blocked before any of it has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockStyle {
    /// An error in the dialect's shape.
    Error,
    /// An ordinary assistant message with this text, for chatbots that cannot show an error.
    Message(Arc<str>),
}

/// An LLM API to forward to.
pub struct Upstream {
    pub id: Arc<str>,
    pub tls: bool,
    /// Host name or address, without brackets or port. Also the TLS server name.
    pub host: String,
    pub port: u16,
    /// `Host` as sent upstream.
    pub authority: HeaderValue,
    /// Put before the client's path; empty or `/prefix` without a trailing slash.
    pub base_path: String,
    /// A header that replaces whatever the client sent under that name.
    pub credential: Option<(HeaderName, Secret)>,
    pub version: UpstreamVersion,
    pub connect_timeout: Duration,
    /// For the answer's header.
    pub first_byte_timeout: Duration,
    /// Between two pieces of the answer's body.
    pub idle_timeout: Duration,
    /// Certificate authorities to trust instead of the system's, each in DER.
    pub ca: Option<Arc<Vec<rustls_pki_types::CertificateDer<'static>>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamVersion {
    Http1,
    /// By ALPN over TLS, by prior knowledge without.
    Http2,
}

/// Bounds on what a client may send, and `max_event` on what an upstream may.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Whole request body, bytes.
    pub max_body: usize,
    /// Request line and headers, bytes.
    pub max_header: usize,
    pub max_headers: usize,
    /// From the connection's (or, on a kept one, the request's) first byte to the end of the header.
    pub header_timeout: Duration,
    /// From the end of the header to the end of the body.
    pub body_timeout: Duration,
    /// One event of an answer's stream, bytes. A whole answer is held, within the gate's `max_held`.
    pub max_event: usize,
}

/// What became of a path.
pub enum RouteMatch<'a> {
    Found(&'a Arc<Route>),
    /// A route has this path, with other methods.
    WrongMethod(&'a Arc<Route>),
    None,
}

/// A path that has more than one reading; refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path holds an encoded slash, backslash, dot, `?`, `#` or control character")]
    Ambiguous,
    #[error("the path holds an empty, `.` or `..` segment")]
    Relative,
    #[error("the path holds a broken percent escape or is not UTF-8")]
    Malformed,
}

impl Live {
    /// Finds the route of a canonical path. A route of several paths takes none that an upstream could read as one that a
    /// route before it judges: in other case, or with another method.
    pub fn route(&self, method: &Method, path: &str) -> RouteMatch<'_> {
        let judged = self.routes.iter().find(|route| route.is_judged() && route.path.may_take(path));
        let reach = judged.map_or(Reach::Below, |route| route.path.reach());
        let mut other = RouteMatch::None;
        for route in self.routes.iter().filter(|route| route.path.reach() <= reach && route.path.takes(path)) {
            if route.methods.contains(method) {
                return RouteMatch::Found(route);
            }
            other = RouteMatch::WrongMethod(route);
        }
        other
    }

    /// The judged route that a path was meant for, which no route takes: it says in its dialect that there is none.
    pub fn meant(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.is_judged() && route.path.is_meant(path))
    }
}

impl Route {
    fn is_judged(&self) -> bool {
        matches!(self.handling, Handling::Inspect(_))
    }
}

impl Inspect {
    pub fn observing(&self, stage: Stage) -> &Guardrails {
        match stage {
            Stage::Input => &self.observing_input,
            Stage::Output => &self.observing_output,
        }
    }
}

/// The one form of a path that is matched and forwarded: percent escapes of characters that may stand in a segment are
/// undone, others kept in upper case; whatever another reader could take for a second path is refused.
pub fn canonical_path(path: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let hex = |digit: Option<u8>| digit.and_then(|d| char::from(d).to_digit(16));
                let (high, low) = hex(bytes.next()).zip(hex(bytes.next())).ok_or(PathError::Malformed)?;
                let decoded = u8::try_from(high * 16 + low).map_err(|_| PathError::Malformed)?;
                match decoded {
                    b'/' | b'\\' | b'.' | b'%' | b';' | b'?' | b'#' | 0..=0x20 | 0x7f.. => {
                        return Err(PathError::Ambiguous);
                    }
                    b if b.is_ascii_alphanumeric() || b"-_~:@!$&'()*+,=".contains(&b) => out.push(char::from(b)),
                    b => out.push_str(&format!("%{b:02X}")),
                }
            }
            b'\\' | b';' | 0..=0x20 | 0x7f.. => return Err(PathError::Ambiguous),
            b => out.push(char::from(b)),
        }
    }
    if out == "/" {
        return Ok(out);
    }
    let absolute = out.strip_prefix('/').is_some_and(|rest| !rest.split('/').any(|s| matches!(s, "" | "." | "..")));
    if absolute { Ok(out) } else { Err(PathError::Relative) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_every_reading() {
        for (path, expected) in [
            ("/v1/chat/completions", Ok("/v1/chat/completions")),
            ("/%76%31/chat/%63ompletions", Ok("/v1/chat/completions")),
            ("/", Ok("/")),
            ("/v1/models/a:b", Ok("/v1/models/a:b")),
            ("/v1/a%3ab", Ok("/v1/a:b")),
            ("/v1/models/a%3AgenerateContent", Ok("/v1/models/a:generateContent")),
            ("/v1/a%5bb", Ok("/v1/a%5Bb")),
            ("/v1%2fchat/completions", Err(PathError::Ambiguous)),
            ("/v1/%2e%2e/chat", Err(PathError::Ambiguous)),
            ("/v1/chat%00", Err(PathError::Ambiguous)),
            ("/v1/chat%3Fa=b", Err(PathError::Ambiguous)),
            ("/v1/chat%23a", Err(PathError::Ambiguous)),
            ("/v1/chat;a=b", Err(PathError::Ambiguous)),
            ("/v1\\chat", Err(PathError::Ambiguous)),
            ("//v1/chat", Err(PathError::Relative)),
            ("/v1/./chat", Err(PathError::Relative)),
            ("/v1/chat/", Err(PathError::Relative)),
            ("v1", Err(PathError::Relative)),
            ("", Err(PathError::Relative)),
            ("/v1/%zz", Err(PathError::Malformed)),
            ("/v1/%4", Err(PathError::Malformed)),
        ] {
            assert_eq!(canonical_path(path).as_deref(), expected.as_ref().copied(), "{path}");
        }
    }
}
