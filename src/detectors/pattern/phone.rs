//! Phone numbers: international, North American and 0-prefixed national forms; not dates, identifiers or bar codes.

use std::ops::Range;

use super::numbers::{Numbers, after, before, follows_word};

/// Words after which bare digits are a phone number.
const CALLS: &[&str] = &[
    "tel",
    "telephone",
    "telefon",
    "telefono",
    "phone",
    "mobile",
    "mobil",
    "cell",
    "call",
    "fax",
    "whatsapp",
    "sms",
    "text",
];

/// Calls `found` with every phone number in the run.
pub(super) fn find(run: &Numbers<'_>, mut found: impl FnMut(Range<usize>)) {
    let mut at = 0;
    while at < run.len() {
        if let Some(end) = date(run, at) {
            at = end;
        } else if let Some((start, end)) = international(run, at).or_else(|| national(run, at)) {
            found(start..run.span(at..end).end);
            at = end;
        } else {
            at += 1;
        }
    }
}

/// Year-month-day or day-month-year at group `at`: the group after it.
fn date(run: &Numbers<'_>, at: usize) -> Option<usize> {
    let year = |at: usize| run.size(at) == 4 && (run.group(at).starts_with("19") || run.group(at).starts_with("20"));
    let short = |at: usize| matches!(run.size(at), 1 | 2);
    let joined = matches!(run.join(at), "-" | "/" | "." | ". ") && run.join(at) == run.join(at + 1);
    let is_date = joined && short(at + 1) && (year(at) && short(at + 2) || short(at) && year(at + 2));
    is_date.then_some(at + 3)
}

/// `+` or `00`, a country code and at most 15 digits in all (E.164): where it starts, and the group after it.
fn international(run: &Numbers<'_>, at: usize) -> Option<(usize, usize)> {
    let first = run.span(at..at + 1).start;
    let plus = [1, 2]
        .into_iter()
        .find(|&back| before(run.text, first, back).is(b'+') && (back == 1 || before(run.text, first, 1).is(b'(')));
    let (start, skip) = match plus {
        Some(back) => (first - back, 0),
        None if run.group(at).starts_with("00") => (first, 2),
        None => return None,
    };
    let behind = before(run.text, start, 1);
    if behind.is_ascii_alphanumeric() || behind.is_in(b"+-./_") {
        return None;
    }
    // A country code is not split: `00 44` has it in the second group, all else in the first.
    let holder = if run.size(at) == skip { at + 1 } else { at };
    let code: Vec<u8> = run.digits(holder..holder + 1).skip(if holder == at { skip } else { 0 }).take(3).collect();
    let limit = if code.first() == Some(&1) { 11 } else { 15 } + skip;
    let (end, digits) = take_groups(run, at, limit);
    // `00` begins many identifiers, so it has to be grouped as phone numbers are.
    let fits = digits >= skip + if code.first() == Some(&1) { 11 } else { 8 } && (skip == 0 || end > at + 1);
    (is_country_code(&code) && fits && stands_clear(run, at..end)).then_some((start, end))
}

/// The groups from `at` on that hold at most `limit` digits, and their digits.
fn take_groups(run: &Numbers<'_>, at: usize, limit: usize) -> (usize, usize) {
    let (mut end, mut digits) = (at, 0);
    while end < run.len() && digits + run.size(end) <= limit {
        digits += run.size(end);
        end += 1;
    }
    (end, digits)
}

/// A number as dialled inside a country: where it starts, and the group after it.
fn national(run: &Numbers<'_>, at: usize) -> Option<(usize, usize)> {
    let end = north_american(run, at).or_else(|| zero_prefixed(run, at)).or_else(|| bare(run, at))?;
    let first = run.span(at..end).start;
    let start = if before(run.text, first, 1).is(b'(') { first - 1 } else { first };
    let behind = before(run.text, start, 1);
    let in_word = behind.is_in(b"-./_") && before(run.text, start, 2).is_ascii_alphanumeric() || behind.is(b'+');
    (!in_word && !run.is_part(at..end) && stands_clear(run, at..end)).then_some((start, end))
}

/// `(415) 555-2671`, `415.555.2671`, `1-415-555-2671`.
fn north_american(run: &Numbers<'_>, at: usize) -> Option<usize> {
    let area = if run.group(at) == "1" { at + 1 } else { at };
    let end = area + 3;
    let sizes = [run.size(area), run.size(area + 1), run.size(area + 2)];
    if sizes != [3, 3, 4] || !run.group(area).starts_with(|ch| ch >= '2') || run.group(area).ends_with("11") {
        return None;
    }
    // With spaces alone it could be a row of figures, unless it is all there is and an exchange begins so.
    let marked = run.joins(at..end).any(|join| join != " ");
    (marked || (at == 0 && end == run.len() && run.group(area + 1).starts_with(|ch| ch >= '2'))).then_some(end)
}

