//! Dumps of bytes as tools print them (`xxd`, `hexdump -C`): an offset, hexadecimal, and what it reads as, on each line.

use super::readable::Placed;
use crate::text::Span;

/// Bytes on a line, at most.
const LINE: usize = 32;

/// Blanks and marks before an offset, at most.
const INDENT: usize = 16;

/// So many readable bytes in a row make a dump worth reading.
const READABLE: usize = 6;

/// The bytes of some lines of a dump in a row.
pub(super) struct Dump {
    pub span: Span,
    pub bytes: Vec<Placed>,
}

/// A line of a dump.
struct Line {
    offset: u64,
    bytes: Vec<Placed>,
}

/// All dumps of two lines or more that have a text in them; one line is a run like any other.
pub(super) fn dumps(text: &[u8]) -> Vec<Dump> {
    let mut dumps = Vec::new();
    let mut open: Option<(Dump, Line)> = None;
    let mut close = |open: Option<(Dump, Line)>| {
        dumps.extend(open.filter(|(dump, _)| !dump.bytes.is_empty()).map(|(mut dump, last)| {
            dump.bytes.extend(last.bytes);
            dump
        }));
    };
    let mut at = 0;
    while at < text.len() {
        let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |len| at + len + 1);
        let line = line(text, at, end);
        open = match (open, line) {
            (Some((mut dump, mut last)), Some(line))
                if (1..=LINE as u64).contains(&line.offset.wrapping_sub(last.offset)) =>
            {
                // What stands on a line behind its bytes may look like more of them.
                last.bytes.truncate((line.offset - last.offset) as usize);
                dump.bytes.append(&mut last.bytes);
                dump.span.end = end;
                Some((dump, line))
            }
            (before, line) => {
                close(before);
                line.map(|line| (Dump { span: at..end, bytes: Vec::new() }, line))
            }
        };
        at = end;
    }
    close(open);
    dumps.retain(|dump| has_text(&dump.bytes));
    dumps
}

fn line(text: &[u8], start: usize, end: usize) -> Option<Line> {
    let line = &text[start..end];
    let mut at = line.iter().take(INDENT).take_while(|byte| b" \t>#*|".contains(byte)).count();
    let digits = |at: usize| line[at..].iter().take(17).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let len = digits(at);
    let offset = (4..=16).contains(&len).then(|| std::str::from_utf8(&line[at..at + len]).ok())??;
    let offset = u64::from_str_radix(offset, 16).ok()?;
    at += len;
    at += usize::from(line.get(at) == Some(&b':'));
    let mut bytes = Vec::new();
    while bytes.len() < LINE {
        let gap = line[at..].iter().take(4).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let len = digits(at + gap);
        if !(1..=3).contains(&gap) || len == 0 || len > 16 || len % 2 == 1 {
            break;
        }
        for pair in (at + gap..at + gap + len).step_by(2) {
            let value = |at: usize| char::from(line[at]).to_digit(16).map_or(0, |value| value as u8);
            bytes.push((value(pair) << 4 | value(pair + 1), start + pair + 2));
        }
        at += gap + len;
    }
    (!bytes.is_empty()).then_some(Line { offset, bytes })
}

fn has_text(bytes: &[Placed]) -> bool {
    let mut row = 0;
    bytes.iter().any(|(byte, _)| {
        row = if matches!(byte, b' '..=b'~' | 0x80..) { row + 1 } else { 0 };
        row >= READABLE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(&str, String)> {
        let dumps = dumps(text.as_bytes()).into_iter();
        dumps.map(|dump| (&text[dump.span], dump.bytes.iter().map(|(byte, _)| char::from(*byte)).collect())).collect()
    }

    #[test]
    fn what_tools_print_is_put_together() {
        let xxd = "00000000: 7468 6520 626c 7565 6269 7264 2066 6c69  the bluebird fli\n00000010: 6573                                     es\n";
        let text = format!("see\n{xxd}and so on");
        assert_eq!(read(&text), [(xxd, "the bluebird flies".to_owned())]);
        let hexdump = "00000000  74 68 65 20 62 6c 75 65  62 69 72 64 20 66 6c 69  |the bluebird fli|\n00000010  65 73                                             |es|\n00000012\n";
        let (lines, _) = hexdump.split_at(hexdump.len() - 9);
        assert_eq!(read(hexdump), [(lines, "the bluebird flies".to_owned())]);
    }

    #[test]
    fn other_lines_are_no_dump() {
        for text in ["", "2024 10 20\n2025 11 21\n", "00000000: 0001 0203\n00000004: 0405 0607\n", "abcd\nabce\n"] {
            assert_eq!(read(text), [], "{text}");
        }
    }
}
