//! Reading and writing JSON with errors that name the field; knows nothing of where the text comes from.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a text is not the JSON that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// A value that has no JSON form, such as a map whose keys are no strings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ToJsonError(String);

/// Reads JSON into a type.
///
/// ```
/// #[derive(Debug, serde::Deserialize)]
/// struct Limits {
///     high: f64,
/// }
///
/// let error = twinlet_guest::json::parse::<Vec<Limits>>(br#"[{"high":1.5},{"high":"2"}]"#).unwrap_err();
/// assert_eq!(error.to_string(), r#"[1].high: invalid type: string "2", expected f64 at line 1 column 25"#);
/// ```
///
/// # Errors
/// [`ParseError`] names the field, the line and the column.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ParseError> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            // The document itself, not one of its fields.
            "." => ParseError(error.inner().to_string()),
            path => ParseError([path, ": ", &error.inner().to_string()].concat()),
        }
    })?;
    reader.end().map_err(|error| ParseError(error.to_string()))?;
    Ok(value)
}

/// Writes a value as JSON.
///
/// # Errors
/// [`ToJsonError`] if it has no JSON form.
pub fn to_string(value: &impl Serialize) -> Result<String, ToJsonError> {
    serde_json::to_string(value).map_err(|error| ToJsonError(error.to_string()))
}
