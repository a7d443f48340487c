//! A share of the workers: how many of them may work for one function, and who is next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::Limits;

/// One function's share of the workers. Its counts change only under the workers' lock.
pub struct Lane {
    pub(super) max_held: usize,
    pub(super) waiting: AtomicUsize,
    pub(super) held: AtomicUsize,
    pub(super) computing: AtomicUsize,
    /// Guests that wait to visit. They and what is in the queue take turns.
    pub(super) visitors: AtomicUsize,
    pub(super) visited_last: AtomicBool,
    /// The lane that work of this one goes over to; what waits for that counts with it.
    pub(super) ahead: Option<Arc<Lane>>,
}

impl Lane {
    pub(super) fn new(max_held: usize, ahead: Option<Arc<Self>>) -> Self {
        Self {
            max_held,
            waiting: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            computing: AtomicUsize::new(0),
            visitors: AtomicUsize::new(0),
            visited_last: AtomicBool::new(false),
            ahead,
        }
    }

    /// Whether one more can work for it.
    pub(super) fn has_place(&self, limits: &Limits) -> bool {
        let held = self.held.load(Relaxed);
        let with_ahead = self.ahead.as_ref().map_or(0, |lane| lane.held.load(Relaxed)) + held;
        held < self.max_held
            && with_ahead < limits.max_threads - 1
            && self.computing.load(Relaxed) < limits.cores
    }

    /// Whether it is the turn of what is in the queue.
    pub(super) fn is_queues_turn(&self) -> bool {
        self.visitors.load(Relaxed) == 0 || self.visited_last.load(Relaxed)
    }
}
