//! Messages to the hub; knows nothing of brokers, which are the agent's affair.

use crate::agent;

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The function's `permissions.telemetry` is not set.
    #[error("telemetry is not permitted: set permissions.telemetry of this function")]
    NotPermitted,
    /// The message is larger than the limit, given in bytes.
    #[error("the telemetry message is larger than {0} bytes")]
    TooLarge(u64),
    /// The agent's outbox is full, for instance because the broker has been away for long. Try again later.
    #[error("the agent's telemetry outbox is full")]
    Full,
}

/// Hands one message to the agent's outbox, which delivers in order, at least once, on the topic
/// `edge/telemetry/{node_id}/{function_id}`. Returns the message's sequence number: 1 for the function's first message
/// since the agent started, then one more each.
///
/// ```
/// use twinlet_guest::{telemetry, testing::Host};
///
/// let host = Host::new();
/// assert_eq!(telemetry::send("21.5"), Ok(1));
/// assert_eq!(host.telemetry(), [b"21.5"]);
/// ```
///
/// # Errors
/// [`Error`] says why the message was not taken; nothing is sent then.
pub fn send(message: impl AsRef<[u8]>) -> Result<u64, Error> {
    agent::send_telemetry(message.as_ref())
}

/// Sends a value as JSON; see [`send`]. (Feature `json`.)
///
/// # Errors
/// [`Error`] says why the message was not taken; a value that has no JSON form is [`json::ToJsonError`].
///
/// [`json::ToJsonError`]: crate::json::ToJsonError
#[cfg(feature = "json")]
pub fn send_json(value: &impl serde::Serialize) -> Result<u64, SendJsonError> {
    Ok(send(crate::json::to_string(value)?)?)
}

/// Why a value was not sent as JSON. (Feature `json`.)
#[cfg(feature = "json")]
#[derive(Debug, thiserror::Error)]
pub enum SendJsonError {
    /// The value has no JSON form.
    #[error(transparent)]
    Json(#[from] crate::json::ToJsonError),
    /// The message was not taken.
    #[error(transparent)]
    Telemetry(#[from] Error),
}
