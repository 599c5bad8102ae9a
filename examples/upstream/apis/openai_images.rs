//! OpenAI's images: one white dot for every prompt.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::apis::openai::{self, CREATED};
use crate::apis::{Api, Request, Stream};
use crate::ask::{Ask, Turn};

pub struct Images;

/// A PNG of one pixel.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==";

impl Api for Images {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let prompt = body["prompt"].as_str().ok_or("prompt: expected a string")?;
        Ok(Ask::of(&[(Turn::User, prompt.to_owned())]))
    }

    fn streams(&self, _: &Value) -> bool {
        false
    }

    fn whole(&self, _: &Request, _: &Answer) -> Value {
        json!({ "created": CREATED, "data": [{ "b64_json": DOT }] })
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        Stream::events([self.whole(request, answer)])
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        openai::error(status, message)
    }
}
