//! Server-sent events: a decoder after the WHATWG rules for any chunks, and our one canonical frame.

use bytes::{Bytes, BytesMut};

use crate::wire::WireError;

/// A comment: it keeps a connection alive, and every reader drops it.
pub const HEARTBEAT: &[u8] = b": \n\n";

/// One decoded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The last `event:` field, if one came.
    pub event: Option<String>,
    /// The `data:` lines, joined with LF. Never empty: an event without data says nothing, and is dropped.
    pub data: String,
}

/// Decodes a stream. Lines end with LF, CR or CRLF in any mix, a leading byte order mark is dropped, and so are comments,
/// `id`, `retry` and unknown fields. Takes UTF-8 only, and no NUL: readers differ on the rest.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes of one event, and of one line, at most.
    max_event: usize,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    /// Each data line with an LF after it.
    data: String,
    event: Option<String>,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Nothing but the first line may start with a byte order mark.
    started: bool,
}

impl Decoder {
    pub fn new(max_event: usize) -> Self {
        Decoder { max_event, line: Vec::new(), data: String::new(), event: None, after_cr: false, started: false }
    }

    /// Takes bytes off the front of `input` up to the end of the next event; `None` when they are used up.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, WireError> {
        while let Some((&first, rest)) = input.split_first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                *input = rest;
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', input);
            let (part, rest) = input.split_at(end.unwrap_or(input.len()));
            if self.line.len() + part.len() + self.held() > self.max_event {
                return Err(WireError::TooLarge { limit: self.max_event });
            }
            self.line.extend_from_slice(part);
            let Some((&stop, rest)) = rest.split_first() else {
                *input = &[];
                return Ok(None);
            };
            *input = rest;
            self.after_cr = stop == b'\r';
            if let Some(frame) = self.end_line()? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The stream has ended. What stands there without its blank line is an event all the same: some readers deliver it.
    pub fn finish(&mut self) -> Result<Option<Frame>, WireError> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        Ok(self.dispatch())
    }

    /// Bytes taken and not yet given out.
    pub fn buffered(&self) -> usize {
        self.line.len() + self.held()
    }

    fn held(&self) -> usize {
        self.data.len() + self.event.as_ref().map_or(0, String::len)
    }

    fn end_line(&mut self) -> Result<Option<Frame>, WireError> {
        let line = std::mem::take(&mut self.line);
        let unstarted = !std::mem::replace(&mut self.started, true);
        let bytes = if unstarted { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) } else { &line };
        if bytes.is_empty() {
            return Ok(self.dispatch());
        }
        let odd = || WireError::Shape { at: "stream".into(), expected: "an event stream in UTF-8, without NUL".into() };
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(odd)?;
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => self.event = Some(value.to_owned()),
            _ => {}
        }
        // The next line is likely to be as long.
        self.line = line;
        self.line.clear();
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Frame> {
        let event = self.event.take().filter(|event| !event.is_empty());
        let mut data = std::mem::take(&mut self.data);
        data.pop();
        (!data.is_empty()).then_some(Frame { event, data })
    }
}

