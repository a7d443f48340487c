//! A token bucket: so many at once, so many a second. Knows no clock; the caller says what time it is.

use std::time::Instant;

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
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_taken_at_once_and_refills_with_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2, 10, start);
        assert!(bucket.take(start) && bucket.take(start));
        assert!(!bucket.take(start));
        assert!(bucket.take(start + Duration::from_millis(100)));
        assert!(!bucket.take(start + Duration::from_millis(100)));
    }
}
