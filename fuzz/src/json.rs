//! Strict JSON beside serde_json: what we take it takes, and reads the same; and what comes out of an edit.

use portcullis::wire::json::{Document, Fault, Limits, Patch, Type, Value, one_line};
use serde_json::Value as Json;

use super::random::Random;

/// What is put in: everything that has to be escaped.
const NEW: &str = "\"\\\n\u{0}\u{2028}\u{85}\u{1f600}";

pub fn check(mut data: &[u8]) {
    let mut random = Random::of(&mut data, 2);
    let other = serde_json::from_slice::<Json>(data);
    let document = match Document::parse(data.to_vec(), &Limits::default()) {
        Ok(document) => document,
        Err(error) => {
            assert!(error.offset <= data.len());
            let limits = matches!(error.fault, Fault::Duplicate | Fault::Depth(_) | Fault::Nodes(_));
            assert!(limits || other.is_err(), "refused without a reason: {error}");
            return;
        }
    };
    let other = other.expect("what is taken is JSON");
    same(document.root(), &other);
    assert_eq!(document.render(&Patch::default()), data);
    let line = document.render_line(&Patch::default());
    let text = std::str::from_utf8(&line).expect("UTF-8");
    assert!(
        !text.contains(['\n', '\r', '\x0b', '\x0c', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'])
    );
    assert_eq!(one_line(&line), line);
    same(parse(&line).root(), &other);

    let mut strings = Vec::new();
    collect(document.root(), &mut strings);
    if !strings.is_empty() {
        let picked = random.below(strings.len());
        let mut patch = Patch::default();
        patch.set_text(strings[picked].id(), NEW);
        let after = document.render(&patch);
        let after = parse(&after);
        let mut edited = Vec::new();
        collect(after.root(), &mut edited);
        assert_eq!(edited.len(), strings.len());
        for (at, (before, after)) in strings.iter().zip(&edited).enumerate() {
            let expected = if at == picked { NEW.into() } else { before.text().expect("a string") };
            assert_eq!(after.text().expect("a string"), expected);
        }
    }
}

fn parse(source: &[u8]) -> Document {
    Document::parse(source.to_vec(), &Limits::default()).expect("what is written is strict JSON")
}

/// Every string that is a value: two keys may not become one.
fn collect<'d>(value: Value<'d>, out: &mut Vec<Value<'d>>) {
    match value.kind() {
        Type::String => out.push(value),
        _ => value.elements().chain(value.members().map(|(_, member)| member)).for_each(|value| collect(value, out)),
    }
}

fn same(value: Value<'_>, other: &Json) {
    let path = value.document().path(value.id());
    match (value.kind(), other) {
        (Type::Null, Json::Null) => {}
        (Type::Bool, Json::Bool(other)) => assert_eq!(value.bool(), Some(*other)),
        (Type::Number, Json::Number(other)) => {
            let number: f64 = value.raw().parse().expect("a number");
            let other = other.as_f64().expect("a number");
            // Of many digits serde_json reads the last one wrong, unless it is built to take its time.
            assert!(number == other || (number / other - 1.0).abs() < 1e-15, "{path}: {number} {other}");
        }
        (Type::String, Json::String(other)) => {
            assert_eq!(value.text().as_deref(), Some(&**other), "{path}");
            assert!(value.is(other));
        }
        (Type::Array, Json::Array(other)) => {
            assert_eq!(value.elements().count(), other.len());
            value.elements().zip(other).for_each(|(value, other)| same(value, other));
        }
        (Type::Object, Json::Object(other)) => {
            assert_eq!(value.members().count(), other.len());
            for ((key, value), (other_key, other)) in value.members().zip(other) {
                assert_eq!(key.text().as_deref(), Some(&**other_key));
                same(value, other);
            }
        }
        (kind, other) => panic!("{path}: {kind:?} and {other}"),
    }
}
