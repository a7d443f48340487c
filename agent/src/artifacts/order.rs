//! In which order artifacts were used, without a clock: a device may start in 1970 and step forward or back at any
//! time. A file's modification time is a count of uses instead, one more than the largest there was, so that it stays
//! over restarts and costs no write but that of the file's own inode.
//!
//! A use is noted when a file is written and when its artifact stops being needed: what is needed is never evicted, so
//! that its place in the order does not matter meanwhile, and a start of the agent writes nothing.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Some file systems know no later second than 2^31; from here on the count begins anew.
const LAST: u64 = (1 << 31) - (1 << 20);

/// The largest count that was given or seen.
#[derive(Default)]
pub(super) struct Order(AtomicU64);

impl Order {
    /// Notes what a file has. A clock may have written it.
    pub(super) fn seen(&self, count: u64) {
        self.0.fetch_max(count, Relaxed);
    }

    /// Makes a file the one that was used last.
    pub(super) fn used(&self, file: &File) -> io::Result<()> {
        let count = self.0.fetch_add(1, Relaxed).saturating_add(1);
        file.set_modified(UNIX_EPOCH + Duration::from_secs(count.min(LAST)))
    }

    /// Whether the count has come to its end.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Relaxed) >= LAST
    }

    /// Begins anew; then all files are to be used, the longest unused first.
    pub(super) fn begin_anew(&self) {
        self.0.store(0, Relaxed);
    }
}

/// The count that a file has; before 1970 is before all.
pub(super) fn count(modified: SystemTime) -> u64 {
    modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
