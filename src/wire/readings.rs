//! What bytes read as: a text in the encodings that people write files in, or nothing.

/// The text of bytes. Where readers may disagree on the encoding it is what each of them reads, as lines. `None` where it is
/// neither UTF-8 nor UTF-16, nor mostly ASCII.
pub fn text_of(bytes: Vec<u8>) -> Option<String> {
    let wide = utf_16(&bytes);
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if wide.is_none() => return Some(text).filter(|text| !text.is_empty()),
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    if wide.is_none() && !is_written(bytes.iter().map(|byte| u32::from(*byte))) {
        return None;
    }
    // A reader that leaves out what it can't read, and one that takes each byte for a character.
    let narrow = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect::<String>().replace('\0', "");
    let latin = std::str::from_utf8(&bytes).is_err().then(|| bytes.iter().map(|byte| char::from(*byte)).collect());
    Some([wide, Some(narrow), latin].into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

/// Whether bytes begin as a document, picture, sound, film or archive does: readers know them by that.
pub fn is_format(bytes: &[u8]) -> bool {
    const MAGICS: [&[u8]; 22] = [
        b"%PDF-",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\xd0\xcf\x11\xe0",
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"GIF8",
        b"RIFF",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"ID3",
        b"\xff\xfb",
        b"\xff\xf1",
        b"fLaC",
        b"OggS",
        b"FORM",
        b"\x1a\x45\xdf\xa3",
        b"\x1f\x8b",
        b"FLV\x01",
        b"\0\0\x01\xb3",
        b"\0\0\x01\xba",
    ];
    MAGICS.iter().any(|magic| bytes.starts_with(magic)) || bytes.get(4..8) == Some(b"ftyp")
}

/// As UTF-16, by its mark or, without one, where that gives characters of ASCII.
fn utf_16(bytes: &[u8]) -> Option<String> {
    let units = |of: fn([u8; 2]) -> u16| bytes.as_chunks().0.iter().map(move |pair| of(*pair));
    let marked = |mark: [u8; 2]| bytes.starts_with(&mark) && bytes.len() > 2;
    let order = [(u16::from_le_bytes as fn([u8; 2]) -> u16, [0xff, 0xfe]), (u16::from_be_bytes, [0xfe, 0xff])]
        .into_iter()
        .find(|(of, mark)| marked(*mark) || (bytes.contains(&0) && is_written(units(*of).map(u32::from))));
    order.map(|(of, _)| {
        let text: String = char::decode_utf16(units(of)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        // UTF-32 has one more between two characters.
        text.replace(['\0', '\u{feff}'], "")
    })
}

/// Whether most of these characters are such as people write in ASCII.
fn is_written(characters: impl Iterator<Item = u32>) -> bool {
    let (mut all, mut written) = (0, 0);
    for character in characters.filter(|character| *character != 0) {
        all += 1;
        written += usize::from(matches!(character, 0x20..=0x7e | 9 | 10 | 12 | 13));
    }
    all > 0 && written >= all - all / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text as pairs of bytes, in this order.
    fn wide(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn a_text_is_read_in_the_encodings_of_files() {
        let said = "he said: a caf\u{e9}";
        let marked = |mark: &[u8], rest: Vec<u8>| [mark, &rest].concat();
        let utf_32: Vec<u8> = "a bluebird".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        for (bytes, expected) in [
            (said.as_bytes().to_vec(), said),
            (b"a blue\x01bird".to_vec(), "a blue\x01bird"),
            (b"a blue\0bird, a long way off".to_vec(), "a blue\0bird, a long way off"),
            (wide(said, u16::to_le_bytes), said),
            (wide(said, u16::to_be_bytes), said),
            (marked(b"\xff\xfe", wide("\u{441}\u{438}", u16::to_le_bytes)), "\u{441}\u{438}"),
            (marked(b"\xfe\xff", wide("\u{441}\u{438}", u16::to_be_bytes)), "\u{441}\u{438}"),
            (utf_32, "a bluebird"),
            // One byte that is no UTF-8 hides nothing.
            (b"a blue\xffbird".to_vec(), "a bluebird\na blue\u{ff}bird"),
            (b"he said: a caf\xe9".to_vec(), "he said: a caf\nhe said: a caf\u{e9}"),
            (b"%PDF-1.4 a bluebird \xe2\xe3".to_vec(), "a bluebird"),
        ] {
            let text = text_of(bytes).unwrap_or_else(|| panic!("{expected:?} is not read"));
            assert!(text.contains(expected), "{text:?}: {expected:?}");
        }
        for none in [&b""[..], b"\x80\x80\x80", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\xff\xfe\xfd", &[0; 8]] {
            assert_eq!(text_of(none.to_vec()).filter(|text| text.bytes().any(|b| b != 0)), None, "{none:?}");
        }
    }

    #[test]
    fn a_format_is_known_by_its_first_bytes() {
        for known in [&b"%PDF-1.7\n\x80"[..], b"PK\x03\x04\x80", b"\0\0\0\x20ftypisom", b"\x89PNG"] {
            assert!(is_format(known), "{known:?}");
        }
        for unknown in [&b""[..], b"\x80", b" %PDF-", b"ftyp"] {
            assert!(!is_format(unknown), "{unknown:?}");
        }
    }
}
