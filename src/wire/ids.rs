//! Ids that an upstream makes up, by their shape: they say nothing, are different in every answer, and are not judged.

/// What the ids of these APIs begin with, before a `-` or `_`.
const FAMILIES: &[&str] = &["call", "chatcmpl", "cmpl", "embd", "fc", "fp", "gen", "modr", "msg", "resp", "rs", "toolu"];

/// `chatcmpl-B9MBs8Cj`, `call_8f3a`, `fp_44709d6fcb`, a UUID, 32 hexadecimal digits. Any other id is judged as text: one
/// that a model wrote, a key, a name.
pub fn is_id(text: &str) -> bool {
    is_of_a_family(text) || is_hexadecimal(text)
}

fn is_of_a_family(text: &str) -> bool {
    let (family, rest) = text.split_once(['-', '_']).unwrap_or_default();
    let plain = rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    FAMILIES.contains(&family) && plain && text.len() <= 64
}

fn is_hexadecimal(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    let hex = |b: u8| b.is_ascii_hexdigit();
    let letters = text.bytes().any(|b| b.is_ascii_alphabetic());
    match text.len() {
        _ if !letters => false,
        32 => text.bytes().all(hex),
        36 => text.bytes().enumerate().all(|(at, b)| if dashes.contains(&at) { b == b'-' } else { hex(b) }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_what_could_be_a_text() {
        for id in [
            "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            "chatcmpl-portcullis-0198b7b0c4e07d2f8a1b2c3d4e5f6071",
            "call_abc123",
            "embd-8a3f0c5e9d7b4e2f",
            "modr-AB8CjOTu2jiq12hp1AQPfeqFWaORR",
            "fp_44709d6fcb",
            "0198b7b0-c4e0-7d2f-8a1b-2c3d4e5f6071",
            "e5cc70bb28c444948073e77776eb30ef",
        ] {
            assert!(is_id(id), "{id}");
        }
        for text in [
            "",
            "c",
            "project-bluebird",
            "sk-proj-abcdefghijklmnop",
            "bob@example.com",
            "call_bob@example.com",
            "call_a.b",
            "functions.send:0",
            "4111111111111111",
            "41111111111111114111111111111111",
            "078-05-1120",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "callbluebird",
            &format!("call_{}", "a".repeat(60)),
        ] {
            assert!(!is_id(text), "{text}");
        }
    }
}
