//! Views: what a text reads as once its disguises are taken off, with the way back to the raw bytes.

mod back;
mod decode;
mod escape;
mod fold;
mod map;
mod marks;

pub use back::{ahead, back};
pub use fold::is_left_out;

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::text::Span;
use decode::{Decoded, Layer, Part};
use map::Map;

/// Backslash escapes are undone this deep: JSON in a string of JSON.
const ESCAPE_DEPTH: usize = 2;

/// Encodings are undone this deep: base64 of base64. Where letters are undone first, runs are read as they stand as well:
/// a letter may stick to a run that it is no part of.
const LAYERS: &[Layer] = &[Layer::Letters, Layer::Runs, Layer::Letters, Layer::Runs];

/// Where a text is cut, an encoded part of so many bytes stays whole.
const UNCUT: usize = 1024;

/// One way to read a text.
#[derive(Debug, Clone)]
pub struct View<'a> {
    pub text: Cow<'a, str>,
    /// What this view was made from; the raw text from nothing.
    source: Option<Source<'a>>,
    /// Where escapes stand in `text`, if it has any: a span must not cut one in two.
    escapes: Option<Arc<Map>>,
    /// Has only a part of what the text says: what is written in invisible characters, or what a run may read as too.
    hidden: bool,
}

#[derive(Debug, Clone)]
struct Source<'a> {
    view: Arc<View<'a>>,
    map: Arc<Map>,
    /// What was encoded as a whole.
    parts: Arc<[Part]>,
}

/// Every way to read a text, one after the other, each made when it is asked for: as it is; with JSON's escapes undone; each
/// of these folded (look-alikes, compatibility forms and invisible characters taken away); what is written in invisible
/// characters alone; the plainest of these without marks inside of words; and with encodings undone (base64, hexadecimal,
/// percent escapes, HTML's character references), once and twice. A view that would equal another is left out, so most of
/// printable ASCII has the raw view alone.
pub struct Views<'a> {
    made: VecDeque<Arc<View<'a>>>,
    todo: VecDeque<Step<'a>>,
}

