//! Recent: the last lines of the audit, kept in memory for the admin server to show.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines kept, at most.
const LINES: usize = 256;
/// Bytes of one line, at most: one that is longer is told in short.
pub(super) const LINE: usize = 16 << 10;

/// The last lines, each with its number. Off, it keeps none.
pub struct Recent {
    on: bool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Box<[u8]>>,
    /// Told since the start.
    told: u64,
}

impl Recent {
    pub(super) fn new(on: bool) -> Self {
        Recent { on, kept: Mutex::default() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Keeps a line, which ends in a line feed; in place of one that is too long, what `short` gives, or nothing.
    pub(super) fn keep(&self, line: &[u8], short: impl FnOnce() -> Vec<u8>) {
        if !self.on {
            return;
        }
        let line: Box<[u8]> = match line.len() <= LINE {
            true => line.into(),
            false => Some(short()).filter(|line| line.len() <= LINE).unwrap_or_else(|| b"null\n".to_vec()).into(),
        };
        let mut kept = self.lock();
        kept.told += 1;
        kept.lines.push_back(line);
        if kept.lines.len() > LINES {
            kept.lines.pop_front();
        }
    }

    /// JSON: how many lines were ever told, and those behind the first `after` of them that are still kept, oldest first.
    pub fn json(&self, after: u64) -> String {
        let kept = self.lock();
        let first = kept.told - kept.lines.len() as u64;
        let skip = usize::try_from(after.saturating_sub(first)).unwrap_or(usize::MAX);
        let lines: Vec<u8> =
            kept.lines.iter().skip(skip).map(|line| line.trim_ascii_end()).collect::<Vec<_>>().join(&b',');
        format!("{{\"told\":{},\"lines\":[{}]}}", kept.told, String::from_utf8_lossy(&lines))
    }

    /// A panic under the lock leaves whole lines.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_order_and_told_from_any_one_on() {
        let recent = Recent::new(true);
        assert_eq!(recent.json(0), r#"{"told":0,"lines":[]}"#);
        for n in 0..3 {
            recent.keep(format!("{{\"n\":{n}}}\n").as_bytes(), || unreachable!());
        }
        assert_eq!(recent.json(0), r#"{"told":3,"lines":[{"n":0},{"n":1},{"n":2}]}"#);
        assert_eq!(recent.json(2), r#"{"told":3,"lines":[{"n":2}]}"#);
        for after in [3, 4, u64::MAX] {
            assert_eq!(recent.json(after), r#"{"told":3,"lines":[]}"#, "{after}");
        }
    }

    #[test]
    fn it_is_bounded_by_lines_and_by_bytes() {
        let recent = Recent::new(true);
        for n in 0..LINES + 5 {
            recent.keep(n.to_string().as_bytes(), Vec::new);
        }
        let all: serde_json::Value = serde_json::from_str(&recent.json(3)).unwrap();
        assert_eq!((&all["told"], &all["lines"][0]), (&(LINES + 5).into(), &5.into()));
        assert_eq!(all["lines"].as_array().map(Vec::len), Some(LINES));
        let long = vec![b' '; LINE + 1];
        recent.keep(&long, || b"\"short\"\n".to_vec());
        recent.keep(&long, || long.clone());
        assert!(recent.json(LINES as u64 + 5).ends_with(r#""lines":["short",null]}"#));
    }

    #[test]
    fn off_it_keeps_nothing() {
        let recent = Recent::new(false);
        recent.keep(b"1\n", || unreachable!());
        assert_eq!(recent.json(0), r#"{"told":0,"lines":[]}"#);
    }
}
