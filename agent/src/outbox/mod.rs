//! Telemetry on its way to the broker: on the disk before a guest is told so, handed out in order, forgotten when
//! delivered. Knows nothing of MQTT.
//!
//! It is bounded in bytes. When it is full, the function that holds the most loses its oldest messages first, so that
//! one which floods it harms itself alone. Nothing of the messages is kept in memory but how many there are.
//!
//! A delivered message is removed with the next commit: after a power cut the last few may come a second time.

#[cfg(test)]
mod gone_back;
mod place;
mod restore;
mod send;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::store::{Store, StoreError, Table};
use place::Place;
#[cfg(fuzzing)]
pub use place::fuzz_place;
use restore::restore;
pub use state::Counts;
use state::State;

/// Bytes of one message.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// What a message costs beside its payload.
pub const ENTRY_BYTES: usize = 128;
/// Functions whose sequence numbers are known; of more the longest silent are forgotten.
const MAX_FUNCTIONS: usize = 4096;
/// After so long what was delivered is made durable even if nothing new comes.
const TIDY_AFTER: Duration = Duration::from_secs(5);

/// Messages that wait, or that are on their way and not acknowledged.
pub struct Outbox {
    table: Table,
    max_bytes: usize,
    state: Mutex<State>,
    pushed: Notify,
    emptied: Notify,
}

/// One message, read for sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the outbox; later messages have larger ids.
    pub id: u64,
    /// The function that sent it.
    pub function_id: Arc<str>,
    /// What it sent.
    pub payload: Vec<u8>,
}

impl Outbox {
    /// The outbox in a store, with what it holds from before, and of at most so many bytes.
    pub fn open(store: &Arc<Store>, max_bytes: usize) -> Result<Self, StoreError> {
        let table = store.table("outbox");
        let state = restore(&table)?;
        table.note_waiting(state.counts.messages);
        if state.counts.messages > 0 {
            log::info!("{} telemetry messages wait since before", state.counts.messages);
        }
        if state.counts.lost > 0 {
            log::error!("{} telemetry messages are missing from the database", state.counts.lost);
        }
        let state = Mutex::new(state);
        Ok(Self { table, max_bytes, state, pushed: Notify::new(), emptied: Notify::new() })
    }

    /// The oldest message with a larger id, or the oldest of all.
    pub fn after(&self, last: Option<u64>) -> Option<Entry> {
        let mut state = self.state();
        loop {
            let place = match self.oldest(&mut state, last.unwrap_or(0)) {
                Ok(place) => place?,
                Err(error) => {
                    log::error!("reading the outbox: {error}");
                    return None;
                }
            };
            match self.table.get(&place.key()) {
                Ok(Some(payload)) => {
                    let entry = Entry { id: place.id, function_id: place.function.clone(), payload };
                    state.handed.insert(place.id, place);
                    return Some(entry);
                }
                Ok(None) | Err(StoreError::Damaged(_)) => {
                    log::error!("telemetry {} of {} is damaged and lost", place.sequence, place.function);
                    state.removed(&place);
                    state.counts.lost += 1;
                    if let Err(error) = self.table.discard_damaged(&place.key()) {
                        log::error!("removing it: {error}");
                        return None;
                    }
                }
                Err(error) => {
                    log::error!("telemetry {} of {}: {error}", place.sequence, place.function);
                    return None;
                }
            }
        }
    }

    /// Forgets a message that was delivered. One that was dropped meanwhile is forgotten already.
    pub fn acknowledge(&self, id: u64) {
        let mut state = self.state();
        let Some(place) = state.handed.get(&id).cloned() else { return };
        if let Err(error) = self.table.remove_lazily(&place.key()) {
            log::error!("removing telemetry that was delivered, so that it comes again: {error}");
            return;
        }
        state.removed(&place);
        self.table.note_waiting(state.counts.messages);
        state.untidied.get_or_insert_with(Instant::now);
        if state.counts.messages == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// Whether removals have waited long enough for a commit: then somebody should call [`Outbox::tidy`].
    pub fn wants_tidying(&self) -> bool {
        self.state().untidied.is_some_and(|since| since.elapsed() >= TIDY_AFTER)
    }

    /// Makes durable that what was delivered is gone. Blocks for as long as the disk takes.
    pub fn tidy(&self) {
        let due = self.state().untidied.take();
        if due.is_some()
            && let Err(error) = self.table.sync()
        {
            log::error!("making the outbox durable: {error}");
        }
    }

    /// Waits until nothing waits.
    pub async fn drained(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.state().counts.messages == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Waits until something was pushed since the last call.
    pub async fn changed(&self) {
        self.pushed.notified().await;
    }

    /// What it holds, and what it lost.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The place of the oldest message with a larger id.
    fn oldest(&self, state: &mut State, after: u64) -> Result<Option<Place>, StoreError> {
        let mut oldest: Option<Place> = None;
        let mut vanished = Vec::new();
        let some = |queue: &state::Queue| queue.messages > 0 && queue.last.id > after;
        for function in state.queues.iter().filter(|(_, queue)| some(queue)).map(|(function, _)| function) {
            match self.next(function, after)? {
                Some(place) if oldest.as_ref().is_none_or(|oldest| place.id < oldest.id) => {
                    oldest = Some(place);
                }
                Some(_) => {}
                None if after == 0 => vanished.push(function.clone()),
                None => {}
            }
        }
        for function in vanished {
            self.vanished(state, &function);
        }
        Ok(oldest)
    }

    fn vanished(&self, state: &mut State, function: &str) {
        let lost = state.vanished(function);
        log::error!("{lost} telemetry messages of {function} are missing from the database");
        if state.counts.messages == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// The place of a function's next message after an id.
    fn next(&self, function: &str, after: u64) -> Result<Option<Place>, StoreError> {
        let found = self.table.next(&place::messages_of(function), &place::end_of(function, after))?;
        Ok(found.and_then(|(key, length)| Place::read(&key, cost(length))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(payload: usize) -> usize {
    payload.saturating_add(ENTRY_BYTES)
}