/// How to go on.
enum Step<'a> {
    Raw(&'a str),
    /// A view that is not folded yet, and what it is with its escapes undone.
    Plainer(Arc<View<'a>>, Option<Unescaped>),
    Unmark(Arc<View<'a>>),
    Unpack(Arc<View<'a>>, &'static [Layer]),
}

/// A text with its escapes undone, and how many times its own can be.
struct Unescaped {
    text: String,
    map: Arc<Map>,
    depth: usize,
}

impl<'a> Views<'a> {
    /// All together take time and memory linear in the text.
    pub fn of(text: &'a str) -> Self {
        Views { made: VecDeque::new(), todo: VecDeque::from([Step::Raw(text)]) }
    }

    fn take(&mut self, step: Step<'a>) {
        match step {
            Step::Raw(text) => {
                let is_plain = is_plain(text.as_bytes());
                let unescaped = if is_plain { None } else { unescaped(text, ESCAPE_DEPTH) };
                let escapes = unescaped.as_ref().map(|unescaped| unescaped.map.clone());
                let raw = Arc::new(View { text: text.into(), source: None, escapes, hidden: false });
                self.made.push_back(raw.clone());
                if is_plain {
                    self.todo.extend([Step::Unmark(raw.clone()), Step::Unpack(raw, LAYERS)]);
                } else {
                    self.todo.push_back(Step::Plainer(raw, unescaped));
                }
            }
            Step::Plainer(view, unescaped) => self.plainer(view, unescaped),
            Step::Unmark(view) => self.made.extend(view.derive(marks::unmarked, true)),
            Step::Unpack(view, layers) => self.unpack(view, layers),
        }
    }

    fn plainer(&mut self, view: Arc<View<'a>>, unescaped: Option<Unescaped>) {
        let folded = view.derive(fold::folded, false);
        self.made.extend(folded.clone());
        if let Some(hidden) = view.derive(hidden, true) {
            self.made.push_back(hidden.clone());
            self.todo.push_back(Step::Unpack(hidden, LAYERS));
        }
        let plainest = folded.unwrap_or_else(|| view.clone());
        let Some(Unescaped { text, map, depth }) = unescaped else {
            self.todo.extend([Step::Unmark(plainest.clone()), Step::Unpack(plainest, LAYERS)]);
            return;
        };
        if view.source.is_none() {
            // What looks like an escape may be the rest of a path before a run.
            self.todo.push_back(Step::Unpack(plainest, &LAYERS[1..]));
        }
        let deeper = self::unescaped(&text, depth);
        let escapes = deeper.as_ref().map(|deeper| deeper.map.clone());
        let source = Source { view, map, parts: Arc::default() };
        let view = Arc::new(View { text: text.into(), source: Some(source), escapes, hidden: false });
        self.made.push_back(view.clone());
        self.todo.push_back(Step::Plainer(view, deeper));
    }

    /// What the view reads as with the first of these layers undone that it has, and that folded.
    fn unpack(&mut self, view: Arc<View<'a>>, layers: &'static [Layer]) {
        let mut rest = layers;
        while let Some((layer, deeper)) = rest.split_first() {
            rest = deeper;
            let decoded = decode::decoded(&view.text, *layer);
            if decoded.is_empty() {
                continue;
            }
            // What only looks like a run must not hide the letters in it.
            let letters_left = *layer == Layer::Runs && !deeper.is_empty() && decode::any_letter(&view.text);
            if letters_left || rest.len() + 1 == LAYERS.len() {
                self.todo.push_back(Step::Unpack(view.clone(), deeper));
            }
            for decoded in decoded {
                // A run says by itself whether it is worth going on.
                let deeper = if *layer == Layer::Runs && !decoded.has_more() { &[] } else { deeper };
                let unpacked = view.unpacked(decoded);
                let folded = unpacked.derive(fold::folded, false);
                let plainest = folded.clone().unwrap_or_else(|| unpacked.clone());
                self.made.push_back(unpacked);
                self.made.extend(folded);
                if !deeper.is_empty() {
                    self.todo.push_back(Step::Unpack(plainest, deeper));
                }
            }
            return;
        }
    }
}

impl<'a> Iterator for Views<'a> {
    type Item = Arc<View<'a>>;

    /// The raw view first.
    fn next(&mut self) -> Option<Self::Item> {
        while self.made.is_empty() {
            let step = self.todo.pop_front()?;
            self.take(step);
        }
        self.made.pop_front()
    }
}

fn unescaped(text: &str, depth: usize) -> Option<Unescaped> {
    let (text, map) = escape::unescaped(text).filter(|_| depth > 0)?;
    Some(Unescaped { text, map: Arc::new(map), depth: depth - 1 })
}

impl<'a> View<'a> {
    /// The raw bytes that `span` of this view came from: on character boundaries, whole escapes, and with the invisible
    /// characters inside and right after it. `span` lies on character boundaries of the view.
    pub fn raw_span(&self, span: Span) -> Span {
        let span = match &self.escapes {
            Some(escapes) => escapes.widen(span),
            None => span,
        };
        match &self.source {
            Some(source) => source.view.raw_span(source.whole(source.map.source_span(span))),
            None => span,
        }
    }

    /// About where in the raw text what stands at `at` of this view begins: a long part that was encoded as a whole is cut.
    fn raw_start(&self, at: usize) -> usize {
        let at = self.escapes.as_ref().map_or(at, |escapes| escapes.widen(at..at).start);
        match &self.source {
            Some(source) => {
                let at = source.map.source_span(at..at).start;
                let part = source.part(at).filter(|part| part.source.len() <= UNCUT);
                source.view.raw_start(part.map_or(at, |part| part.source.start))
            }
            None => at,
        }
    }

    fn derive(self: &Arc<Self>, how: impl Fn(&str) -> Option<(String, Map)>, hidden: bool) -> Option<Arc<View<'a>>> {
        let (text, map) = how(&self.text)?;
        let source = Source { view: self.clone(), map: Arc::new(map), parts: Arc::default() };
        Some(Arc::new(View { text: text.into(), source: Some(source), escapes: None, hidden: hidden || self.hidden }))
    }

    fn unpacked(self: &Arc<Self>, decoded: Decoded) -> Arc<View<'a>> {
        let Decoded { text, map, parts, all } = decoded;
        let source = Source { view: self.clone(), map: Arc::new(map), parts: parts.into() };
        Arc::new(View { text: text.into(), source: Some(source), escapes: None, hidden: self.hidden || !all })
    }
}

