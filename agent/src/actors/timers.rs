//! Delayed casts, on the disk from when they are set until their event is over; and when actors that crashed are to
//! start again. A thread of its own waits for the next of them.
//!
//! Within one run of the agent the monotonic clock decides. On the disk stands the wall clock's time, written anew when
//! that clock steps. After a restart it may be wrong: a timer then fires no later than its whole delay from now.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::{self, MAX_DELAY, Timer, TimerKey};
use crate::store::{StoreError, Table};

/// Timers that one function may have set.
const MAX_TIMERS: usize = 1_024;
/// Bytes of their messages.
const MAX_BYTES: usize = 1 << 20;
/// Timers that are written in one step when the clock was set.
const REWRITTEN_AT_ONCE: usize = 256;

/// What the time has come for.
#[derive(Clone)]
pub(super) enum Due {
    /// A timer.
    Timer(Arc<Timer>),
    /// An actor that crashed may start again.
    Restart(String),
}

/// Why a timer was not set.
pub(super) enum Refused {
    /// The function has as many as it may.
    Full,
    /// The disk did not take it.
    Store(StoreError),
}

/// Everything that is to come.
pub(super) struct Timers {
    table: Table,
    state: Mutex<State>,
    changed: Condvar,
    /// The clock was set, and what is on the disk is still by the time before.
    stale: AtomicBool,
}

#[derive(Default)]
struct State {
    /// By time, then by the order in which it was set.
    due: BTreeMap<(Instant, u64), Due>,
    /// Timers whose target is not here, by target.
    parked: HashMap<String, Vec<Arc<Timer>>>,
    shares: HashMap<String, Share>,
    last_id: u64,
    last_order: u64,
    stopping: bool,
}

/// What one function has set, and is not over.
#[derive(Default)]
struct Share {
    ids: HashSet<u64>,
    bytes: usize,
}

impl Timers {
    /// Begins with what is on the disk.
    pub(super) fn restore(table: Table) -> Result<Self, StoreError> {
        let mut state = State::default();
        for (key, value) in table.scan(b"")? {
            match record::read(&key, &value) {
                Some((timer, left)) => {
                    state.last_id = state.last_id.max(timer.key.id);
                    let share = state.shares.entry(timer.key.owner.clone()).or_default();
                    share.ids.insert(timer.key.id);
                    share.bytes += timer.message.len();
                    state.insert(Instant::now() + left, Due::Timer(Arc::new(timer)));
                }
                None => {
                    log::error!("a timer on the disk can not be read and is dropped");
                    if let Err(error) = table.remove_lazily(&key) {
                        log::warn!("removing it: {error}; the next start tries again");
                    }
                }
            }
        }
        Ok(Self { table, state: Mutex::new(state), changed: Condvar::new(), stale: AtomicBool::new(false) })
    }

    /// Sets a timer; it is on the disk when this returns.
    pub(super) fn set(
        &self,
        owner: &str,
        delay: Duration,
        to: &str,
        message: Vec<u8>,
    ) -> Result<(), Refused> {
        let delay = delay.min(MAX_DELAY);
        let due = Instant::now() + delay;
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let share = state.shares.entry(owner.to_owned()).or_default();
        if share.ids.len() >= MAX_TIMERS || share.bytes.saturating_add(message.len()) > MAX_BYTES {
            return Err(Refused::Full);
        }
        share.ids.insert(id);
        share.bytes += message.len();
        drop(state);
        let key = TimerKey { owner: owner.to_owned(), id };
        let timer = Timer { key, to: to.to_owned(), message };
        if let Err(error) = self.table.commit(&[(&timer.key.bytes(), Some(&record::write(&timer, delay)))]) {
            self.state().release(&timer);
            return Err(Refused::Store(error));
        }
        self.state().insert(due, Due::Timer(Arc::new(timer)));
        self.changed.notify_one();
        Ok(())
    }

    /// A timer's event is over.
    pub(super) fn over(&self, timer: &Timer) {
        if !self.state().release(timer) {
            return;
        }
        if let Err(error) = self.table.remove_lazily(&timer.key.bytes()) {
            log::warn!("removing a timer of {}: {error}; it may fire again after a restart", timer.key.owner);
        }
    }

    /// Has an actor looked after at a time.
    pub(super) fn restart_at(&self, time: Instant, id: &str) {
        self.state().insert(time, Due::Restart(id.to_owned()));
        self.changed.notify_one();
    }

