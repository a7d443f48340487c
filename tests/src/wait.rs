//! Waiting for conditions under a deadline; knows nothing of what is waited for.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a test waits for what should happen soon. Generous, since it bounds failures and not successes, and since
/// a debug build compiles components slowly on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition outside this process is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Looks at something outside this process until it gives a value, and panics with `what` at [`DEADLINE`]. The only
/// place that polls: what happens inside this process is waited for through a [`Journal`].
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, probe)
}

/// As [`eventually`], with a deadline of one's own.
pub fn within<T>(deadline: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Sets a flag when it is dropped, so that a thread that goes on until then ends with a test that fails.
#[derive(Debug)]
pub struct EndOf<'a>(pub &'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A list that one thread appends to while others wait for what it will hold. Clones share it.
#[derive(Debug)]
pub struct Journal<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Journal<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone + Debug> Journal<T> {
    /// Appends an entry and wakes who waits.
    pub fn push(&self, entry: T) {
        let (entries, grown) = &*self.0;
        entries.lock().unwrap().push(entry);
        grown.notify_all();
    }

    /// How many entries there are: a mark, for waiting only for later ones.
    pub fn mark(&self) -> usize {
        self.0.0.lock().unwrap().len()
    }

    /// All entries so far.
    pub fn all(&self) -> Vec<T> {
        self.since(0)
    }

    /// The entries after a mark.
    pub fn since(&self, mark: usize) -> Vec<T> {
        self.0.0.lock().unwrap().iter().skip(mark).cloned().collect()
    }

    /// Waits for the first entry after `mark` that `pick` takes, and returns what it made of it. Panics at the
    /// deadline with `what` and the last entries.
    pub fn wait<R>(
        &self,
        mark: usize,
        deadline: Duration,
        what: &str,
        mut pick: impl FnMut(&T) -> Option<R>,
    ) -> R {
        let end = Instant::now() + deadline;
        let (entries, grown) = &*self.0;
        let mut seen = mark;
        let mut held = entries.lock().unwrap();
        loop {
            if let Some(found) = held.iter().skip(seen).find_map(&mut pick) {
                return found;
            }
            seen = held.len().max(seen);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail: Vec<T> = held[held.len().saturating_sub(8)..].to_vec();
                drop(held); // a panic must not poison the journal: the agent's log is still to be shown
                panic!("not within {deadline:?}: {what}; last of it: {tail:?}");
            }
            held = grown.wait_timeout(held, left).unwrap().0;
        }
    }
}
