//! `wasi:config/store`: the function's `config`, key by key.

use serde_json::Value;

use crate::Guest;
use crate::bindings::wasi::config::store::{Error, Host};

impl Host for Guest {
    fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        self.throttle(key.len());
        Ok(self.environment.config.get(&key).map(text))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, Error> {
        self.throttle(self.environment.config_text.len());
        Ok(self.environment.config.iter().map(|(key, value)| (key.clone(), text(value))).collect())
    }
}

/// A string as it is, anything else as JSON.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