impl Source<'_> {
    /// `span` of the source, with all of each part that it touches.
    fn whole(&self, span: Span) -> Span {
        let first = self.part(span.start);
        let last = if span.is_empty() { first } else { self.part(span.end - 1) };
        let start = first.map_or(span.start, |part| part.source.start);
        start..last.map_or(span.end, |part| part.source.end.max(span.end))
    }

    /// The part, encoded as a whole, that `at` of the source stands in.
    fn part(&self, at: usize) -> Option<&Part> {
        let after = self.parts.partition_point(|part| part.source.start <= at);
        self.parts[..after].last().filter(|part| part.solid && at < part.source.end)
    }
}

/// What stands encoded in the text and ends after `fresh`, decoded, or written in invisible characters: for a reader that
/// is shown the text as it is. One line for each part of which most can be read; `None` where there is none.
pub fn unpacked(text: &str, fresh: usize) -> Option<String> {
    let mut lines = String::new();
    let mut told = HashSet::new();
    for view in Views::of(text) {
        let Some(source) = &view.source else { continue };
        for part in source.parts.iter().filter(|part| part.plain && part.decoded.len() >= 8) {
            let says = &view.text[part.decoded.clone()];
            if view.raw_span(part.decoded.clone()).end > fresh && told.insert(says.to_owned()) {
                lines.push_str(says);
                lines.push('\n');
            }
        }
    }
    (!lines.is_empty()).then_some(lines)
}

/// `text` as word lists are compared with: folded, as in the folded view.
pub fn folded(text: &str) -> String {
    fold::folded(text).map_or_else(|| text.to_owned(), |(folded, _)| folded)
}

/// Whether these bytes are printable ASCII without a backslash, so that every view of them is the raw one.
fn is_plain(bytes: &[u8]) -> bool {
    // Without a branch inside a chunk, so that it takes many bytes at a time.
    let chunk_is_plain = |chunk: &[u8]| {
        chunk.iter().fold(true, |plain, &byte| plain & (fold::is_plain(char::from(byte)) & (byte != b'\\')))
    };
    bytes.chunks(128).all(chunk_is_plain)
}

