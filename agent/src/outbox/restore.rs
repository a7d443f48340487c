//! Counts anew, at the start, what the table holds, and what it should hold and does not.

use std::sync::Arc;

use super::cost;
use super::place::{COUNTERS, Counter, MESSAGES, Place, SKIPPED, Skipped};
use super::state::State;
use crate::store::{StoreError, Table};

/// The state of what a table holds. Whoever is delivered or makes room is its function's oldest, so that a sequence
/// number which is missing after it is a message which is.
pub(super) fn restore(table: &Table) -> Result<State, StoreError> {
    let mut state = State::default();
    let skipped = skipped(table)?;
    state.last_id = skipped.id;
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
        let known = state.queues.get(&function).map_or(last, |queue| queue.last);
        let between = known.sequence.saturating_sub(last.sequence);
        lost += between.saturating_sub(skipped.between(last, known));
    };
    let mut gaps = 0u64;
    table.lengths(MESSAGES, |key, length| {
        let Some(place) = Place::read(key, cost(length)) else { return };
        let here = Counter { sequence: place.sequence, id: place.id };
        match before.take() {
            Some((function, last)) if function == place.function => {
                let between = place.sequence.saturating_sub(last.sequence).saturating_sub(1);
                gaps += between.saturating_sub(skipped.between(last, here));
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
    skip(table, &mut state, skipped);
    Ok(state)
}

fn skipped(table: &Table) -> Result<Skipped, StoreError> {
    match table.get(SKIPPED) {
        Ok(value) => Ok(value.and_then(|value| Skipped::read(&value)).unwrap_or_default()),
        Err(StoreError::Damaged(_)) => table.discard_damaged(SKIPPED).map(|()| Skipped::default()),
        Err(error) => Err(error),
    }
}

/// Where the database has gone back, counts what went with its end, and has every function go on after all numbers
/// that one of them can have had there.
fn skip(table: &Table, state: &mut State, mut skipped: Skipped) {
    let before = table.numbered_before();
    let gone = before.last.saturating_sub(state.last_id);
    if gone > 0 {
        // What was delivered is not lost; whose the others were is not known.
        state.counts.lost += gone.min(before.waiting);
        skipped = Skipped { id: before.last, by: skipped.by.saturating_add(gone) };
        state.last_id = before.last;
        if let Err(error) = table.commit(&[(SKIPPED, Some(&skipped.value()))]) {
            log::warn!("keeping which numbers of telemetry are skipped: {error}");
        }
    }
    for queue in state.queues.values_mut().filter(|queue| queue.last.id <= skipped.id) {
        queue.last.sequence = queue.last.sequence.saturating_add(skipped.by);
    }
    state.skipped = skipped.by;
}