/// `020 7946 0958`, `06 12 34 56 78`, `0151/1234567`: 9 to 12 digits in groups of two or more.
fn zero_prefixed(run: &Numbers<'_>, at: usize) -> Option<usize> {
    let area = run.group(at);
    if area.len() < 2 || !area.starts_with('0') || area.starts_with("00") {
        return None;
    }
    let (mut end, mut digits) = take_groups(run, at, 12);
    // Figures that follow a whole number are not of it.
    while digits > 11 && end > at + 2 {
        end -= 1;
        digits -= run.size(end);
    }
    let groups = (at..end).all(|group| run.size(group) >= 2);
    let dotted_quad = end - at == 4 && run.joins(at..end).all(|join| join == ".");
    (end > at + 1 && (9..=12).contains(&digits) && groups && !dotted_quad).then_some(end)
}

/// Ungrouped, after a word that calls it a phone number.
fn bare(run: &Numbers<'_>, at: usize) -> Option<usize> {
    let digits = run.group(at).as_bytes();
    let shaped = match digits {
        [b'0', b'1'..=b'9', rest @ ..] => matches!(rest.len(), 7..=10),
        [b'1', b'2'..=b'9', _, _, b'2'..=b'9', ..] => digits.len() == 11,
        [b'2'..=b'9', _, _, b'2'..=b'9', ..] => digits.len() == 10,
        _ => false,
    };
    (shaped && follows_word(run.text, run.span(at..at + 1).start, 24, CALLS)).then_some(at + 1)
}

/// Whether no letter touches it, but for an extension (`x12`).
fn stands_clear(run: &Numbers<'_>, groups: Range<usize>) -> bool {
    let span = run.span(groups.clone());
    let extension = after(run.text, span.end, 1).is_in(b"xX") && after(run.text, span.end, 2).is_ascii_digit();
    !before(run.text, span.start, 1).is_ascii_letter() && (extension || run.stands_alone(groups))
}

/// Whether a country code begins with these digits (ITU-T E.164 assigned codes, by zone).
fn is_country_code(digits: &[u8]) -> bool {
    // One digit, two digits, then three.
    matches!(
        digits,
        [1 | 7, ..]
            | [2, 0 | 7, ..]
            | [3, 0..=4 | 6 | 9, ..]
            | [4, 0 | 1 | 3..=9, ..]
            | [5, 1..=8, ..]
            | [6, 0..=6, ..]
            | [8, 1 | 2 | 4 | 6, ..]
            | [9, 0..=5 | 8, ..]
            | [2, 1..=6 | 9, _]
            | [3, 5 | 7 | 8, _]
            | [4, 2, _]
            | [5, 0 | 9, _]
            | [6, 7..=9, _]
            | [8, 0 | 5 | 7 | 8, _]
            | [9, 6 | 7 | 9, _]
    )
}

#[cfg(test)]
mod tests {
    use crate::detectors::pattern::tests::check;

    #[test]
    fn finds_phone_numbers_and_leaves_other_figures() {
        check(
            "phone",
            &[
                "call «+1 415 555 2671» now",
                "«+14155552671»",
                "«+44 20 7946 0958»",
                "«+49 (0)30 123456»",
                "«+33 6 12 34 56 78»",
                "(«+49 30 901820»)",
                "«0044 20 7946 0958»",
                "«(415) 555-2671»",
                "«415-555-2671», «415.555.2671»",
                "«1-800-555-0199»",
                "«415 555 2671»",
                "«555-123-4567»",
                "«020 7946 0958»",
                "«06 12 34 56 78»",
                "«06.12.34.56.78»",
                "«0151/1234567»",
                "tel: «4155552671»",
                "Phone «0612345678»",
                "tel:«+1-415-555-2671»",
                "«415-555-2671»x12",
                "«+420 123 456 789» 2024",
                "«+1 415 555 2671» 4111",
                "«(020) 7946 0958»",
            ],
            &[
                "2024-01-02",
                "on 01.02.2024 09.30",
                "01/02/2024 10-30-45",
                "2024-01-02 10-30-45",
                "4111-1111-1111-1111",
                "ISBN 0306406152",
                "id 4155552671",
                "1234567890",
                "AB-2024-0612-3456-78",
                "3+4155552671",
                "+5 2024-01-02",
                "+12",
                "123-45-6789",
                "10.0.0.1",
                "010.020.030.040",
                "0.123456789",
                "200 300 4000 5000",
                "v0151-1234567-x",
                "550e8400-e29b-41d4-a716-446655440000",
                "978-3-16-148410-0",
                "a+14155552671",
                "0000000000",
                "1700000000",
            ],
        );
    }
}
