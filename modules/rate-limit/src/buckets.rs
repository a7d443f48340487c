//! Token buckets by client, in bounded memory; knows nothing of HTTP or config.

use std::time::Duration;

/// How many clients are remembered.
const MAX_BUCKETS: usize = 1_024;
/// Of a client's name this many bytes count.
const MAX_NAME_BYTES: usize = 128;

/// How much passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Tokens that flow into a bucket each second.
    pub(crate) per_second: f64,
    /// Tokens that fit into it.
    pub(crate) burst: f64,
}

/// The buckets of all clients.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    // So few that a search from end to end is soon over, in a fraction of a map's code.
    buckets: Vec<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    client: Vec<u8>,
    tokens: f64,
    filled: Duration,
}

impl Buckets {
    /// Takes a token out of a client's bucket; false if there is none. `now` never goes back.
    pub(crate) fn take(&mut self, rate: Rate, client: &[u8], now: Duration) -> bool {
        let client = client.get(..MAX_NAME_BYTES).unwrap_or(client);
        let bucket = match self.buckets.iter().position(|bucket| bucket.client == client) {
            Some(index) => self.buckets.get_mut(index),
            None => self.add(rate, client, now),
        };
        let Some(bucket) = bucket else { return false };
        bucket.fill(rate, now);
        let taken = bucket.tokens >= 1.0;
        if taken {
            bucket.tokens -= 1.0;
        }
        taken
    }

    fn add(&mut self, rate: Rate, client: &[u8], now: Duration) -> Option<&mut Bucket> {
        if self.buckets.len() >= MAX_BUCKETS {
            // The fullest has the least to forget: a client that was forgotten starts with a full one.
            self.buckets.iter_mut().for_each(|bucket| bucket.fill(rate, now));
            let fullest =
                self.buckets.iter().enumerate().max_by(|(_, a), (_, b)| a.tokens.total_cmp(&b.tokens));
            let index = fullest.map(|(index, _)| index)?;
            self.buckets.swap_remove(index);
        }
        self.buckets.push(Bucket { client: client.to_owned(), tokens: rate.burst, filled: now });
        self.buckets.last_mut()
    }
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now: Duration) {
        let waited = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + waited * rate.per_second).min(rate.burst);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 1.0, burst: 2.0 };

    #[test]
    fn tokens_of_parts_of_a_second_add_up() {
        let mut buckets = Buckets::default();
        let took = (0..400).filter(|n| buckets.take(RATE, b"a", Duration::from_millis(n * 25))).count();
        assert_eq!(took, 11, "a burst of 2, and one for each of 9.975 seconds");
    }

    #[test]
    fn memory_is_bounded_and_who_used_up_its_share_is_not_forgotten_first() {
        let mut buckets = Buckets::default();
        let now = Duration::ZERO;
        assert!(buckets.take(RATE, b"greedy", now) && buckets.take(RATE, b"greedy", now));
        for n in 0..2 * MAX_BUCKETS {
            assert!(buckets.take(RATE, n.to_string().as_bytes(), now));
        }
        assert_eq!(buckets.buckets.len(), MAX_BUCKETS);
        assert!(!buckets.take(RATE, b"greedy", now));
    }

    #[test]
    fn long_names_count_by_their_beginning() {
        let mut buckets = Buckets::default();
        let long = |end: &str| ["x".repeat(MAX_NAME_BYTES).as_bytes(), end.as_bytes()].concat();
        let took = ["a", "b", "c"].map(|end| buckets.take(RATE, &long(end), Duration::ZERO));
        assert_eq!(took, [true, true, false]);
    }
}
