//! What waits for one actor, in the order of arrival. Bounded in count and in bytes: the newest is refused.

use std::collections::VecDeque;
use std::sync::Arc;

use twinlet_host::messaging::{InstanceId, MAX_MESSAGE_BYTES};

use super::record::Timer;

/// Messages in a mailbox.
const MAX_EVENTS: usize = 1_024;
/// Bytes of their contents.
const MAX_BYTES: usize = 1 << 20;

/// A message that nobody waits for an answer to.
pub(super) struct Event {
    /// Who sent it.
    pub(super) src: InstanceId,
    pub(super) content: Content,
}

/// What it says.
pub(super) enum Content {
    /// What was cast.
    Cast(Vec<u8>),
    /// A timer, which is over when the event is.
    Timer(Arc<Timer>),
}

impl Event {
    pub(super) fn message(&self) -> &[u8] {
        match &self.content {
            Content::Cast(message) => message,
            Content::Timer(timer) => &timer.message,
        }
    }
}

/// Messages in the order of their arrival.
#[derive(Default)]
pub(super) struct Mailbox {
    events: VecDeque<Event>,
    bytes: usize,
    /// Events that ever arrived.
    arrived: u64,
}

impl Mailbox {
    /// Takes an event, or gives it back where there is no room.
    pub(super) fn push(&mut self, event: Event) -> Result<(), Event> {
        let bytes = self.bytes.saturating_add(event.message().len());
        if self.events.len() >= MAX_EVENTS || bytes > MAX_BYTES {
            return Err(event);
        }
        self.bytes = bytes;
        self.arrived += 1;
        self.events.push_back(event);
        Ok(())
    }

    /// The oldest event, if it arrived before `mark`.
    pub(super) fn pop_before(&mut self, mark: u64) -> Option<Event> {
        let oldest = self.arrived - self.events.len() as u64;
        if oldest >= mark {
            return None;
        }
        self.pop()
    }

    /// The oldest event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= event.message().len();
        Some(event)
    }

    /// Stands between what has arrived and what will.
    pub(super) fn mark(&self) -> u64 {
        self.arrived
    }

    /// Whether as much as any message is would be taken.
    pub(super) fn has_room(&self) -> bool {
        self.events.len() < MAX_EVENTS && self.bytes + MAX_MESSAGE_BYTES <= MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &[u8]) -> Event {
        let src = InstanceId { node_id: "n".into(), function_id: "f".into() };
        Event { src, content: Content::Cast(message.to_vec()) }
    }

    #[test]
    fn the_newest_is_refused_when_either_bound_is_reached() {
        let mut mailbox = Mailbox::default();
        for _ in 0..MAX_EVENTS {
            assert!(mailbox.push(event(b"x")).is_ok());
        }
        assert!(mailbox.push(event(b"x")).is_err());
        assert!(!mailbox.has_room());
        let mark = mailbox.mark();
        assert_eq!(std::iter::from_fn(|| mailbox.pop_before(mark)).count(), MAX_EVENTS);
        for _ in 0..16 {
            assert!(mailbox.push(event(&[0; 64 << 10])).is_ok());
        }
        assert!(mailbox.push(event(b"x")).is_err());
        assert!(mailbox.pop().is_some() && mailbox.push(event(b"x")).is_ok());
    }

    #[test]
    fn a_mark_parts_what_was_there_from_what_came_later() {
        let mut mailbox = Mailbox::default();
        assert!(mailbox.push(event(b"1")).is_ok() && mailbox.push(event(b"2")).is_ok());
        assert!(mailbox.pop().is_some());
        let mark = mailbox.mark();
        assert!(mailbox.push(event(b"3")).is_ok());
        assert_eq!(mailbox.pop_before(mark).map(|e| e.message().to_vec()), Some(b"2".to_vec()));
        assert!(mailbox.pop_before(mark).is_none());
        assert_eq!(mailbox.pop().map(|e| e.message().to_vec()), Some(b"3".to_vec()));
    }
}
