//! Points in time and spans of it, as Go writes them: they say nothing else.

/// `2023-08-04T19:22:45.499127Z`, or with an offset.
pub fn is_timestamp(text: &str) -> bool {
    let Some((date, rest)) = text.split_at_checked(19) else { return false };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    fits(date, "0000-00-00T00:00:00") && (rest == "Z" || fits(rest, "+00:00") || fits(rest, "-00:00"))
}

/// Digits that a span of time may have in all.
const MAX_DIGITS: usize = 6;

/// `5m`, `1h30m`, `-1`, `1.5s`: numbers and their units, a few.
pub fn is_span(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if text.len() > 16 || !(1..=MAX_DIGITS).contains(&text.bytes().filter(u8::is_ascii_digit).count()) {
        return false;
    }
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if unit.len() == rest.len() {
            return false;
        }
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        if !["", "ns", "us", "µs", "ms", "s", "m", "h"].contains(&&unit[..end]) {
            return false;
        }
        rest = &unit[end..];
    }
    true
}

/// Whether a text is this pattern, in which `0` stands for any digit.
fn fits(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(b, want)| if want == b'0' { b.is_ascii_digit() } else { b == want })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_what_could_be_a_text() {
        for time in [
            "2023-08-04T19:22:45.499127Z",
            "2023-08-04T19:22:45Z",
            "2023-12-12T14:13:43.416799123+02:00",
            "2023-12-12T14:13:43-07:00",
        ] {
            assert!(is_timestamp(time), "{time}");
        }
        for text in [
            "",
            "yesterday",
            "2023-08-04",
            "2023-08-04T19:22:45",
            "2023-08-04T19:22:45.Z",
            "2023-08-04T19:22:45.4991271234567890Z",
            "2023-08-04T19:22:45Z bluebird",
            "2023-08-04 19:22:45Z",
            "éééééééééé",
        ] {
            assert!(!is_timestamp(text), "{text}");
        }
        for span in ["5m", "1h30m", "-1", "0", "1.5s", "300ms", "24h", "10µs"] {
            assert!(is_span(span), "{span}");
        }
        for text in
            ["", "-", "m", "forever", "5 m", "5min", "5m!", "1h30m1h30m1h30m1h30m", "5d", "...", "4111111", "h1"]
        {
            assert!(!is_span(text), "{text}");
        }
    }
}
