//! Amazon's event streams: any chunks give the same, sound messages are read, and what is written is read as the same.

use portcullis::wire::WireError;
use portcullis::wire::eventstream::{Decoder, frame};
use portcullis::wire::json::{Document, Limits};

use super::random::Random;

const MAX: usize = 1 << 12;

/// `0` for a stream as it is, anything odd for what becomes messages with sound lengths and checksums, which no mutation finds:
/// the length of the headers, that of the payload, and both.
pub fn check(mut data: &[u8]) {
    let Some(&first) = data.split_off_first() else { return };
    let mut random = Random::of(&mut data, 3);
    let stream = if first % 2 == 0 { data.to_vec() } else { messages(data) };
    let whole = decode(&[&stream]);
    assert_eq!(decode(&random.pieces(&stream, 8)), whole);
    assert_eq!(decode(&stream.chunks(1).collect::<Vec<_>>()), whole);

    let json = |text: &&Vec<u8>| Document::parse(text.to_vec(), &Limits::default()).is_ok();
    let sound: Vec<Vec<u8>> = whole.0.iter().filter(json).map(|json| json.trim_ascii_end().to_vec()).collect();
    let written: Vec<u8> = sound.iter().flat_map(|json| frame(json)).collect();
    assert_eq!(decode(&[&written]), (sound, 0, None));
}

/// What is read of some chunks, what of the last message is there, and the error.
fn decode(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, usize, Option<WireError>) {
    let (mut decoder, mut messages) = (Decoder::new(MAX), Vec::new());
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            match decoder.next(&mut input) {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => return (messages, 0, Some(error)),
            }
            assert!(decoder.buffered() <= MAX);
        }
    }
    (messages, decoder.buffered(), None)
}

fn messages(mut data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((&[headers, payload], rest)) = data.split_first_chunk() {
        let (headers, payload) = (usize::from(headers), usize::from(payload));
        let (body, rest) = rest.split_at(rest.len().min(headers + payload));
        data = rest;
        let (total, headers) = (16 + body.len() as u32, headers.min(body.len()) as u32);
        let mut message = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        message.extend(crc32(&message).to_be_bytes());
        message.extend_from_slice(body);
        message.extend(crc32(&message).to_be_bytes());
        stream.extend(message);
    }
    stream
}

/// That of Ethernet, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| bit(sum)))
}
