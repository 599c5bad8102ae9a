//! Strict JSON against serde_json, and against itself: what is accepted, what it reads as, what comes out of an edit.

use super::*;
use proptest::prelude::*;

fn parse(source: &str) -> Result<Document, JsonError> {
    Document::parse(source.as_bytes().to_vec(), &Limits::default())
}

fn fault(source: &[u8]) -> (usize, Fault) {
    let error = Document::parse(source.to_vec(), &Limits::default()).expect_err("must be refused");
    (error.offset, error.fault)
}

#[test]
fn refuses_what_two_readers_could_take_differently() {
    use Fault::*;
    let utf16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (source, expected) in [
        (&b"\xef\xbb\xbf{}"[..], (0, Bom)),
        (b"\xff\xfe{\0}\0", (0, Utf8)),
        (&utf16, (1, Expected("a key in double quotes"))),
        (b"{\"a\":\"\xc3\"}", (6, Utf8)),
        (b"{\"a\":\"\xed\xa0\x80\"}", (6, Utf8)),
        (br#"{"a":1,"a":2}"#, (7, Duplicate)),
        (br#"[{"content":"ok","c\u006fntent":"bad"}]"#, (17, Duplicate)),
        (br#"{"k":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"\u0061":9}}"#, (54, Duplicate)),
        (br#""\ud800""#, (1, Surrogate)),
        (br#""\ud800A""#, (1, Surrogate)),
        (br#""\ud800\ud800""#, (1, Surrogate)),
        (br#""\udc00""#, (1, Surrogate)),
        (br#""\u12g4""#, (1, Expected("four hex digits after `\\u`"))),
        (br#""\u+123""#, (1, Expected("four hex digits after `\\u`"))),
        (br#""\x""#, (1, Expected("an escape of JSON after `\\`"))),
        (b"\"a\nb\"", (2, Control)),
        (b"\"a\0b\"", (2, Control)),
        (b"\"abc", (4, Expected("`\"` at the end of a string"))),
        (b"{} {}", (3, Expected("the end of the document"))),
        (b"{}\0", (2, Expected("the end of the document"))),
        (b"// c\n{}", (0, Expected("a value"))),
        (b"[1,]", (3, Expected("a value"))),
        (b"{\"a\":1,}", (7, Expected("a key in double quotes"))),
        (b"[NaN]", (1, Expected("a value"))),
        (b"[nul]", (1, Expected("a value"))),
        (b"[01]", (2, Expected("`,` or `]`"))),
        (b"[1.]", (3, Expected("a digit"))),
        (b"[-]", (2, Expected("a digit"))),
        (b"[+1]", (1, Expected("a value"))),
        (b"[1e]", (3, Expected("a digit"))),
        (b"[1e400]", (1, Infinite)),
        (b"{\"a\" 1}", (5, Expected("`:`"))),
        (b"{\"a\":1]", (6, Expected("`,` or `}`"))),
        (b"[\x0b1]", (1, Expected("a value"))),
        (b"[1", (2, Expected("`,` or `]`"))),
        (b"", (0, Expected("a value"))),
    ] {
        assert_eq!(fault(source), expected, "{}", String::from_utf8_lossy(source));
    }
    assert_eq!(fault(format!("[{}]", "9".repeat(400)).as_bytes()), (1, Infinite));
}

#[test]
fn keeps_its_limits() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(&nested(64)).is_ok());
    assert_eq!(fault(nested(65).as_bytes()), (64, Fault::Depth(64)));
    assert_eq!(fault(&b"[".repeat(1_000_000)), (64, Fault::Depth(64)));
    let limits = Limits { depth: 64, nodes: 3 };
    assert!(Document::parse(&b"[1,2]"[..], &limits).is_ok());
    assert_eq!(Document::parse(&b"[1,2,3]"[..], &limits).unwrap_err().fault, Fault::Nodes(3));
}

#[test]
fn an_error_names_the_place_and_not_the_content() {
    let source = b"{\n \"secret\": \"x\",\n \"secret\": 1}";
    let error = Document::parse(&source[..], &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "not strict JSON at byte 19: the object has this key twice");
}

#[test]
fn finds_values_and_says_where_they_stand() {
    let document =
        parse(r#"{"messages":[{"role":"user"},{"content":[{"text":"hi \u00e9"}], "My Secret":{"a":5}}],"n":2}"#)
            .unwrap();
    let message = document.root().get("messages").unwrap().elements().nth(1).unwrap();
    let text = message.get("content").unwrap().elements().next().unwrap().get("text").unwrap();
    assert_eq!(text.text().as_deref(), Some("hi é"));
    assert_eq!(document.path(text.id()), "messages[1].content[0].text");
    let (key, value) = message.members().nth(1).unwrap();
    assert_eq!((key.text().as_deref(), value.get("a").unwrap().u32()), (Some("My Secret"), Some(5)));
    assert_eq!(document.path(key.id()), "messages[1].*");
    assert_eq!(document.path(value.get("a").unwrap().id()), "messages[1].*.a");
    assert_eq!(document.path(document.root().id()), "");
    assert_eq!(document.root().get("n").unwrap().u32(), Some(2));
    assert!(document.root().get("nope").is_none() && text.elements().next().is_none());
}

#[test]
fn edits_in_place_and_keeps_every_other_byte() {
    let source = "{ \"a\" : \"x\" ,\n \"n\":1.50e+1, \"big\":123456789012345678901234567890, \"b\":[ \"y\" , -0 ] }";
    let document = parse(source).unwrap();
    let mut patch = Patch::default();
    patch.set_text(document.root().get("b").unwrap().elements().next().unwrap().id(), "\"new\"\u{2028}");
    assert_eq!(document.render(&patch), source.replace("\"y\"", "\"\\\"new\\\"\\u2028\"").into_bytes());
}

#[test]
fn removes_members_wherever_they_stand() {
    let source = r#"{"a":1, "b":"x", "c":{"d":2},"e":3}"#;
    for (keys, expected) in [
        (&["a"][..], r#"{"b":"x", "c":{"d":2},"e":3}"#),
        (&["b"], r#"{"a":1, "c":{"d":2},"e":3}"#),
        (&["e"], r#"{"a":1, "b":"x", "c":{"d":2}}"#),
        (&["c", "e"], r#"{"a":1, "b":"x"}"#),
        (&["a", "c", "e"], r#"{"b":"x"}"#),
        (&["a", "b", "c", "e"], "{}"),
        (&["no"], source),
    ] {
        let document = parse(source).unwrap();
        let mut patch = Patch::default();
        patch.set_text(document.root().get("b").unwrap().id(), "x");
        keys.iter().for_each(|key| patch.remove(document.root(), key));
        assert_eq!(String::from_utf8(document.render(&patch)).unwrap(), expected, "{keys:?}");
    }
    let document = parse(r#"{"a":{"b":1,"c":2},"d":3}"#).unwrap();
    let mut patch = Patch::default();
    patch.remove(document.root().get("a").unwrap(), "c");
    patch.remove(document.root(), "a");
    assert_eq!(document.render(&patch), br#"{"d":3}"#);
}

#[test]
fn one_line_has_no_line_separator_of_any_reader() {
    let source = "{\r\n \"a\\\"\" :\t\"x \u{2028}\u{2029}\u{85}\u{a0}\u{2027} \\n\" , \"b\\\\\" : [ 1.0e5 ] }";
    let line = String::from_utf8(parse(source).unwrap().render_line(&Patch::default())).unwrap();
    assert_eq!(line, "{\"a\\\"\":\"x \\u2028\\u2029\\u0085\u{a0}\u{2027} \\n\",\"b\\\\\":[1.0e5]}");
}

/// JSON as it may come: odd spacing, every kind of escape, keys that may clash once unescaped, long numbers.
fn nasty() -> impl Strategy<Value = String> {
    let string = proptest::collection::vec(
        prop_oneof![
            8 => "[ -!#-\\[\\]-~]{1,12}",
            2 => "[à-üЖ中\u{2028}\u{85}😀]",
            1 => Just("\\u0063".to_owned()),
            1 => Just("c".to_owned()),
            1 => Just("\\ud83d\\ude00".to_owned()),
            1 => prop_oneof![Just("\\n"), Just("\\\""), Just("\\\\"), Just("\\/"), Just("\\u0000"), Just("\\b\\f\\r\\t")].prop_map(str::to_owned),
        ],
        0..5,
    ).prop_map(|pieces| format!("\"{}\"", pieces.concat()));
    let key = prop_oneof![3 => string.clone(), 1 => prop_oneof![
        Just("\"content\""), Just("\"c\\u006fntent\""), Just("\"\\u0063\""), Just("\"c\"")].prop_map(str::to_owned)];
    let leaf = prop_oneof![
        string,
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(str::to_owned),
    ];
    let space = "[ \t\r\n]{0,2}";
    leaf.prop_recursive(5, 60, 12, move |inner| {
        prop_oneof![
            (space, proptest::collection::vec(inner.clone(), 0..6))
                .prop_map(|(s, items)| format!("[{s}{}{s}]", items.join(&format!("{s},{s}")))),
            (space, proptest::collection::vec((key.clone(), inner), 0..12)).prop_map(|(s, members)| {
                let members: Vec<_> = members.into_iter().map(|(k, v)| format!("{k}{s}:{s}{v}")).collect();
                format!("{{{s}{}{s}}}", members.join(&format!("{s},{s}")))
            }),
        ]
    })
}

/// Keys twice in one object, after unescaping: told by counting what serde_json keeps.
fn has_duplicates(source: &str, document: &serde_json::Value) -> bool {
    fn size(value: &serde_json::Value) -> usize {
        1 + match value {
            serde_json::Value::Array(items) => items.iter().map(size).sum(),
            serde_json::Value::Object(members) => members.values().map(|v| 1 + size(v)).sum::<usize>(),
            _ => 0,
        }
    }
    // serde's own stream of values counts each member, also one that a later one replaces.
    struct Count(usize);
    impl<'de> serde::Deserialize<'de> for Count {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visit;
            impl<'de> serde::de::Visitor<'de> for Visit {
                type Value = Count;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("JSON")
                }
                fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
                    Ok(Count(1))
                }
                fn visit_i64<E>(self, _: i64) -> Result<Count, E> {
                    Ok(Count(1))
                }
                fn visit_u64<E>(self, _: u64) -> Result<Count, E> {
                    Ok(Count(1))
                }
                fn visit_f64<E>(self, _: f64) -> Result<Count, E> {
                    Ok(Count(1))
                }
                fn visit_str<E>(self, _: &str) -> Result<Count, E> {
                    Ok(Count(1))
                }
                fn visit_unit<E>(self) -> Result<Count, E> {
                    Ok(Count(1))
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Count, A::Error> {
                    let mut count = 1;
                    while let Some(Count(item)) = items.next_element()? {
                        count += item;
                    }
                    Ok(Count(count))
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Count, A::Error> {
                    let mut count = 1;
                    while let Some((_, Count(value))) = members.next_entry::<String, Count>()? {
                        count += 1 + value;
                    }
                    Ok(Count(count))
                }
            }
            deserializer.deserialize_any(Visit)
        }
    }
    serde_json::from_str::<Count>(source).unwrap().0 != size(document)
}

/// Every string, key or value, with serde's reading of it.
fn same(own: Value<'_>, theirs: &serde_json::Value) -> bool {
    match theirs {
        serde_json::Value::Null => own.is_null(),
        serde_json::Value::Bool(b) => own.bool() == Some(*b),
        serde_json::Value::Number(_) => {
            own.kind() == Type::Number && serde_json::from_str::<serde_json::Value>(own.raw()).unwrap() == *theirs
        }
        serde_json::Value::String(text) => own.text().as_deref() == Some(text),
        serde_json::Value::Array(items) => {
            own.elements().count() == items.len() && own.elements().zip(items).all(|(o, t)| same(o, t))
        }
        serde_json::Value::Object(members) => {
            own.members().count() == members.len()
                && own.members().all(|(k, v)| members.get(&*k.text().unwrap()).is_some_and(|t| same(v, t)))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn reads_what_serde_reads_less_duplicate_keys(source in nasty()) {
        let theirs: serde_json::Value = serde_json::from_str(&source).unwrap();
        match parse(&source) {
            Ok(document) => {
                prop_assert!(same(document.root(), &theirs));
                prop_assert!(!has_duplicates(&source, &theirs));
                prop_assert_eq!(document.render(&Patch::default()), source.as_bytes());
                let line = String::from_utf8(document.render_line(&Patch::default())).unwrap();
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), theirs);
                let separators = ['\n', '\r', '\u{85}', '\u{2028}'];
                prop_assert!(!line.contains(separators));
            }
            Err(error) => {
                prop_assert_eq!(&error.fault, &Fault::Duplicate, "{}", error);
                prop_assert!(has_duplicates(&source, &theirs));
            }
        }
    }

    #[test]
    fn accepts_nothing_that_serde_refuses(source in nasty(), at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = source.into_bytes();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = with }
        if Document::parse(bytes.clone(), &Limits::default()).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'['), Just(b',')], 0..64)) {
        if let Ok(document) = Document::parse(bytes.clone(), &Limits::default()) {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
            prop_assert_eq!(document.render(&Patch::default()), bytes);
        }
    }

    #[test]
    fn an_edit_is_read_back_and_nothing_else_changes(source in nasty(), pick in any::<prop::sample::Index>(), text in any::<String>()) {
        let Ok(document) = parse(&source) else { return Ok(()) };
        fn strings<'d>(value: Value<'d>, out: &mut Vec<NodeId>) {
            if value.kind() == Type::String { out.push(value.id()) }
            value.elements().for_each(|v| strings(v, out));
            value.members().for_each(|(_, v)| strings(v, out));
        }
        let mut ids = Vec::new();
        strings(document.root(), &mut ids);
        if ids.is_empty() { return Ok(()) }
        let id = ids[pick.index(ids.len())];
        let mut patch = Patch::default();
        patch.set_text(id, &text);
        let edited = Document::parse(document.render(&patch), &Limits::default()).unwrap();
        prop_assert_eq!(edited.value(id).text(), Some(text.into()));
        prop_assert_eq!(edited.nodes.len(), document.nodes.len());
        let mut back = Patch::default();
        back.set_text(id, &document.value(id).text().unwrap());
        let restored: serde_json::Value = serde_json::from_slice(&edited.render(&back)).unwrap();
        prop_assert!(same(document.root(), &restored));
    }

    #[test]
    fn removed_members_are_gone_and_the_rest_stays(source in nasty(), mask in any::<u16>()) {
        let Ok(document) = parse(&format!("{{\"z1\":{source},\"z2\":1,\"z3\":[{source}],\"z4\":null}}")) else { return Ok(()) };
        let mut expected: serde_json::Value = serde_json::from_slice(document.source()).unwrap();
        let mut patch = Patch::default();
        for bit in 1..5 {
            if mask & (1 << bit) != 0 {
                patch.remove(document.root(), &format!("z{bit}"));
                expected.as_object_mut().unwrap().remove(&format!("z{bit}"));
            }
        }
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&document.render(&patch)).unwrap(), expected);
    }
}