/// What is written in invisible characters: tags (U+E0020..=U+E007E) spell ASCII, and variation selectors can carry
/// bytes. A model reads them; a person sees nothing.
fn hidden(text: &str) -> Option<(String, Map)> {
    let letter = |ch: char| {
        let byte = match ch as u32 {
            code @ 0xe0020..=0xe007e => code - 0xe0000,
            code @ 0xe0100..=0xe01ef => code - 0xe0100 + 16,
            _ => return None,
        };
        char::from_u32(byte).filter(|&ch| fold::is_plain(ch))
    };
    let mut to = map::Builder::default();
    let (mut any, mut in_letters) = (false, false);
    for (at, ch) in text.char_indices() {
        match letter(ch) {
            Some(letter) => to.replace(letter.encode_utf8(&mut [0; 4]), at),
            None if in_letters => to.replace("", at),
            None => {}
        }
        in_letters = letter(ch).is_some();
        any |= in_letters;
    }
    any.then(|| to.finish(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The raw text under the first occurrence of `needle` in any view.
    fn find<'t>(text: &'t str, needle: &str) -> Option<&'t str> {
        let span = Views::of(text).find_map(|view| {
            let at = view.text.find(needle)?;
            Some(view.raw_span(at..at + needle.len()))
        })?;
        Some(&text[span])
    }

    #[test]
    fn sees_through_disguises() {
        for (text, reads_as, covers) in [
            ("a b\u{200b}lu\u{ad}e c", "blue", "b\u{200b}lu\u{ad}e"),
            ("ｂｌｕｅ", "blue", "ｂｌｕｅ"),
            ("\u{1d41b}\u{1d425}\u{1d42e}\u{1d41e}!", "blue", "\u{1d41b}\u{1d425}\u{1d42e}\u{1d41e}"),
            ("ⓑⓛⓤⓔ", "blue", "ⓑⓛⓤⓔ"),
            ("blu\u{435}", "blue", "blu\u{435}"),
            ("\u{412}LUE", "BLUE", "\u{412}LUE"),
            ("ʙʟᴜᴇ", "BLUE", "ʙʟᴜᴇ"),
            ("b\u{336}l\u{336}u\u{336}e\u{336}.", "blue", "b\u{336}l\u{336}u\u{336}e\u{336}"),
            ("blüé", "blue", "blüé"),
            ("ƀłʉɇ", "blue", "ƀłʉɇ"),
            ("øħŧɨǥƶɍɉⱥ", "ohtigzrja", "øħŧɨǥƶɍɉⱥ"),
            ("ØĦŦƗǤƵɌɈȺɆɃɄ", "OHTIGZRJAEBU", "ØĦŦƗǤƵɌɈȺɆɃɄ"),
            ("🅱🅻🆄🅴", "BLUE", "🅱🅻🆄🅴"),
            ("⒝⒧⒰⒠", "blue", "⒝⒧⒰⒠"),
            ("🄑🄛🄤🄔", "BLUE", "🄑🄛🄤🄔"),
            ("ꓐꓲꓣꓓ", "BIRD", "ꓐꓲꓣꓓ"),
            ("🇧🇱🇺🇪", "BLUE", "🇧🇱🇺🇪"),
            ("oﬃce", "office", "oﬃce"),
            ("\u{661}\u{662}\u{663}", "123", "\u{661}\u{662}\u{663}"),
            ("४२", "42", "४२"),
            ("a\u{2800}b\u{3000}c", "a b c", "a\u{2800}b\u{3000}c"),
            ("1\u{2013}2\u{2212}3", "1-2-3", "1\u{2013}2\u{2212}3"),
            ("\u{406}BAN", "IBAN", "\u{406}BAN"),
            ("x\u{0}y\u{202e}z", "xyz", "x\u{0}y\u{202e}z"),
            (r"bl\u0075e", "blue", r"bl\u0075e"),
            (r"bl\\u0075e", "blue", r"bl\\u0075e"),
            (r"bl\u0443\u200be", "blye", r"bl\u0443\u200be"),
            (r"\nblue\n", "\nblue", r"\nblue"),
            ("か\u{3099}く", "がく", "か\u{3099}く"),
            ("\u{1112}\u{1161}\u{11ab}", "한", "\u{1112}\u{1161}\u{11ab}"),
        ] {
            assert_eq!(find(text, reads_as), Some(covers), "{text:?} {:?}", Views::of(text).collect::<Vec<_>>());
        }
    }

    #[test]
    fn reads_what_is_written_in_invisible_characters() {
        let tags: String = "blue".chars().map(|ch| char::from_u32(0xe0000 + ch as u32).unwrap()).collect();
        let selectors: String = "bird".chars().map(|ch| char::from_u32(0xe0100 - 16 + ch as u32).unwrap()).collect();
        let text = format!("see {tags} and {selectors} here");
        assert_eq!(find(&text, "blue"), Some(tags.as_str()));
        assert_eq!(find(&text, "bird"), Some(selectors.as_str()));
        let inside = format!("a{}b{}c", &tags[..8], &tags[8..]);
        assert_eq!(find(&inside, "blue"), Some(&inside[1..inside.len() - 1]));
    }

    #[test]
    fn a_raw_span_cuts_no_escape_in_two() {
        let text = r"a\nbob";
        let raw = Views::of(text).next().unwrap();
        assert_eq!(&raw.text[2..6], "nbob");
        assert_eq!(raw.raw_span(2..6), 1..6);
        assert_eq!(raw.raw_span(3..6), 3..6);
    }

    #[test]
    fn plain_text_has_the_raw_view_alone() {
        for text in ["", "Hello, world!\r\n\t{\"a\": [1, 2]}", "中文没有变化"] {
            assert_eq!(Views::of(text).count(), 1, "{text}");
        }
    }

    #[test]
    fn every_decimal_digit_folds_to_ascii() {
        let digits = regex::Regex::new(r"^\d$").unwrap();
        for ch in ('\0'..='\u{1ffff}').filter(|ch| digits.is_match(ch.encode_utf8(&mut [0; 4]))) {
            assert!(folded(&ch.to_string()).bytes().all(|b| b.is_ascii_digit()), "U+{:04X}", ch as u32);
        }
    }

    #[test]
    fn no_character_folds_to_more_than_four_times_its_size() {
        for ch in ('\0'..='\u{2ffff}').chain('\u{e0000}'..='\u{e0fff}') {
            let to = folded(&ch.to_string());
            assert!(to.len() <= 4 * ch.len_utf8(), "U+{:04X} -> {to}", ch as u32);
        }
    }

    #[test]
    fn both_cases_of_a_look_alike_fold_to_one_letter() {
        for ch in "авекмнорстухіјѕ".chars() {
            let upper = folded(&ch.to_uppercase().to_string());
            assert_eq!(folded(&ch.to_string()).to_lowercase(), upper.to_lowercase(), "{ch}");
        }
    }

    /// Text with something of everything that views look at.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z ]{1,4}",
            any::<char>().prop_map(String::from),
            prop::sample::select(vec![
                "\u{200b}",
                "\u{336}",
                "\\n",
                "\\u0040",
                "\\\\u0040",
                "\\ud83d\\ude00",
                "\\",
                "ﬃ",
                "ｆ",
                "\u{435}",
                "é",
                "e\u{301}",
                "\u{e0041}",
                "\u{e0142}",
                "か\u{3099}",
                "\u{1112}\u{1161}",
                "\u{fdfa}",
                "\u{0}",
                "%40",
                "&#x62;",
                "Ymx1ZWJpcmQ=",
                "62 6c 75 65",
            ])
            .prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn spans_are_inside_the_text_on_boundaries_and_grow_together(text in text()) {
            for view in Views::of(&text) {
                let mut before = 0..0;
                for (at, ch) in view.text.char_indices() {
                    let span = view.raw_span(at..at + ch.len_utf8());
                    prop_assert!(span.start < span.end && span.end <= text.len(), "{:?}", span);
                    prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
                    prop_assert!(before.start <= span.start && before.end <= span.end);
                    let both = view.raw_span(0..at + ch.len_utf8());
                    prop_assert_eq!(both.end, span.end);
                    before = span;
                }
                prop_assert!(view.text.len() <= 4 * text.len());
            }
        }

        #[test]
        fn printable_ascii_maps_to_itself(text in "[ -\\[\\]-~]{0,80}", start in 0usize..80, len in 0usize..20) {
            let start = start.min(text.len());
            let span = start..(start + len).min(text.len());
            prop_assert_eq!(Views::of(&text).next().unwrap().raw_span(span.clone()), span);
        }

        #[test]
        fn invisible_characters_in_a_word_do_not_hide_it(
            before in "[a-z ]{0,8}",
            after in "[a-z ]{0,8}",
            hidden in prop::collection::vec((0usize..8, prop::sample::select(vec![
                '\u{200b}', '\u{200d}', '\u{ad}', '\u{2060}', '\u{feff}', '\u{fe0f}', '\u{202e}', '\u{e0041}', '\u{336}',
            ])), 1..12),
        ) {
            let mut word: Vec<char> = "BLUEBIRD".chars().collect();
            for &(at, ch) in &hidden {
                // Inside: what stands before or after the word need not belong to it.
                word.insert(1 + at % (word.len() - 1), ch);
            }
            let word: String = word.into_iter().collect();
            let text = format!("{before}{word}{after}");
            let found = find(&text, "BLUEBIRD");
            prop_assert_eq!(found, Some(word.as_str()));
        }

        #[test]
        fn folding_again_changes_nothing_more(text in text()) {
            // What is left of an escape may be plain text, so only the fold is idempotent.
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once);
        }
    }
}
