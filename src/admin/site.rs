//! The site: which path leads where, by which method, and who may go there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use serde::Serialize;

use crate::admin::admission::Admission;
use crate::admin::desk::Desk;
use crate::admin::page::{self, File};
use crate::admin::refused::Refused;
use crate::admin::reply::{self, Body, JSON, TEXT};
use crate::admin::server::Lease;
use crate::admin::{classify, moderations, policies, request};
use crate::telemetry::timestamp;

/// What the admin server shows of the process.
pub trait AdminState: Send + Sync {
    /// Whether traffic should be sent here: false while starting and while draining.
    fn ready(&self) -> bool;
    /// The metrics in the OpenMetrics text form.
    fn metrics(&self) -> String;
    fn status(&self) -> Status;
}

/// The state of the configuration.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub version: &'static str,
    pub generation: u64,
    pub digest: String,
    #[serde(serialize_with = "rfc3339")]
    pub loaded_at: SystemTime,
    /// Why the last reload was refused; none if it was not.
    pub last_reload_error: Option<String>,
    /// Sections that have changed since the start and take effect with the next.
    pub needs_restart: Vec<&'static str>,
}

/// Everything that one listener serves.
pub struct Site {
    admission: Admission,
    state: Arc<dyn AdminState>,
    /// Where it is off, its paths lead nowhere.
    desk: Option<Arc<Desk>>,
}

/// Where a path leads.
enum Place<'a> {
    Health,
    Ready,
    Metrics,
    Status,
    File(&'static File),
    Policies(&'a Desk),
    Policy(&'a Desk, &'a str),
    Decisions(&'a Desk),
    Classify(&'a Arc<Desk>),
    Moderations(&'a Desk),
}

impl Site {
    /// For a listener at this address. With a token, whatever says more than a word needs it as `Authorization: Bearer`.
    pub fn new(token: Option<&str>, listen: SocketAddr, state: Arc<dyn AdminState>, desk: Option<Arc<Desk>>) -> Self {
        Site { admission: Admission::new(token, listen), state, desk }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>, lease: &Lease) -> Response<Body> {
        self.reply(request, lease).await.unwrap_or_else(|refused| reply::refused(&refused))
    }

    async fn reply(&self, request: Request<Incoming>, lease: &Lease) -> Result<Response<Body>, Refused> {
        let (head, body) = request.into_parts();
        let place = self.place(head.uri.path()).ok_or(Refused::NotFound)?;
        if head.method != place.method() {
            return Err(Refused::Method(place.method()));
        }
        if !place.is_open() {
            self.admission.admits(&head.method, &head.headers)?;
        }
        match place {
            Place::Health => Ok(reply::whole(TEXT, "ok\n")),
            Place::Ready if self.state.ready() => Ok(reply::whole(TEXT, "ready\n")),
            Place::Ready => Ok(reply::not_ready()),
            Place::Metrics => {
                let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                Ok(reply::whole(form, self.state.metrics()))
            }
            Place::Status => Ok(reply::json(&self.state.status())),
            Place::File(file) => Ok(reply::whole(file.form, file.text)),
            Place::Policies(desk) => policies::list(desk).await,
            Place::Policy(desk, id) => policies::source(desk, id).await,
            Place::Decisions(desk) => Ok(reply::whole(JSON, desk.decisions(after(&head.uri)?))),
            Place::Classify(desk) => classify::classify(desk, request::json(&head.headers, body).await?, lease).await,
            Place::Moderations(desk) => {
                moderations::moderate(desk, request::json(&head.headers, body).await?, lease).await
            }
        }
    }

    fn place<'a>(&'a self, path: &'a str) -> Option<Place<'a>> {
        match path {
            "/healthz" => return Some(Place::Health),
            "/readyz" => return Some(Place::Ready),
            "/metrics" => return Some(Place::Metrics),
            "/status" => return Some(Place::Status),
            _ => {}
        }
        let desk = self.desk.as_ref()?;
        match path {
            "/v1/policies" => Some(Place::Policies(desk)),
            "/v1/decisions" => Some(Place::Decisions(desk)),
            "/v1/classify" => Some(Place::Classify(desk)),
            "/v1/moderations" => Some(Place::Moderations(desk)),
            path => match path.strip_prefix("/v1/policies/") {
                Some(id) => Some(Place::Policy(desk, id)),
                None => page::file(path).map(Place::File),
            },
        }
    }
}

impl Place<'_> {
    fn method(&self) -> &'static str {
        match self {
            Place::Classify(_) | Place::Moderations(_) => "POST",
            _ => "GET",
        }
    }

    /// A word, or what stands in every copy of the program.
    fn is_open(&self) -> bool {
        matches!(self, Place::Health | Place::Ready | Place::File(_))
    }
}

/// The number of `?after=`.
fn after(uri: &Uri) -> Result<u64, Refused> {
    match uri.query() {
        None => Ok(0),
        Some(query) => query
            .strip_prefix("after=")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Refused::Parameter { param: "after", problem: "expected ?after= and a number".into() }),
    }
}

fn rfc3339<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*at))
}
