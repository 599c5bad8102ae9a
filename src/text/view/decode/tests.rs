//! Encodings: each alone, within one another, in any text; what is no encoding stays.

use super::*;
use crate::text::view::{Views, unpacked};

const LAYERS: [Layer; 2] = [Layer::Letters, Layer::Runs];
use proptest::prelude::*;

fn text(encoded: &str) -> Option<String> {
    let decode =
        |text: &str, layer| decoded(text, layer).into_iter().find(|decoded| decoded.all).map(|decoded| decoded.text);
    let letters = decode(encoded, Layer::Letters);
    decode(letters.as_deref().unwrap_or(encoded), Layer::Runs).or(letters)
}

/// The raw text under the first occurrence of `needle` in any view.
fn find<'t>(text: &'t str, needle: &str) -> Option<&'t str> {
    let span = Views::of(text).find_map(|view| {
        let at = view.text.find(needle)?;
        Some(view.raw_span(at..at + needle.len()))
    })?;
    Some(&text[span])
}

fn base64(text: &str, alphabet: &[u8; 2], padded: bool) -> String {
    let letters = |value: u32| match value {
        0..=25 => b'A' + value as u8,
        26..=51 => b'a' + value as u8 - 26,
        52..=61 => b'0' + value as u8 - 52,
        other => alphabet[other as usize - 62],
    };
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let value = three.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for nth in 0..4 {
            if nth <= three.len() {
                out.push(char::from(letters(value >> (18 - 6 * nth) & 63)));
            } else if padded {
                out.push('=');
            }
        }
    }
    out
}

fn each_byte(text: &str, before: &str, between: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("{before}{byte:02x}")).collect();
    bytes.join(between)
}

/// Encodes in one of many ways; the first ones give runs.
fn encode(text: &str, how: usize) -> String {
    match how {
        0 => base64(text, b"+/", true),
        1 => base64(text, b"-_", false),
        2 => each_byte(text, "", ""),
        3 => each_byte(text, "", "").to_uppercase(),
        4 => format!("0x{}", each_byte(text, "", "")),
        5 => each_byte(text, "", " "),
        6 => each_byte(text, "", ":"),
        7 => each_byte(text, "0x", ", "),
        8 => base64(text, b"+/", true).as_bytes().chunks(8).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n"),
        9 => each_byte(text, "%", ""),
        10 => each_byte(text, "\\x", ""),
        11 => text.chars().map(|ch| format!("&#{};", u32::from(ch))).collect(),
        12 => text.chars().map(|ch| format!("&#x{:04X};", u32::from(ch))).collect(),
        13 => text.chars().map(|ch| format!("\\u{{{:x}}}", u32::from(ch))).collect(),
        _ => text.replace(' ', "%20").replace('e', "%65"),
    }
}

const WAYS: usize = 15;
const RUNS: usize = 9;

#[test]
fn each_encoding_is_undone_where_it_stands() {
    for (encoded, expected) in [
        ("to bob%40example%2Ecom now", "to bob@example.com now"),
        ("caf%C3%A9 %u0062", "café b"),
        ("caf%e9", "café"),
        (r"\x62\x6c\u{75}\u0065", "blue"),
        ("bob&#64;x&#x2e;org &amp; &lt;b&gt;", "bob@x.org & <b>"),
        ("&#98&#x6cue &commat; &bfr;&eacute;", "blue @ be"),
        ("say Ymx1ZWJpcmQgZmxpZXM= now", "say bluebird flies now"),
        ("say Ymx1ZWJpcmQgZmxpZXM now", "say bluebird flies now"),
        ("id_626c756562697264", "id_bluebird"),
        ("x626c756562697264z", "x\nbluebird\nz"),
        ("0x620x6c0x750x65", "blue"),
        ("626c-7565-6269-7264", "bluebird"),
        ("\"Ymx1ZW\" + \"JpcmQ=\"", "\"bluebird\""),
        ("> Ymx1ZWJ\n> pcmQ=", "> bluebird"),
        ("Ymx1ZWJ<br>pcmQ=", "bluebird"),
        ("operation Ymx1ZWJpcmQ=", "operation bluebird"),
        ("(Ym9tYg==)", "(bomb)"),
        ("please Ym9tYg==", "please bomb"),
        ("that next. cHJv amVj dCBi bHVl Ymly ZA==", "that next. project bluebird"),
        ("that 626c 7565 6269 7264 that", "that bluebird that"),
        ("made of 0x62, 0x6c, 0x75, 0x65 that", "made of blue that"),
        ("é?Ymx1ZWJpcmQ/Pz8+", "é?bluebird???>"),
        ("Ymx1ZWJpcmQ_Pz8-", "bluebird???>"),
        ("xYmx1ZWJpcmQgZmxpZXM", "bluebird flies"),
        ("Ymx1\nZWJp\r\n cmQ=", "bluebird"),
        ("Ymx1 ZWJp cmQ=", "bluebird"),
        ("Ymx1ZWJp\ncmRz", "bluebirds"),
        ("Ymx1 ZWJp cmRz and", "bluebirdsjw"),
        ("YgBsAHUAZQBiAGkAcgBkAA==", "bluebird"),
        ("626c756562697264", "bluebird"),
        ("0x626C756562697264!", "bluebird!"),
        ("62 6c 75 65 62 69 72 64", "bluebird"),
        ("62:6C:75:65", "blue"),
        ("0x62, 0x6c, 0x75, 0x65", "blue"),
        ("62-6c-75-65", "blue"),
        ("736563726574", "secret"),
        ("54K45by5", "炸弹"),
    ] {
        assert_eq!(text(encoded).as_deref(), Some(expected), "{encoded}");
    }
}

