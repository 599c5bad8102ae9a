//! Maps offsets of a derived text back to the text it was made from.

use std::ops::Range;

/// The way back from a derived text to its source. Both are tiled by pieces in order, so offsets grow together.
#[derive(Debug, Default)]
pub(super) struct Map {
    pieces: Vec<Piece>,
    derived_len: usize,
    source_len: usize,
}

/// A part of the derived text, up to the next piece's start.
#[derive(Debug, Clone, Copy)]
struct Piece {
    derived: usize,
    source: usize,
    kind: PieceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceKind {
    /// Byte for byte as in the source.
    Copied,
    /// Stands as a whole for the source bytes up to the next piece: no offset inside it has a place of its own.
    Replaced,
}

impl Map {
    /// The source bytes that `derived` came from: whole pieces where it was replaced, and with what was left out after
    /// each character (a mark or a zero-width character belongs to the one before it). `derived` lies on character
    /// boundaries of the derived text; so does the result in the source.
    pub fn source_span(&self, derived: Range<usize>) -> Range<usize> {
        let start = self.source_start(derived.start);
        if derived.is_empty() { start..start } else { start..self.source_end(derived.end).max(start) }
    }

    /// `source` widened so that it cuts no replaced piece in two.
    pub fn widen(&self, source: Range<usize>) -> Range<usize> {
        let start = match self.last(|piece| piece.source <= source.start) {
            Some((_, piece)) if piece.kind == PieceKind::Replaced => piece.source,
            _ => source.start,
        };
        let end = match self.last(|piece| piece.source < source.end) {
            Some((next, piece)) if piece.kind == PieceKind::Replaced => self.source_of(next).max(source.end),
            _ => source.end,
        };
        start..end
    }

    fn source_start(&self, derived: usize) -> usize {
        match self.last(|piece| piece.derived <= derived) {
            None => 0,
            Some((_, piece)) if piece.kind == PieceKind::Replaced => piece.source,
            Some((next, piece)) => (piece.source + (derived - piece.derived)).min(self.source_of(next)),
        }
    }

    fn source_end(&self, derived: usize) -> usize {
        let Some((next, piece)) = self.last(|piece| piece.derived < derived) else { return 0 };
        let piece_end = self.pieces.get(next).map_or(self.derived_len, |next| next.derived);
        if piece.kind == PieceKind::Copied && derived < piece_end {
            piece.source + (derived - piece.derived)
        } else {
            self.source_of(next)
        }
    }

    /// The last piece for which `before` holds, and the index after it.
    fn last(&self, before: impl Fn(&Piece) -> bool) -> Option<(usize, Piece)> {
        let next = self.pieces.partition_point(before);
        Some((next, *self.pieces.get(next.checked_sub(1)?)?))
    }

    fn source_of(&self, index: usize) -> usize {
        self.pieces.get(index).map_or(self.source_len, |piece| piece.source)
    }
}

/// Writes a derived text and its map together. Calls come in the order of the source.
#[derive(Debug, Default)]
pub(super) struct Builder {
    text: String,
    map: Map,
}

impl Builder {
    pub fn for_source(source: &str) -> Self {
        Builder { text: String::with_capacity(source.len()), map: Map::default() }
    }

    /// `ch` stands at `source` and stays as it is.
    pub fn copy(&mut self, ch: char, source: usize) {
        let at = self.text.len();
        let goes_on = self
            .map
            .pieces
            .last()
            .is_some_and(|p| p.kind == PieceKind::Copied && p.source + (at - p.derived) == source);
        if !goes_on {
            self.map.pieces.push(Piece { derived: at, source, kind: PieceKind::Copied });
        }
        self.text.push(ch);
    }

    /// `text` stands at `source` and stays as it is.
    pub fn copy_all(&mut self, text: &str, source: usize) {
        let mut chars = text.chars();
        if let Some(first) = chars.next() {
            self.copy(first, source);
            self.text.push_str(chars.as_str());
        }
    }

    /// What stands at `source` becomes `with`. An empty `with` ends the piece before it, so that the piece's span does
    /// not reach over what follows in the source.
    pub fn replace(&mut self, with: &str, source: usize) {
        self.map.pieces.push(Piece { derived: self.text.len(), source, kind: PieceKind::Replaced });
        self.text.push_str(with);
    }

    /// The last character written becomes `with`, which also stands for what follows it in the source.
    pub fn replace_last(&mut self, with: char) {
        if self.text.pop().is_none() {
            return;
        }
        let at = self.text.len();
        match self.map.pieces.last().copied() {
            Some(piece) if piece.kind == PieceKind::Copied && piece.derived < at => {
                let source = piece.source + (at - piece.derived);
                self.map.pieces.push(Piece { derived: at, source, kind: PieceKind::Replaced });
            }
            _ => {
                if let Some(piece) = self.map.pieces.last_mut() {
                    piece.kind = PieceKind::Replaced;
                }
            }
        }
        self.text.push(with);
    }

    pub fn last_char(&self) -> Option<char> {
        self.text.chars().next_back()
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    pub fn finish(mut self, source_len: usize) -> (String, Map) {
        self.map.derived_len = self.text.len();
        self.map.source_len = source_len;
        (self.text, self.map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "ab" copied, a ligature of 3 bytes as "fi", 3 bytes left out, "c" copied.
    fn map() -> Map {
        let mut to = Builder::default();
        to.copy('a', 0);
        to.copy('b', 1);
        to.replace("fi", 2);
        to.copy('c', 8);
        let (text, map) = to.finish(9);
        assert_eq!(text, "abfic");
        map
    }

    #[test]
    fn spans_cover_whole_replacements_and_what_was_left_out_after_them() {
        let map = map();
        assert_eq!(map.source_span(0..2), 0..2);
        assert_eq!(map.source_span(1..3), 1..8);
        assert_eq!(map.source_span(3..4), 2..8);
        assert_eq!(map.source_span(3..5), 2..9);
        assert_eq!(map.source_span(4..5), 8..9);
    }

    #[test]
    fn widening_cuts_no_replacement() {
        let map = map();
        assert_eq!(map.widen(0..1), 0..1);
        assert_eq!(map.widen(1..3), 1..8);
        assert_eq!(map.widen(3..9), 2..9);
    }

    #[test]
    fn an_empty_replacement_ends_the_piece_before_it() {
        let mut to = Builder::default();
        to.replace("x", 0);
        to.replace("", 4);
        to.replace("y", 9);
        to.replace("", 13);
        let (_, map) = to.finish(50);
        assert_eq!(map.source_span(0..1), 0..4);
        assert_eq!(map.source_span(1..2), 9..13);
        assert_eq!(map.source_span(0..2), 0..13);
    }
}
