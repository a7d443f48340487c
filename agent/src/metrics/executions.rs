//! How often middleware was called, how long that took and when it last was.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Calls of middleware: of one function, or of all. Numbers that are read while calls end may be apart by those.
#[derive(Debug, Default)]
pub struct Executions {
    total: AtomicU64,
    failed: AtomicU64,
    nanoseconds: AtomicU64,
    longest: AtomicU64,
    last: AtomicU64,
}

/// What [`Executions`] have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// How many.
    pub total: u64,
    /// How many of them failed, or could not be begun.
    pub failed: u64,
    /// What they took together, waits for a free place included.
    pub time: Duration,
    /// What the longest took.
    pub longest: Duration,
    /// When the last one ended, in milliseconds since 1970; 0 before the first.
    pub last_millis: u64,
}

impl Executions {
    /// Counts one that ended at `now_millis`, in milliseconds since 1970.
    pub fn count(&self, took: Duration, failed: bool, now_millis: u64) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.total.fetch_add(1, Relaxed);
        self.failed.fetch_add(failed.into(), Relaxed);
        self.nanoseconds.fetch_add(took, Relaxed);
        self.longest.fetch_max(took, Relaxed);
        self.last.fetch_max(now_millis, Relaxed);
    }

    /// What they have come to.
    pub fn now(&self) -> Executed {
        Executed {
            failed: self.failed.load(Relaxed),
            total: self.total.load(Relaxed),
            time: Duration::from_nanos(self.nanoseconds.load(Relaxed)),
            longest: Duration::from_nanos(self.longest.load(Relaxed)),
            last_millis: self.last.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_extremes_are_kept() {
        let executions = Executions::default();
        assert_eq!(executions.now(), Executed::default());
        executions.count(Duration::from_millis(3), false, 20);
        executions.count(Duration::from_millis(2), true, 10);
        let (time, longest) = (Duration::from_millis(5), Duration::from_millis(3));
        assert_eq!(executions.now(), Executed { total: 2, failed: 1, time, longest, last_millis: 20 });
    }
}
