//! A signed request. HMAC-SHA256 is over what makes it this request: method, path, query, the body's digest, time and
//! nonce. The body itself is read only once the signature holds.

use ring::{digest, hmac};

use super::Refusal;
use crate::desired::Sha256;
use crate::http::Incoming;

/// Seconds that a request's time may lie before or after this node's.
pub(super) const WINDOW: u64 = 300;
/// What every signed text begins with, so that it can be taken for nothing else.
const SCHEME: &str = "twinlet-hmac-sha256";

const KEY: &str = "x-twinlet-key";
const TIMESTAMP: &str = "x-twinlet-timestamp";
const NONCE: &str = "x-twinlet-nonce";
const CONTENT: &str = "x-twinlet-content-sha256";
const SIGNATURE: &str = "x-twinlet-signature";

/// What a signed request says of itself.
pub(super) struct Claim {
    /// The name of the entry that signs.
    pub(super) key: String,
    timestamp: u64,
    nonce: String,
    content: String,
    digest: Sha256,
    signature: Sha256,
}

/// A request whose signature holds, and whose body and nonce are still to be seen.
pub(in crate::http) struct Signed {
    /// Stands for the entry that signed.
    pub(super) key: [u8; 8],
    /// Stands for the nonce.
    pub(super) nonce: [u8; 16],
    /// The last second, since 1970, at which the same signature would hold.
    pub(super) until: u64,
    /// How many entries there are that sign.
    pub(super) signers: usize,
    digest: Sha256,
}

/// Whether a head carries any part of a signature.
pub(super) fn is_signed(headers: &[(String, Vec<u8>)]) -> bool {
    headers.iter().any(|(name, _)| [KEY, TIMESTAMP, NONCE, CONTENT, SIGNATURE].contains(&name.as_str()))
}

impl Claim {
    /// Reads the five headers; none where one is missing, doubled or not of its form.
    pub(super) fn of(head: &Incoming) -> Option<Self> {
        let one = |name: &str| {
            let mut found = head.headers.iter().filter(|(other, _)| other == name);
            let (_, value) = found.next()?;
            std::str::from_utf8(value).ok().filter(|_| found.next().is_none())
        };
        let timestamp = one(TIMESTAMP)?;
        let digits = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|b| b.is_ascii_digit());
        let nonce = one(NONCE)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !digits || !(16..=64).contains(&nonce.len()) || !nonce.bytes().all(plain) {
            return None;
        }
        Some(Self {
            key: one(KEY)?.to_owned(),
            timestamp: timestamp.parse().ok()?,
            nonce: nonce.to_owned(),
            content: one(CONTENT)?.to_owned(),
            digest: one(CONTENT)?.parse().ok()?,
            signature: one(SIGNATURE)?.parse().ok()?,
        })
    }

    /// Whether the signature is this secret's, over this head.
    pub(super) fn holds(&self, head: &Incoming, secret: &hmac::Key) -> bool {
        let timestamp = self.timestamp.to_string();
        let query = head.query.as_deref().unwrap_or_default();
        let signed =
            [SCHEME, &head.method, &head.path, query, &self.content, &timestamp, &self.nonce].join("\n");
        hmac::verify(secret, signed.as_bytes(), self.signature.as_bytes()).is_ok()
    }

    /// What is left to be seen, where the request's time is near this one.
    pub(super) fn in_time(self, now: u64, signers: usize) -> Result<Signed, Refusal> {
        if self.timestamp.abs_diff(now) > WINDOW {
            return Err(Refusal::Window(now));
        }
        Ok(Signed {
            key: short(self.key.as_bytes()),
            nonce: short(self.nonce.as_bytes()),
            until: self.timestamp + WINDOW,
            signers,
            digest: self.digest,
        })
    }
}

impl Signed {
    /// Whether this is the body that was signed for.
    pub(super) fn is_of(&self, body: &[u8]) -> bool {
        digest::digest(&digest::SHA256, body).as_ref() == self.digest.as_bytes()
    }

    #[cfg(test)]
    pub(super) fn for_test(key: [u8; 8], nonce: [u8; 16], until: u64, signers: usize) -> Self {
        Self { key, nonce, until, signers, digest: Sha256::from_bytes([0; 32]) }
    }
}

