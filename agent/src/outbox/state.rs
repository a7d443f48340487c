//! What the outbox knows without reading the disk: per function how much waits, and what is on its way. Pure, and as
//! large as there are functions, not messages.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::place::{Counter, Place};

/// The whole of it.
#[derive(Default)]
pub(super) struct State {
    /// The id that was given last.
    pub(super) last_id: u64,
    pub(super) queues: BTreeMap<Arc<str>, Queue>,
    /// After which number a function begins of which nothing is known: others of its messages may be lost.
    pub(super) skipped: u64,
    /// Messages that were handed out and neither acknowledged nor dropped: the senders' window.
    pub(super) handed: HashMap<u64, Place>,
    pub(super) counts: Counts,
    /// Since when there are removals that no commit has made durable.
    pub(super) untidied: Option<Instant>,
}

/// One function's messages.
#[derive(Default)]
pub(super) struct Queue {
    /// The sequence number and the id of its last message, delivered or not.
    pub(super) last: Counter,
    pub(super) messages: usize,
    pub(super) bytes: usize,
    /// How many were dropped since the start because the outbox was full.
    pub(super) dropped: u64,
}

/// What the outbox holds, and what became of messages that it does not hold any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that wait, those on their way included.
    pub messages: usize,
    /// Bytes that they take of the outbox.
    pub bytes: usize,
    /// Messages that made room for new ones since the start.
    pub dropped: u64,
    /// Messages that were found damaged or missing since the start.
    pub lost: u64,
    /// Messages that were not taken since the start, because the disk did not keep them.
    pub refused: u64,
}

impl State {
    /// A message was written.
    pub(super) fn added(&mut self, place: &Place) {
        let queue = self.queues.entry(place.function.clone()).or_default();
        queue.last = Counter { sequence: place.sequence, id: place.id };
        queue.messages += 1;
        queue.bytes += place.bytes;
        self.counts.messages += 1;
        self.counts.bytes += place.bytes;
        self.last_id = self.last_id.max(place.id);
    }

    /// A message was removed, for whatever reason.
    pub(super) fn removed(&mut self, place: &Place) {
        self.handed.remove(&place.id);
        if let Some(queue) = self.queues.get_mut(&place.function) {
            queue.messages = queue.messages.saturating_sub(1);
            queue.bytes = queue.bytes.saturating_sub(place.bytes);
        }
        self.counts.messages = self.counts.messages.saturating_sub(1);
        self.counts.bytes = self.counts.bytes.saturating_sub(place.bytes);
    }

    /// A message was dropped for want of room. Says how often that happened to its function.
    pub(super) fn dropped(&mut self, place: &Place) -> u64 {
        self.removed(place);
        self.counts.dropped += 1;
        let Some(queue) = self.queues.get_mut(&place.function) else { return 0 };
        queue.dropped += 1;
        queue.dropped
    }

    /// Nothing of a function is there any more, although something should be.
    pub(super) fn vanished(&mut self, function: &str) -> usize {
        let Some(queue) = self.queues.get_mut(function) else { return 0 };
        let (messages, bytes) = (std::mem::take(&mut queue.messages), std::mem::take(&mut queue.bytes));
        self.handed.retain(|_, place| &*place.function != function);
        self.counts.messages = self.counts.messages.saturating_sub(messages);
        self.counts.bytes = self.counts.bytes.saturating_sub(bytes);
        self.counts.lost += messages as u64;
        messages
    }

    /// Whose message goes when `sender` needs so many bytes: of those that have one, the function that holds the most
    /// with them, and at a draw the sender itself.
    pub(super) fn largest(&self, sender: &str, bytes: usize, going: &Going) -> Option<Arc<str>> {
        let held = |(function, queue): (&Arc<str>, &Queue)| {
            let freed = going.functions.get(function).copied().unwrap_or_default();
            let own = if **function == *sender { bytes } else { 0 };
            let left = (queue.bytes + own).saturating_sub(freed.bytes);
            (queue.messages > freed.messages).then(|| (left, **function == *sender, function.clone()))
        };
        self.queues.iter().filter_map(held).max().map(|(.., function)| function)
    }

    /// The function that has been silent the longest, of those of which nothing waits.
    pub(super) fn most_silent(&self) -> Option<Arc<str>> {
        let idle = self.queues.iter().filter(|(_, queue)| queue.messages == 0);
        idle.min_by_key(|(_, queue)| queue.last.id).map(|(function, _)| function.clone())
    }
}

/// Messages that are chosen to make room, each function's in order.
#[derive(Default)]
pub(super) struct Going {
    pub(super) places: Vec<Place>,
    pub(super) bytes: usize,
    functions: HashMap<Arc<str>, Freed>,
}

/// What of one function is chosen.
#[derive(Clone, Copy, Default)]
struct Freed {
    messages: usize,
    bytes: usize,
    last: u64,
}

impl Going {
    pub(super) fn add(&mut self, place: Place) {
        let freed = self.functions.entry(place.function.clone()).or_default();
        *freed = Freed { messages: freed.messages + 1, bytes: freed.bytes + place.bytes, last: place.id };
        self.bytes += place.bytes;
        self.places.push(place);
    }

    /// The id of the last that is chosen of a function, or 0.
    pub(super) fn last_of(&self, function: &str) -> u64 {
        self.functions.get(function).map_or(0, |freed| freed.last)
    }

    /// Chooses none of a function after all.
    pub(super) fn forget(&mut self, function: &str) {
        let freed = self.functions.remove(function).unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(freed.bytes);
        self.places.retain(|place| *place.function != *function);
    }
}
