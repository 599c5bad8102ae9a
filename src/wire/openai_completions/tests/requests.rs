//! Requests: texts and places, refusals, edits.

use serde_json::json;

use super::DIALECT;
use crate::wire::Dialect;
use crate::wire::testing::{edited, listed, refused};

#[test]
fn finds_texts_and_their_places() {
    let body = json!({"model": "davinci-002", "prompt": "once", "suffix": "end", "echo": true, "best_of": 3, "n": 2, "logprobs": 5,
        "stop": ["END", "STOP"], "user": "u-1", "logit_bias": {"50256": -100}, "max_tokens": 7, "seed": 4111111111111111u64});
    let expected = [
        "- none word !davinci-002",
        "- user content once",
        "- user content end",
        "- none other END\nSTOP",
        "- none other u-1",
    ];
    assert_eq!(listed(&DIALECT, &body), expected);
    for nothing in [json!({}), json!({"prompt": null}), json!({"prompt": ""}), json!({"prompt": []})] {
        assert_eq!(listed(&DIALECT, &nothing), Vec::<String>::new());
    }
    let prompt = DIALECT.parse_request(json!({"stream": true, "model": "m"}).to_string().into(), "").unwrap();
    assert!(prompt.streams() && prompt.model() == "m");
}

#[test]
fn several_prompts_are_judged_each_and_joined() {
    let body = json!({"prompt": ["tell me", "", "of blue", "bird"], "user": "u"});
    let expected = [
        "0 user content tell me",
        "2 user content of blue",
        "3 user content bird",
        "3 user content tell me\nof blue\nbird",
        "3 user content tell meof bluebird",
        "- none other u",
    ];
    assert_eq!(listed(&DIALECT, &body), expected);
    let body = r#"{"prompt": ["of blue", "bird"]}"#;
    // A finding over several prompts is written where it starts.
    assert_eq!(edited(&DIALECT, body, &[(3, 3..11, "#")]).unwrap(), r##"{"prompt": ["of #", ""]}"##);
}

#[test]
fn refuses_what_it_cannot_read_one_way() {
    let tokens = "unsupported; this route judges text only, and numbers in an array may be token ids";
    for (body, expected) in [
        (r#"{"prompt":[1,2]}"#, format!("prompt[0]: {tokens}")),
        (r#"{"prompt":["a",[1]]}"#, format!("prompt[1]: {tokens}")),
        (r#"{"prompt":[["a"]]}"#, format!("prompt[0]: {tokens}")),
        (r#"{"prompt":5}"#, format!("prompt: {tokens}")),
        (r#"{"prompt":[{}]}"#, "prompt[0]: expected a string".into()),
        (r#"{"prompt":{}}"#, "prompt: expected a string or an array".into()),
        (r#"{"x":{"y":[7]}}"#, format!("x.y[0]: {tokens}")),
        (r#"{"Prompt":"b"}"#, "*: expected `prompt`, spelled so".into()),
        (r#"{"suf\u017fix":"b","\u017fuffix":"b"}"#, "*: expected `suffix`, spelled so".into()),
        (r#"{"suffix":["b"]}"#, "suffix: expected a string".into()),
        (r#"{"n":0}"#, "n: expected a whole number from 1 to 128".into()),
        (r#"{"best_of":129}"#, "best_of: expected a whole number from 1 to 128".into()),
        (r#"{"stream":"true"}"#, "stream: expected a number or a boolean".into()),
        (
            r#"{"prompt_embeds":"aGk="}"#,
            "prompt_embeds: unsupported; this route judges text only: a `prompt` that is a string or several".into(),
        ),
        (
            r#"{"guided_regex":"b"}"#,
            "guided_regex: unsupported; this route judges no grammars; a schema may stand in `response_format`".into(),
        ),
        (r#"{"prompt":"a","prompt":"b"}"#, "not strict JSON at byte 14: the object has this key twice".into()),
    ] {
        assert_eq!(refused(&DIALECT, body), expected, "{body}");
    }
    let many = json!({"prompt": vec!["a"; 1001]}).to_string();
    assert_eq!(refused(&DIALECT, &many), "the body: expected at most 1000 texts");
}
