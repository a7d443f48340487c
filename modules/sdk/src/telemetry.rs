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
    /// The function has used up its share for this moment. Try again later.
    #[error("telemetry is rate-limited")]
    RateLimited,
    /// The device could not keep the message, for instance because its disk is full. Says why.
    #[error("the device could not keep the telemetry message: {0}")]
    Storage(String),
}

/// Hands one message to the agent's outbox, and returns when it is on the disk. From there it is delivered in order and
/// at least once, on the topic `edge/telemetry/{node_id}/{function_id}`, whatever happens to the link, the agent or the
/// power. The outbox is bounded: while the broker is away for long the oldest messages make room for new ones.
///
/// Returns the message's sequence number within the function: 1 for its first, then one more each.
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
