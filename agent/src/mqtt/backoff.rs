//! How long to wait before the next connection attempt; pure, knows nothing of clocks or sockets.

use std::time::Duration;

/// Upper bound of the first wait. Full jitter halves it on average, so that a broker which accepts and drops
/// sees no more than one attempt a second, and a fleet does not come back in step.
const FIRST: Duration = Duration::from_secs(2);
/// Upper bound of every later wait.
const CAP: Duration = Duration::from_secs(60);
/// A connection that lived this long was a good one: the next failure starts from `FIRST` again.
pub(super) const STABLE: Duration = Duration::from_secs(30);

/// Exponential back-off with full jitter: the n-th wait is uniform between 0 and min(60 s, 2 s · 2ⁿ).
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure. `random` is uniform in [0, 1); anything else is clamped.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(5)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) })
    }

    /// Starts over, after a stable connection or because the settings are new.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_from_two_seconds_to_the_cap() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..40).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(waits[..7], [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits[39], 60);
        backoff.reset();
        assert_eq!(backoff.next(1.0), FIRST);
    }

    #[test]
    fn a_flapping_broker_sees_at_most_one_attempt_a_second_on_average() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut total = Duration::ZERO;
        for _ in 0..2_000 {
            let mut backoff = Backoff::default();
            total += (0..5).map(|_| backoff.next(random.f64())).sum::<Duration>();
        }
        assert!(total > Duration::from_secs(10_000), "{total:?} for 10,000 attempts");
    }

    #[test]
    fn jitter_spreads_from_zero_and_bad_randomness_is_harmless() {
        assert_eq!(Backoff::default().next(0.0), Duration::ZERO);
        assert_eq!(Backoff::default().next(0.25), Duration::from_millis(500));
        assert_eq!(Backoff::default().next(f64::NAN), FIRST);
        assert_eq!(Backoff::default().next(-3.0), Duration::ZERO);
    }
}
