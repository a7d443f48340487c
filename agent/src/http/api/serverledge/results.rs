//! What became of asynchronous invocations: kept on the disk for half an hour, so that it survives a restart. What was
//! promised is never dropped: where there is no room, nothing more is promised.
//!
//! In the table `results`, under the id of a request: `p/` while it is pending, then `d/` what was measured as JSON,
//! `r/` the result and `o/` what was printed, where there is any. What is pending when the agent ends stays so on the
//! disk, and is told as such afterwards. The index in memory is read from the disk when it is first wanted.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

use super::report::Report;
use crate::desired::FunctionId;
use crate::store::{StoreError, Table};

/// How long a result is kept after it is there, and after a restart anew: the device's clock may be wrong.
const KEPT: Duration = Duration::from_secs(30 * 60);
/// Results at once, pending ones included.
const MAX_RESULTS: usize = 1_024;
/// Bytes of all of them, with what pending ones may come to.
const MAX_BYTES: usize = 8 << 20;
/// Bytes of the text of one.
const MAX_RESULT_BYTES: usize = 64 << 10;
/// Beside its texts.
const OVERHEAD: usize = 512;
/// What a result is told of that the agent has not seen the end of.
const INTERRUPTED: &str = "Invocation failed: the agent was restarted before it ended";

/// The results of this agent.
#[derive(Default)]
pub struct Results {
    index: Mutex<Option<Index>>,
    /// Invocations that are being accepted.
    pub(super) beginning: AtomicUsize,
}

/// What is kept, and how much that is.
#[derive(Default)]
struct Index {
    entries: BTreeMap<String, Entry>,
    bytes: usize,
}

struct Entry {
    bytes: usize,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Pending,
    /// Until then.
    Kept(Instant),
    /// It was pending when the agent ended; told until then.
    Interrupted(Instant),
    /// It could not be kept; told until then.
    Lost(Instant),
}

/// Why no result is promised.
#[derive(Debug)]
pub(super) enum Refused {
    /// There are too many.
    Full,
    /// It would not survive a restart.
    Store(String),
}

/// What is there of a result.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Nothing,
    Report(Value),
    Unreadable,
}

impl Results {
    /// Promises a result; when this returns, the promise is on the disk. Returns the request's id, which no one guesses.
    pub(super) fn begin(
        &self,
        table: &Table,
        function: &FunctionId,
        prints: bool,
        now: Instant,
    ) -> Result<String, Refused> {
        let failed = |error: StoreError| Refused::Store(error.to_string());
        let mut number = [0; 8];
        let random = SystemRandom::new().fill(&mut number);
        random.map_err(|_| Refused::Store("the system gives no random numbers".to_owned()))?;
        let id = format!("{function}-{}", u64::from_be_bytes(number));
        let texts =
            if prints { MAX_RESULT_BYTES + twinlet_host::printed::MAX_BYTES } else { MAX_RESULT_BYTES };
        let mut locked = self.loaded(table, now).map_err(failed)?;
        let index = locked.get_or_insert_default();
        let expired = index.expire(now);
        let added = index.add(&id, texts + OVERHEAD);
        drop(locked);
        let gone: Vec<_> = expired.iter().flat_map(|id| keys(id)).collect();
        if !added {
            gone.iter().for_each(|key| forget(table, key));
            return Err(Refused::Full);
        }
        let pending = key('p', &id);
        let mut changes: Vec<(&[u8], Option<&[u8]>)> = gone.iter().map(|key| (&key[..], None)).collect();
        changes.push((&pending, Some(b"-")));
        table.commit(&changes).map_err(|error| {
            self.lock().get_or_insert_default().remove(&id);
            failed(error)
        })?;
        Ok(id)
    }

    /// Takes a promise back that nobody was told of.
    pub(super) fn take_back(&self, table: &Table, id: &str) {
        forget(table, &key('p', id));
        self.lock().get_or_insert_default().remove(id);
    }

