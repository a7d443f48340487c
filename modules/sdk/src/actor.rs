//! Functions with a mailbox, timers and kept state. The names are those of Erlang's `gen_server`.
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use twinlet_guest::messaging;
//! use twinlet_guest::prelude::*;
//!
//! /// Counts what it is sent, and says how often that was.
//! struct Counter {
//!     count: u64,
//! }
//!
//! actor!(Counter);
//!
//! impl Actor for Counter {
//!     fn init(init: Init) -> Result<Self, Error> {
//!         Ok(Self { count: init.state_json()?.unwrap_or(0) })
//!     }
//!
//!     fn cast(&mut self, _from: &InstanceId, _message: &[u8]) -> Result<(), Error> {
//!         self.count += 1;
//!         Ok(messaging::sync_json(&self.count)?)
//!     }
//!
//!     fn call(&mut self, _from: &InstanceId, _message: &[u8]) -> Result<Reply, Error> {
//!         Ok(Reply::json(&self.count)?)
//!     }
//! }
//!
//! // Tested natively: the host plays mailbox, timers and state.
//! use twinlet_guest::testing::{Host, TestActor};
//!
//! let host = Host::new();
//! let mut counter = TestActor::<Counter>::start().unwrap();
//! counter.cast("tick").unwrap();
//! counter.cast("tick").unwrap();
//! assert_eq!(counter.call("").unwrap(), Reply::bytes("2"));
//!
//! let mut after_a_crash = counter.restart().unwrap();
//! assert_eq!(after_a_crash.call("").unwrap(), Reply::bytes("2"));
//! # }
//! ```

use std::cell::RefCell;

use crate::error::Error;
use crate::log::{self, Level};
use crate::messaging::{InstanceId, Reply};

/// A function with a mailbox, made a component's export by [`actor!`](crate::actor!). The agent gives it one event at a
/// time, in the order of their arrival; what it keeps in its fields is there for the next one.
///
/// A panic is a crash: the event is lost, and a new instance starts from what was synced last. An error is not.
pub trait Actor: Sized + 'static {
    /// The first event of every instance: at deployment, after a change of `config`, after a crash or a restart. Timers
    /// that were set before may still fire.
    ///
    /// # Errors
    /// It is logged, and the instance has crashed; the agent tries again, after a growing wait.
    fn init(init: Init) -> Result<Self, Error>;

    /// A message that nobody waits for an answer to: from `cast`, or from `delayed_cast` when its time has come.
    ///
    /// # Errors
    /// It is logged; the actor goes on as it is.
    fn cast(&mut self, from: &InstanceId, message: &[u8]) -> Result<(), Error> {
        Err(unexpected("cast", from, message))
    }

    /// A message whose sender waits. A request that came by an HTTP route is one, with its body as the message.
    ///
    /// # Errors
    /// It is logged, and the sender learns that the call failed, over HTTP by a 500; the actor goes on as it is.
    fn call(&mut self, from: &InstanceId, message: &[u8]) -> Result<Reply, Error> {
        Err(unexpected("call", from, message))
    }

    /// The last event, before the instance goes: the function was taken away, has a new version or config, or the agent
    /// ends. Not called after a crash or a power cut, so nothing may depend on it.
    fn stop(&mut self) {}
}

fn unexpected(what: &str, from: &InstanceId, message: &[u8]) -> Error {
    let sender = if from.is_http() { "an HTTP route" } else { &from.function_id };
    let size = message.len().to_string();
    Error::new(["an unexpected ", what, " of ", &size, " bytes from ", sender].concat())
}

/// What an actor starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    config: String,
    state: Option<Vec<u8>>,
}

impl Init {
    /// The function's `config` from desired state, a JSON object as text.
    pub fn config_json(&self) -> &str {
        &self.config
    }

    /// What the actor synced last; none if it never did.
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// The function's `config`, typed; see [`twin::config`](crate::twin::config). (Feature `json`.)
    ///
    /// # Errors
    /// [`ConfigError`](crate::twin::ConfigError) names the key.
    #[cfg(feature = "json")]
    pub fn config<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::twin::ConfigError> {
        crate::twin::parse_config(&self.config)
    }

    /// What [`sync_json`](crate::messaging::sync_json) kept last; none if nothing ever was. (Feature `json`.)
    ///
    /// # Errors
    /// [`StateError`] names the field. An actor that passes it on never starts again until its function changes: where
    /// an earlier version may have kept another shape, take both.
    #[cfg(feature = "json")]
    pub fn state_json<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, StateError> {
        self.state().map(crate::json::parse).transpose().map_err(StateError)
    }
}

/// The state that was kept is not of the type that is asked for. (Feature `json`.)
#[cfg(feature = "json")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state: {0}")]
pub struct StateError(crate::json::ParseError);

/// Holds the one actor of a component, and runs its events as the agent's calls do.
#[doc(hidden)]
pub struct Slot<A>(RefCell<Option<A>>);

impl<A: Actor> Slot<A> {
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// # Errors
    /// What the log says too; the instance is of no use then.
    pub fn init(&self, config: String, state: Option<Vec<u8>>) -> Result<(), String> {
        let actor = A::init(Init { config, state }).map_err(|error| logged("init", &error))?;
        self.0.replace(Some(actor));
        Ok(())
    }

    /// # Errors
    /// What the log says too.
    pub fn cast(&self, from: &InstanceId, message: &[u8]) -> Result<(), String> {
        self.event("cast", |actor| actor.cast(from, message))
    }

    /// # Errors
    /// What the log says too.
    pub fn call(&self, from: &InstanceId, message: &[u8]) -> Result<Reply, String> {
        self.event("call", |actor| actor.call(from, message))
    }

    pub fn stop(&self) {
        if let Some(mut actor) = self.0.take() {
            actor.stop();
        }
    }

    fn event<T>(&self, what: &str, f: impl FnOnce(&mut A) -> Result<T, Error>) -> Result<T, String> {
        let outcome = match self.0.borrow_mut().as_mut() {
            Some(actor) => f(actor),
            None => Err(Error::new("the actor has not started")),
        };
        outcome.map_err(|error| logged(what, &error))
    }
}

fn logged(what: &str, error: &Error) -> String {
    let text = error.to_string();
    log::write_text(Level::Error, "actor", &[what, ": ", &text].concat());
    text
}
