//! The function's own part of the device twin: its configuration in, its reported values out.

use crate::agent;

/// Why a value was not taken for the reported state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Not JSON, a key that is no `[a-zA-Z0-9_-]{1,64}`, or nesting of more than 8 levels. Says which.
    #[error("not reported: {0}")]
    Invalid(String),
    /// The function already reports as many keys as it may, or the value is too long. Says which, and the limit.
    #[error("not reported: {0}")]
    TooLarge(String),
    /// The function has used up its share for this moment. Try again later.
    #[error("not reported: rate-limited")]
    RateLimited,
}

/// The function's `config` from desired state, whole, as JSON text; `{}` where there is none.
pub fn config_json() -> String {
    agent::config()
}

/// One top-level key of `config` as JSON text (a string comes with its quotes); none if it is absent.
pub fn get_json(key: &str) -> Option<String> {
    agent::config_key(key)
}

/// Sets one key of what reported state shows under this function to a JSON text; `null` removes it. The last value
/// wins, and is published with the next report. At most 16 keys of at most 1,024 bytes each.
///
/// # Errors
/// [`ReportError`] says why the value was not taken.
pub fn report_json(key: &str, json: &str) -> Result<(), ReportError> {
    agent::report(key, json)
}

#[cfg(feature = "json")]
pub(crate) use typed::parse_config;
#[cfg(feature = "json")]
pub use typed::{ConfigError, config, get, report};

#[cfg(feature = "json")]
mod typed {
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::{ReportError, config_json, get_json, report_json};
    use crate::json;

    /// The configuration is not what the function asks for: the operator's fault, not the client's.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("config: {0}")]
    pub struct ConfigError(String);

    /// The function's `config`, typed. Give the type `#[serde(default)]` for keys that may be absent. (Feature `json`.)
    ///
    /// ```
    /// use twinlet_guest::{testing::Host, twin};
    ///
    /// #[derive(serde::Deserialize)]
    /// #[serde(default)]
    /// struct Config {
    ///     threshold: f64,
    /// }
    ///
    /// impl Default for Config {
    ///     fn default() -> Self {
    ///         Self { threshold: 20.0 }
    ///     }
    /// }
    ///
    /// let host = Host::new();
    /// assert_eq!(twin::config::<Config>().unwrap().threshold, 20.0);
    /// host.set_config_json(r#"{"threshold":"high"}"#);
    /// let error = twin::config::<Config>().err().unwrap();
    /// assert!(error.to_string().starts_with("config: threshold: invalid type"));
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] names the key.
    pub fn config<T: DeserializeOwned>() -> Result<T, ConfigError> {
        parse_config(&config_json())
    }

    pub(crate) fn parse_config<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
        json::parse(text.as_bytes()).map_err(|error| ConfigError(error.to_string()))
    }

    /// One top-level key of `config`, typed; none if it is absent. (Feature `json`.)
    ///
    /// # Errors
    /// [`ConfigError`] names the key.
    pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, ConfigError> {
        let Some(text) = get_json(key) else { return Ok(None) };
        let value = json::parse(text.as_bytes())
            .map_err(|error| ConfigError([key, ": ", &error.to_string()].concat()))?;
        Ok(Some(value))
    }

    /// Sets one key of what reported state shows under this function; see [`report_json`]. (Feature `json`.)
    ///
    /// ```
    /// use twinlet_guest::{testing::Host, twin};
    ///
    /// let host = Host::new();
    /// twin::report("last", &21.5).unwrap();
    /// assert_eq!(host.reported().get("last").map(String::as_str), Some("21.5"));
    /// ```
    ///
    /// # Errors
    /// [`ReportError`] says why the value was not taken.
    pub fn report(key: &str, value: &impl Serialize) -> Result<(), ReportError> {
        let text = json::to_string(value).map_err(|error| ReportError::Invalid(error.to_string()))?;
        report_json(key, &text)
    }
}
