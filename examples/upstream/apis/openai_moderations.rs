//! OpenAI's moderations: nothing is ever flagged.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::apis::{Api, Request, Stream, openai};
use crate::ask::{Ask, Turn};

pub struct Moderations;

const CATEGORIES: [&str; 4] = ["harassment", "hate", "self-harm", "violence/graphic"];

impl Api for Moderations {
    fn ask(&self, body: &Value) -> Result<Ask, &'static str> {
        let said = texts(&body["input"]).pop().ok_or("input: expected a string, or an array of strings or texts")?;
        Ok(Ask::of(&[(Turn::User, said.to_owned())]))
    }

    fn streams(&self, _: &Value) -> bool {
        false
    }

    fn whole(&self, request: &Request, _: &Answer) -> Value {
        let each =
            |value: Value| CATEGORIES.map(|name| (name.to_owned(), value.clone())).into_iter().collect::<Map<_, _>>();
        let result = json!({
            "flagged": false,
            "categories": each(json!(false)),
            "category_scores": each(json!(0.0001)),
            "category_applied_input_types": each(json!(["text"])),
        });
        let results = vec![result; texts(&request.body["input"]).len()];
        json!({ "id": format!("modr-{}", request.id), "model": request.model, "results": results })
    }

    fn stream(&self, request: &Request, answer: &Answer) -> Stream {
        Stream::events([self.whole(request, answer)])
    }

    fn error(&self, status: StatusCode, message: &str) -> Value {
        openai::error(status, message)
    }
}

fn texts(input: &Value) -> Vec<&str> {
    let elements = input.as_array().into_iter().flatten();
    input.as_str().into_iter().chain(elements.filter_map(|part| part.as_str().or(part["text"].as_str()))).collect()
}
