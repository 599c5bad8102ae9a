//! JSON lines: a value on each, for any chunks.

use bytes::Bytes;

use crate::wire::WireError;

/// Splits a stream into lines. They end with LF or CRLF; those of white space alone say nothing and are dropped.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes of one line, at most.
    max_line: usize,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
}

impl Decoder {
    pub fn new(max_line: usize) -> Self {
        Decoder { max_line, line: Vec::new() }
    }

    /// Takes bytes off the front of `input` up to the end of the next line; `None` when they are used up.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, WireError> {
        while !input.is_empty() {
            let end = memchr::memchr(b'\n', input);
            let (part, rest) = input.split_at(end.map_or(input.len(), |end| end + 1));
            *input = rest;
            if self.line.len() + part.len() > self.max_line {
                return Err(WireError::TooLarge { limit: self.max_line });
            }
            self.line.extend_from_slice(part);
            if end.is_some()
                && let Some(line) = self.take()
            {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The stream has ended. What stands there without its LF is a line all the same.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.take()
    }

    /// Bytes taken and not yet given out.
    pub fn buffered(&self) -> usize {
        self.line.len()
    }

    fn take(&mut self) -> Option<Bytes> {
        let line = std::mem::take(&mut self.line);
        (!line.trim_ascii().is_empty()).then(|| line.into())
    }
}

/// The only form in which a line leaves. `json` must have no line separators; see [`crate::wire::json::one_line`].
pub fn line(json: &[u8]) -> Bytes {
    debug_assert!(memchr::memchr2(b'\n', b'\r', json).is_none(), "a line's JSON stands on one line");
    [json, b"\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]], max: usize) -> Result<Vec<Bytes>, WireError> {
        let (mut decoder, mut lines) = (Decoder::new(max), Vec::new());
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(line) = decoder.next(&mut input)? {
                lines.push(line);
            }
        }
        lines.extend(decoder.finish());
        Ok(lines)
    }

    #[test]
    fn lines_are_what_lies_between_line_feeds() {
        let found = lines(&[b"{\"a\":1}\r\n\n  \n{\"b\"", b":2}\n3"], 100).unwrap();
        assert_eq!(found, ["{\"a\":1}\r\n", "{\"b\":2}\n", "3"]);
        assert_eq!(lines(&[b"12345"], 4), Err(WireError::TooLarge { limit: 4 }));
        assert!(lines(&[b"123\n456\n"], 4).is_ok());
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(text in "[a \\n\\r]{0,40}", size in 1usize..10) {
            let whole = lines(&[text.as_bytes()], 1000).unwrap();
            prop_assert_eq!(&whole, &lines(&text.as_bytes().chunks(size).collect::<Vec<_>>(), 1000).unwrap());
            let expected: Vec<&str> = text.split_inclusive('\n').filter(|line| !line.trim().is_empty()).collect();
            prop_assert_eq!(whole, expected);
        }
    }
}
