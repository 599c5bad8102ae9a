//! Requests: what is not ASCII is seen, an edit is found again, and what is masked everywhere is nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use portcullis::text::{Edit, Edits, SegmentId};
use portcullis::wire::json::{Document, Limits, Type, Value};
use portcullis::wire::{Dialect, Prompt};

use super::random::Random;

/// What is put in: a letter that nobody else has, and what has to be escaped, twice where JSON stands in a string.
const NEW: &str = "\u{e000}\"\\\u{2028}";

pub fn check(dialect: &dyn Dialect, path: &str, body: &[u8], random: &mut Random) {
    let Ok(prompt) = dialect.parse_request(body.to_vec().into(), path) else { return };
    let segments = prompt.segments();
    let numbered = |(at, id): (usize, SegmentId)| at == id.0 as usize;
    assert!(segments.iter().map(|segment| segment.id).enumerate().all(numbered));
    assert!(segments.iter().all(|segment| !segment.text.is_empty() && segment.fresh == 0));
    assert_eq!(prompt.edited(&BTreeMap::new()).expect("no edit"), body);

    let seen: BTreeSet<char> = segments.iter().flat_map(|segment| letters(&segment.text)).collect();
    let strings = strings(body);
    let unseen = strings.iter().flat_map(|text| letters(text)).find(|letter| !seen.contains(letter));
    assert_eq!(unseen, None, "in no segment");

    an_edit_is_found(dialect, path, &*prompt, random);
    if let Some(&letter) = seen.iter().nth(random.below(seen.len())) {
        a_mask_leaves_nothing(dialect, path, &*prompt, letter);
    }
}

fn an_edit_is_found(dialect: &dyn Dialect, path: &str, prompt: &dyn Prompt, random: &mut Random) {
    if prompt.segments().is_empty() {
        return;
    }
    let segment = random.pick(prompt.segments());
    let borders: Vec<usize> = segment.text.char_indices().map(|(at, _)| at).chain([segment.text.len()]).collect();
    let first = random.below(borders.len() - 1);
    let last = first + 1 + random.below(borders.len() - 1 - first);
    let span: Range<usize> = borders[first]..borders[last];
    // What joins two texts is in neither.
    if segment.text[span.clone()].trim_matches('\n').is_empty() {
        return;
    }
    let edits: Edits = [Edit { span, with: NEW.into() }].into_iter().collect();
    if let Ok(after) = prompt.edited(&BTreeMap::from([(segment.id, edits)])) {
        let again = dialect.parse_request(after, path).expect("an edited request is a request");
        assert!(again.segments().iter().any(|segment| segment.text.contains(NEW)), "an edit is lost");
    }
}

fn a_mask_leaves_nothing(dialect: &dyn Dialect, path: &str, prompt: &dyn Prompt, letter: char) {
    let spans = |text: &str| -> Edits {
        text.match_indices(letter).map(|(at, all)| Edit { span: at..at + all.len(), with: "#".into() }).collect()
    };
    let edits = prompt.segments().iter().map(|segment| (segment.id, spans(&segment.text)));
    let edits: BTreeMap<SegmentId, Edits> = edits.filter(|(_, edits)| !edits.is_empty()).collect();
    if let Ok(after) = prompt.edited(&edits) {
        assert!(strings(&after).iter().all(|text| !text.contains(letter)), "a copy is left");
        let again = dialect.parse_request(after, path).expect("an edited request is a request");
        assert!(again.segments().iter().all(|segment| !segment.text.contains(letter)));
    }
}

/// The letters that no word of an API has.
pub fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| !letter.is_ascii())
}

/// Every string and key of a body that has been taken.
pub fn strings(body: &[u8]) -> Vec<String> {
    let document = Document::parse(body.to_vec(), &Limits::default()).expect("strict JSON");
    let mut strings = Vec::new();
    collect(document.root(), &mut strings);
    strings
}

fn collect(value: Value<'_>, out: &mut Vec<String>) {
    match value.kind() {
        Type::String => out.extend(value.text().map(Into::into)),
        _ => {
            value.elements().for_each(|element| collect(element, out));
            for (key, member) in value.members() {
                collect(key, out);
                collect(member, out);
            }
        }
    }
}
