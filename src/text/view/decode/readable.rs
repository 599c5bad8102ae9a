//! What decoded bytes read as: UTF-8, single letters of Latin-1 among them, ASCII in UTF-16; and other scripts in UTF-16.

/// Characters that stand for one place in the source, at most.
const PIECE: usize = 16;

/// So many characters of UTF-16 in a row are a text.
const WIDE: usize = 4;

/// A decoded byte, and where in the source its last letter ends.
pub(super) type Placed = (u8, usize);

/// The text, in pieces that each end at a place in the source. NUL is left out: every other byte of ASCII in UTF-16.
pub(super) fn read(bytes: &[Placed]) -> Vec<(String, usize)> {
    let decoded: Vec<u8> = bytes.iter().map(|(byte, _)| *byte).collect();
    let mut pieces: Vec<(String, usize)> = Vec::new();
    let mut at = 0;
    let mut push = |ch: char, len: usize| {
        at += len;
        if ch == '\0' {
            return;
        }
        let end = bytes[at - 1].1;
        match pieces.last_mut().filter(|(text, _)| text.len() < PIECE) {
            Some((text, last)) => {
                text.push(ch);
                *last = end;
            }
            None => pieces.push((ch.into(), end)),
        }
    };
    for chunk in decoded.utf8_chunks() {
        chunk.valid().chars().for_each(|ch| push(ch, ch.len_utf8()));
        chunk.invalid().iter().for_each(|byte| push(if *byte < 0xc0 { '?' } else { char::from(*byte) }, 1));
    }
    pieces
}

/// What the bytes read as in UTF-16, where they are letters of Europe in it and not of ASCII alone.
pub(super) fn read_wide(bytes: &[Placed]) -> Option<String> {
    let wide = |skip: usize, big: bool| {
        let mut text = String::new();
        let (mut row, mut foreign) = (0, false);
        for pair in bytes.get(skip..)?.chunks_exact(2) {
            let (low, high) = if big { (pair[1].0, pair[0].0) } else { (pair[0].0, pair[1].0) };
            let ch = char::from_u32(u32::from(high) << 8 | u32::from(low))
                .filter(|ch| matches!(ch, ' '..='~' | '\n' | '\r' | '\t') || ('\u{a0}'..'\u{590}').contains(ch));
            match ch {
                Some(ch) => {
                    (row, foreign) = (row + 1, foreign | (high > 0));
                    text.push(ch);
                }
                None if row >= WIDE && foreign => break,
                None => {
                    (row, foreign) = (0, false);
                    text.clear();
                }
            }
        }
        (row >= WIDE && foreign).then_some(text)
    };
    let ways = [(0, false), (1, false), (0, true), (1, true)];
    ways.into_iter().filter_map(|(skip, big)| wide(skip, big)).max_by_key(String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(bytes: &[u8]) -> Vec<Placed> {
        bytes.iter().enumerate().map(|(at, byte)| (*byte, at + 1)).collect()
    }

    #[test]
    fn bytes_read_as_what_a_reader_makes_of_them() {
        for (bytes, expected) in [
            (&b"bluebird"[..], "bluebird"),
            (b"b\0l\0u\0e\0", "blue"),
            (b"bl\xfce\x80bird", "bl\u{fc}e?bird"),
            (b"bl\xc3\xbce\x07bird", "bl\u{fc}e\u{7}bird"),
            (b"", ""),
        ] {
            let text: String = read(&placed(bytes)).into_iter().map(|(text, _)| text).collect();
            assert_eq!(text, expected, "{bytes:?}");
        }
    }

    #[test]
    fn letters_of_two_bytes_are_read() {
        let little: Vec<u8> = "\u{43e}peration".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{43e}peration".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [little, big] {
            assert_eq!(read_wide(&placed(&bytes)).as_deref(), Some("\u{43e}peration"));
        }
        assert_eq!(read_wide(&placed(b"plain old ASCII")), None);
        assert_eq!(read_wide(&placed(b"b\0l\0u\0e\0")), None, "that is read anyway");
    }
}
