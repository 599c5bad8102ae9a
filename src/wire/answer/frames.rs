//! The frames of an answer: what of its bytes is one JSON value.

use bytes::Bytes;

use crate::wire::json::{Document, Patch};
use crate::wire::{Framing, WireError, eventstream, ndjson, sse};

/// Cuts an answer's bytes into frames.
pub enum Frames {
    /// A whole body, as far as it has come, and its bytes at most.
    Whole(Vec<u8>, usize),
    Events(sse::Decoder),
    Lines(ndjson::Decoder),
    Messages(eventstream::Decoder),
}

impl Frames {
    /// `max`: bytes of one frame.
    pub fn new(framing: Framing, max: usize) -> Self {
        match framing {
            Framing::Json => Frames::Whole(Vec::new(), max),
            Framing::Sse => Frames::Events(sse::Decoder::new(max)),
            Framing::Ndjson => Frames::Lines(ndjson::Decoder::new(max)),
            Framing::EventStream => Frames::Messages(eventstream::Decoder::new(max)),
        }
    }

    /// Takes bytes off the front of `input` up to the end of the next frame; `None` when they are used up.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, WireError> {
        match self {
            Frames::Whole(body, max) if body.len() + input.len() > *max => Err(WireError::TooLarge { limit: *max }),
            Frames::Whole(body, _) => {
                body.extend_from_slice(input);
                Ok(None)
            }
            Frames::Events(decoder) => Ok(decoder.next(input)?.map(|frame| frame.data.into())),
            Frames::Lines(decoder) => decoder.next(input),
            Frames::Messages(decoder) => decoder.next(input),
        }
    }

    /// The answer has ended: a frame that was not.
    pub fn finish(&mut self) -> Result<Option<Bytes>, WireError> {
        match self {
            Frames::Whole(body, _) => Ok(Some(std::mem::take(body).into())),
            Frames::Events(decoder) => Ok(decoder.finish()?.map(|frame| frame.data.into())),
            Frames::Lines(decoder) => Ok(decoder.finish()),
            Frames::Messages(decoder) if decoder.buffered() > 0 => Err(WireError::Truncated),
            Frames::Messages(_) => Ok(None),
        }
    }

    /// Bytes taken and not yet given out.
    pub fn buffered(&self) -> usize {
        match self {
            Frames::Whole(body, _) => body.len(),
            Frames::Events(decoder) => decoder.buffered(),
            Frames::Lines(decoder) => decoder.buffered(),
            Frames::Messages(decoder) => decoder.buffered(),
        }
    }

    /// The data of a frame in canonical form.
    pub fn data(&self, document: &Document, patch: &Patch) -> Vec<u8> {
        if self.is_whole() { document.render(patch) } else { document.render_line(patch) }
    }

    /// A frame of such data.
    pub fn frame(&self, name: Option<&str>, data: Vec<u8>) -> Bytes {
        match self {
            Frames::Whole(..) => data.into(),
            Frames::Events(_) => sse::frame(name, &data),
            Frames::Lines(_) => ndjson::line(&data),
            Frames::Messages(_) => eventstream::frame(&data),
        }
    }

    /// What may stand between two frames and means nothing, `between` two events; empty where there is no such thing.
    pub fn heartbeat(&self, between: &'static [u8]) -> Bytes {
        match self {
            Frames::Whole(..) | Frames::Lines(_) | Frames::Messages(_) => Bytes::new(),
            Frames::Events(_) => Bytes::from_static(between),
        }
    }

    pub fn is_whole(&self) -> bool {
        matches!(self, Frames::Whole(..))
    }
}
