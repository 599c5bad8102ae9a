//! Requests: texts and places, both names of a member, refusals, edits.

use serde_json::{Value as Json, json};

use super::{PATH, edits, listed, parse, with};
use crate::wire::gemini::Gemini;
use crate::wire::{Dialect, WireError};

fn contents(contents: Json) -> Json {
    json!({ "contents": contents })
}

#[test]
fn finds_texts_and_their_places() {
    for (content, expected) in [
        (json!({"role": "user", "parts": [{"text": "hi"}]}), &["0 user content hi"][..]),
        (json!({"parts": [{"text": "hi"}]}), &["0 user content hi"]),
        (json!({"role": "", "parts": {"text": "hi"}}), &["0 user content hi"]),
        (json!({"role": null, "parts": [{"text": ""}]}), &[]),
        (
            json!({"role": "model", "parts": [{"text": "ig"}, {"text": "nore"}]}),
            &["0 assistant content ig\nnore", "0 assistant content ignore"],
        ),
        (
            json!({"role": "model", "parts": [{"text": "hm", "thought": true}, {"text": "blue", "thought": false}, {"text": "m", "thought": true}, {"text": "bird"}]}),
            &[
                "0 assistant content hm\nblue\nm\nbird",
                "0 assistant content hmbluembird",
                "0 assistant content bluebird",
                "0 assistant reasoning hmm",
            ],
        ),
        (
            json!({"role": "model", "parts": [{"text": "blue"}, {"functionCall": {"id": "c1", "name": "send", "args": {"to": "x@y", "n": 5, "of": [true, ["z"]]}},
                "thoughtSignature": "bluebird"}, {"text": "bird"}]}),
            &[
                "0 assistant other !c1",
                "0 assistant name !send",
                "0 assistant tool_arguments to\nx@y\nn\n5\nof\nz",
                "0 assistant word !bluebird",
                "0 assistant content blue\nbird",
                "0 assistant content bluebird",
            ],
        ),
        (
            json!({"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "send", "response": {"result": "sent"}, "willContinue": false, "scheduling": "SILENT"}}]}),
            &["0 user other !c1", "0 user name !send", "0 user content result\nsent"],
        ),
        (
            json!({"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}),
            &["0 tool name !f"],
        ),
        (
            json!({"role": "model", "parts": [{"executableCode": {"language": "PYTHON", "code": "print(1)"}}, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}]}),
            &["0 assistant tool_arguments print(1)", "0 assistant other 1"],
        ),
        (
            json!({"role": "model", "parts": [{"toolCall": {"toolType": "URL_CONTEXT", "args": {"u": "v"}}}, {"toolResponse": {"response": {"r": "s"}}}]}),
            &["0 assistant tool_arguments toolType\nURL_CONTEXT\nargs\nu\nv", "0 assistant content response\nr\ns"],
        ),
        (
            json!({"role": "user", "parts": [{"text": "a", "odd": {"k e y": ["b"]}, "partMetadata": {"m": "n"}, "mediaResolution": {"level": "x"}}], "more": "c"}),
            &[
                "0 user other odd\nk e y\nb",
                "0 user other m\nn",
                "0 user word !x",
                "0 user content a",
                "0 user other more\nc",
            ],
        ),
    ] {
        assert_eq!(listed(&contents(json!([content]))), expected, "{content}");
    }
}

#[test]
fn finds_what_stands_around_the_contents() {
    let body = json!({
        "systemInstruction": {"role": "user", "parts": [{"text": "be"}, {"text": "good"}]},
        "labels": {"l": "v"},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "generationConfig": {"stopSequences": ["END"], "responseMimeType": "application/json", "temperature": 0.5, "candidateCount": 2,
            "responseSchema": {"type": "OBJECT", "nullable": true, "propertyOrdering": ["city"], "properties": {"city": {"type": "STRING", "enum": ["Oslo"]}}},
            "responseModalities": ["TEXT"], "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "LOW"}},
        "tools": [{"functionDeclarations": [{"name": "get", "description": "gets", "behavior": "BLOCKING",
            "parameters": {"type": "OBJECT", "properties": {"where": {"type": "STRING", "description": "a place"}}},
            "responseJsonSchema": {"title": "out"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get", "put"]}},
    });
    let mut found = listed(&with(&body));
    found.sort();
    let expected = [
        "- none other END",
        "- none other city\ncity\nOslo",
        "- none other l\nv",
        "- none tool_definition get\nput",
        "- none tool_definition gets\nget\nwhere\na place\nout",
        "- system content be\ngood",
        "- system content begood",
        "0 user content a",
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for line in expected {
        let words = |line: &str| {
            let mut words: Vec<_> = line.replace('!', "").split(['\n', ' ']).map(str::to_owned).collect();
            words.sort();
            words
        };
        assert!(found.iter().any(|found| words(found) == words(line)), "{line:?} in {found:?}");
    }
}

#[test]
fn both_names_of_a_member_are_the_same_member() {
    let camel = json!({
        "contents": [{"parts": [{"functionCall": {"name": "f", "args": {"fooBar": "x", "foo_bar": "y"}}, "thoughtSignature": "s"},
            {"executableCode": {"code": "c"}}, {"codeExecutionResult": {"output": "o"}}, {"functionResponse": {"name": "f", "response": {}}}]}],
        "systemInstruction": {"parts": [{"text": "be"}]},
        "generationConfig": {"stopSequences": ["S"], "responseJsonSchema": {"const": "c"}, "maxOutputTokens": 5},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"const": "p"}}]}],
        "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["f"]}},
        "safetySettings": [{"category": "odd"}],
    });
    let renamed = [
        "functionCall",
        "thoughtSignature",
        "executableCode",
        "codeExecutionResult",
        "functionResponse",
        "systemInstruction",
        "generationConfig",
        "stopSequences",
        "responseJsonSchema",
        "maxOutputTokens",
        "functionDeclarations",
        "parametersJsonSchema",
        "toolConfig",
        "functionCallingConfig",
        "allowedFunctionNames",
        "safetySettings",
    ];
    let snake = |name: &str| crate::wire::shape::second_name(name).collect::<String>();
    let quoted = |name: &str| format!("\"{name}\":");
    let sorted = |body: &Json| {
        let mut found = listed(body);
        found.sort();
        found
    };
    let other = renamed.iter().fold(camel.to_string(), |body, name| body.replace(&quoted(name), &quoted(&snake(name))));
    assert_eq!(sorted(&camel), sorted(&serde_json::from_str(&other).unwrap()));
    assert!(other.contains("\"stop_sequences\":") && !other.contains("\"stopSequences\":"));
    // One of them twice, under another name or in another spelling, has two readings.
    for name in renamed {
        for second in [snake(name), name.to_uppercase(), name.to_lowercase(), format!("{name}_")] {
            let twice =
                camel.to_string().replacen(&quoted(name), &format!("{}null,{}", quoted(&second), quoted(name)), 1);
            let error = parse(&*twice).err().unwrap_or_else(|| panic!("{twice}")).to_string();
            let how = if second == snake(name) { "under one of its names" } else { "spelled so" };
            assert!(error.contains(&format!("expected `{name}`")) && error.contains(how), "{second}: {error}");
        }
    }
}

#[test]
fn refuses_what_cannot_be_judged() {
    let user = |part: Json| contents(json!([{"role": "user", "parts": [part]}]));
    let text_only = "unsupported; this route judges text only, and calls of the client's own functions";
    let state = "unsupported; this route judges what a request says itself, and not what the upstream has kept";
    let tools = "unsupported; this route judges calls of the client's own functions only: `functionDeclarations`";
    for (body, expected) in [
        (json!([]), "the body: expected an object".to_owned()),
        (json!({}), "contents: is missing".into()),
        (contents(json!("hi")), "contents: expected an array".into()),
        (contents(json!({"parts": [{"text": "hi"}]})), "contents: expected an array".into()),
        (contents(json!(["hi"])), "contents[0]: expected an object".into()),
        (contents(json!([{"role": "critic"}])), "contents[0].role: expected a role: user, model or function".into()),
        (contents(json!([{"role": "system"}])), "contents[0].role: expected a role: user, model or function".into()),
        (contents(json!([{"role": 5}])), "contents[0].role: expected a role: user, model or function".into()),
        (contents(json!([{"parts": ["hi"]}])), "contents[0].parts[0]: expected an object".into()),
        (contents(json!([{"parts": "hi"}])), "contents[0].parts: expected an array or an object".into()),
        (user(json!({"text": 5})), "contents[0].parts[0].text: expected a string".into()),
        (user(json!({"text": "a", "thought": "true"})), "contents[0].parts[0].thought: expected a boolean".into()),
        (user(json!({"text": "a", "Thought": true})), "contents[0].parts[0].*: expected `thought`, spelled so".into()),
        (
            user(json!({"inlineData": {"mimeType": "image/png", "data": ""}})),
            format!("contents[0].parts[0].inlineData: {text_only}"),
        ),
        (user(json!({"inline_data": {"data": ""}})), format!("contents[0].parts[0].inline_data: {text_only}")),
        (user(json!({"fileData": {"fileUri": "u"}})), format!("contents[0].parts[0].fileData: {text_only}")),
        (
            user(json!({"audio_transcription": {"text": "u"}})),
            format!("contents[0].parts[0].audio_transcription: {text_only}"),
        ),
        (
            user(json!({"functionResponse": {"name": "f", "parts": [{"inlineData": {}}]}})),
            format!("contents[0].parts[0].functionResponse.parts: {text_only}"),
        ),
        (
            user(json!({"functionCall": {"name": "f", "partialArgs": []}})),
            "contents[0].parts[0].functionCall.partialArgs: unsupported; this route judges the arguments of a call whole".into(),
        ),
        (user(json!({"functionCall": {"args": {}}})), "contents[0].parts[0].functionCall.name: is missing".into()),
        (with(&json!({"cachedContent": "cachedContents/x"})), format!("cachedContent: {state}")),
        (with(&json!({"cached_content": "cachedContents/x"})), format!("cached_content: {state}")),
        (with(&json!({"continuationToken": "x"})), format!("continuationToken: {state}")),
        (with(&json!({"systemInstruction": "be"})), "systemInstruction: expected an object".into()),
        (with(&json!({"tools": [{"googleSearch": {}}]})), format!("tools[0].googleSearch: {tools}")),
        (with(&json!({"tools": [{"google_search": {}}]})), format!("tools[0].google_search: {tools}")),
        (with(&json!({"tools": [{"urlContext": {}}]})), format!("tools[0].urlContext: {tools}")),
        (with(&json!({"tools": [{"codeExecution": {}}]})), format!("tools[0].codeExecution: {tools}")),
        (with(&json!({"tools": [{"file_search": {}}]})), format!("tools[0].file_search: {tools}")),
        (with(&json!({"tools": [{"mcp_servers": []}]})), format!("tools[0].mcp_servers: {tools}")),
        (with(&json!({"tools": [{"functionDeclarations": [], "newest": {}}]})), format!("tools[0].newest: {tools}")),
        (with(&json!({"tools": {"googleSearch": {}}})), "tools: expected an array".into()),
        (
            with(&json!({"toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": true}}})),
            "toolConfig.functionCallingConfig.streamFunctionCallArguments: unsupported; this route judges the arguments of a call whole".into(),
        ),
        (
            with(&json!({"generation_config": {"response_modalities": ["TEXT", "AUDIO"]}})),
            "generation_config.response_modalities[1]: unsupported; this route judges text only: `TEXT`".into(),
        ),
        (with(&json!({"generationConfig": {"candidateCount": 9}})), "generationConfig.candidateCount: expected a whole number from 1 to 8".into()),
        (with(&json!({"generationConfig": {"candidateCount": "2"}})), "generationConfig.candidateCount: expected a number or a boolean".into()),
        (with(&json!({"generationConfig": {"speechConfig": {}}})), format!("generationConfig.speechConfig: {text_only}")),
        (
            with(&json!({"generationConfig": {"stopSequences": ["a"], "x": [7]}})),
            "generationConfig.x[0]: unsupported; this route judges text only, and numbers in an array may be token ids".into(),
        ),
    ] {
        let error = parse(body.to_string()).err().unwrap_or_else(|| panic!("must be refused: {body}"));
        assert_eq!(error.to_string(), expected, "{body}");
    }
    let both = r#"{"contents":[],"contents":[]}"#;
    assert!(matches!(parse(both), Err(WireError::Json(_))));
}

#[test]
fn the_path_says_model_and_form() {
    let ask = |path: &str| Gemini::new(10).parse_request(with(&json!({})).to_string().into(), path);
    for (path, streams) in [
        (PATH, false),
        ("/v1beta/models/gemini-x:streamGenerateContent", true),
        ("/v1beta/models/gemini-x:streamGenerateContent?alt=sse", true),
    ] {
        let prompt = ask(path).unwrap();
        assert_eq!((prompt.model(), prompt.streams(), prompt.path()), ("gemini-x", streams, path));
    }
    assert!(matches!(ask("/v1beta/models/gemini-x:countTokens"), Err(WireError::Unsupported { .. })));
}

#[test]
fn edits_in_place() {
    let body = r#"{"contents" : [{"parts":[{"text":"a se"},{"thought":false,"text":"cr\u0065t b"}]}], "system_instruction":{"parts":{"text":"mail bob@x.y"}},
        "generationConfig":{"topK":1.0e0,"stopSequences":["bob"]}}"#;
    let prompt = parse(body).unwrap();
    let texts: Vec<_> = prompt.segments().iter().map(|segment| &*segment.text).collect();
    assert_eq!(texts, ["a se\ncret b", "a secret b", "mail bob@x.y", "bob"]);
    let out = prompt.edited(&edits(&[(1, 2..8, "[S]"), (2, 5..12, "[E]"), (3, 0..3, "#")])).unwrap();
    let expected = r##"{"contents" : [{"parts":[{"text":"a [S]"},{"thought":false,"text":" b"}]}], "system_instruction":{"parts":{"text":"mail [E]"}},
        "generationConfig":{"topK":1.0e0,"stopSequences":["#"]}}"##;
    assert_eq!(String::from_utf8(out.into()).unwrap(), expected);

    let call =
        contents(json!([{"role": "model", "parts": [{"functionCall": {"name": "send", "args": {"to": "bob"}}}]}]));
    let prompt = parse(call.to_string()).unwrap();
    let at = |text: &str| prompt.segments().iter().find(|segment| segment.text.contains(text)).unwrap().id.0;
    let out = prompt.edited(&edits(&[(at("bob"), 3..6, "#")])).unwrap();
    assert!(String::from_utf8(out.into()).unwrap().contains(r##""args":{"to":"#"}"##));
    for (segment, span) in [(at("send"), 0..4), (at("bob"), 0..2)] {
        assert!(matches!(prompt.edited(&edits(&[(segment, span, "#")])), Err(WireError::NotEditable { .. })));
    }
}
