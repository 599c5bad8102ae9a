//! What can be read of decoded bytes: stretches of text in UTF-8, ASCII in UTF-16 too. What stands between them shows as `?`.

/// A stretch has at least so many bytes: fewer come about by chance.
const STRETCH: usize = 6;

/// Characters that stand for one place in the source, at most.
const PIECE: usize = 16;

/// What was read of a run.
#[derive(Debug, Default)]
pub(super) struct Readable {
    /// Each with the place in the source where it ends.
    pub pieces: Vec<(String, usize)>,
    /// Characters that can be read, and all.
    seen: usize,
    all: usize,
    /// Whether the first of them can be.
    clean: bool,
}

impl Readable {
    /// `None` where nothing can be read, unless all of it can and it has `least` bytes. Each byte comes with the place in the
    /// source where it ends.
    pub fn of(bytes: &[(u8, usize)], least: usize) -> Option<Readable> {
        let decoded: Vec<u8> = bytes.iter().map(|(byte, _)| *byte).collect();
        let mut to = Readable::default();
        let (mut stretch, mut at) = (Vec::new(), 0);
        let whole = decoded.len() >= least;
        for chunk in decoded.utf8_chunks() {
            for ch in chunk.valid().chars() {
                at += ch.len_utf8();
                let end = bytes[at - 1].1;
                match ch {
                    // Every other byte of ASCII in UTF-16.
                    '\0' => {}
                    ch if ch.is_control() && !matches!(ch, '\t' | '\n' | '\r') => {
                        to.end_stretch(&mut stretch, STRETCH);
                        to.push('?', end, false);
                    }
                    ch => stretch.push((ch, end)),
                }
            }
            if !chunk.invalid().is_empty() {
                to.end_stretch(&mut stretch, STRETCH);
                for _ in chunk.invalid() {
                    at += 1;
                    to.push('?', bytes[at - 1].1, false);
                }
            }
        }
        let least = if whole && to.all == 0 { least.min(STRETCH) } else { STRETCH };
        to.end_stretch(&mut stretch, least);
        (to.seen > 0).then_some(to)
    }

    /// Whether most of it can be read: then it is a text, and not bytes that have some letters by chance.
    pub fn is_plain(&self) -> bool {
        self.seen >= self.all / 4 * 3
    }

    /// Whether it begins with what can be read.
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    pub fn is_half(&self) -> bool {
        self.seen >= self.all.div_ceil(2)
    }

    pub fn seen(&self) -> usize {
        self.seen
    }

    pub fn len(&self) -> usize {
        self.pieces.iter().map(|(text, _)| text.len()).sum()
    }

    /// The same bytes, read another way: what can be read of them comes behind. It has no place of its own.
    pub fn append(&mut self, other: &Readable, end: usize) {
        let text: String = other.pieces.iter().map(|(text, _)| text.as_str()).collect();
        self.pieces.push((format!("\n{text}"), end));
    }

    fn end_stretch(&mut self, stretch: &mut Vec<(char, usize)>, least: usize) {
        let seen = stretch.iter().map(|(ch, _)| ch.len_utf8()).sum::<usize>() >= least;
        for (ch, end) in stretch.drain(..) {
            self.push(if seen { ch } else { '?' }, end, seen);
        }
    }

    fn push(&mut self, ch: char, end: usize, seen: bool) {
        if self.all == 0 {
            self.clean = seen;
        }
        self.all += 1;
        self.seen += usize::from(seen);
        match self.pieces.last_mut().filter(|(text, _)| text.len() < PIECE) {
            Some((text, last)) => {
                text.push(ch);
                *last = end;
            }
            None => self.pieces.push((ch.into(), end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], least: usize) -> Option<String> {
        let placed: Vec<_> = bytes.iter().enumerate().map(|(at, byte)| (*byte, at + 1)).collect();
        Readable::of(&placed, least).map(|read| read.pieces.into_iter().map(|(text, _)| text).collect())
    }

    #[test]
    fn stretches_of_text_are_read_and_the_rest_is_not() {
        for (bytes, expected) in [
            (&b"bluebird"[..], Some("bluebird")),
            (b"\xffbluebird\x00\x01abc\xfe", Some("?bluebird?????")),
            (b"b\0l\0u\0e\0b\0i\0", Some("bluebi")),
            (b"\x01\x02bomb\x03", None),
            (b"\xff\xfe\xfd", None),
            (b"bomb", None),
            (b"", None),
        ] {
            assert_eq!(read(bytes, STRETCH).as_deref(), expected, "{bytes:?}");
        }
        assert_eq!(read(b"bomb", 4).as_deref(), Some("bomb"));
        assert_eq!(read(b"bom", 4), None);
        assert_eq!(read(b"bomb\xff", 4), None);
    }
}