/// The beginning of a digest: of a fixed length, whatever it stands for.
fn short<const N: usize>(text: &[u8]) -> [u8; N] {
    let digest = digest::digest(&digest::SHA256, text);
    digest.as_ref().first_chunk().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn secret() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[7; 32])
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// A request as someone would sign it by the documentation.
    fn request(timestamp: u64) -> Incoming {
        let content = hex(digest::digest(&digest::SHA256, b"body").as_ref());
        let nonce = "0123456789abcdef";
        let text = format!("twinlet-hmac-sha256\nPOST\n/api/%61\nb=1&c\n{content}\n{timestamp}\n{nonce}");
        let signature = hex(hmac::sign(&secret(), text.as_bytes()).as_ref());
        let headers = [
            (KEY, "ops"),
            (TIMESTAMP, &timestamp.to_string()),
            (NONCE, nonce),
            (CONTENT, &content),
            (SIGNATURE, &signature),
        ];
        Incoming {
            method: "POST".into(),
            path: "/api/%61".into(),
            query: Some("b=1&c".into()),
            headers: headers.map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec())).to_vec(),
            ..Incoming::default()
        }
    }

    fn with(name: &str, value: &str) -> Incoming {
        let mut head = request(NOW);
        head.headers.retain(|(other, _)| other != name);
        head.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        head
    }

    fn holds(head: &Incoming) -> Option<bool> {
        Claim::of(head).map(|claim| claim.holds(head, &secret()))
    }

    #[test]
    fn a_signature_holds_for_this_request_alone() {
        assert_eq!(holds(&request(NOW)), Some(true));
        for other in [
            Incoming { method: "PUT".into(), ..request(NOW) },
            Incoming { path: "/api/a".into(), ..request(NOW) },
            Incoming { query: Some("b=1&c&d".into()), ..request(NOW) },
            Incoming { query: None, ..request(NOW) },
            with(TIMESTAMP, &(NOW + 1).to_string()),
            with(NONCE, "0123456789abcdeF"),
            with(CONTENT, &"0".repeat(64)),
            with(SIGNATURE, &"0".repeat(64)),
        ] {
            assert_eq!(holds(&other), Some(false), "{other:?}");
        }
        let signed = Claim::of(&request(NOW)).unwrap().in_time(NOW, 1).ok().unwrap();
        assert!(signed.is_of(b"body") && !signed.is_of(b"Body") && !signed.is_of(b""));
    }

    #[test]
    fn headers_that_are_not_of_their_form_are_no_signature() {
        for wrong in [
            with(TIMESTAMP, "+1800000000"),
            with(TIMESTAMP, ""),
            with(TIMESTAMP, "18446744073709551616"),
            with(TIMESTAMP, "1800000000.5"),
            with(NONCE, "short"),
            with(NONCE, "0123456789abcde/"),
            with(NONCE, &"a".repeat(65)),
            with(CONTENT, "abc"),
            with(SIGNATURE, &"0".repeat(63)),
            with(SIGNATURE, &"g".repeat(64)),
        ] {
            assert_eq!(holds(&wrong), None, "{wrong:?}");
        }
        for name in [KEY, TIMESTAMP, NONCE, CONTENT, SIGNATURE] {
            let mut without = request(NOW);
            without.headers.retain(|(other, _)| other != name);
            assert_eq!(holds(&without), None, "{name}");
            let mut twice = request(NOW);
            let again = twice.headers.iter().find(|(other, _)| other == name).cloned();
            twice.headers.extend(again);
            assert_eq!(holds(&twice), None, "{name}");
        }
    }

    #[test]
    fn the_window_is_five_minutes_either_way() {
        let at = |now: u64| Claim::of(&request(NOW)).unwrap().in_time(now, 1).err();
        assert_eq!((at(NOW - WINDOW), at(NOW + WINDOW)), (None, None));
        for now in [0, NOW - WINDOW - 1, NOW + WINDOW + 1, u64::MAX] {
            assert_eq!(at(now), Some(Refusal::Window(now)));
        }
    }
}
