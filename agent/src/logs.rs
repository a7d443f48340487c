//! The last lines of the log, in memory, for whoever asks for them on the device. Bounded by bytes: the oldest go first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, Log, Metadata, Record};

use crate::board::unix_millis;

/// Bytes of text that are kept.
const MAX_BYTES: usize = 128 << 10;
/// What a line takes beside its text.
const PER_LINE: usize = std::mem::size_of::<Line>();

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counts up from 1 since the start; a gap means that lines were pushed out.
    pub seq: u64,
    /// When, in milliseconds since 1970 by the device's clock.
    pub unix_ms: u64,
    /// How grave it is.
    pub level: Level,
    /// The module that said it; `guest` for what a function wrote.
    pub target: String,
    /// What it says.
    pub text: String,
}

impl Line {
    /// Whether it is of a function, or about it.
    pub fn is_of(&self, function: &str) -> bool {
        if self.target == "guest" {
            return self.text.strip_prefix(function).is_some_and(|rest| rest.starts_with(':'));
        }
        let ends =
            |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        self.text.match_indices(function).any(|(at, _)| {
            let before = self.text.get(..at).unwrap_or_default();
            let after = self.text.get(at + function.len()..).unwrap_or_default();
            ["function ", "middleware ", "actor "].iter().any(|word| before.ends_with(word)) && ends(after)
        })
    }
}

/// The ring of lines.
pub struct Ring {
    lines: Mutex<Lines>,
}

struct Lines {
    kept: VecDeque<Line>,
    bytes: usize,
    said: u64,
}

/// The log of this process.
pub static RING: Ring = Ring { lines: Mutex::new(Lines { kept: VecDeque::new(), bytes: 0, said: 0 }) };

impl Ring {
    /// The lines after that of a number, of which a test holds: the last `most` of them. And the number of the last
    /// line of all.
    pub fn after(&self, seq: u64, most: usize, wanted: impl Fn(&Line) -> bool) -> (Vec<Line>, u64) {
        let lines = self.lock();
        let later = lines.kept.iter().rev().take_while(|line| line.seq > seq);
        let mut found: Vec<Line> = later.filter(|line| wanted(line)).take(most).cloned().collect();
        found.reverse();
        (found, lines.said)
    }

    fn push(&self, level: Level, target: &str, text: String) {
        let mut lines = self.lock();
        lines.said += 1;
        let line = Line { seq: lines.said, unix_ms: unix_millis(), level, target: target.to_owned(), text };
        lines.bytes += size(&line);
        lines.kept.push_back(line);
        while lines.bytes > MAX_BYTES
            && let Some(oldest) = lines.kept.pop_front()
        {
            lines.bytes -= size(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(line: &Line) -> usize {
    line.text.len() + line.target.len() + PER_LINE
}

/// A logger that keeps what it passes on to another.
pub struct Kept<L>(pub L);

impl<L: Log> Log for Kept<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            RING.push(record.level(), record.target(), record.args().to_string());
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        Ring { lines: Mutex::new(Lines { kept: VecDeque::new(), bytes: 0, said: 0 }) }
    }

    #[test]
    fn the_oldest_lines_go_first_and_the_bytes_are_bounded() {
        let ring = ring();
        for n in 0..1_000 {
            ring.push(Level::Info, "t", format!("{n} {}", "x".repeat(1_000)));
        }
        let (lines, last) = ring.after(0, usize::MAX, |_| true);
        assert_eq!(last, 1_000);
        assert_eq!(lines.last().map(|line| line.seq), Some(1_000));
        assert!(lines.iter().map(size).sum::<usize>() <= MAX_BYTES && lines.len() > 100);
        let (later, _) = ring.after(998, 10, |_| true);
        assert_eq!(later.iter().map(|line| line.seq).collect::<Vec<_>>(), [999, 1_000]);
    }

    #[test]
    fn a_line_is_of_the_function_that_it_names_and_no_other() {
        let line = |target: &str, text: &str| Line {
            seq: 1,
            unix_ms: 0,
            level: Level::Info,
            target: target.into(),
            text: text.into(),
        };
        assert!(line("guest", "a: hello").is_of("a"));
        assert!(!line("guest", "ab: hello").is_of("a") && !line("guest", "b: function a").is_of("a"));
        assert!(line("twinlet::reconciler", "function a v1: ready").is_of("a"));
        assert!(line("twinlet::http", "middleware a, on-request: trap").is_of("a"));
        assert!(!line("twinlet::reconciler", "function a-b v1: ready").is_of("a"));
    }
}
