//! The rule against a slow drip: in every window of time so many bytes must come. Knows nothing of where from.

use std::time::{Duration, Instant};

/// Counts the bytes of the present window.
pub(super) struct Pace {
    /// The least that must come in a window; 0 lets everything pass.
    pub(super) least: u64,
    window: Duration,
    began: Instant,
    came: u64,
}

impl Pace {
    /// At least `rate` bytes a second, looked at every `window`. The first window begins now.
    pub(super) fn new(rate: u64, window: Duration, now: Instant) -> Self {
        Self { least: rate.saturating_mul(window.as_secs()), window, began: now, came: 0 }
    }

    /// Counts what came; false where the window that ends now had too little.
    pub(super) fn keeps_up(&mut self, bytes: u64, now: Instant) -> bool {
        self.came = self.came.saturating_add(bytes);
        if now.saturating_duration_since(self.began) < self.window {
            return true;
        }
        let enough = self.came >= self.least;
        (self.began, self.came) = (now, 0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_needs_its_bytes() {
        let window = Duration::from_secs(30);
        let start = Instant::now();
        let mut pace = Pace::new(10, window, start);
        assert!(pace.keeps_up(1, start + Duration::from_secs(29)), "the window has not ended");
        assert!(pace.keeps_up(299, start + window));
        assert!(!pace.keeps_up(299, start + window * 2), "what came before does not count");
        let mut off = Pace::new(0, window, start);
        assert!(off.keeps_up(0, start + window));
    }
}
