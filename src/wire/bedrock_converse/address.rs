//! What the path of a request says: the model, and whether the answer is a stream.

use crate::wire::WireError;
use crate::wire::shape::is_word;

/// A path, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Address<'p> {
    /// Untrusted; empty where it is no plain word.
    pub model: &'p str,
    pub streams: bool,
}

impl<'p> Address<'p> {
    /// Reads `/model/MODEL/OPERATION`.
    pub fn read(path: &'p str) -> Result<Self, WireError> {
        let path = path.split('?').next().unwrap_or_default();
        let mut segments = path.rsplit('/');
        let streams = match segments.next() {
            Some("converse") => false,
            Some("converse-stream") => true,
            _ => return Err(unsupported("this dialect judges `converse` and `converse-stream`")),
        };
        let model = segments.next().unwrap_or_default();
        if model.starts_with("arn:") {
            return Err(unsupported(
                "this route takes a model's id: an ARN may name a stored prompt, which is not seen",
            ));
        }
        Ok(Address { model: if is_word(model) { model } else { "" }, streams })
    }
}

fn unsupported(supported: &'static str) -> WireError {
    WireError::Unsupported { at: "the path".into(), supported }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_model_and_form() {
        for (path, model, streams) in [
            ("/model/amazon.nova-lite-v1:0/converse", "amazon.nova-lite-v1:0", false),
            (
                "/model/us.anthropic.claude-3-5-sonnet-20240620-v1:0/converse-stream",
                "us.anthropic.claude-3-5-sonnet-20240620-v1:0",
                true,
            ),
            ("/bedrock/model/m/converse?a=b", "m", false),
            ("/model/a b/converse", "", false),
        ] {
            assert_eq!(Address::read(path), Ok(Address { model, streams }), "{path}");
        }
        for bad in [
            "",
            "/",
            "/model/m",
            "/model/m/invoke",
            "/model/m/Converse",
            "/model/m/converse/",
            "/model/m/count-tokens",
            "/model/m/invoke?a=/converse",
            "/model/arn:aws:bedrock:us-east-1:123456789012:prompt:ABCDE12345/converse",
        ] {
            assert!(Address::read(bad).is_err(), "{bad}");
        }
    }
}
