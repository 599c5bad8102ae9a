//! Payment card numbers: an issuer's prefix and length, the Luhn digit, and a grouping that cards have.

use std::ops::Range;

use super::numbers::{Numbers, after, before};

/// 4-4-4-4-3 is the longest grouping.
const MAX_GROUPS: usize = 5;

/// Calls `found` with every card number in the run.
pub(super) fn find(run: &Numbers<'_>, mut found: impl FnMut(Range<usize>)) {
    let mut first = 0;
    while first < run.len() {
        match (first + 1..=run.len().min(first + MAX_GROUPS)).rev().find(|&end| is_card(run, first..end)) {
            Some(end) => {
                found(run.span(first..end));
                first = end;
            }
            None => first += 1,
        }
    }
    // However it is grouped: a run that is nothing but one card.
    let all = 0..run.len();
    if run.len() > 1 && is_spaced(run, all.clone()) && is_number(run, all.clone()) && run.stands_alone(all.clone()) {
        found(run.span(all));
    }
}

fn is_card(run: &Numbers<'_>, groups: Range<usize>) -> bool {
    let size = |nth: usize| if nth < groups.len() { run.size(groups.start + nth) } else { 0 };
    let grouped = match [0, 1, 2, 3, 4].map(size) {
        [13..=19, 0, ..] => !is_fraction(run, groups.clone()),
        [4, 4, 4, 4, 0..=3] | [4, 6, 4 | 5, 0, _] => true,
        _ => false,
    };
    grouped && is_number(run, groups.clone()) && run.stands_alone(groups)
}

/// Digits after or before a decimal point.
fn is_fraction(run: &Numbers<'_>, groups: Range<usize>) -> bool {
    let (text, span) = (run.text, run.span(groups));
    before(text, span.start, 1).is(b'.') && before(text, span.start, 2).is_ascii_digit()
        || after(text, span.end, 1).is(b'.') && after(text, span.end, 2).is_ascii_digit()
}

fn is_spaced(run: &Numbers<'_>, groups: Range<usize>) -> bool {
    run.joins(groups).all(|join| join.bytes().all(|b| b == b' ' || b == b'-'))
}

fn is_number(run: &Numbers<'_>, groups: Range<usize>) -> bool {
    let len: usize = groups.clone().map(|at| run.size(at)).sum();
    (13..=19).contains(&len) && {
        let digits: Vec<u8> = run.digits(groups).collect();
        has_issuer(&digits) && luhn(&digits) && !is_ean13(&digits)
    }
}

/// Whether a known network gives out numbers with this prefix and length.
fn has_issuer(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(4).fold(0u32, |number, &digit| number * 10 + u32::from(digit));
    match prefix {
        4000..=4999 => matches!(digits.len(), 13 | 16 | 19), // Visa
        5100..=5599 | 2221..=2720 => digits.len() == 16,     // Mastercard
        3400..=3499 | 3700..=3799 => digits.len() == 15,     // American Express
        6011 | 6440..=6599 => digits.len() >= 16,            // Discover
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => digits.len() == 14 || digits.len() == 16, // Diners Club
        3528..=3589 => digits.len() >= 16,                   // JCB
        6200..=6299 => digits.len() >= 16,                   // UnionPay
        2200..=2204 => digits.len() >= 16,                   // Mir
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => true, // Maestro
        6000..=6099 | 8100..=8299 | 5080..=5089 => digits.len() == 16, // RuPay
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, &digit)| match (at % 2, u32::from(digit)) {
            (0, digit) => digit,
            (_, digit @ 5..) => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// A bar code of 13 digits, whose check digit is right.
fn is_ean13(digits: &[u8]) -> bool {
    let weighted = digits.iter().enumerate().map(|(at, &digit)| u32::from(digit) * if at % 2 == 0 { 1 } else { 3 });
    digits.len() == 13 && weighted.sum::<u32>().is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use crate::detectors::pattern::tests::check;

    #[test]
    fn finds_cards_and_leaves_other_numbers() {
        check(
            "card",
            &[
                "Visa «4111111111111111».",
                "«4111 1111 1111 1111»",
                "«4111-1111-1111-1111» and «5555 5555 5555 4444»",
                "Amex «3782 822463 10005», «378282246310005»",
                "Discover «6011111111111117»",
                "Diners «3056 930902 5904»",
                "JCB «3530111333300000»",
                "Mastercard 2-series «2223003122003222»",
                "old Visa «4222222222222»",
                "UnionPay «6200000000000005»",
                "Visa of 19: «4000000000000000006»",
                "12 «4111 1111 1111 1111» 12/28 123",
                "«4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1»",
                "«41-11 11111111 1111»",
                "卡号«4111111111111111»号",
                "«4111.1111.1111.1111»",
                "card_«4111111111111111»_x",
                "(«4111111111111111»)",
            ],
            &[
                "4111111111111112",
                "4111 1111 1111 1112",
                "1234567890123456",
                "order 0000000000000000",
                "at 1700000000000 ms",
                "411111111111111",
                "41111111111111111111",
                "a4111111111111111f",
                "3.4111111111111111",
                "EAN 4006381333931",
                "4111 1111, 1111 1111",
                "7992739871340000",
                "550e8400-e29b-41d4-a716-446655440000",
                "2024-01-02 03:04:05",
                "4111  .....  1111 1111 1111",
            ],
        );
    }
}