    /// Keeps a result that was promised.
    pub(super) fn end(&self, table: &Table, id: &str, report: Report, now: Instant) {
        let report = bounded(report);
        let measured = report.measured().to_string();
        let output = report.output.as_deref();
        let [pending, measured_key, result_key, output_key] = keys(id);
        let mut changes: Vec<(&[u8], Option<&[u8]>)> = vec![
            (&pending, None),
            (&measured_key, Some(measured.as_bytes())),
            (&result_key, Some(report.result.as_bytes())),
        ];
        if let Some(output) = output {
            changes.push((&output_key, Some(output.as_bytes())));
        }
        let bytes = report.result.len() + output.map_or(0, str::len) + OVERHEAD;
        let kept = table.commit(&changes);
        if let Err(error) = &kept {
            log::error!("the result of {id} could not be kept: {error}");
        }
        if let Some(entry) = self.lock().get_or_insert_default().resize(id, bytes) {
            let until = now + KEPT;
            entry.state = if kept.is_ok() { State::Kept(until) } else { State::Lost(until) };
        }
    }

    /// What is there under an id.
    pub(super) fn find(&self, table: &Table, id: &str, now: Instant) -> Found {
        let state = match self.loaded(table, now) {
            Ok(mut locked) => {
                let index = locked.get_or_insert_default();
                let expired = index.expire(now);
                let state = index.entries.get(id).map(|entry| entry.state);
                drop(locked);
                expired.iter().flat_map(|id| keys(id)).for_each(|key| forget(table, &key));
                state
            }
            Err(error) => return unreadable(id, &error),
        };
        match state {
            None | Some(State::Pending) => Found::Nothing,
            Some(State::Interrupted(_)) => Found::Report(Report::unmeasured(INTERRUPTED).json()),
            Some(State::Lost(_)) => Found::Unreadable,
            Some(State::Kept(_)) => match read(table, id) {
                Ok(Some(report)) => Found::Report(report),
                Ok(None) => Found::Nothing,
                Err(error) => unreadable(id, &error),
            },
        }
    }

    /// The index; what the last run has left is read where that has not been done.
    fn loaded(&self, table: &Table, now: Instant) -> Result<MutexGuard<'_, Option<Index>>, StoreError> {
        let mut index = self.lock();
        if index.is_none() {
            *index = Some(Index::load(table, now)?);
        }
        Ok(index)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Index>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn load(table: &Table, now: Instant) -> Result<Self, StoreError> {
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
    fn add(&mut self, id: &str, bytes: usize) -> bool {
        let fits = self.entries.len() < MAX_RESULTS && self.bytes + bytes <= MAX_BYTES;
        if fits {
            self.bytes += bytes;
            self.entries.insert(id.to_owned(), Entry { bytes, state: State::Pending });
        }
        fits
    }

    fn resize(&mut self, id: &str, bytes: usize) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(id)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes) + bytes;
        entry.bytes = bytes;
        Some(entry)
    }

    fn remove(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    /// Drops those whose time is over, and tells which they were.
    fn expire(&mut self, now: Instant) -> Vec<String> {
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

/// A result that is too large is told as failed.
fn bounded(mut report: Report) -> Report {
    if report.result.len() > MAX_RESULT_BYTES {
        report.success = false;
        report.result = format!(
            "Invocation failed: its result has {} bytes, and at most {MAX_RESULT_BYTES} are kept",
            report.result.len()
        );
    }
    report
}

fn read(table: &Table, id: &str) -> Result<Option<Value>, StoreError> {
    let [_, measured, result, output] = keys(id);
    let damaged = || StoreError::Damaged(format!("results/{id}"));
    let Some(measured) = table.get(&measured)? else { return Ok(None) };
    let mut report: Value = serde_json::from_slice(&measured).map_err(|_| damaged())?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| damaged());
    let Some(fields) = report.as_object_mut() else { return Err(damaged()) };
    fields.insert("Result".to_owned(), text(table.get(&result)?.ok_or_else(damaged)?)?.into());
    if let Some(output) = table.get(&output)? {
        fields.insert("Output".to_owned(), text(output)?.into());
    }
    Ok(Some(report))
}

fn unreadable(id: &str, error: &StoreError) -> Found {
    log::error!("the result of {id}: {error}");
    Found::Unreadable
}

fn forget(table: &Table, key: &[u8]) {
    if let Err(error) = table.remove_lazily(key) {
        log::warn!("removing a result: {error}; it is kept for longer");
    }
}

fn key(kind: char, id: &str) -> Vec<u8> {
    format!("{kind}/{id}").into_bytes()
}

fn keys(id: &str) -> [Vec<u8>; 4] {
    ['p', 'd', 'r', 'o'].map(|kind| key(kind, id))
}

#[cfg(test)]
mod tests;
