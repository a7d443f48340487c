//! Which results are kept, until when, and how much they take.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::store::{StoreError, Table};

/// How long a result is kept after it is there, and after a restart anew: the device's clock may be wrong.
pub(super) const KEPT: Duration = Duration::from_secs(30 * 60);
/// Results at once, pending ones included.
pub(super) const MAX_RESULTS: usize = 1_024;
/// Bytes of all of them, with what pending ones may come to.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// What each is taken to need beside its texts.
pub(super) const OVERHEAD: usize = 512;

/// What is kept, and how much that is.
#[derive(Default)]
pub(super) struct Index {
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) bytes: usize,
}

/// One of them.
pub(super) struct Entry {
    bytes: usize,
    pub(super) state: State,
}

/// How far a result has come.
#[derive(Clone, Copy)]
pub(super) enum State {
    /// It is not there yet.
    Pending,
    /// Until then.
    Kept(Instant),
    /// It was pending when the agent ended; told until then.
    Interrupted(Instant),
    /// It could not be kept; told until then.
    Lost(Instant),
}

impl Index {
    /// What the last run has left on the disk; no more than lengths are read.
    pub(super) fn load(table: &Table, now: Instant) -> Result<Self, StoreError> {
        let mut index = Self::default();
        table.lengths(b"", |key, bytes| {
            let Some((kind, id)) = std::str::from_utf8(key).ok().and_then(|key| key.split_once('/')) else {
                return;
            };
            let until = now + KEPT;
            let state = if kind == "p" { State::Interrupted(until) } else { State::Kept(until) };
            let entry = index.entries.entry(id.to_owned()).or_insert(Entry { bytes: OVERHEAD, state });
            entry.bytes += bytes;
            index.bytes += bytes;
        })?;
        index.bytes += index.entries.len() * OVERHEAD;
        Ok(index)
    }

    /// Adds a pending one, where there is room.
    pub(super) fn add(&mut self, id: &str, bytes: usize) -> bool {
        let fits = self.entries.len() < MAX_RESULTS && self.bytes + bytes <= MAX_BYTES;
        if fits {
            self.bytes += bytes;
            self.entries.insert(id.to_owned(), Entry { bytes, state: State::Pending });
        }
        fits
    }

    /// Sets what one takes.
    pub(super) fn resize(&mut self, id: &str, bytes: usize) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(id)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes) + bytes;
        entry.bytes = bytes;
        Some(entry)
    }

    /// Drops one.
    pub(super) fn remove(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    /// Drops those whose time is over, and tells which they were.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<String> {
        let over = |state| match state {
            State::Pending => false,
            State::Kept(until) | State::Interrupted(until) | State::Lost(until) => until <= now,
        };
        let expired: Vec<String> =
            self.entries.iter().filter(|(_, entry)| over(entry.state)).map(|(id, _)| id.clone()).collect();
        expired.iter().for_each(|id| self.remove(id));
        expired
    }
}
