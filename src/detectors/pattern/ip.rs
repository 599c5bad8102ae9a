//! IP addresses, read by the standard library. Every range is reported, loopback and private ones too: an inner address
//! says more about a house than a public one. Version numbers, times and paths of code are not.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::numbers::{Numbers, after, before, follows_word};

/// Calls `found` with every IPv4 address in the run.
pub(super) fn find_v4(run: &Numbers<'_>, mut found: impl FnMut(Range<usize>)) {
    for first in 0..run.len().saturating_sub(3) {
        let four = first..first + 4;
        let dotted = run.joins(four.clone()).all(|join| join == ".");
        let longer = first.checked_sub(1).is_some_and(|at| run.join(at) == ".") || run.join(first + 3) == ".";
        let span = run.span(four.clone());
        if dotted
            && !longer
            && run.stands_alone(four)
            && run.text[span.clone()].parse::<Ipv4Addr>().is_ok()
            && !is_version(run, first)
        {
            found(span);
        }
    }
}

/// `version 1.2.3.4`, and the browser's `Chrome/120.0.0.0`.
fn is_version(run: &Numbers<'_>, first: usize) -> bool {
    let start = run.span(first..first + 1).start;
    let product = before(run.text, start, 1).is(b'/') && before(run.text, start, 2).is_ascii_letter();
    follows_word(run.text, start, 9, &["version", "ver", "v", "release"])
        || product && (run.group(first + 2), run.group(first + 3)) == ("0", "0")
}

/// Calls `found` with every IPv6 address in the text.
pub(super) fn find_v6(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let in_address = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':' || *byte == b'.';
    let mut done = 0;
    while let Some(colon) = memchr::memchr(b':', &bytes[done..]).map(|at| done + at) {
        let start = colon - bytes[done..colon].iter().rev().take_while(|b| in_address(b)).count();
        let end = colon + bytes[colon..].iter().take_while(|b| in_address(b)).count();
        if let Some(span) = address_in(text, start..end) {
            found(span);
        }
        done = end;
    }
}

/// The address that a run of hex digits, colons and dots holds.
fn address_in(text: &str, mut run: Range<usize>) -> Option<Range<usize>> {
    // A word before it that ends in hex letters (`node:2001:db8::1`), or a lone colon (`at:2001:db8::1`).
    let word = before(text, run.start, 1).is_ascii_alphanumeric();
    let lone = text[run.clone()].starts_with(':') && !text[run.clone()].starts_with("::");
    if word || lone {
        run.start += text[run.clone()].find(':')? + 1;
    }
    let trimmed = text[run.clone()].trim_end_matches('.');
    let trimmed = trimmed.strip_suffix(':').filter(|rest| !rest.ends_with(':')).unwrap_or(trimmed);
    run.end = run.start + trimmed.len();
    let colons = trimmed.bytes().filter(|&b| b == b':').count();
    // `::` stands in the code of many languages (`f64::{`), and eight pairs are a hardware address.
    let prefix_alone = colons == 2 && trimmed.ends_with("::") && !after(text, run.end, 1).is(b'/');
    let like_code = !trimmed.bytes().any(|b| b.is_ascii_digit()) || prefix_alone;
    let hardware = colons == 7 && trimmed.split(':').all(|group| group.len() == 2);
    let clear = colons >= 2 && !like_code && !hardware && !after(text, run.end, 1).is_ascii_alphanumeric();
    (clear && trimmed.parse::<Ipv6Addr>().is_ok()).then_some(run)
}

#[cfg(test)]
mod tests {
    use crate::detectors::pattern::tests::check;

    #[test]
    fn finds_addresses_and_leaves_what_looks_like_them() {
        check(
            "ip",
            &[
                "host «10.0.0.1»:8080",
                "«192.168.1.1», «8.8.8.8».",
                "http://«127.0.0.1»/x",
                "«0.0.0.0»/0",
                "«10.0.0.1»-«10.0.0.5»",
                "«2001:db8::1»",
                "[«::1»]:443",
                "«fe80::1»%eth0",
                "«::ffff:10.0.0.1»",
                "«2001:0db8:85a3:0000:0000:8a2e:0370:7334».",
                "node:«2001:db8::2»",
                "at «2001:db8::»/32",
                "ip=«255.255.255.255»",
                "(«1.1.1.1»)",
            ],
            &[
                "1.2.3.4.5",
                "256.1.1.1",
                "1.2.3",
                "v1.2.3.4",
                "version 1.2.3.4",
                "Chrome/120.0.0.0 Safari",
                "Chrome/91.0.4472.124",
                "10.0.0.1a",
                "std::net::Ipv4Addr",
                "abc::def",
                "f64::{",
                "f32::EPSILON",
                "12:34:56",
                "10:30:00 11:45",
                "00:1A:2B:3C:4D:5E",
                "00:11:22:33:44:55:66:77",
                "::",
                "a::b",
                "1:2:3:4:5:6:7:8:9",
                "2001:db8::1::2",
                "01.02.2024",
            ],
        );
    }
}
