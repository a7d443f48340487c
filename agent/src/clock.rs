//! What the agent does for the device's clock ([`twinlet_host::wall`]): keeps what it knows over restarts, and notices when
//! it was set. Knows nothing of who needs to know.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use twinlet_host::wall;

use crate::store::{Store, Table};

/// The table that holds them, and its one key.
const TABLE: &str = "clock";
const KEY: &[u8] = b"times";
/// How far the time moves on before it is written again, in milliseconds: an hour, which spares the flash. After a power
/// cut a clock that is not set is behind by as much at most, beside the time without power.
const WORTH_WRITING_MS: u64 = 3_600_000;
/// How far it may go back.
const WORTH_LOWERING_MS: u64 = 300_000;
/// The first wait after the disk did not take them, doubled each time, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(600);
/// By how much the wall clock must leave the monotonic one to have been set, and not only be slewed.
const STEP: Duration = Duration::from_secs(2);

/// The floor and the last time on the disk.
pub struct Kept {
    table: Table,
    times: Mutex<Times>,
    failed: Mutex<Failed>,
}

/// Times in a row that they could not be written, and when that is tried again.
#[derive(Default)]
struct Failed {
    count: u32,
    again: Option<Instant>,
}

/// In milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    floor: u64,
    last: u64,
}

impl Times {
    fn now() -> Self {
        Self { floor: wall::floor_ms(), last: wall::now_ms() }
    }

    fn read(record: &[u8]) -> Option<Self> {
        let (floor, last) = record.split_first_chunk()?;
        Some(Self { floor: u64::from_be_bytes(*floor), last: u64::from_be_bytes(last.try_into().ok()?) })
    }

    fn write(self) -> Vec<u8> {
        [self.floor.to_be_bytes(), self.last.to_be_bytes()].concat()
    }
}

impl Kept {
    /// Goes on from what an earlier run has kept. What can not be read says nothing.
    pub fn restore(store: &Arc<Store>) -> Self {
        let table = store.vital_table(TABLE);
        let times = match table.get(KEY) {
            Ok(record) => record.and_then(|record| Times::read(&record)),
            Err(error) => {
                log::warn!("reading the time of the last run: {error}");
                None
            }
        };
        let times = times.unwrap_or_default();
        wall::restore(times.floor, times.last);
        wall::look();
        if !wall::is_set() {
            let shown = crate::moment::rfc3339(wall::now_ms());
            log::warn!("this clock is not set; until it is, the time is taken to be {shown}");
        }
        Self { table, times: Mutex::new(times), failed: Mutex::default() }
    }

    /// Whether time has moved far enough to be written again, or was set back; a disk that did not take it is given time.
    pub fn wants_writing(&self) -> bool {
        if self.failed().again.is_some_and(|again| again > Instant::now()) {
            return false;
        }
        let (now, kept) = (Times::now(), *self.times());
        let moved = |now: u64, kept: u64| {
            now >= kept.saturating_add(WORTH_WRITING_MS) || now.saturating_add(WORTH_LOWERING_MS) < kept
        };
        moved(now.floor, kept.floor) || moved(now.last, kept.last)
    }

    /// Writes the times where they [want it](Self::wants_writing). Blocks.
    pub fn keep(&self) {
        if self.wants_writing() {
            self.keep_now();
        }
    }

    /// Writes the times as they are now. Blocks.
    pub fn keep_now(&self) {
        let times = Times::now();
        match self.table.commit(&[(KEY, Some(&times.write()))]) {
            Ok(()) => {
                *self.times() = times;
                *self.failed() = Failed::default();
            }
            Err(error) => {
                let mut failed = self.failed();
                if failed.count == 0 {
                    log::warn!(
                        "keeping the time: {error}; tried again, at least every {} s",
                        LONGEST.as_secs()
                    );
                }
                let wait = FIRST.saturating_mul(1 << failed.count.min(12)).min(LONGEST);
                failed.again = Some(Instant::now() + wait);
                failed.count = failed.count.saturating_add(1);
            }
        }
    }

    fn failed(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_disk_that_does_not_take_the_time_is_given_some() {
        let dir = tempfile::tempdir().unwrap();
        let free = |free: fn(&std::path::Path) -> std::io::Result<u64>| {
            Kept::restore(&Store::with_space(dir.path(), free).unwrap())
        };
        let full = free(|_| Ok(0));
        assert!(full.wants_writing());
        full.keep();
        assert!(!full.wants_writing(), "it would be tried each second");
        assert_eq!(*full.times(), Times::default());
        full.failed().again = Some(Instant::now());
        assert!(full.wants_writing());
        full.keep();
        assert_eq!(full.failed().count, 2);
        drop(full);
        // Less than what tables of guests leave free.
        let scarce = free(|_| Ok(2 << 20));
        scarce.keep();
        assert_ne!(*scarce.times(), Times::default());
        assert_eq!(scarce.failed().count, 0);
    }

    #[test]
    fn the_time_is_kept_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap().0);
        let kept = Kept::restore(&store);
        kept.keep();
        let first = *kept.times();
        assert!(first.floor >= wall::RELEASE_UNIX_MS && first.last >= first.floor);
        kept.keep();
        assert_eq!(*kept.times(), first, "it has hardly moved");
        // As if a time source had set it back since.
        kept.times().floor += WORTH_LOWERING_MS * 2;
        kept.keep();
        assert!(kept.times().floor < first.floor + WORTH_LOWERING_MS);
        assert_eq!(*Kept::restore(&store).times(), *kept.times());
        // What is no time says nothing.
        kept.table.commit(&[(KEY, Some(b"short"))]).unwrap();
        assert_eq!(*Kept::restore(&store).times(), Times::default());
    }
}