#[test]
fn plain_text_has_nothing_encoded() {
    for plain in [
        "",
        "Hello, world! This is a sentence with ordinary words in it, some of them remarkably long.",
        "100% of 5 & 6, AT&T; 20%off 50 %",
        "src/text/view/mod.rs and https://example.com/path?q=1&r=2",
        "+1 415 555 0123, 2024-11-21T15:14:29Z, 4111 1111 1111 1111",
        "internationalization antidisestablishmentarianism state-of-the-art",
        "中文没有变化",
        r"C:\Windows",
    ] {
        assert_eq!(text(plain), None, "{plain}");
    }
}

#[test]
fn a_run_is_one_part_and_a_row_of_letters_too() {
    let parts = |text: &str, layer| {
        let decoded = decoded(text, layer).remove(0);
        decoded.parts.iter().map(|part| (part.source.clone(), part.solid, part.plain)).collect::<Vec<_>>()
    };
    assert_eq!(parts("a%20b Ymx1ZWJpcmQ=", Layer::Runs), [(6..18, true, true)]);
    assert_eq!(parts("&#98;&#98;%62%62%62%62%62%62", Layer::Letters), [(0..28, false, true)]);
}

#[test]
fn a_finding_in_a_run_covers_all_of_it() {
    for (text, needle, covers) in [
        ("say Ymx1ZWJpcmQgZmxpZXM= now", "bird", "Ymx1ZWJpcmQgZmxpZXM="),
        ("say Ymx1 ZWJp cmQ= now", "bird", "Ymx1 ZWJp cmQ="),
        ("say 62 6c 75 65 now", "u", "62 6c 75 65"),
        ("Ymx1ZWJp\ncmRz", "bluebi\n", "Ymx1ZWJp\ncmRz"),
        ("Ymx1 ZWJp cmRz and", "bluebirds\n", "Ymx1 ZWJp cmRz and"),
        (r"a\bm8gYmx1ZWJpcmQ= b", "bluebird", r"\bm8gYmx1ZWJpcmQ="),
        ("id_626c756562697264 b", "bluebird", "626c756562697264"),
        ("bl**ueb**ird b", "bluebird", "bl**ueb**ird"),
        ("say bob%40x.org now", "bob@x.org", "bob%40x.org"),
        ("see b&#108;ue bi", "blue", "b&#108;ue"),
        ("a Ymx1ZWJpcmQ= b", "a bluebird b", "a Ymx1ZWJpcmQ= b"),
        ("Ym\u{200b}x1ZWJp\u{ad}cmQ=", "bluebird", "Ym\u{200b}x1ZWJp\u{ad}cmQ="),
        ("Ｙｍｘ１ＺＷＪｐｃｍＱ=", "bluebird", "Ｙｍｘ１ＺＷＪｐｃｍＱ="),
        (r"\u0059mx1ZWJpcmQ=", "bluebird", r"\u0059mx1ZWJpcmQ="),
    ] {
        assert_eq!(find(text, needle), Some(covers), "{text}");
    }
}

#[test]
fn words_of_one_length_take_nothing_of_what_follows() {
    for before in ["aeeaag idaaaa", "aaaa bbbb", "aaaaaaaa bbbbbbbb cccccccc"] {
        let text = format!("{before} 6e 6e 6e 20 6e 6e 6e");
        assert_eq!(find(&text, "nnn nnn"), Some("6e 6e 6e 20 6e 6e 6e"), "{text}");
    }
}

#[test]
fn words_that_end_as_a_text_could_hide_nothing_of_what_follows() {
    // Their last byte is a control, a blank, a letter.
    for before in ["aaga", "aagg", "aab6"] {
        for (encoded, says) in [("bm5uJTIw\nbm5u", "nnn nnn"), ("bjEtMm49", "n1-2n="), ("bjE9 bjEtMm49 bjI9", "n1-2n=")]
        {
            let text = format!("{before} {encoded}");
            assert_eq!(find(&text, says), Some(encoded), "{text}");
        }
    }
}

