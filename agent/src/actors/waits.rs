//! Which actor waits for which, so that a call that could never be answered is refused at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who waits for whom. An actor takes one event at a time, so it waits for one other at most.
#[derive(Default)]
pub(super) struct Waits(Mutex<HashMap<String, String>>);

/// One actor waits for another while this lives.
pub(super) struct Wait<'w> {
    waits: &'w Waits,
    from: String,
}

impl Waits {
    /// `from` begins to wait for `to`; none where `to` waits for `from` already, by itself or through others.
    pub(super) fn begin(&self, from: &str, to: &str) -> Option<Wait<'_>> {
        let mut waits = self.lock();
        let mut next = Some(to);
        while let Some(id) = next {
            if id == from {
                return None;
            }
            next = waits.get(id).map(String::as_str);
        }
        waits.insert(from.to_owned(), to.to_owned());
        Some(Wait { waits: self, from: from.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.waits.lock().remove(&self.from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_never_closed() {
        let waits = Waits::default();
        assert!(waits.begin("a", "a").is_none());
        let a = waits.begin("a", "b");
        let b = waits.begin("b", "c");
        assert!(a.is_some() && b.is_some());
        assert!(waits.begin("c", "a").is_none());
        assert!(waits.begin("d", "a").is_some(), "waiting for one who waits is no ring");
        drop(b);
        assert!(waits.begin("c", "a").is_some());
    }
}
