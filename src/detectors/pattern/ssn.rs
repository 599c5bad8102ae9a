//! US social security numbers, less the ranges that are never given out.

use std::ops::Range;

use super::numbers::{Numbers, follows_word};

/// Calls `found` with every number in the run: 3-2-4 digits joined by one `-` or space, or 9 bare digits after a word
/// that names them.
pub(super) fn find(run: &Numbers<'_>, mut found: impl FnMut(Range<usize>)) {
    for first in 0..run.len() {
        let three = first..first + 3;
        if [run.size(first), run.size(first + 1), run.size(first + 2)] == [3, 2, 4]
            && is_joined(run, first)
            && is_given_out(run.group(first), run.group(first + 1), run.group(first + 2))
            && run.stands_alone(three.clone())
            && !run.is_part(three.clone())
        {
            found(run.span(three));
        }
        let one = first..first + 1;
        let digits = run.group(first);
        if digits.len() == 9
            && is_given_out(&digits[..3], &digits[3..5], &digits[5..])
            && run.stands_alone(one.clone())
            && !run.is_part(one.clone())
            && follows_word(run.text, run.span(one.clone()).start, 32, &["ssn", "security"])
        {
            found(run.span(one));
        }
    }
}

/// Dashes; or spaces where nothing else stands in the run, so that columns of figures are left alone.
fn is_joined(run: &Numbers<'_>, first: usize) -> bool {
    match (run.join(first), run.join(first + 1)) {
        ("-", "-") => true,
        (" ", " ") => run.len() == 3,
        _ => false,
    }
}

fn is_given_out(area: &str, group: &str, serial: &str) -> bool {
    area != "000" && area != "666" && !area.starts_with('9') && group != "00" && serial != "0000"
}

#[cfg(test)]
mod tests {
    use crate::detectors::pattern::tests::check;

    #[test]
    fn finds_numbers_that_could_be_given_out() {
        check(
            "us-ssn",
            &[
                "«078-05-1120»",
                "SSN: «123-45-6789».",
                "«123 45 6789»",
                "SSN=«123456789»",
                "my social security number is «219099999»",
                "«899-99-9999»",
                "«001-01-0001»",
                "ids «123-45-6789», «321-54-9876»",
                "call 1 «123-45-6789»",
            ],
            &[
                "000-12-3456",
                "666-12-3456",
                "900-12-3456",
                "987-65-4321",
                "123-00-4567",
                "123-45-0000",
                "123-45-67890",
                "1123-45-6789",
                "12-123-45-6789",
                "123-45-6789-1",
                "123456789",
                "a123-45-6789",
                "123-456-789",
                "123-45 6789",
                "1 123 45 6789 7",
                "123.45.6789",
            ],
        );
    }
}
