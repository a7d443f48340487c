//! The validated small values of the configuration: node id and secret. It knows nothing of where they came from.

use std::fmt;
use std::str::FromStr;

/// The most characters that a node id may have.
const NODE_ID_MAX_CHARS: usize = 128;

/// The node's name, safe as one level of an MQTT topic: 1 to 128 characters, none of `/`, `+`, `#`, no control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(String);

/// Why a text can not be a node id. The messages continue a sentence that begins with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// No characters at all.
    #[error("is empty; a node id has 1 to 128 characters")]
    Empty,
    /// More than 128 characters.
    #[error("has {0} characters; a node id has 1 to 128")]
    TooLong(usize),
    /// A character that would change the meaning of an MQTT topic, or garble a log line.
    #[error(
        "holds {0:?}; a node id is one level of an MQTT topic, without `/`, `+`, `#` or control characters"
    )]
    Forbidden(char),
}

impl NodeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for NodeId {
    type Error = NodeIdError;

    fn try_from(text: String) -> Result<Self, NodeIdError> {
        if text.is_empty() {
            return Err(NodeIdError::Empty);
        }
        if let Some(bad) = text.chars().find(|c| matches!(c, '/' | '+' | '#') || c.is_control()) {
            return Err(NodeIdError::Forbidden(bad));
        }
        match text.chars().count() {
            count if count > NODE_ID_MAX_CHARS => Err(NodeIdError::TooLong(count)),
            _ => Ok(Self(text)),
        }
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        Self::try_from(text.to_owned())
    }
}

/// A password or key: printed as `***`, whichever way it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: for the wire, never for a log or a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_one_level_of_a_topic() {
        assert_eq!("gate way-7.Ünit".parse::<NodeId>().unwrap().as_str(), "gate way-7.Ünit");
        assert_eq!("".parse::<NodeId>(), Err(NodeIdError::Empty));
        for bad in ['/', '+', '#', '\0', '\n', '\u{7f}', '\u{85}'] {
            assert_eq!(format!("a{bad}b").parse::<NodeId>(), Err(NodeIdError::Forbidden(bad)));
        }
        assert!("ü".repeat(128).parse::<NodeId>().is_ok(), "characters are counted, not bytes");
        assert_eq!("x".repeat(129).parse::<NodeId>(), Err(NodeIdError::TooLong(129)));
    }

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?} {:?}", Some(&secret)), "*** *** *** Some(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }
}
