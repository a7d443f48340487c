//! Telemetry on its way to the broker: taken from guests, handed out in order, forgotten when delivered. Knows
//! nothing of MQTT.
//!
//! It is kept in memory, bounded in bytes and in messages; when it is full a guest is told so, and nothing that was
//! taken is dropped while the agent runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use twinlet_host::TelemetrySink;
use twinlet_host::telemetry::Error;

/// Bytes of one message.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// What an entry costs beside its payload.
const ENTRY_BYTES: usize = 128;

/// Messages that wait, or that are on their way and not acknowledged.
pub struct Outbox {
    max_bytes: usize,
    state: Mutex<State>,
    pushed: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<u64, Entry>,
    bytes: usize,
    last_id: u64,
    functions: HashMap<String, Share>,
    refused: u64,
}

/// What one function has sent since the start, and what of that still waits.
#[derive(Default)]
struct Share {
    sequence: u64,
    bytes: usize,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the outbox; later messages have larger ids.
    pub id: u64,
    /// The function that sent it.
    pub function_id: String,
    /// What it sent.
    pub payload: Arc<[u8]>,
}

impl Outbox {
    /// An empty outbox of at most so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, state: Mutex::default(), pushed: Notify::new(), emptied: Notify::new() }
    }

    /// The oldest message with a larger id, or the oldest of all.
    pub fn after(&self, last: Option<u64>) -> Option<Entry> {
        let from = last.map_or(0, |id| id.saturating_add(1));
        self.state().entries.range(from..).next().map(|(_, entry)| entry.clone())
    }

    /// Forgets a message that was delivered.
    pub fn acknowledge(&self, id: u64) {
        let mut state = self.state();
        let Some(entry) = state.entries.remove(&id) else { return };
        let bytes = cost(&entry.payload);
        state.bytes = state.bytes.saturating_sub(bytes);
        if let Some(share) = state.functions.get_mut(&entry.function_id) {
            share.bytes = share.bytes.saturating_sub(bytes);
        }
        if state.entries.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until nothing waits.
    pub async fn drained(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.state().entries.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Waits until something was pushed since the last call.
    pub async fn changed(&self) {
        self.pushed.notified().await;
    }

    /// Messages that wait, and how many were refused since the start because it was full.
    pub fn counts(&self) -> (usize, u64) {
        let state = self.state();
        (state.entries.len(), state.refused)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TelemetrySink for Outbox {
    fn send(&self, function_id: &str, message: Vec<u8>) -> Result<u64, Error> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Error::TooLarge(MAX_MESSAGE_BYTES as u64));
        }
        let mut state = self.state();
        let bytes = cost(&message);
        let total = state.bytes.saturating_add(bytes);
        let share = state.functions.get(function_id).map_or(0, |share| share.bytes).saturating_add(bytes);
        // One function takes half at most, so that others find room.
        if total > self.max_bytes || share > self.max_bytes / 2 {
            state.refused += 1;
            return Err(Error::Storage("the outbox is full".into()));
        }
        state.bytes = total;
        state.last_id += 1;
        let id = state.last_id;
        state.entries.insert(id, Entry { id, function_id: function_id.to_owned(), payload: message.into() });
        let of_function = state.functions.entry(function_id.to_owned()).or_default();
        of_function.bytes = share;
        of_function.sequence += 1;
        let sequence = of_function.sequence;
        drop(state);
        self.pushed.notify_one();
        Ok(sequence)
    }
}

fn cost(payload: &[u8]) -> usize {
    payload.len().saturating_add(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_in_order_and_stay_until_acknowledged() {
        let outbox = Outbox::new(10_000);
        assert_eq!(outbox.send("a", b"1".to_vec()).ok(), Some(1));
        assert_eq!(outbox.send("b", b"2".to_vec()).ok(), Some(1));
        assert_eq!(outbox.send("a", b"3".to_vec()).ok(), Some(2));
        let first = outbox.after(None).map(|e| e.id);
        let second = outbox.after(first).map(|e| (e.id, e.function_id));
        outbox.acknowledge(second.as_ref().map_or(0, |(id, _)| *id));
        assert_eq!(second.map(|(_, f)| f).as_deref(), Some("b"));
        assert_eq!(outbox.after(first).map(|e| e.payload.to_vec()), Some(b"3".to_vec()));
        assert_eq!(outbox.after(None).map(|e| e.id), first, "not acknowledged, so still there");
    }

    #[test]
    fn a_full_outbox_says_so_and_drops_nothing() {
        let outbox = Outbox::new(2 * (ENTRY_BYTES + 10));
        assert!(outbox.send("a", vec![0; 10]).is_ok());
        assert!(matches!(outbox.send("a", vec![0; 10]), Err(Error::Storage(_))), "half is one function's");
        assert!(outbox.send("b", vec![0; 10]).is_ok());
        assert!(matches!(outbox.send("c", vec![0; 10]), Err(Error::Storage(_))));
        assert_eq!(outbox.counts(), (2, 2));
        outbox.acknowledge(1);
        assert!(outbox.send("a", vec![0; 10]).is_ok());
        assert!(matches!(outbox.send("a", vec![0; MAX_MESSAGE_BYTES + 1]), Err(Error::TooLarge(_))));
    }
}
