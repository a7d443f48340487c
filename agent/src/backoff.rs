//! How long to wait before something that failed is tried again. Pure, but for chance.

use std::time::Duration;

/// The wait after so many failures before the present one: `first`, doubled with each, up to `longest`, and a random
/// part of the second half of that, so that a fleet that failed together does not come back together.
pub fn wait(first: Duration, longest: Duration, failures: u32) -> Duration {
    let full = first.saturating_mul(1 << failures.min(16)).min(longest);
    full.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_never_end() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(300));
        for failures in 0..100 {
            let full = Duration::from_secs(1 << failures.min(16)).min(longest);
            let wait = wait(first, longest, failures);
            assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?}");
        }
    }
}
