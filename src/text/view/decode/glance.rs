//! Finds the stretches of a text in one pass, before anything is built of them.

use super::code::{Code, Piece};
use super::stretch::{CLASSES, Class, Here, LATIN, LEAST, Lane, STRETCH, Stretch};

/// The stretches of a text in one code, in each way in the order in which they end; only the first where that will do.
///
/// Most bytes are no text: a glance counts in each way how many in a row may be, and where those are enough they are looked at
/// closely.
pub(super) fn stretches(bytes: &[u8], code: Code, only_first: bool, to: &mut Vec<Stretch>) {
    match code {
        Code::Base64 => scan::<4>(bytes, Code::Base64, only_first, to),
        Code::Hexadecimal => scan::<2>(bytes, Code::Hexadecimal, only_first, to),
    }
}

/// A way in which letters come together, at a glance.
#[derive(Clone, Copy, Default)]
struct Glance {
    /// Bytes in a row that may be text, and the letter that the first of them begins in.
    row: usize,
    first: Letter,
    skip: u32,
    /// Bytes that the character still wants.
    want: u8,
    lead: bool,
    /// Everything before has been looked at closely.
    done: usize,
}

/// A letter, and where its piece begins.
#[derive(Clone, Copy, Default)]
struct Letter {
    at: usize,
    start: usize,
    letters: usize,
}

impl Glance {
    #[inline(always)]
    fn see(&mut self, byte: u8, first: Letter, skip: u32) {
        let goes_on = if byte < 0x80 {
            (self.want, self.lead) = (0, false);
            self.row > 0
        } else if byte < 0xc0 {
            self.lead = false;
            if self.want == 0 {
                self.row = 0;
                return;
            }
            self.want -= 1;
            true
        } else {
            let broken = std::mem::replace(&mut self.lead, true) || self.want > 0;
            self.want = match CLASSES[usize::from(byte)] {
                Class::Lead(want) if want != LATIN => want,
                _ => 0,
            };
            !broken && self.row > 0
        };
        if goes_on {
            self.row += 1;
        } else {
            (self.row, self.first, self.skip) = (1, first, skip);
        }
    }
}

#[inline(always)]
fn scan<const LANES: usize>(bytes: &[u8], code: Code, only_first: bool, to: &mut Vec<Stretch>) {
    let width = code.bits();
    let mut lanes = [Glance::default(); LANES];
    let mut at = 0;
    while let Some(first) = code.first(bytes, at) {
        for lane in &mut lanes {
            *lane = Glance { done: lane.done, ..Glance::default() };
        }
        let run = first.letters;
        let mut piece = first;
        let (mut value, mut count, mut before) = (0, 0usize, Letter::default());
        loop {
            let end = code.end(bytes, piece.letters);
            let next = next(bytes, code, end);
            at = next.map_or_else(|resume| resume, |next| next.start);
            if count + (end - piece.letters) < LEAST && next.is_err() {
                break;
            }
            let here = Here { run, start: piece.start, letters: piece.letters, end };
            for place in here.letters..end {
                let both = value << width | u32::from(code.value(bytes[place]));
                value = both & ((1 << width) - 1);
                let letter = Letter { at: place, start: here.start, letters: here.letters };
                // A byte has the last bits of the letter before and the first of this one.
                for phase in 1..LANES.min(count + 1) {
                    let lane = &mut lanes[(count - phase) % LANES];
                    let (spare, skip) = if LANES == 4 { (6 - 2 * phase as u32, 2 * phase as u32 - 2) } else { (0, 0) };
                    lane.see((both >> spare) as u8, before, skip);
                    if lane.row == STRETCH && place >= lane.done {
                        lane.done = closely(bytes, code, (count - phase) % LANES, *lane, here, to);
                    }
                }
                before = letter;
                count += 1;
            }
            match next {
                Ok(next) => piece = next,
                Err(_) => {
                    for (nth, lane) in lanes.iter_mut().enumerate() {
                        if (LEAST..STRETCH).contains(&lane.row) && end > lane.done {
                            lane.done = closely(bytes, code, nth, *lane, here, to);
                        }
                    }
                    break;
                }
            }
            if only_first && !to.is_empty() {
                return;
            }
        }
        if only_first && !to.is_empty() {
            return;
        }
    }
}

/// Looks closely at what begins with the glance's row, and tells where that ends.
#[cold]
fn closely(bytes: &[u8], code: Code, nth: usize, glance: Glance, here: Here, to: &mut Vec<Stretch>) -> usize {
    let mut lane = Lane::new(code, nth, glance.skip);
    let Letter { mut at, start, letters } = glance.first;
    let end = if start == here.start { here.end } else { code.end(bytes, at) };
    let mut here = Here { run: here.run, start, letters, end };
    loop {
        for place in at..here.end {
            to.extend(lane.push(code.value(bytes[place]), place, &here));
            if lane.ends && !lane.live {
                return place;
            }
        }
        match next(bytes, code, here.end) {
            Ok(next) => {
                lane.cross(&here, next.letters);
                at = next.letters;
                here = Here { run: here.run, start: next.start, letters: at, end: code.end(bytes, at) };
            }
            Err(_) => {
                to.extend(lane.finish(here.end, padding(bytes, code, here.end)));
                return here.end;
            }
        }
    }
}

fn next(bytes: &[u8], code: Code, end: usize) -> Result<Piece, usize> {
    match padding(bytes, code, end) {
        0 => code.next(bytes, end),
        padding => Err(end + padding),
    }
}

fn padding(bytes: &[u8], code: Code, end: usize) -> usize {
    let most = if code == Code::Base64 { 2 } else { 0 };
    bytes[end..].iter().take(most).take_while(|byte| **byte == b'=').count()
}
