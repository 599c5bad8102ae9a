//! Random-looking values of names that say they are secret: `api_key = "..."`, `"password": "..."`, `TOKEN=...`.

use std::ops::Range;

use super::numbers::after;

/// Ends of names that say that their value is secret; in any case.
pub(super) const NAMES: &[&str] = &[
    "api_key",
    "api-key",
    "apikey",
    "api_secret",
    "api-secret",
    "access_key",
    "access-key",
    "accesskey",
    "access_token",
    "access-token",
    "accesstoken",
    "auth_token",
    "auth-token",
    "authtoken",
    "client_secret",
    "client-secret",
    "clientsecret",
    "secret_key",
    "secret-key",
    "secretkey",
    "private_key",
    "secret",
    "token",
    "password",
    "passwd",
];

/// Words that a placeholder is made of.
const PLACEHOLDERS: &[&str] = &[
    "your",
    "example",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "redacted",
    "xxxx",
    "****",
    "....",
    "insert",
    "dummy",
];

const MIN_VALUE: usize = 16;
const MIN_DISTINCT: u32 = 8;
/// A value is judged by this much of it, so that names inside a long value cost no more.
const JUDGED: usize = 128;

/// The value, if the name at `name` is given one that looks random.
pub(super) fn value_after(text: &str, name: Range<usize>) -> Option<Range<usize>> {
    let (sign, quoted) = sign_len(text.as_bytes().get(name.end..)?)?;
    let start = name.end + sign;
    let bytes = text.as_bytes().get(start..)?;
    let judged = bytes.iter().take(JUDGED).take_while(|b| in_value(**b)).count();
    let value = text.get(start..start + judged)?;
    let ends = judged == JUDGED || ends_value(text, start + judged, quoted);
    (ends && looks_random(value, quoted) && !is_cursor(text, name.start)).then(|| {
        let rest = bytes.iter().skip(judged).take_while(|b| in_value(**b)).count();
        start..start + judged + rest
    })
}

/// What stands between a name and its value (`"] => "`): its length, and whether the value is quoted.
fn sign_len(bytes: &[u8]) -> Option<(usize, bool)> {
    let run =
        |at: usize, most: usize, set: &[u8]| bytes.iter().skip(at).take(most).take_while(|b| set.contains(b)).count();
    let name_end = run(0, 2, b"\"'`]");
    let sign = name_end + run(name_end, 8, b" \t");
    let sign_end = sign
        + match bytes.get(sign..)? {
            [b':', b'=', ..] | [b'=', b'>' | b'=', ..] => 2,
            [b':' | b'=', ..] => 1,
            _ => return None,
        };
    let value = sign_end + run(sign_end, 8, b" \t");
    let quote = run(value, 1, b"\"'`");
    Some((value + quote, quote == 1))
}

fn in_value(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./+=~!@#$%^&*".contains(&byte)
}

/// What follows is no call, index or path of code. A quote has to close, but for a text that goes on.
fn ends_value(text: &str, at: usize, quoted: bool) -> bool {
    let next = after(text, at, 1);
    if quoted { next.is_in(b"\"'`\\") || at == text.len() } else { !next.is_in(b"([{<:$\\") }
}

/// Whether the name is that of a cursor into pages (`next_page_token`), random and no secret.
fn is_cursor(text: &str, name: usize) -> bool {
    let before = text[..name].trim_end_matches(['_', '-']).as_bytes();
    let ends = |word: &str| {
        before.len() >= word.len() && before[before.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
    };
    ["page", "next", "continuation", "sync"].into_iter().any(ends)
}

fn looks_random(value: &str, quoted: bool) -> bool {
    let count = |of: fn(&u8) -> bool| value.bytes().filter(of).count();
    // All bytes of a value are ASCII, so a bit each is enough.
    let distinct = value.bytes().fold(0u128, |seen, byte| seen | 1 << (byte & 0x7f)).count_ones();
    let is_placeholder = || {
        let lower = value.to_ascii_lowercase();
        PLACEHOLDERS.iter().any(|word| lower.contains(word))
    };
    value.len() >= MIN_VALUE
        // An unquoted name of a variable or function has a digit at times, rarely more.
        && count(u8::is_ascii_digit) >= if quoted { 1 } else { 3 }
        && count(u8::is_ascii_alphabetic) >= 2
        && distinct >= MIN_DISTINCT
        && !is_placeholder()
        && !value.starts_with(['/', '.', '$', '%'])
        && !value.contains("://")
}

#[cfg(test)]
mod tests {
    use crate::detectors::pattern::tests::check;

    #[test]
    fn finds_random_values_of_telling_names() {
        check(
            "generic-secret-assignment",
            &[
                r#"api_key = "«4f9a8b7c6d5e4f3a2b1c»""#,
                "API_KEY=«4f9a8b7c6d5e4f3a2b1c»",
                r#"{"client_secret": "«GOCSPX-a1B2c3D4e5F6g7H8»"}"#,
                "password: '«tr0ub4dor&3-correct-horse»'",
                "export AWS_SECRET_ACCESS_KEY=«wJalrXUtnFEMI/K7MDENG/bPxRfiCY1234KEY5»",
                "auth-token => '«9f8e7d6c5b4a39281706»'",
                "accessToken := `«A1b2C3d4E5f6G7h8»`",
                "secret_key=«a1b2c3d4e5f6a7b8c9d0», x",
                "SECRET: «a1b2c3d4e5f6a7b8c9d0»",
            ],
            &[
                r#"api_key = "your_api_key_here_1234""#,
                "api_key = os.environ['API_KEY_2024_09_01']",
                r#"password = "hunter2""#,
                "token = get_token_from_vault_v234()",
                r#""max_tokens": 4096"#,
                r#"{"next_page_token": "CAUQAAxyz123456789abc"}"#,
                r#"{"nextPageToken":"CAUQAAxyz123456789abc"}"#,
                "secret: ${SECRET_FROM_ENV_1234567}",
                r#"password: "xxxxxxxxxxxxxxxx1234""#,
                r#"token: "https://example.com/a1b2c3d4""#,
                "the password is long",
                "api_key = None",
                r#"secret = "aaaaaaaaaaaaaaaa1""#,
                r#"token="a1b2c3d4 and more words""#,
                "password=self.config.password_hash",
            ],
        );
    }
}
