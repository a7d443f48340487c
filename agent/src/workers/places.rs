//! A worker's place among those that compute: given up while its guest waits in a host call, and taken along when its
//! guest calls another function.

use std::cell::RefCell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use twinlet_host::WorkerSlot;

use super::{Lane, Shared, State};

thread_local! {
    /// The lane that this worker works for; none on other threads.
    static CURRENT: RefCell<Option<Arc<Lane>>> = const { RefCell::new(None) };
}

/// Runs work as that of a lane; returns the lane that it ended on.
pub(super) fn on_lane(lane: Arc<Lane>, work: impl FnOnce()) -> Arc<Lane> {
    CURRENT.set(Some(lane.clone()));
    work();
    CURRENT.take().unwrap_or(lane)
}

fn current() -> Option<Arc<Lane>> {
    CURRENT.with_borrow(Clone::clone)
}

/// The places of all workers, as one of them uses them.
pub(super) struct Places(pub(super) Arc<Shared>);

/// A worker that works for another lane for a while; back to its own when this is dropped.
pub struct Visit {
    shared: Arc<Shared>,
    home: Option<Arc<Lane>>,
    lane: Arc<Lane>,
}

impl WorkerSlot for Places {
    fn leave(&self) {
        if let Some(lane) = current() {
            self.leave(&lane);
        }
    }

    fn enter(&self) {
        if let Some(lane) = current() {
            self.enter(&lane, self.0.lock());
        }
    }
}

impl Places {
    fn leave(&self, lane: &Lane) {
        let mut state = self.0.lock();
        state.computing -= 1;
        lane.computing.fetch_sub(1, Relaxed);
        if state.coming > 0 {
            self.0.freed.notify_all();
        }
        self.0.find_worker(state);
    }

    fn enter(&self, lane: &Lane, mut state: MutexGuard<'_, State>) {
        let cores = self.0.limits.cores;
        state.coming += 1;
        loop {
            // Only who waits for a place of all keeps new work back; who waits for its own lane does not.
            let own_lane = lane.computing.load(Relaxed) >= cores;
            if !own_lane && state.computing <= cores {
                break;
            }
            state.returning += usize::from(!own_lane);
            state = self.0.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.returning -= usize::from(!own_lane);
        }
        state.coming -= 1;
        state.computing += 1;
        lane.computing.fetch_add(1, Relaxed);
    }

    pub(super) fn visit(self, lane: &Arc<Lane>, deadline: Instant) -> Option<Visit> {
        let home = current();
        if !self.move_to(lane, home.as_deref(), deadline) {
            return None;
        }
        CURRENT.set(Some(lane.clone()));
        Some(Visit { shared: self.0, home, lane: lane.clone() })
    }

    pub(super) fn go_over(&self, lane: &Arc<Lane>, deadline: Instant) -> bool {
        let home = current();
        if !self.move_to(lane, home.as_deref(), deadline) {
            return false;
        }
        if let Some(home) = home {
            let state = self.0.lock();
            home.held.fetch_sub(1, Relaxed);
            if state.coming > 0 {
                self.0.freed.notify_all();
            }
            self.0.find_worker(state);
            CURRENT.set(Some(lane.clone()));
        }
        true
    }

    /// Holds a place of another lane, and has the worker compute for that and not for its own.
    fn move_to(&self, lane: &Arc<Lane>, home: Option<&Lane>, deadline: Instant) -> bool {
        let state = self.0.lock();
        if lane.has_place(&self.0.limits) && lane.visitors.load(Relaxed) == 0 {
            lane.held.fetch_add(1, Relaxed);
            // The place among all that compute goes over from one lane to the other.
            lane.computing.fetch_add(1, Relaxed);
            if let Some(home) = home {
                home.computing.fetch_sub(1, Relaxed);
            }
            return true;
        }
        if lane.visitors.load(Relaxed) >= self.0.limits.max_threads / 2 {
            return false;
        }
        drop(state);
        if let Some(home) = home {
            self.leave(home);
        }
        let found = self.await_lane(lane, deadline);
        let place = if found { Some(&**lane) } else { home };
        if let Some(place) = place.filter(|_| home.is_some()) {
            self.enter(place, self.0.lock());
        } else if found {
            lane.computing.fetch_add(1, Relaxed);
        }
        found
    }

    /// Waits, without a place, until the lane can be held by one more, and holds it.
    fn await_lane(&self, lane: &Lane, deadline: Instant) -> bool {
        let mut state = self.0.lock();
        state.coming += 1;
        lane.visitors.fetch_add(1, Relaxed);
        let found = loop {
            if lane.held.load(Relaxed) < lane.max_held {
                lane.held.fetch_add(1, Relaxed);
                lane.visited_last.store(true, Relaxed);
                break true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.stopping {
                break false;
            }
            let waited = self.0.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        };
        lane.visitors.fetch_sub(1, Relaxed);
        state.coming -= 1;
        found
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let state = self.shared.lock();
        self.lane.held.fetch_sub(1, Relaxed);
        self.lane.computing.fetch_sub(1, Relaxed);
        if let Some(home) = &self.home {
            home.computing.fetch_add(1, Relaxed);
        }
        if state.coming > 0 {
            self.shared.freed.notify_all();
        }
        // What waits in the queue for the lane that is free now.
        self.shared.find_worker(state);
        CURRENT.set(self.home.take());
    }
}