/// The only form in which an event leaves: an `event:` line where it has a name, one `data:` line, a blank line, LF only.
/// `event` and `data` must have no line separators; see [`crate::wire::json::one_line`].
pub fn frame(event: Option<&str>, data: &[u8]) -> Bytes {
    debug_assert!(memchr::memchr2(b'\n', b'\r', data).is_none(), "a frame's data stands on one line");
    let mut out = BytesMut::with_capacity(data.len() + 8 + event.map_or(0, |event| event.len() + 8));
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]], max: usize) -> (Vec<(Option<String>, String)>, Option<WireError>) {
        let mut decoder = Decoder::new(max);
        let mut frames = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            loop {
                match decoder.next(&mut input) {
                    Ok(Some(frame)) => frames.push((frame.event, frame.data)),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        match decoder.finish() {
            Ok(last) => frames.extend(last.map(|frame| (frame.event, frame.data))),
            Err(error) => return (frames, Some(error)),
        }
        (frames, None)
    }

    fn data(stream: &str) -> Vec<String> {
        let (frames, error) = decode(&[stream.as_bytes()], 1000);
        assert_eq!(error, None);
        frames.into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn reads_as_the_standard_says() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", &["a", "b"][..]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\n\r\ndata: b\r\n\rdata: c\n\r", &["a", "b", "c"]),
            ("data: a\r\ndata: b\rdata: c\n\r\n", &["a\nb\nc"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("\u{feff}\u{feff}data: a\n\n", &[]),
            ("data: a\n\n\u{feff}data: b\n\n", &["a"]),
            ("data:a\ndata: b\ndata\ndata:  c\n\n", &["a\nb\n\n c"]),
            (": note\nid: 7\nretry: 5\nfoo: x\ndata: a\n\n", &["a"]),
            ("id: only\n\nevent: only\n\ndata\n\ndata: a\n\n", &["a"]),
            (" data: a\n\nDATA: b\n\n", &[]),
            ("data: a\n\n\n\n\ndata: b", &["a", "b"]),
            ("data: \u{2028}\u{85}\x0b\x0c\n\n", &["\u{2028}\u{85}\x0b\x0c"]),
            ("", &[]),
        ] {
            assert_eq!(data(stream), expected, "{stream:?}");
        }
    }

    #[test]
    fn keeps_the_events_name_for_its_own_event_only() {
        let (frames, _) = decode(&[b"event: x\nevent: error\ndata: a\n\ndata: b\n\nevent: lost\n\ndata: c\n\n"], 1000);
        assert_eq!(frames, [(Some("error".into()), "a".into()), (None, "b".into()), (None, "c".into())]);
    }

    #[test]
    fn refuses_what_readers_differ_on() {
        for stream in [&b"data: \xff\n\n"[..], b"data: a\0b\n\n", b": \xc3\n\n", b"data: \xe2\x80", b"\xff\xfed\0\n\0"]
        {
            let (frames, error) = decode(&[stream], 1000);
            assert!(frames.is_empty() && matches!(error, Some(WireError::Shape { .. })), "{stream:?}");
        }
    }

    #[test]
    fn bounds_lines_and_events() {
        let endless = b"a".repeat(100);
        let comment = b":".repeat(100);
        let many: Vec<u8> = b"data: abc\n".repeat(30);
        for stream in [&endless, &comment, &many] {
            assert_eq!(decode(&[stream], 64).1, Some(WireError::TooLarge { limit: 64 }));
        }
        assert_eq!(decode(&[&b"data: abc\n\n".repeat(30)], 64).0.len(), 30);
    }

    #[test]
    fn writes_one_form() {
        assert_eq!(frame(None, b"{}"), "data: {}\n\n");
        assert_eq!(frame(Some("delta"), b"{}"), "event: delta\ndata: {}\n\n");
        assert_eq!(data(std::str::from_utf8(HEARTBEAT).unwrap()), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn any_chunks_give_the_same_events(
            pieces in proptest::collection::vec(prop::sample::select(vec![
                &b"data: "[..], b"data:", b"event: e", b"\n", b"\n\n", b"\r", b"\r\n", b"x", b"\xc3\xa9", b"\xef\xbb\xbf", b": c", b"id: 1",
                b"\xff", b"\0", b"a long piece of text",
            ]), 0..24),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = pieces.concat();
            let whole = decode(&[&stream], 40);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(&decode(&chunks, 40), &whole);
            prop_assert_eq!(&decode(&stream.chunks(1).collect::<Vec<_>>(), 40), &whole);
        }

        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec("[^\n\r\0]{1,20}", 0..5)) {
            let stream: Vec<u8> = texts.iter().flat_map(|text| frame(None, text.as_bytes())).collect();
            prop_assert_eq!(decode(&[&stream], 1000).0, texts.into_iter().map(|text| (None, text)).collect::<Vec<_>>());
        }
    }
}
