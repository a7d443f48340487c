//! How often a function may call the agent, and with how many bytes: a token bucket of calls and one of bytes for each
//! kind of host call, shared by all of the function's instances.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Guest;
use crate::bucket::Bucket;

/// What one call costs the device, and so which buckets it takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request to another host.
    Http,
    /// Telemetry, which is written to the disk.
    Telemetry,
    /// State, timers and key-value pairs, which are written to the disk.
    Storage,
    /// A message to an actor.
    Message,
    /// A number for `/metrics`.
    Metric,
    /// A value for the reported state.
    Report,
    /// What only reads the agent's memory.
    Read,
}

/// Per kind, in the order of [`Kind`]: calls at once and a second, bytes at once and a second.
const RATES: [(u32, u32, u32, u32); 7] = [
    (100, 50, 8 << 20, 1 << 20),
    (5_000, 5_000, 4 << 20, 1 << 20),
    (2_000, 1_000, 4 << 20, 1 << 20),
    (20_000, 20_000, 16 << 20, 16 << 20),
    (10_000, 10_000, 4 << 20, 4 << 20),
    (100, 50, 64 << 10, 64 << 10),
    (200_000, 200_000, 64 << 20, 64 << 20),
];

/// One function's buckets.
pub struct Rates([Mutex<Pair>; 7]);

struct Pair {
    calls: Bucket,
    bytes: Bucket,
}

impl Default for Rates {
    /// All buckets full.
    fn default() -> Self {
        let now = Instant::now();
        Self(RATES.map(|(calls, calls_per_second, bytes, bytes_per_second)| {
            Mutex::new(Pair {
                calls: Bucket::new(calls, calls_per_second, now),
                bytes: Bucket::new(bytes, bytes_per_second, now),
            })
        }))
    }
}

impl Rates {
    /// Takes one call and so many bytes, or nothing and says how long until both are there.
    pub fn take(&self, kind: Kind, bytes: usize) -> Result<(), Duration> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut pair = self.pair(kind);
        let now = Instant::now();
        let wait = pair.calls.wait_for(1, now).max(pair.bytes.wait_for(bytes, now));
        if wait > Duration::ZERO {
            return Err(wait);
        }
        let taken = pair.calls.take(now) && pair.bytes.take_many(bytes, now);
        if taken { Ok(()) } else { Err(Duration::ZERO) }
    }

    /// Takes so many bytes that have gone by already, whether they are there or not, and says how long until none are
    /// owed.
    pub(crate) fn charge(&self, kind: Kind, bytes: usize) -> Duration {
        let now = Instant::now();
        let mut pair = self.pair(kind);
        pair.bytes.owe(u32::try_from(bytes).unwrap_or(u32::MAX), now);
        pair.bytes.wait_for(0, now)
    }

    fn pair(&self, kind: Kind) -> MutexGuard<'_, Pair> {
        let [http, telemetry, storage, message, metric, report, read] = &self.0;
        let pair = match kind {
            Kind::Http => http,
            Kind::Telemetry => telemetry,
            Kind::Storage => storage,
            Kind::Message => message,
            Kind::Metric => metric,
            Kind::Report => report,
            Kind::Read => read,
        };
        pair.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Whether a call may be made now; for those that can tell the guest that it may not.
    pub(crate) fn may(&self, kind: Kind, bytes: usize) -> bool {
        self.environment.rates.take(kind, bytes).is_ok()
    }

    /// Holds back a call that has no error to return, until it may be made or the guest's time is up.
    pub(crate) fn throttle(&mut self, bytes: usize) {
        while let Err(wait) = self.environment.rates.take(Kind::Read, bytes) {
            let left = self.time_left();
            if left.is_zero() {
                return;
            }
            self.waiting(|_| std::thread::sleep(wait.max(Duration::from_millis(1)).min(left)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_bytes_are_counted_apart_for_each_kind() {
        let rates = Rates::default();
        for _ in 0..100 {
            assert!(rates.take(Kind::Report, 1).is_ok());
        }
        assert!(rates.take(Kind::Report, 1).is_err(), "no calls are left");
        assert!(rates.take(Kind::Storage, 4 << 20).is_ok());
        assert!(rates.take(Kind::Storage, 1 << 20).is_err(), "no bytes are left");
        assert!(rates.take(Kind::Metric, 10).is_ok(), "another kind has its own");
    }

    #[test]
    fn bytes_that_have_gone_by_are_owed() {
        let rates = Rates::default();
        assert_eq!(rates.charge(Kind::Http, 8 << 20), Duration::ZERO);
        assert!(rates.charge(Kind::Http, 1 << 20) > Duration::from_millis(500));
        assert!(rates.take(Kind::Http, 0).is_err(), "no request is sent before they are paid");
    }
}