#[test]
fn what_sticks_to_a_run_hides_nothing_in_it() {
    for (text, says, covers) in [
        // Letters of its own that read as hexadecimal.
        ("bm54eCB4d252d3c=", "nnxx xwnvww", "bm54eCB4d252d3c="),
        // A letter too many behind it.
        ("bm5ubm5u\nbm4gbm5u\nbm5ubm4g\nbm5ui", "nnnnnnnn nnnnnnnn nnn", "bm5ubm5u\nbm4gbm5u\nbm5ubm4g\nbm5ui"),
        // Words that read as a backslash and as a percent sign, before what is encoded once more.
        (
            "geaa ggdc XHg2ZVx4NzZceDZlXHgyMFx4NmVceDZlXHg2ZQ==",
            "nvn nnn",
            "ggdc XHg2ZVx4NzZceDZlXHgyMFx4NmVceDZlXHg2ZQ==",
        ),
        ("agkl NmU2ZTZl\nNmUyMDZl\nNmU2ZTZl ia", "nnnn nnnn", "agkl NmU2ZTZl\nNmUyMDZl\nNmU2ZTZl"),
    ] {
        assert_eq!(find(text, says), Some(covers), "{text}");
    }
}

#[test]
fn what_stands_encoded_is_told_by_itself() {
    for (text, expected) in [
        ("nothing here, 100%20 of it & more", None),
        ("follow Ymx1ZWJpcmQgZmxpZXM= now", Some("bluebird flies\n")),
        ("follow %62%6c%75%65%62%69%72%64 now", Some("bluebird\n")),
        ("sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", None),
    ] {
        assert_eq!(unpacked(text, 0).as_deref(), expected, "{text}");
    }
    let text = "Ymx1ZWJpcmQgZmxpZXM= and more";
    assert_eq!(unpacked(text, 19).as_deref(), Some("bluebird flies\n"));
    assert_eq!(unpacked(text, 20), None, "what ended before was told before");
}

/// Whatever is sent: no time that grows faster than the text. A quarter of a megabyte would take minutes else.
#[test]
fn hostile_texts_are_no_burden() {
    for piece in [
        "A",
        "VVVV",
        "aaaa ",
        "aaaa aaab ",
        "aaaa aaa ",
        "626c756562697264ffffd252d252d252d252ffff",
        "ab ",
        "ab:",
        "0x",
        "%",
        "%4",
        "%41",
        "&",
        "&#",
        "&amp",
        "&amp;",
        "\\",
        "\\u{",
        "=",
        "a=",
        "-",
        "-a",
    ] {
        let text = piece.repeat((256 << 10) / piece.len());
        let longest = Views::of(&text).map(|view| view.text.len()).max();
        assert!(longest <= Some(4 * text.len()), "{piece}");
    }
}

proptest! {
    #[test]
    fn a_phrase_is_found_in_any_encoding_of_an_encoding(
        words in prop::collection::vec("[n-z]{3,8}", 2..4),
        inner in 0..WAYS,
        outer in prop::option::of(0..WAYS),
        before in "([a-m]{1,6} ){0,3}[(\"]?",
        after in "[)\".]?( [a-m]{1,6}){0,3}",
    ) {
        let phrase = words.join(" ");
        let mut encoded = encode(&phrase, inner);
        if let Some(outer) = outer {
            encoded = encode(&encoded, outer);
        }
        let text = format!("{before}{encoded}{after}");
        let found = find(&text, &phrase);
        prop_assert!(found.is_some(), "{} in {:?}", text, Views::of(&text).collect::<Vec<_>>());
        // What is masked leaves nothing that could be decoded.
        let left = text.replace(found.unwrap_or_default(), "#");
        prop_assert_eq!(find(&left, &phrase), None);
        if outer.unwrap_or(inner) < RUNS {
            prop_assert!(found.unwrap_or_default().contains(encoded.trim_end_matches('=')), "{:?} of {}", found, text);
        }
    }

    #[test]
    fn what_is_decoded_stays_small_and_every_place_leads_back(
        pieces in prop::collection::vec(prop_oneof![
            3 => ("[ -~]{0,12}", 0..WAYS).prop_map(|(text, how)| encode(&text, how)),
            2 => "[A-Za-z0-9+/=_-]{0,24}",
            1 => "[ -~]{0,6}",
            1 => proptest::char::any().prop_map(String::from),
        ], 0..12),
    ) {
        let text = pieces.concat();
        prop_assert_eq!(super::any(&text), LAYERS.into_iter().any(|layer| !decoded(&text, layer).is_empty()));
        for Decoded { text: decoded, parts, all, .. } in LAYERS.into_iter().flat_map(|layer| decoded(&text, layer)) {
            let most = if all { 2 } else { 6 };
            prop_assert!(decoded.len() <= most * text.len(), "{decoded:?}");
            let mut end = 0;
            for part in parts {
                prop_assert!(end <= part.source.start && part.source.end <= text.len());
                prop_assert!(text.is_char_boundary(part.source.start) && text.is_char_boundary(part.source.end));
                prop_assert!(decoded.is_char_boundary(part.decoded.start) && decoded.is_char_boundary(part.decoded.end));
                end = part.source.end;
            }
        }
    }
}
