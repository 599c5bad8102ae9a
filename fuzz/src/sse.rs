//! Event streams: any chunks give the same, the standard's own words give the same, and what is written is read.

use portcullis::wire::WireError;
use portcullis::wire::sse::{Decoder, Frame, frame};

use super::random::Random;

const MAX: usize = 1 << 12;

pub fn check(mut data: &[u8]) {
    let mut random = Random::of(&mut data, 2);
    let whole = decode(&[data]);
    assert_eq!(decode(&random.pieces(data, 8)), whole);
    assert_eq!(decode(&data.chunks(1).collect::<Vec<_>>()), whole);
    let (frames, error) = whole;
    if error.is_none() {
        let text = std::str::from_utf8(data).expect("only UTF-8 is taken");
        assert_eq!(frames, standard(text));
    }
    let plain = |text: &str| !text.contains(['\n', '\r']);
    let written: Vec<Frame> = frames.into_iter().filter(|frame| plain(&frame.data)).collect();
    let stream: Vec<u8> =
        written.iter().flat_map(|written| frame(written.event.as_deref(), written.data.as_bytes())).collect();
    assert_eq!(decode(&[&stream]), (written, None));
}

fn decode(chunks: &[&[u8]]) -> (Vec<Frame>, Option<WireError>) {
    let (mut decoder, mut frames) = (Decoder::new(MAX), Vec::new());
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match decoder.next(&mut input) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
            assert!(decoder.buffered() <= MAX + 1);
        }
    }
    match decoder.finish() {
        Ok(last) => {
            frames.extend(last);
            (frames, None)
        }
        Err(error) => (frames, Some(error)),
    }
}

/// The standard's algorithm over a whole text; and, as some readers have it, what has no blank line behind it.
fn standard(text: &str) -> Vec<Frame> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let (mut frames, mut data, mut event) = (Vec::new(), None::<String>, None);
    for line in text.split('\n').chain([""]) {
        match line.split_once(':').unwrap_or((line, "")) {
            ("", _) if line.is_empty() => {
                let event = event.take().filter(|event: &String| !event.is_empty());
                frames.extend(data.take().filter(|data| !data.is_empty()).map(|data| Frame { event, data }));
            }
            ("data", value) => {
                let value = value.strip_prefix(' ').unwrap_or(value);
                data = Some(data.map_or(value.to_owned(), |data| data + "\n" + value));
            }
            ("event", value) => event = Some(value.strip_prefix(' ').unwrap_or(value).to_owned()),
            _ => {}
        }
    }
    frames
}
