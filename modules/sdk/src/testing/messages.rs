//! Messages, timers and kept state, as a test's agent takes them, within the agent's limits.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::{Host, with};
use crate::messaging::{CallFailed, Error, Reply, SELF};

const MAX_MESSAGE_BYTES: usize = 65_536;
const MAX_MAILBOX: usize = 1_024;
const MAX_TIMERS: usize = 1_024;

/// A message that the function cast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// To whom, by the name in `outputs`, or `self`.
    pub name: String,
    /// What.
    pub message: Vec<u8>,
}

/// A message that the function cast for later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// How long it takes until the message is sent.
    pub after: Duration,
    /// To whom, by the name in `outputs`, or `self`.
    pub name: String,
    /// What.
    pub message: Vec<u8>,
}

type Calls = Box<dyn FnMut(&str, &[u8]) -> Result<Reply, CallFailed>>;

#[derive(Default)]
pub(super) struct Messages {
    outputs: BTreeSet<String>,
    casts: Vec<Cast>,
    calls: Option<Calls>,
    error: Option<Error>,
    /// What waits for the actor itself.
    pub(super) mailbox: VecDeque<Vec<u8>>,
    /// Timers by the monotonic time they are due, in the order they were set.
    timers: Vec<(Duration, Cast)>,
    pub(super) synced: Option<Vec<u8>>,
    /// Whether an actor's event runs.
    pub(super) in_event: bool,
}

impl Host {
    /// The names in the function's `outputs`.
    pub fn set_outputs<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        with(|state| state.messages.outputs = names.into_iter().map(str::to_owned).collect());
    }

    /// Answers calls to the names in `outputs`; without this every call fails.
    pub fn set_calls(&self, answer: impl FnMut(&str, &[u8]) -> Result<Reply, CallFailed> + 'static) {
        with(|state| state.messages.calls = Some(Box::new(answer)));
    }

    /// Refuses every further cast, timer and state.
    pub fn refuse_messages(&self, error: Error) {
        with(|state| state.messages.error = Some(error));
    }

    /// The messages that were cast so far, oldest first: also those to `self`, and those of timers that have fired.
    pub fn casts(&self) -> Vec<Cast> {
        with(|state| state.messages.casts.clone())
    }

    /// The timers that have not fired yet, in the order they will.
    pub fn timers(&self) -> Vec<Timer> {
        with(|state| {
            let now = state.node.monotonic;
            let mut timers = state.messages.timers.clone();
            timers.sort_by_key(|(due, _)| *due);
            let waiting = timers.into_iter().map(|(due, Cast { name, message })| {
                let after = due.saturating_sub(now);
                Timer { after, name, message }
            });
            waiting.collect()
        })
    }

    /// The state that was synced last.
    pub fn synced(&self) -> Option<Vec<u8>> {
        with(|state| state.messages.synced.clone())
    }

    /// Sets what an actor starts from, as if an earlier one had synced it.
    pub fn set_synced(&self, synced: impl Into<Vec<u8>>) {
        with(|state| state.messages.synced = Some(synced.into()));
    }
}

impl Messages {
    fn check(&self, name: &str, message: &[u8]) -> Result<(), Error> {
        self.fits(message)?;
        if name == SELF || self.outputs.contains(name) {
            return Ok(());
        }
        Err(Error::Unknown(format!("`{name}` is not in outputs")))
    }

    fn fits(&self, message: &[u8]) -> Result<(), Error> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Error::TooLarge(MAX_MESSAGE_BYTES as u64));
        }
        self.error.clone().map_or(Ok(()), Err)
    }

    fn send(&mut self, cast: Cast) {
        if cast.name == SELF {
            self.mailbox.push_back(cast.message.clone());
        }
        self.casts.push(cast);
    }

    /// Sends what is due first, up to a time, and says when it was due; none if nothing is.
    pub(super) fn fire(&mut self, until: Duration) -> Option<Duration> {
        let next = self.timers.iter().enumerate().min_by_key(|(_, (due, _))| *due);
        let (index, due) = next.map(|(index, (due, _))| (index, *due)).filter(|(_, due)| *due <= until)?;
        let (_, cast) = self.timers.remove(index);
        self.send(cast);
        Some(due)
    }
}

pub(crate) mod agent {
    use std::time::Duration;

    use super::{Cast, MAX_MAILBOX, MAX_TIMERS, with};
    use crate::messaging::{CallFailed, Error, InstanceId, Reply, SELF};

    pub(crate) fn cast(name: &str, message: &[u8]) -> Result<(), Error> {
        with(|state| {
            state.messages.check(name, message)?;
            if name == SELF && !state.messages.in_event {
                return Err(Error::Unknown("`self` is no actor".to_owned()));
            }
            if name == SELF && state.messages.mailbox.len() >= MAX_MAILBOX {
                return Err(Error::Full);
            }
            state.messages.send(Cast { name: name.to_owned(), message: message.to_vec() });
            Ok(())
        })
    }

    pub(crate) fn call(name: &str, message: &[u8]) -> Result<Reply, CallFailed> {
        let known = with(|state| state.messages.check(name, message).is_ok());
        // Taken out for the call, since the answer may itself look at the host. Nobody can call oneself.
        let answer = with(|state| state.messages.calls.take());
        let Some(mut answer) = answer else { return Err(CallFailed) };
        let reply = if known && name != SELF { answer(name, message) } else { Err(CallFailed) };
        with(|state| state.messages.calls = Some(answer));
        reply
    }

    pub(crate) fn delayed_cast(delay_ms: u64, name: &str, message: &[u8]) -> Result<(), Error> {
        with(|state| {
            state.messages.check(name, message)?;
            if !state.messages.in_event {
                return Err(Error::NotAnActor);
            }
            if state.messages.timers.len() >= MAX_TIMERS {
                return Err(Error::Full);
            }
            let due = state.node.monotonic.saturating_add(Duration::from_millis(delay_ms));
            let cast = Cast { name: name.to_owned(), message: message.to_vec() };
            state.messages.timers.push((due, cast));
            Ok(())
        })
    }

    pub(crate) fn sync(synced: &[u8]) -> Result<(), Error> {
        with(|state| {
            state.messages.fits(synced)?;
            if !state.messages.in_event {
                return Err(Error::NotAnActor);
            }
            state.messages.synced = Some(synced.to_vec());
            Ok(())
        })
    }

    pub(crate) fn me() -> InstanceId {
        InstanceId { node_id: "node-test".to_owned(), function_id: "fn-test".to_owned() }
    }
}
