//! Headers of an upstream's answer that come back with a judged body: by name, and only where the value has the shape of what
//! the name says. Any other text could be one that nobody judged.

use crate::wire::is_id;

/// A value is at most so long.
const MAX: usize = 256;

type Shape = fn(&str) -> bool;

/// What the SDKs read: when and whether to try again, and ids that they put on what they parse.
const RELAYED: [(&str, Shape); 13] = [
    ("date", is_date),
    ("retry-after", is_time_to_wait),
    ("retry-after-ms", is_number),
    ("x-should-retry", is_flag),
    ("x-request-id", is_id),
    ("request-id", is_id),
    ("apim-request-id", is_id),
    ("anthropic-organization-id", is_id),
    ("anthropic-workspace-id", is_id),
    ("openai-processing-ms", is_number),
    ("openai-version", is_day),
    ("x-amzn-errortype", is_exception),
    ("x-amzn-requestid", is_id),
];

/// The same, by what their names begin with.
const FAMILIES: [(&str, Shape); 2] = [("x-ratelimit-", is_limit), ("anthropic-ratelimit-", is_limit)];

/// What the limits of a plan say besides numbers and times.
const STATES: [&str; 12] = [
    "allowed",
    "allowed_warning",
    "available",
    "false",
    "five_hour",
    "overage",
    "rejected",
    "seven_day",
    "seven_day_opus",
    "seven_day_sonnet",
    "true",
    "unavailable",
];

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const UNITS: [&str; 7] = ["ns", "us", "ms", "s", "m", "h", "d"];

/// Whether a header comes back. `name` is in lower case.
pub fn is_relayed(name: &str, value: &[u8]) -> bool {
    let own = RELAYED.iter().find(|(own, _)| *own == name);
    let shape = own.or_else(|| FAMILIES.iter().find(|(family, _)| name.starts_with(family))).map(|(_, shape)| shape);
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX);
    shape.zip(text).is_some_and(|(fits, text)| fits(text))
}

/// RFC 9110, section 10.2.3.
fn is_time_to_wait(text: &str) -> bool {
    is_number(text) || is_date(text)
}

/// What is left of a limit, or when it is whole again: a number, a time, `1m30s`, and `100, 100;w=60`.
fn is_limit(text: &str) -> bool {
    let window = |part: &str| {
        let (limit, window) = part.split_once(";w=").unwrap_or((part, "0"));
        is_number(limit.trim()) && is_number(window)
    };
    STATES.contains(&text)
        || is_duration(text)
        || is_time(text)
        || text.split(',').count() <= 5 && text.split(',').all(window)
}

/// `-1.5`, of no more digits than a time in milliseconds has.
fn is_number(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    are_digits(whole, 13) && are_digits(part, 13) && whole.len() + part.len() <= 14
}

/// `1h2m3.5s`.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    let mut parts = 0;
    while !rest.is_empty() && parts < UNITS.len() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let unit = number.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let (digits, letters) = (&rest[..rest.len() - number.len()], &number[..number.len() - unit.len()]);
        if !is_number(digits) || !UNITS.contains(&letters) {
            return false;
        }
        (rest, parts) = (unit, parts + 1);
    }
    rest.is_empty() && parts > 0
}

/// `2025-10-21`.
fn is_day(text: &str) -> bool {
    has_form(text, "dddd-dd-dd")
}

/// `2025-10-21T07:28:00.123Z`.
fn is_time(text: &str) -> bool {
    let Some((start, rest)) = text.split_at_checked("dddd-dd-ddTdd:dd:dd".len()) else { return false };
    let zone = rest.strip_prefix('.').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    has_form(start, "dddd-dd-ddTdd:dd:dd")
        && rest.len() - zone.len() <= 10
        && (zone == "Z" || has_form(zone, "+dd:dd") || has_form(zone, "-dd:dd"))
}

/// `Tue, 21 Oct 2025 07:28:00 GMT`.
fn is_date(text: &str) -> bool {
    let words = text.split_at_checked(3).zip(text.get(8..11));
    words.is_some_and(|((day, _), month)| DAYS.contains(&day) && MONTHS.contains(&month))
        && has_form(&text[3..8], ", dd ")
        && has_form(&text[11..], " dddd dd:dd:dd GMT")
}

