//! International bank account numbers: the country's length, and the check digits of ISO 7064 right.

use std::ops::Range;

use super::numbers::before;

/// Countries in the IBAN registry and the lengths of their numbers.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 \
    DK18 DO28 EE20 EG29 \
    ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 \
    LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 \
    PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 \
    YE30";

/// Calls `found` with every number in the text; in either case, with single spaces or dashes between its parts.
pub(super) fn find(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (start, head) in bytes.windows(4).enumerate() {
        let [a, b, c, d] = head else { continue };
        // The check digits first: they are the rarest in prose.
        let head = c.is_ascii_digit() && d.is_ascii_digit() && a.is_ascii_alphabetic() && b.is_ascii_alphabetic();
        if !head || start < from || before(text, start, 1).is_ascii_alphanumeric() {
            continue;
        }
        let country = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
        if let Some(end) = length(country).and_then(|len| end_of(bytes, start, len)) {
            found(start..end);
            from = end;
        }
    }
}

fn length(country: [u8; 2]) -> Option<usize> {
    LENGTHS.split(' ').find(|entry| entry.as_bytes().starts_with(&country))?.get(2..)?.parse().ok()
}

/// Where the number of `len` characters that begins at `start` ends, if it is one.
fn end_of(bytes: &[u8], start: usize, len: usize) -> Option<usize> {
    let mut number = Vec::with_capacity(len);
    let mut at = start;
    while number.len() < len {
        match bytes.get(at)? {
            byte if byte.is_ascii_alphanumeric() => number.push(byte.to_ascii_uppercase()),
            b' ' | b'-' if bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric) => {}
            _ => return None,
        }
        at += 1;
    }
    let clear = !bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    (clear && checks(&number)).then_some(at)
}

/// The number with its first four characters moved to the end, letters read as 10 to 35, is 1 modulo 97.
fn checks(number: &[u8]) -> bool {
    let moved = number.iter().skip(4).chain(number.iter().take(4));
    let rest = moved.fold(0u32, |rest, &byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + 10 + u32::from(byte.saturating_sub(b'A'))) % 97,
    });
    rest == 1
}

#[cfg(test)]
mod tests {
    use crate::detectors::pattern::tests::check;

    #[test]
    fn finds_numbers_with_the_right_check_digits() {
        check(
            "iban",
            &[
                "«DE89370400440532013000»",
                "«DE89 3704 0044 0532 0130 00»",
                "«GB82 WEST 1234 5698 7654 32» is",
                "«de89370400440532013000»",
                "«FR14 2004 1010 0505 0001 3M02 606»",
                "«NO9386011117947»",
                "«MT84MALT011000012345MTLCAST001S»",
                "«CH93-0076-2011-6238-5295-7»",
                "IBAN:«NL91ABNA0417164300», «BE68539007547034»",
                "IBAN «ES9121000418450200051332».",
            ],
            &[
                "DE89370400440532013001",
                "DE8937040044053201300",
                "DE893704004405320130000",
                "XX89370400440532013000",
                "ADE89370400440532013000",
                "DE89  3704 0044 0532 0130 00",
                "DE",
                "GB82WEST",
                "US12345678901234567890",
                "DE00 0000 0000 0000 0000 00",
                "AB12 3456 7890",
            ],
        );
    }

    #[test]
    fn every_length_can_be_read() {
        for entry in super::LENGTHS.split(' ') {
            let country = entry.as_bytes()[..2].try_into().unwrap();
            assert!((15..=34).contains(&super::length(country).unwrap()), "{entry}");
        }
    }
}
