//! The keys that open, as digests; knows nothing of where they stand in a request.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use twinlet_guest::Error;

/// Keys by their SHA-256, so that all are of a length.
pub(crate) struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Takes keys as they are, and keys by the hex digits of their SHA-256.
    pub(crate) fn read(plain: &[String], digests: &[String]) -> Result<Self, Error> {
        let mut keys = Vec::with_capacity(plain.len() + digests.len());
        for (index, key) in plain.iter().enumerate() {
            if key.is_empty() {
                return Err(wrong("keys", index, "empty"));
            }
            keys.push(Sha256::digest(key).into());
        }
        for (index, digits) in digests.iter().enumerate() {
            keys.push(digest(digits).ok_or_else(|| wrong("sha256", index, "not 64 hex digits"))?);
        }
        if keys.is_empty() {
            return Err(Error::new("config: neither `keys` nor `sha256` has a key"));
        }
        Ok(Self(keys))
    }

    /// Whether a key is one of them. Takes as long for every key of a length, whichever it is, and whether or not it is.
    pub(crate) fn contain(&self, key: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(key).into();
        let found = self.0.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&shown));
        found.into()
    }
}

fn digest(digits: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = digits.as_bytes().try_into().ok()?;
    let mut digest = [0; 32];
    for (byte, [high, low]) in digest.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = hex(*high)? << 4 | hex(*low)?;
    }
    Some(digest)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn wrong(list: &str, index: usize, what: &str) -> Error {
    Error::new(["config: ", list, "[", &index.to_string(), "]: ", what].concat())
}
