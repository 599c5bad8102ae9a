//! JSON lines: any chunks give the same, and nothing is lost between lines.

use portcullis::wire::WireError;
use portcullis::wire::ndjson::{Decoder, line};

use super::random::Random;

const MAX: usize = 1 << 12;

pub fn check(mut data: &[u8]) {
    let mut random = Random::of(&mut data, 2);
    let whole = decode(&[data]);
    assert_eq!(decode(&random.pieces(data, 8)), whole);
    assert_eq!(decode(&data.chunks(1).collect::<Vec<_>>()), whole);
    let (lines, error) = whole;
    if error.is_none() {
        let expected = data.split_inclusive(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        assert!(lines.iter().map(|line| &**line).eq(expected));
    }
    let trimmed = lines.iter().map(|line| line.trim_ascii()).filter(|line| !line.contains(&b'\r'));
    let written: Vec<u8> = trimmed.clone().flat_map(line).collect();
    let (again, error) = decode(&[&written]);
    assert_eq!(error, None);
    assert!(again.iter().map(|line| line.trim_ascii()).eq(trimmed));
}

fn decode(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, Option<WireError>) {
    let (mut decoder, mut lines) = (Decoder::new(MAX), Vec::new());
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match decoder.next(&mut input) {
                Ok(Some(line)) => lines.push(line.to_vec()),
                Ok(None) => break,
                Err(error) => return (lines, Some(error)),
            }
            assert!(decoder.buffered() <= MAX);
        }
    }
    lines.extend(decoder.finish().map(|line| line.to_vec()));
    (lines, None)
}
