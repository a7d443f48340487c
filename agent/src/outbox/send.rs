//! Takes messages: makes room, writes, and waits for the disk.

use twinlet_host::TelemetrySink;
use twinlet_host::telemetry::Error;

use super::place::{Counter, Place};
use super::state::{Going, State};
use super::{ENTRY_BYTES, MAX_FUNCTIONS, MAX_MESSAGE_BYTES, Outbox, cost};
use crate::store::{Numbered, Pending, StoreError};

impl Outbox {
    /// Writes a message, and in the same step removes what has to make room for it.
    fn push(&self, function: &str, message: &[u8]) -> Result<(Place, Pending), StoreError> {
        let mut state = self.state();
        let new = Counter { sequence: state.skipped, id: 0 };
        let last = state.queues.get(function).map_or(new, |queue| queue.last);
        let place = Place {
            function: function.into(),
            id: state.last_id + 1,
            sequence: last.sequence + 1,
            bytes: cost(message.len()),
        };
        let going = self.make_room(&mut state, &place)?;
        let keys: Vec<Vec<u8>> = going.iter().map(Place::key).collect();
        let mut changes: Vec<(&[u8], Option<&[u8]>)> = keys.iter().map(|key| (&key[..], None)).collect();
        let (key, counter_key) = (place.key(), Counter::key(function));
        let counter = Counter { sequence: place.sequence, id: place.id }.value();
        changes.extend([(&key[..], Some(message)), (&counter_key[..], Some(&counter[..]))]);
        let one_more = last.id == 0 && state.queues.len() >= MAX_FUNCTIONS;
        let silent = if one_more { state.most_silent() } else { None };
        let silent_key = silent.as_deref().map(Counter::key);
        changes.extend(silent_key.iter().map(|key| (&key[..], None)));

        let waiting = state.counts.messages.saturating_sub(going.len()).saturating_add(1);
        let numbered = Numbered { last: place.id, waiting: waiting as u64 };
        let pending = self.table.apply_numbered(&changes, numbered)?;
        for gone in &going {
            let dropped = state.dropped(gone);
            if dropped.is_power_of_two() {
                log::warn!(
                    "the outbox is full: {dropped} messages of {} dropped since the start",
                    gone.function
                );
            }
        }
        if let Some(silent) = silent {
            state.queues.remove(&silent);
        }
        state.added(&place);
        // What was removed before becomes durable with this.
        state.untidied = None;
        Ok((place, pending))
    }

    /// Chooses the messages that make room for another.
    fn make_room(&self, state: &mut State, place: &Place) -> Result<Vec<Place>, StoreError> {
        let mut going = Going::default();
        while state.counts.bytes.saturating_add(place.bytes) > self.max_bytes.saturating_add(going.bytes) {
            let Some(function) = state.largest(&place.function, place.bytes, &going) else { break };
            match self.next(&function, going.last_of(&function))? {
                Some(oldest) => going.add(oldest),
                None => {
                    going.forget(&function);
                    self.vanished(state, &function);
                }
            }
        }
        Ok(going.places)
    }

    /// Takes back a message that the disk did not keep.
    fn withdraw(&self, place: &Place) {
        let mut state = self.state();
        state.counts.refused += 1;
        let key = place.key();
        // It may have been sent or dropped meanwhile.
        let there = matches!(self.table.get(&key), Ok(Some(_)));
        if there && self.table.remove_lazily(&key).is_ok() {
            state.removed(place);
        }
    }
}

impl TelemetrySink for Outbox {
    fn send(&self, function_id: &str, message: Vec<u8>) -> Result<u64, Error> {
        let limit = MAX_MESSAGE_BYTES.min(self.max_bytes.saturating_sub(ENTRY_BYTES));
        if message.len() > limit {
            return Err(Error::TooLarge(limit as u64));
        }
        let (place, pending) = self.push(function_id, &message).map_err(|error| {
            self.state().counts.refused += 1;
            Error::Storage(error.to_string())
        })?;
        self.pushed.notify_one();
        match pending.durable() {
            Ok(()) => Ok(place.sequence),
            Err(error) => {
                self.withdraw(&place);
                Err(Error::Storage(error.to_string()))
            }
        }
    }
}
