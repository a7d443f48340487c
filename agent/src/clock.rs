//! What the agent does for the device's clock ([`twinlet_host::wall`]): keeps its floor over restarts, and notices when
//! it was set. Knows nothing of who needs to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use twinlet_host::wall;

use crate::store::{Store, StoreError, Table};

/// The table that holds the floor, and its one key.
const TABLE: &str = "clock";
const KEY: &[u8] = b"floor";
/// How far the floor moves on before it is written again, in milliseconds: an hour, which spares the flash. After a power
/// cut the clock is behind by as much at most, beside the time without power.
const WORTH_WRITING_MS: u64 = 3_600_000;
/// How far it may have been lowered.
const TOO_HIGH_MS: u64 = 300_000;
/// By how much the wall clock must leave the monotonic one to have been set, and not only be slewed.
const STEP: Duration = Duration::from_secs(2);

/// The floor on the disk.
pub struct Floor {
    table: Table,
    /// What stands there, in milliseconds since 1970.
    kept: AtomicU64,
}

impl Floor {
    /// Raises the clock's floor to what an earlier run has kept. What can not be read raises nothing.
    pub fn restore(store: &Arc<Store>) -> Self {
        let table = store.table(TABLE);
        let kept = match table.get(KEY) {
            Ok(value) => value.and_then(|value| value.try_into().ok()).map_or(0, u64::from_be_bytes),
            Err(StoreError::Damaged(_)) => {
                if let Err(error) = table.discard_damaged(KEY) {
                    log::warn!("removing the damaged floor of the clock: {error}");
                }
                0
            }
            Err(error) => {
                log::warn!("reading the floor of the clock: {error}");
                0
            }
        };
        wall::raise_floor(kept);
        if !wall::is_set() {
            let shown = crate::moment::rfc3339(wall::now_ms());
            log::warn!("this clock is not set; until it is, the time is taken to be {shown} or later");
        }
        Self { table, kept: AtomicU64::new(kept) }
    }

    /// Whether the floor has moved far enough to be written again, or was lowered.
    pub fn wants_writing(&self) -> bool {
        let (floor, kept) = (wall::floor_ms(), self.kept.load(Relaxed));
        floor >= kept.saturating_add(WORTH_WRITING_MS) || floor.saturating_add(TOO_HIGH_MS) < kept
    }

    /// Writes the floor where it [wants it](Self::wants_writing). Blocks.
    pub fn keep(&self) {
        if self.wants_writing() {
            self.keep_now();
        }
    }

    /// Writes the floor as it is now. Blocks.
    pub fn keep_now(&self) {
        let floor = wall::floor_ms();
        match self.table.commit(&[(KEY, Some(&floor.to_be_bytes()))]) {
            Ok(()) => self.kept.store(floor, Relaxed),
            Err(error) => log::warn!("keeping the floor of the clock: {error}; tried again"),
        }
    }
}

/// Notices that the wall clock was set.
pub struct Steps {
    last: (Instant, Duration),
}

impl Steps {
    /// Begins with these readings of both clocks.
    pub fn from(monotonic: Instant, wall: Duration) -> Self {
        Self { last: (monotonic, wall) }
    }

    /// By how many seconds the wall clock was set, if it was, since the last look.
    pub fn look(&mut self, monotonic: Instant, wall: Duration) -> Option<f64> {
        let (before, then) = std::mem::replace(&mut self.last, (monotonic, wall));
        let expected = then + monotonic.saturating_duration_since(before);
        let by = wall.as_secs_f64() - expected.as_secs_f64();
        (by.abs() > STEP.as_secs_f64()).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_has_stepped_and_one_that_is_slewed_has_not() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut steps = Steps::from(begin, second * 1_000);
        assert_eq!(steps.look(begin + second, second * 1_001), None);
        assert_eq!(steps.look(begin + second * 2, second.mul_f64(1_003.9)), None, "a slew of 1.9 s");
        let day = second * 86_400;
        assert_eq!(steps.look(begin + second * 3, day * 2), Some(171_795.1));
        assert_eq!(steps.look(begin + second * 4, day * 2 + second), None, "once");
        assert_eq!(steps.look(begin + second * 5, day + second * 2), Some(-86_400.0));
    }

    #[test]
    fn the_floor_is_kept_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap().0);
        let floor = Floor::restore(&store);
        floor.keep();
        let kept = floor.kept.load(Relaxed);
        assert!(kept >= wall::RELEASE_UNIX_MS);
        floor.keep();
        assert_eq!(floor.kept.load(Relaxed), kept, "it has hardly moved");
        // As if a time source had lowered it since.
        floor.kept.store(kept + TOO_HIGH_MS * 2, Relaxed);
        floor.keep();
        assert!(floor.kept.load(Relaxed) < kept + TOO_HIGH_MS * 2);
        assert!(Floor::restore(&store).kept.load(Relaxed) >= kept);
        // What is no time raises nothing.
        floor.table.commit(&[(KEY, Some(b"short"))]).unwrap();
        assert_eq!(Floor::restore(&store).kept.load(Relaxed), 0);
    }
}