fn is_flag(text: &str) -> bool {
    matches!(text, "true" | "false")
}

/// `ThrottlingException`, with or without the page that speaks of it.
fn is_exception(text: &str) -> bool {
    let (name, page) = text.split_once(':').unwrap_or((text, ""));
    let is_page = |page: &str| page.bytes().all(|b| b.is_ascii_lowercase() || b"./".contains(&b));
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphabetic())
        && name.ends_with("Exception")
        && (page.is_empty() || page.strip_prefix("http://internal.amazon.com/coral/").is_some_and(is_page))
}

fn are_digits(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a text is written so, with any digits for `d`.
fn has_form(text: &str, form: &str) -> bool {
    let same = |(byte, form): (u8, u8)| if form == b'd' { byte.is_ascii_digit() } else { byte == form };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_shape_that_their_name_says() {
        for (name, value) in [
            ("date", "Tue, 21 Oct 2025 07:28:00 GMT"),
            ("retry-after", "7"),
            ("retry-after", "Tue, 21 Oct 2025 07:28:00 GMT"),
            ("retry-after-ms", "1500.5"),
            ("x-should-retry", "true"),
            ("x-request-id", "req_e5cc70bb28c444948073e77776eb30ef"),
            ("x-request-id", "e5cc70bb-28c4-4494-8073-e77776eb30ef"),
            ("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy"),
            ("anthropic-organization-id", "e5cc70bb-28c4-4494-8073-e77776eb30ef"),
            ("openai-processing-ms", "412"),
            ("openai-version", "2020-10-01"),
            ("x-amzn-errortype", "ThrottlingException"),
            ("x-amzn-errortype", "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-remaining", "-1"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("x-ratelimit-reset-requests", "7.66s"),
            ("x-ratelimit-reset-requests", "12ms"),
            ("x-ratelimit-reset", "1755555555555"),
            ("x-ratelimit-limit", "100, 100;w=60"),
            ("anthropic-ratelimit-requests-reset", "2025-10-21T07:28:00Z"),
            ("anthropic-ratelimit-tokens-reset", "2025-10-21T07:28:00.123+02:00"),
            ("anthropic-ratelimit-unified-status", "allowed_warning"),
        ] {
            assert!(is_relayed(name, value.as_bytes()), "{name}: {value}");
        }
        for (name, value) in [
            ("date", "bluebird"),
            ("date", "Tue, 21 Oct 2025 07:28:00 bob"),
            ("date", "\u{442}ue, 21 Oct 2025 07:28:00 GMT"),
            ("retry-after", "bluebird"),
            ("retry-after", ""),
            ("retry-after", "4111111111111111"),
            ("x-should-retry", "bluebird"),
            ("x-request-id", "project bluebird"),
            ("x-request-id", "bluebird"),
            ("x-request-id", "bob@example.com"),
            ("x-request-id", "4111111111111111"),
            ("openai-version", "bluebird"),
            ("openai-organization", "bluebird"),
            ("x-amzn-errortype", "bluebird"),
            ("x-amzn-errortype", "ThrottlingException:project bluebird"),
            ("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/coral/?bob@example.com"),
            ("x-ratelimit-remaining-tokens", "bluebird"),
            ("x-ratelimit-remaining-tokens", "4111111111111111"),
            ("x-ratelimit-remaining-tokens", "4111 1111 1111 1111"),
            ("x-ratelimit-limit", "1, bluebird"),
            ("x-ratelimit-limit", "1;w=bluebird"),
            ("x-ratelimit-limit", "1,2,3,4,5,6"),
            ("x-ratelimit-reset", "6bluebird"),
            ("x-ratelimit-reset", "s"),
            ("x-ratelimit-reset", "1s2"),
            ("anthropic-ratelimit-requests-reset", "2025-10-21T07:28:00 bluebird"),
            ("anthropic-ratelimit-requests-reset", "2025-10-21T07:28:00.4111111111111111Z"),
            ("x-leak", "7"),
            ("set-cookie", "7"),
        ] {
            assert!(!is_relayed(name, value.as_bytes()), "{name}: {value}");
        }
        assert!(!is_relayed("retry-after", b"\xff") && !is_relayed("x-ratelimit-a", &[b'1'; 300]));
    }
}
