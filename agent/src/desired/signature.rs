//! Who vouches for a function: Ed25519 signatures over its id, version and digest, and the keys that this device
//! trusts. Pure: where the keys lie is not known here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, ED25519_PUBLIC_KEY_LEN, UnparsedPublicKey};

use super::{FunctionId, Sha256};

/// What a signed text begins with, so that it is good for nothing else; the number is that of its form.
const DOMAIN: &str = "twinlet-function-v1";
/// Bytes of an Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;
/// What stands before the key in the DER form of an Ed25519 public key (RFC 8410).
const DER_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The text that is signed for a function: four lines, without a newline at the end. None of its parts can hold one, so
/// that no two functions have the same.
pub fn signed_text(id: &FunctionId, version: u64, sha256: &Sha256) -> String {
    format!("{DOMAIN}\n{id}\n{version}\n{sha256}")
}

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; ED25519_PUBLIC_KEY_LEN]);

/// Why a text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an Ed25519 public key: base64 of its 44 bytes of DER, or of the 32 bytes of the key alone")]
pub struct PublicKeyError;

impl PublicKey {
    /// A key from its 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let bytes = STANDARD.decode(text).map_err(|_| PublicKeyError)?;
        Self::from_bytes(bytes.strip_prefix(&DER_PREFIX).unwrap_or(&bytes)).ok_or(PublicKeyError)
    }
}

impl fmt::Display for PublicKey {
    /// Base64 of its DER form: what stands between the lines of a PEM file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode([&DER_PREFIX[..], &self.0].concat()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The signature of a function, as a document gives it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

/// Why a text is no signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a signature: base64 of {SIGNATURE_BYTES} bytes, as `twinlet sign` prints it")]
pub struct SignatureError;

impl Signature {
    /// A signature from its 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        STANDARD.decode(text).ok().as_deref().and_then(Self::from_bytes).ok_or(SignatureError)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whose signatures count on this device, and whether the hub's functions need one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Any of them may have signed. Without one, signatures are not looked at.
    pub keys: Arc<[PublicKey]>,
    /// Whether a function of the hub's is refused without a signature.
    pub required: bool,
}

/// Why a function is not trusted; goes on from the path of its `signature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It has none, and needs one.
    #[error("is missing; this node takes no function of the hub's without one (REQUIRE_SIGNATURES)")]
    Missing,
    /// It is by nobody who is trusted, or was made for something else.
    #[error(
        "is not valid: none of the {0} keys in TRUSTED_KEYS_FILE has signed this function_id, version and sha256"
    )]
    Invalid(usize),
}

impl Trust {
    /// Whether somebody trusted has signed it: false where that is not known, and need not be.
    pub fn check(
        &self,
        id: &FunctionId,
        version: u64,
        sha256: &Sha256,
        signature: Option<&Signature>,
    ) -> Result<bool, Untrusted> {
        match signature {
            None if self.required => Err(Untrusted::Missing),
            // Keys and the need for signatures come together; were there none, nobody could have signed.
            Some(_) if self.keys.is_empty() && self.required => Err(Untrusted::Invalid(0)),
            Some(signature) if !self.keys.is_empty() => {
                let text = signed_text(id, version, sha256);
                let by = |key: &PublicKey| {
                    UnparsedPublicKey::new(&ED25519, key.0).verify(text.as_bytes(), &signature.0).is_ok()
                };
                let signed = self.keys.iter().any(by);
                if signed { Ok(true) } else { Err(Untrusted::Invalid(self.keys.len())) }
            }
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    fn pair(seed: u8) -> (Ed25519KeyPair, PublicKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = PublicKey::from_bytes(pair.public_key().as_ref()).unwrap();
        (pair, public)
    }

    fn trust(seeds: &[u8], required: bool) -> Trust {
        Trust { keys: seeds.iter().map(|seed| pair(*seed).1).collect(), required }
    }

    fn sign(seed: u8, id: &str, version: u64, digest: u8) -> Signature {
        let text = signed_text(&id.parse().unwrap(), version, &Sha256::from_bytes([digest; 32]));
        Signature::from_bytes(pair(seed).0.sign(text.as_bytes()).as_ref()).unwrap()
    }

    fn check(trust: &Trust, signature: Option<Signature>) -> Result<bool, Untrusted> {
        let digest = Sha256::from_bytes([7; 32]);
        trust.check(&"fn_a".parse().unwrap(), 3, &digest, signature.as_ref())
    }

    #[test]
    fn what_is_signed_is_this_text() {
        let text = signed_text(&"fn_a".parse().unwrap(), 3, &Sha256::from_bytes([0xab; 32]));
        assert_eq!(text, format!("twinlet-function-v1\nfn_a\n3\n{}", "ab".repeat(32)));
    }

    #[test]
    fn a_signature_is_good_for_its_function_version_and_digest_alone() {
        let trust = trust(&[1, 2], true);
        assert_eq!(check(&trust, Some(sign(1, "fn_a", 3, 7))), Ok(true));
        assert_eq!(check(&trust, Some(sign(2, "fn_a", 3, 7))), Ok(true), "any of the keys will do");
        for other in [
            sign(3, "fn_a", 3, 7),
            sign(1, "fn_b", 3, 7),
            sign(1, "fn_a", 4, 7),
            sign(1, "fn_a", 3, 8),
            sign(1, "fn_a-3", 3, 7),
        ] {
            assert_eq!(check(&trust, Some(other)), Err(Untrusted::Invalid(2)));
        }
        for at in 0..SIGNATURE_BYTES {
            let mut bent = sign(1, "fn_a", 3, 7);
            bent.0[at] ^= 1;
            assert_eq!(check(&trust, Some(bent)), Err(Untrusted::Invalid(2)), "byte {at}");
        }
    }

    #[test]
    fn what_is_not_signed_is_refused_where_it_must_be_alone() {
        assert_eq!(check(&trust(&[1], true), None), Err(Untrusted::Missing));
        assert_eq!(check(&trust(&[1], false), None), Ok(false));
        assert_eq!(check(&Trust::default(), None), Ok(false));
        // What is given is verified wherever there is something to verify it with.
        assert_eq!(check(&trust(&[1], false), Some(sign(2, "fn_a", 3, 7))), Err(Untrusted::Invalid(1)));
        assert_eq!(check(&Trust::default(), Some(sign(2, "fn_a", 3, 7))), Ok(false));
        assert_eq!(check(&trust(&[], true), Some(sign(1, "fn_a", 3, 7))), Err(Untrusted::Invalid(0)));
    }

    #[test]
    fn keys_and_signatures_read_back_as_they_were_written() {
        let key = pair(1).1;
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(STANDARD.encode(key.0).parse(), Ok(key), "the key alone, without DER");
        let signature = sign(1, "fn_a", 3, 7);
        assert_eq!(signature.to_string().parse(), Ok(signature));
        for bad in ["", "hunter2", "AAAA", &"A".repeat(44), &key.to_string()[4..], &format!("{key} ")] {
            assert_eq!(bad.parse::<PublicKey>(), Err(PublicKeyError), "{bad}");
            assert_eq!(bad.parse::<Signature>(), Err(SignatureError), "{bad}");
        }
        // A key of another kind: P-256, and X25519.
        for other in [0x2b_u8, 0x6e] {
            let mut der = [&DER_PREFIX[..], &key.0].concat();
            der[8] = other;
            assert_eq!(STANDARD.encode(der).parse::<PublicKey>(), Err(PublicKeyError));
        }
    }
}
