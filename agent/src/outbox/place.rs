//! Where messages and counters lie in the table: a message under its function, its id and its sequence number, so
//! that a function's lie together and in order; a counter under its function.

use std::sync::Arc;

/// Bytes of a message's key after its function: `/`, id and sequence number.
const TAIL: usize = 1 + 8 + 8;

/// A message's place, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) function: Arc<str>,
    /// Over all functions; later messages have larger ids.
    pub(super) id: u64,
    /// Within the function: 1, 2, 3 and so on.
    pub(super) sequence: u64,
    /// Bytes that it takes of the outbox.
    pub(super) bytes: usize,
}

impl Place {
    pub(super) fn key(&self) -> Vec<u8> {
        key(&self.function, self.id, self.sequence)
    }

    /// None where this is not the key of a message.
    pub(super) fn read(key: &[u8], bytes: usize) -> Option<Self> {
        let (function, tail) = key.strip_prefix(b"m")?.split_at_checked(key.len().checked_sub(1 + TAIL)?)?;
        let (id, sequence) = tail.strip_prefix(b"/")?.split_first_chunk::<8>()?;
        let function = std::str::from_utf8(function).ok()?.into();
        let sequence = u64::from_be_bytes(sequence.try_into().ok()?);
        Some(Self { function, id: u64::from_be_bytes(*id), sequence, bytes })
    }
}

/// What the keys of all messages begin with.
pub(super) const MESSAGES: &[u8] = b"m";
/// The key of what is known of numbers that were skipped.
pub(super) const SKIPPED: &[u8] = b"s";
/// What the keys of all counters begin with.
pub(super) const COUNTERS: &[u8] = b"c";

/// What the keys of a function's messages begin with.
pub(super) fn messages_of(function: &str) -> Vec<u8> {
    [MESSAGES, function.as_bytes(), b"/"].concat()
}

/// The last key that a function's message of this id can have.
pub(super) fn end_of(function: &str, id: u64) -> Vec<u8> {
    key(function, id, u64::MAX)
}

fn key(function: &str, id: u64, sequence: u64) -> Vec<u8> {
    [&messages_of(function)[..], &id.to_be_bytes(), &sequence.to_be_bytes()].concat()
}

/// A function's last sequence number and id, kept when its messages are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) sequence: u64,
    pub(super) id: u64,
}

impl Counter {
    pub(super) fn key(function: &str) -> Vec<u8> {
        [COUNTERS, function.as_bytes()].concat()
    }

    pub(super) fn value(self) -> [u8; 16] {
        (u128::from(self.sequence) << 64 | u128::from(self.id)).to_be_bytes()
    }

    pub(super) fn read(key: &[u8], value: &[u8]) -> Option<(Arc<str>, Self)> {
        let function = std::str::from_utf8(key.strip_prefix(COUNTERS)?).ok()?.into();
        let (sequence, id) = value.split_first_chunk::<8>()?;
        let id = u64::from_be_bytes(id.try_into().ok()?);
        Some((function, Self { sequence: u64::from_be_bytes(*sequence), id }))
    }
}

/// Numbers that are not given, since the database lost records that may have had them: whoever has sent nothing after
/// the message of this id goes on after so many. Kept under a key of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) id: u64,
    pub(super) by: u64,
}

impl Skipped {
    pub(super) fn value(self) -> [u8; 16] {
        (u128::from(self.id) << 64 | u128::from(self.by)).to_be_bytes()
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (id, by) = value.split_first_chunk::<8>()?;
        Some(Self { id: u64::from_be_bytes(*id), by: u64::from_be_bytes(by.try_into().ok()?) })
    }

    /// How many numbers of a function were skipped between two of its messages.
    pub(super) fn between(self, before: Counter, after: Counter) -> u64 {
        if before.id <= self.id && self.id < after.id { self.by } else { 0 }
    }
}

/// A key that is read as a message's or a counter's is that one's key.
#[cfg(fuzzing)]
pub fn fuzz_place(data: &[u8]) {
    if let Some(place) = Place::read(data, 0) {
        assert_eq!(place.key(), data);
    }
    let (key, value) = data.split_at(data.len() / 2);
    if let Some((function, counter)) = Counter::read(key, value) {
        assert_eq!((Counter::key(&function), &counter.value()[..]), (key.to_vec(), value));
    }
}
