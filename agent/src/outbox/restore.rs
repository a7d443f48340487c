//! Counts anew, at the start, what the table holds, and what it should hold and does not.

use std::sync::Arc;

use super::cost;
use super::place::{COUNTERS, Counter, MESSAGES, Place};
use super::state::State;
use crate::store::{StoreError, Table};

/// The state of what a table holds. Whoever is delivered or makes room is its function's oldest, so that a sequence
/// number which is missing after it is a message which is.
pub(super) fn restore(table: &Table) -> Result<State, StoreError> {
    let mut state = State::default();
    for (key, value) in table.scan(COUNTERS)? {
        if let Some((function, last)) = Counter::read(&key, &value) {
            state.last_id = state.last_id.max(last.id);
            state.queues.entry(function).or_default().last = last;
        }
    }
    // A function's messages lie together, and between two of them nothing is left out.
    let mut before: Option<(Arc<str>, Counter)> = None;
    let mut lost = 0u64;
    let mut end = |before: Option<(Arc<str>, Counter)>, state: &State| {
        let Some((function, last)) = before else { return };
        let known = state.queues.get(&function).map_or(0, |queue| queue.last.sequence);
        lost += known.saturating_sub(last.sequence);
    };
    let mut gaps = 0u64;
    table.lengths(MESSAGES, |key, length| {
        let Some(place) = Place::read(key, cost(length)) else { return };
        let here = Counter { sequence: place.sequence, id: place.id };
        match before.take() {
            Some((function, last)) if function == place.function => {
                gaps += place.sequence.saturating_sub(last.sequence).saturating_sub(1);
            }
            other => end(other, &state),
        }
        let known = state.queues.get(&place.function).map_or(here, |queue| queue.last);
        before = Some((place.function.clone(), here));
        state.added(&place);
        if let Some(queue) = state.queues.get_mut(&place.function)
            && known.sequence > here.sequence
        {
            queue.last = known;
        }
    })?;
    end(before, &state);
    state.counts.lost = lost + gaps;
    Ok(state)
}
