//! The names that desired state gives to things, valid by construction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not of the form every id has.
    #[error("`{0}` is not an id: {ID_RULE}")]
    Id(String),
    /// Not 64 hexadecimal digits.
    #[error("`{0}` is not a sha256: it has 64 hexadecimal digits")]
    Sha256(String),
}

const ID_RULE: &str =
    "1 to 64 lower-case letters, digits, `_` and `-`, of which the first is a letter or digit";

fn is_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 64
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|b| plain(b) || b == b'_' || b == b'-')
}

/// Cuts a text from outside to what fits an error message.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(80).flat_map(char::escape_default).collect();
    if text.chars().nth(80).is_some() { format!("{short}…") } else { short }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The id as text; safe in a path, a topic and a metric's label.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_id(text) { Ok(Self(text.to_owned())) } else { Err(IdError::Id(shown(text))) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// Names a function: `[a-z0-9][a-z0-9_-]{0,63}`.
    FunctionId
}
id! {
    /// Names a route: `[a-z0-9][a-z0-9_-]{0,63}`.
    RouteId
}
id! {
    /// Names a middleware: `[a-z0-9][a-z0-9_-]{0,63}`.
    MiddlewareId
}

/// The SHA-256 digest that names an artifact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// A digest from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Sha256 {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::Sha256(shown(text));
        let digits: Vec<u8> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |b, d| b << 4 | d)).collect();
        if digits.len() != 64 {
            return Err(wrong());
        }
        bytes.try_into().map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_nothing_that_means_something_elsewhere() {
        let long = "a".repeat(65);
        for bad in ["", "../etc", "a/b", "a\0", "A", "_a", "a.b", "a b", "$x", "ü", long.as_str()] {
            assert!(bad.parse::<FunctionId>().is_err(), "{bad:?}");
        }
        for good in ["fn_abc123", "0", "a-b_c"] {
            assert!(good.parse::<FunctionId>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_digest_reads_back_as_it_was_written() {
        let text = "00ff".repeat(16);
        assert_eq!(text.parse::<Sha256>().map(|d| d.to_string()), Ok(text.clone()));
        assert_eq!(text.to_uppercase().parse::<Sha256>().map(|d| d.to_string()), Ok(text));
        for bad in ["abc123def456...", "", &"0".repeat(63), &"0".repeat(65), &"ü".repeat(64)] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad:?}");
        }
    }
}
