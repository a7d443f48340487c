//! Values that a function keeps on the device, by key. They survive restarts, redeployments and power cuts, are shared
//! by the function's instances, and go when the function does.
//!
//! ```
//! use twinlet_guest::{store, testing::Host};
//!
//! let host = Host::new();
//! store::set("calibration", "1.02").unwrap();
//! assert_eq!(store::get("calibration").unwrap().as_deref(), Some(b"1.02".as_slice()));
//! store::delete("calibration").unwrap();
//! assert!(!store::exists("calibration").unwrap());
//! assert!(host.stored().is_empty());
//! ```
//!
//! At most 1,024 keys of at most 128 bytes, values of at most 65,536 bytes, and 1 MiB of both together. Between a `get`
//! and a `set` another instance may have come: what is counted or changed step by step belongs into an
//! [`Actor`](crate::Actor), or into a function whose `instances.max` is 1.

use crate::agent;

/// Why something was not done: it is over a limit, past the function's share for this moment, or the device's disk
/// failed. Says which.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("store: {0}")]
pub struct Error(pub String);

/// A key's value, if it has one.
///
/// # Errors
/// [`Error`] says why there is no answer.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    agent::store_get(key)
}

/// Sets a value; it is on the disk when this returns.
///
/// # Errors
/// [`Error`] says why it was not done.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
    agent::store_set(key, value.as_ref())
}

/// Removes a key, if it is there; that is on the disk when this returns.
///
/// # Errors
/// [`Error`] says why it was not done.
pub fn delete(key: &str) -> Result<(), Error> {
    agent::store_delete(key)
}

/// Whether a key has a value.
///
/// # Errors
/// [`Error`] says why there is no answer.
pub fn exists(key: &str) -> Result<bool, Error> {
    agent::store_exists(key)
}

/// All keys, in alphabetical order.
///
/// # Errors
/// [`Error`] says why there is no answer.
pub fn keys() -> Result<Vec<String>, Error> {
    agent::store_keys()
}

#[cfg(feature = "json")]
pub use typed::{JsonError, get_json, set_json};

#[cfg(feature = "json")]
mod typed {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::{Error, get, set};
    use crate::json;

    /// Why a value was not kept or had as JSON. (Feature `json`.)
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    pub enum JsonError {
        /// The value has no JSON form.
        #[error(transparent)]
        ToJson(#[from] json::ToJsonError),
        /// What lies under the key is not what was asked for. Says the key and the field.
        #[error("store: {key}: {error}")]
        Parse {
            /// The key.
            key: String,
            /// What is wrong with its value.
            error: json::ParseError,
        },
        /// The agent did not do it.
        #[error(transparent)]
        Store(#[from] Error),
    }

    /// A key's value from its JSON, if it has one. (Feature `json`.)
    ///
    /// ```
    /// use twinlet_guest::{store, testing::Host};
    ///
    /// let host = Host::new();
    /// store::set_json("limits", &(1.5, 2.5)).unwrap();
    /// assert_eq!(store::get_json::<(f64, f64)>("limits").unwrap(), Some((1.5, 2.5)));
    /// let error = store::get_json::<String>("limits").unwrap_err();
    /// assert!(error.to_string().starts_with("store: limits: invalid type"));
    /// ```
    ///
    /// # Errors
    /// [`JsonError`] says why there is no answer.
    pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, JsonError> {
        let Some(text) = get(key)? else { return Ok(None) };
        let value = json::parse(&text).map_err(|error| JsonError::Parse { key: key.to_owned(), error })?;
        Ok(Some(value))
    }

    /// Sets a value to its JSON; see [`set`]. (Feature `json`.)
    ///
    /// # Errors
    /// [`JsonError`] says why it was not done.
    pub fn set_json(key: &str, value: &impl Serialize) -> Result<(), JsonError> {
        Ok(set(key, json::to_string(value)?)?)
    }
}
