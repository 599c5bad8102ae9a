//! E-mail addresses, as people write them: an ASCII local part and a domain with a top level of letters.

use std::ops::Range;

use super::numbers::after;

const LOCAL: usize = 64;
const DOMAIN: usize = 253;

/// Calls `found` with every address in the text. Looks at a bounded number of bytes around each `@`.
pub(super) fn find(text: &str, mut found: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    for at in memchr::memchr_iter(b'@', bytes) {
        let (Some(local), Some(domain)) =
            (local_len(&bytes[at.saturating_sub(LOCAL)..at]), domain_len(&bytes[at + 1..]))
        else {
            continue;
        };
        let span = at - local..at + 1 + domain;
        if !is_code(text, &span, at) {
            found(span);
        }
    }
}

/// How many bytes at the end of `bytes` are a local part.
fn local_len(bytes: &[u8]) -> Option<usize> {
    let in_local = |b: &u8| b.is_ascii_alphanumeric() || b"._%+-'".contains(b);
    let run = bytes.iter().rev().take_while(|b| in_local(b)).count();
    let run = &bytes[bytes.len() - run..];
    // Two dots in a row can't stand in it, and of punctuation before it we can't tell.
    let run = memchr::memmem::rfind(run, b"..").map_or(run, |dots| &run[dots + 2..]);
    let first = run.iter().position(|b| b.is_ascii_alphanumeric() || *b == b'_')?;
    (run.last() != Some(&b'.')).then_some(run.len() - first)
}

/// How many bytes at the start of `bytes` are a domain: labels of letters, digits and dashes, the last one of 2 to 24
/// letters. Digits behind these are a footnote's, unless a number stands before them: `a@1.0.rc1` is a version.
fn domain_len(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(DOMAIN)];
    let mut domain = None;
    let mut start = 0;
    let mut is_number = false;
    loop {
        let label = &bytes[start..];
        let len = label.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
        let label = &label[..len];
        if len == 0 || label[0] == b'-' {
            return domain;
        }
        let letters = label.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let rest = &label[letters..];
        let footnote = !is_number && rest.iter().all(u8::is_ascii_digit);
        let top = (2..=24).contains(&letters) && (footnote || rest.first().is_none_or(|b| *b == b'-'));
        is_number = label.iter().all(u8::is_ascii_digit);
        if start > 0 && label.starts_with(b"xn--") {
            domain = Some(start + label.len() - label.iter().rev().take_while(|b| **b == b'-').count());
        } else if start > 0 && top {
            domain = Some(start + letters);
        }
        if bytes.get(start + len) != Some(&b'.') {
            return domain;
        }
        start += len + 1;
    }
}

/// A `git@host:path`, a picture for dense screens (`icon@2x.png`), or a product of matrices (`a@b.dot(c)`).
fn is_code(text: &str, span: &Range<usize>, at: usize) -> bool {
    let (local, domain) = (&text[span.start..at], &text[at + 1..span.end]);
    let remote = local == "git" && after(text, span.end, 1).is_in(b":/");
    let picture = domain.split_once("x.").is_some_and(|(scale, suffix)| {
        !scale.is_empty()
            && scale.bytes().all(|b| b.is_ascii_digit())
            && matches!(suffix, "png" | "jpg" | "jpeg" | "gif" | "webp" | "svg")
    });
    remote || picture || after(text, span.end, 1).is(b'(')
}

#[cfg(test)]
mod tests {
    use crate::detectors::pattern::tests::check;

    #[test]
    fn finds_addresses_and_leaves_code() {
        check(
            "email",
            &[
                "«bob@example.com»",
                "to «first.last+tag@mail.example.co.uk».",
                "<«a@b.co»>, «c_d@e-f.org»",
                "mailto:«bob@example.com»?subject=x",
                "?user=«bob@example.com»&x",
                "联系我«foo@bar.com»谢谢",
                "«bob@example.com»\nnext",
                "«x@xn--bcher-kva.example»",
                "«bob@sub.2x.example.org»",
                "'«o'neil@example.com»'",
                "a..«b@c.de»",
                "«bob@example.com»-suffix",
                "@«bob@example.com»",
                "«bob@example.com»1",
                "«bob@example.com»12, and so on",
            ],
            &[
                "@types/node",
                "user@localhost",
                "git@github.com:org/repo.git",
                "icon@2x.png",
                "react@18.2.0",
                "A@B.T",
                "a @ b.com",
                "x@w.transpose(0)",
                "@app.route",
                "bob@.com",
                "bob@-x.com",
                "bob.@example.com",
                "bob@example.c",
                "bob@example.com2x",
                "react@18.2.0.rc1",
                "@@@@@",
            ],
        );
    }
}