    /// Keeps a timer that is due until its target is here and has room; what was forgotten meanwhile stays so.
    pub(super) fn park(&self, timer: Arc<Timer>) {
        let mut state = self.state();
        if state.knows(&timer) {
            state.parked.entry(timer.to.clone()).or_default().push(timer);
        }
    }

    /// A function is here, or has room again: what waits for it comes now.
    pub(super) fn unpark(&self, id: &str) {
        let mut state = self.state();
        let Some(timers) = state.parked.remove(id) else { return };
        for timer in timers {
            state.insert(Instant::now(), Due::Timer(timer));
        }
        self.changed.notify_one();
    }

    /// Forgets all that a function has set.
    pub(super) fn forget(&self, owner: &str) -> Result<(), StoreError> {
        let theirs = |timer: &Arc<Timer>| timer.key.owner == owner;
        let mut state = self.state();
        state.due.retain(|_, due| !matches!(due, Due::Timer(timer) if theirs(timer)));
        for parked in state.parked.values_mut() {
            parked.retain(|timer| !theirs(timer));
        }
        state.parked.retain(|_, timers| !timers.is_empty());
        state.shares.remove(owner);
        drop(state);
        let keys: Vec<_> = self.table.scan(&record::prefix(owner))?.into_iter().map(|(key, _)| key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let removals: Vec<(&[u8], Option<&[u8]>)> = keys.iter().map(|key| (key.as_slice(), None)).collect();
        self.table.commit(&removals)
    }

    /// The wall clock was set: [`Timers::rewrite`] is due.
    pub(super) fn clock_stepped(&self) {
        self.stale.store(true, Relaxed);
    }

    /// Whether timers on the disk are still by the time before the clock was set.
    pub(super) fn are_stale(&self) -> bool {
        self.stale.load(Relaxed)
    }

    /// Has every timer that is to come be due by the new time on the disk, so that a restart keeps what is left of its
    /// delay. Where that fails they are stale still.
    pub(super) fn rewrite(&self) -> Result<(), StoreError> {
        self.stale.store(false, Relaxed);
        self.write_all().inspect_err(|_| self.stale.store(true, Relaxed))
    }

    fn write_all(&self) -> Result<(), StoreError> {
        let now = Instant::now();
        // Held to the end: what is over or forgotten meanwhile must not come back.
        let state = self.state();
        let records: Vec<_> = state
            .due
            .iter()
            .filter_map(|((at, _), due)| match due {
                Due::Timer(timer) if state.knows(timer) => Some((timer, at.saturating_duration_since(now))),
                _ => None,
            })
            .map(|(timer, left)| (timer.key.bytes(), record::write(timer, left)))
            .collect();
        for some in records.chunks(REWRITTEN_AT_ONCE) {
            let changes: Vec<_> = some.iter().map(|(key, value)| (&key[..], Some(&value[..]))).collect();
            self.table.commit(&changes)?;
        }
        log::debug!("the clock was set: wrote {} timers by the new time", records.len());
        Ok(())
    }

    /// The functions that have timers.
    pub(super) fn owners(&self) -> Vec<String> {
        self.state().shares.keys().cloned().collect()
    }

    /// Timers that are to come.
    pub(super) fn count(&self) -> usize {
        self.state().shares.values().map(|share| share.ids.len()).sum()
    }

    /// Waits for what is due next; none when the timers are stopped.
    pub(super) fn next(&self) -> Option<Due> {
        let mut state = self.state();
        loop {
            if state.stopping {
                return None;
            }
            let now = Instant::now();
            state = match state.due.first_entry() {
                Some(first) if first.key().0 <= now => return Some(first.remove()),
                Some(first) => {
                    let wait = first.key().0 - now;
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Ends [`Timers::next`].
    pub(super) fn stop(&self) {
        self.state().stopping = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, time: Instant, due: Due) {
        self.last_order += 1;
        self.due.insert((time, self.last_order), due);
    }

    fn knows(&self, timer: &Timer) -> bool {
        self.shares.get(&timer.key.owner).is_some_and(|share| share.ids.contains(&timer.key.id))
    }

    /// Takes a timer out of its owner's share; false where it was not in it any more.
    fn release(&mut self, timer: &Timer) -> bool {
        let Some(share) = self.shares.get_mut(&timer.key.owner) else { return false };
        if !share.ids.remove(&timer.key.id) {
            return false;
        }
        share.bytes = share.bytes.saturating_sub(timer.message.len());
        if share.ids.is_empty() {
            self.shares.remove(&timer.key.owner);
        }
        true
    }
}

#[cfg(test)]
mod tests;
