//! Requests with a body: JSON, read within a size and a time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::HeaderMap;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::admin::admission::is_json;
use crate::admin::refused::Refused;

/// Bytes of a body, at most: a text of the greatest length that is judged, and as much again for its escapes.
const BODY: usize = 2 << 20;
const ARRIVES: Duration = Duration::from_secs(10);

/// The body as what is served here. A member that is not known, or stands twice, is an error.
pub async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Incoming) -> Result<T, Refused> {
    if !is_json(headers) {
        return Err(Refused::Type);
    }
    Ok(serde_json::from_slice(&whole(body).await?)?)
}

async fn whole(body: Incoming) -> Result<Bytes, Refused> {
    // What says that it is too long is not waited for.
    if body.size_hint().lower() > BODY as u64 {
        return Err(Refused::TooLarge { limit: BODY });
    }
    match timeout(ARRIVES, Limited::new(body, BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused::TooLarge { limit: BODY }),
        Ok(Err(_)) => Err(Refused::Body),
        Err(_) => Err(Refused::Late { after: ARRIVES }),
    }
}
