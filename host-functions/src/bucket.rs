//! A token bucket: so many at once, so many a second. Knows no clock; the caller says what time it is.

use std::time::{Duration, Instant};

/// Tokens that refill evenly, up to a burst.
pub struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket of `burst` tokens that gains `per_second` each second.
    pub fn new(burst: u32, per_second: u32, now: Instant) -> Self {
        Self { burst: f64::from(burst), per_second: f64::from(per_second), tokens: f64::from(burst), at: now }
    }

    /// Takes one token; false where there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(1, now)
    }

    /// Takes so many tokens, or none of them and says so. More than the burst can be taken from a full bucket, which
    /// then owes them.
    pub fn take_many(&mut self, wanted: u32, now: Instant) -> bool {
        self.refill(now);
        let wanted = f64::from(wanted);
        if self.tokens < wanted.min(self.burst) {
            return false;
        }
        self.tokens -= wanted;
        true
    }

    /// Takes so many tokens, there or not. What is missing is owed: it is gained before any can be taken again.
    pub fn owe(&mut self, taken: u32, now: Instant) {
        self.refill(now);
        self.tokens -= f64::from(taken);
    }

    /// How long until so many tokens are there; zero where they are.
    pub fn wait_for(&mut self, wanted: u32, now: Instant) -> Duration {
        self.refill(now);
        let missing = f64::from(wanted).min(self.burst) - self.tokens;
        if missing <= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(missing / self.per_second) }
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_refills_with_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2, 10, start);
        assert!(bucket.take(start) && bucket.take(start));
        assert!(!bucket.take(start));
        assert_eq!(bucket.wait_for(1, start), Duration::from_millis(100));
        assert!(bucket.take(start + Duration::from_millis(100)));
        assert!(!bucket.take(start + Duration::from_millis(100)));
    }

    #[test]
    fn what_is_larger_than_the_burst_passes_a_full_bucket_and_is_owed() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 10, start);
        assert!(bucket.take_many(30, start));
        assert!(!bucket.take_many(1, start + Duration::from_secs(2)));
        assert!(bucket.take_many(10, start + Duration::from_secs(3)));
    }
}
