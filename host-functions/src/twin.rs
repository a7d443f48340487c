//! `twinlet:device/twin`: the function's config, and the values it reports. Knows nothing of the twin's document.

pub use crate::bindings::twinlet::device::twin::Error;

use serde_json::Value;

use crate::Guest;
use crate::bindings::twinlet::device::twin::Host;
use crate::rates::Kind;

/// Bytes of JSON in one reported value.
pub const MAX_VALUE_BYTES: usize = 1_024;
/// Levels of nesting in one reported value.
const MAX_DEPTH: usize = 8;
/// Characters in a reported key.
const MAX_KEY_CHARS: usize = 64;

/// Takes the values that functions report.
pub trait ReportSink: Send + Sync {
    /// Sets, or with `Value::Null` removes, one key of a function's reported values.
    fn report(&self, function_id: &str, key: &str, value: Value) -> Result<(), Error>;
}

impl Host for Guest {
    fn config(&mut self) -> String {
        self.throttle(self.environment.config_text.len());
        self.environment.config_text.clone()
    }

    fn get(&mut self, key: String) -> Option<String> {
        self.throttle(key.len());
        self.environment.config.get(&key).map(Value::to_string)
    }

    fn report(&mut self, key: String, value: String) -> Result<(), Error> {
        if !self.may(Kind::Report, key.len() + value.len()) {
            return Err(Error::RateLimited);
        }
        let value = checked(&key, &value)?;
        self.environment.reports.report(&self.environment.function_id, &key, value)
    }
}

fn checked(key: &str, value: &str) -> Result<Value, Error> {
    let key_is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if key.is_empty() || key.len() > MAX_KEY_CHARS || !key_is_plain {
        return Err(Error::Invalid("the key does not match [a-zA-Z0-9_-]{1,64}".into()));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(Error::TooLarge(format!("{key}: a value has at most {MAX_VALUE_BYTES} bytes of JSON")));
    }
    let value = serde_json::from_str(value).map_err(|e| Error::Invalid(format!("{key}: not JSON: {e}")))?;
    if depth(&value) > MAX_DEPTH {
        return Err(Error::Invalid(format!("{key}: nested more than {MAX_DEPTH} levels deep")));
    }
    Ok(value)
}

/// Levels of arrays and objects in a JSON value; 0 for a plain one.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_is_plain_short_and_shallow() {
        assert!(matches!(checked("last", "23.5"), Ok(Value::Number(_))));
        assert!(matches!(checked("a.b", "1"), Err(Error::Invalid(_))));
        assert!(matches!(checked("a", "{"), Err(Error::Invalid(_))));
        assert!(matches!(checked("a", &format!("\"{}\"", "x".repeat(1_024))), Err(Error::TooLarge(_))));
        assert!(matches!(
            checked("a", &format!("{}{}", "[".repeat(9), "]".repeat(9))),
            Err(Error::Invalid(_))
        ));
    }
}
