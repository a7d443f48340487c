//! `twinlet:device/messaging`: messages to actors, timers and kept state. Resolves names by the function's `outputs`;
//! knows nothing of mailboxes, which are behind [`Messages`].

use std::time::{Duration, Instant};

pub use crate::bindings::twinlet::device::messaging::Error;
pub use crate::bindings::twinlet::device::types::{CallRet, InstanceId};

use crate::Guest;
use crate::bindings::twinlet::device::messaging::Host;
use crate::rates::Kind;

/// Bytes of one message.
pub const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Bytes of an actor's state.
pub const MAX_STATE_BYTES: usize = 64 << 10;
/// The name by which an actor sends to itself.
const SELF: &str = "self";

/// Who sends, as far as the receiving side must know it.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Its function.
    pub function_id: String,
    /// Whether it is in the middle of an actor's event, and so keeps that actor busy until it goes on.
    pub in_event: bool,
    /// How many calls from guest to guest lie below it on this thread.
    pub depth: u32,
}

/// Takes messages for actors. The names are function ids already.
pub trait Messages: Send + Sync {
    /// Puts a message into a mailbox.
    fn cast(&self, from: &Sender, to: &str, message: Vec<u8>) -> Result<(), Error>;
    /// Delivers a message and waits for the answer. Blocks until `deadline` at the longest.
    fn call(&self, from: &Sender, to: &str, message: &[u8], deadline: Instant) -> CallRet;
    /// Keeps a timer on the disk.
    fn delayed_cast(&self, from: &Sender, delay: Duration, to: &str, message: Vec<u8>) -> Result<(), Error>;
    /// Keeps the sending actor's state.
    fn sync(&self, from: &Sender, state: Vec<u8>) -> Result<(), Error>;
}

impl Guest {
    fn sender(&self) -> Sender {
        let function_id = self.environment.function_id.clone();
        Sender { function_id, in_event: self.in_event, depth: self.depth }
    }

    /// The function that a name stands for.
    fn target(&self, name: &str) -> Result<String, Error> {
        if name == SELF {
            return Ok(self.environment.function_id.clone());
        }
        let found = self.environment.outputs.get(name);
        found
            .cloned()
            .ok_or_else(|| Error::Unknown(format!("`{}` is not in outputs", crate::logging::escaped(name))))
    }

    fn outgoing(&self, kind: Kind, name: &str, message: &[u8], limit: usize) -> Result<(), Error> {
        if message.len() > limit {
            return Err(Error::TooLarge(limit as u64));
        }
        if self.may(kind, name.len() + message.len()) { Ok(()) } else { Err(Error::RateLimited) }
    }
}

impl Host for Guest {
    fn cast(&mut self, name: String, message: Vec<u8>) -> Result<(), Error> {
        self.outgoing(Kind::Message, &name, &message, MAX_MESSAGE_BYTES)?;
        let to = self.target(&name)?;
        self.environment.messages.cast(&self.sender(), &to, message)
    }

    fn call(&mut self, name: String, message: Vec<u8>) -> CallRet {
        let checked = self
            .outgoing(Kind::Message, &name, &message, MAX_MESSAGE_BYTES)
            .and_then(|()| self.target(&name));
        match checked {
            Ok(to) => self.environment.messages.call(&self.sender(), &to, &message, self.deadline()),
            Err(error) => {
                self.environment.log.write(log::Level::Warn, "call", &format!("{name}: {error:?}"));
                CallRet::Err
            }
        }
    }

    fn delayed_cast(&mut self, delay_ms: u64, name: String, message: Vec<u8>) -> Result<(), Error> {
        self.outgoing(Kind::Storage, &name, &message, MAX_MESSAGE_BYTES)?;
        let to = self.target(&name)?;
        let sender = self.sender();
        let delay = Duration::from_millis(delay_ms);
        self.waiting(|guest| guest.environment.messages.delayed_cast(&sender, delay, &to, message))
    }

    fn sync(&mut self, state: Vec<u8>) -> Result<(), Error> {
        self.outgoing(Kind::Storage, "", &state, MAX_STATE_BYTES)?;
        let sender = self.sender();
        self.waiting(|guest| guest.environment.messages.sync(&sender, state))
    }

    fn self_(&mut self) -> InstanceId {
        self.throttle(0);
        let Guest { environment, .. } = self;
        InstanceId { node_id: environment.node_id.clone(), function_id: environment.function_id.clone() }
    }
}
