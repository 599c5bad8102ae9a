//! What the path of a request says: the model, and the form of the answer.

use crate::wire::WireError;
use crate::wire::shape::is_word;

/// A path and query, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Address<'p> {
    /// Untrusted; empty where it is no plain word.
    pub model: &'p str,
    pub form: Form,
}

/// What a client wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Whole,
    Events,
    /// Events in one array.
    Array,
}

impl<'p> Address<'p> {
    /// Reads `/v1beta/models/MODEL:METHOD` with the query behind it.
    pub fn read(path: &'p str) -> Result<Self, WireError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let last = path.rsplit('/').next().unwrap_or_default();
        let (model, method) = last.rsplit_once(':').unwrap_or((last, ""));
        let events = query.split('&').any(|parameter| parameter == "alt=sse");
        let form = match method {
            "generateContent" | "streamGenerateContent" if events => Form::Events,
            "generateContent" => Form::Whole,
            "streamGenerateContent" => Form::Array,
            _ => {
                let supported = "this dialect judges `generateContent` and `streamGenerateContent`";
                return Err(WireError::Unsupported { at: "the path".into(), supported });
            }
        };
        Ok(Address { model: if is_word(model) { model } else { "" }, form })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_model_and_form() {
        for (path, model, form) in [
            ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", Form::Whole),
            ("/v1beta/models/gemini-2.5-pro:generateContent?key=a", "gemini-2.5-pro", Form::Whole),
            ("/v1beta/models/g:generateContent?alt=sse", "g", Form::Events),
            ("/v1beta/models/g:streamGenerateContent?key=a&alt=sse", "g", Form::Events),
            ("/v1beta/models/g:streamGenerateContent", "g", Form::Array),
            ("/v1/projects/p/locations/l/publishers/google/models/g@001:streamGenerateContent", "g@001", Form::Array),
            ("/v1beta/models/a b:generateContent", "", Form::Whole),
        ] {
            assert_eq!(Address::read(path), Ok(Address { model, form }), "{path}");
        }
        for bad in [
            "",
            "/",
            "/v1beta/models/g",
            "/v1beta/models/g:countTokens",
            "/v1beta/models/g:generatecontent",
            "/generateContent",
        ] {
            assert!(Address::read(bad).is_err(), "{bad}");
        }
    }
}
