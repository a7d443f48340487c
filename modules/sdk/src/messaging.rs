//! Messages to actors, timers and kept state; knows nothing of mailboxes, which are the agent's affair.
//!
//! A name stands for the function that `outputs` of the sender gives it in desired state; [`SELF`] stands for the
//! sending actor. Any function may [`cast`] and [`call`]; timers and state are for an [`Actor`](crate::Actor) alone.
//!
//! ```
//! use twinlet_guest::messaging::{self, Reply};
//! use twinlet_guest::testing::Host;
//!
//! let host = Host::new();
//! host.set_outputs(["alarm", "counter"]);
//! host.set_calls(|_name, message| Ok(Reply::bytes([message, b"!"].concat())));
//!
//! messaging::cast("alarm", "too hot").unwrap();
//! assert_eq!(host.casts()[0].message, b"too hot");
//! assert_eq!(messaging::call("counter", "hello").unwrap().body(), b"hello!");
//! ```

use std::time::Duration;

use crate::agent;
use crate::bindings::imports::twinlet::device::types as raw;

/// The name by which an actor sends to itself.
pub const SELF: &str = "self";

/// Why a message, a timer or a state was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `outputs` does not have the name, or what it stands for is not deployed or no actor. Says which.
    #[error("not sent: {0}")]
    Unknown(String),
    /// The actor's mailbox is full, or the actor has as many timers as it may. Nothing that was taken is dropped. Try
    /// again later.
    #[error("not sent: the mailbox is full, or there are as many timers as there may be")]
    Full,
    /// Larger than the limit, given in bytes.
    #[error("the message or the state is larger than {0} bytes")]
    TooLarge(u64),
    /// The function has used up its share of messages for this moment. Try again later.
    #[error("not sent: rate-limited")]
    RateLimited,
    /// Only an actor can do this.
    #[error("only an actor has timers and state")]
    NotAnActor,
    /// The device could not keep it. Says why.
    #[error("the device could not keep it: {0}")]
    Storage(String),
}

/// A call had no answer: the name is unknown, the callee failed or crashed, took too long, or would have had to wait
/// for the caller. The agent's log says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call had no answer; the agent's log says why")]
pub struct CallFailed;

/// Who sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceId {
    /// The node.
    pub node_id: String,
    /// The function; empty for a request that came by an HTTP route.
    pub function_id: String,
}

impl InstanceId {
    /// Whether the message is the body of a request that came by an HTTP route.
    pub fn is_http(&self) -> bool {
        self.function_id.is_empty()
    }
}

impl From<raw::InstanceId> for InstanceId {
    fn from(raw: raw::InstanceId) -> Self {
        Self { node_id: raw.node_id, function_id: raw.function_id }
    }
}

/// What comes of a call: an answer, or that there is nothing to say. Over HTTP an answer is a 200 with these bytes as
/// the body, and nothing is a 204.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(Option<Vec<u8>>);

impl Reply {
    /// The message was taken, and there is nothing to say.
    pub fn none() -> Self {
        Self(None)
    }

    /// An answer.
    pub fn bytes(answer: impl Into<Vec<u8>>) -> Self {
        Self(Some(answer.into()))
    }

    /// An answer as JSON. (Feature `json`.)
    ///
    /// # Errors
    /// [`json::ToJsonError`](crate::json::ToJsonError) if the value has no JSON form.
    #[cfg(feature = "json")]
    pub fn json(value: &impl serde::Serialize) -> Result<Self, crate::json::ToJsonError> {
        Ok(Self::bytes(crate::json::to_string(value)?))
    }

    /// Whether there is nothing to say.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The answer; empty where there is nothing to say.
    pub fn body(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Takes the answer; none where there is nothing to say.
    pub fn into_body(self) -> Option<Vec<u8>> {
        self.0
    }

    /// The answer as JSON of the type that is asked for. (Feature `json`.)
    ///
    /// # Errors
    /// [`json::ParseError`](crate::json::ParseError), naming the field; also where there is nothing to say.
    #[cfg(feature = "json")]
    pub fn body_json<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::json::ParseError> {
        crate::json::parse(self.body())
    }
}

impl From<Reply> for raw::CallRet {
    fn from(reply: Reply) -> Self {
        reply.0.map_or(Self::Noreply, Self::Reply)
    }
}

/// Puts a message into an actor's mailbox, and does not wait for what becomes of it.
///
/// # Errors
/// [`Error`] says why the message was not taken.
pub fn cast(name: &str, message: impl AsRef<[u8]>) -> Result<(), Error> {
    agent::cast(name, message.as_ref())
}

/// Sends a message to an actor and waits for the answer, which comes after all that lies in its mailbox already.
///
/// # Errors
/// [`CallFailed`] if there is none.
pub fn call(name: &str, message: impl AsRef<[u8]>) -> Result<Reply, CallFailed> {
    agent::call(name, message.as_ref())
}

/// As [`cast`], after a delay, counted in whole milliseconds. When this returns, the timer is on the disk: it survives
/// a crash, a redeployment and a power cut, and fires at least once. Nothing takes it back: let the message say what it
/// belongs to, so that one that is no longer wanted can be told.
///
/// # Errors
/// [`Error`] says why the timer was not taken.
pub fn delayed_cast(delay: Duration, name: &str, message: impl AsRef<[u8]>) -> Result<(), Error> {
    // Rounded up: a timer must never fire before its time.
    let delay_ms = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    agent::delayed_cast(delay_ms, name, message.as_ref())
}

/// Keeps the actor's state for its next start: after a crash, a change or a restart `init` gets what was synced last.
///
/// # Errors
/// [`Error`] says why the state was not kept; what was kept before still is.
pub fn sync(state: impl AsRef<[u8]>) -> Result<(), Error> {
    agent::sync(state.as_ref())
}

/// Who this function is.
pub fn me() -> InstanceId {
    agent::me()
}

/// Why a value was not sent or kept as JSON. (Feature `json`.)
#[cfg(feature = "json")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The value has no JSON form.
    #[error(transparent)]
    ToJson(#[from] crate::json::ToJsonError),
    /// It was not taken.
    #[error(transparent)]
    Messaging(#[from] Error),
}

/// Casts a value as JSON; see [`cast`]. (Feature `json`.)
///
/// # Errors
/// [`JsonError`] says why it was not sent.
#[cfg(feature = "json")]
pub fn cast_json(name: &str, value: &impl serde::Serialize) -> Result<(), JsonError> {
    Ok(cast(name, crate::json::to_string(value)?)?)
}

/// Keeps a value as JSON as the actor's state; see [`sync`], and [`Init::state_json`](crate::actor::Init::state_json)
/// for having it again. (Feature `json`.)
///
/// # Errors
/// [`JsonError`] says why it was not kept.
#[cfg(feature = "json")]
pub fn sync_json(state: &impl serde::Serialize) -> Result<(), JsonError> {
    Ok(sync(crate::json::to_string(state)?)?)
}
