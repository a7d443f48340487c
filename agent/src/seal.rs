//! Seals on compiled artifacts: an HMAC under the device's own key, so that only what this device compiled, unchanged,
//! is ever run as native code.

use std::fs::File;
use std::io;
use std::path::Path;

use ring::hmac;
use sha2::{Digest, Sha256 as Hasher};

use crate::desired::Sha256;

/// Makes and checks seals.
pub struct Sealer {
    key: hmac::Key,
}

impl Sealer {
    /// A sealer with the device's key.
    pub fn new(device_key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, device_key) }
    }

    /// The seal of a compiled file made from an artifact.
    pub fn seal(&self, artifact: &Sha256, compiled: &Path) -> io::Result<Vec<u8>> {
        Ok(hmac::sign(&self.key, &sealed(artifact, compiled)?).as_ref().to_vec())
    }

    /// Whether a file carries this seal.
    pub fn holds(&self, artifact: &Sha256, compiled: &Path, seal: &[u8]) -> io::Result<bool> {
        Ok(hmac::verify(&self.key, &sealed(artifact, compiled)?, seal).is_ok())
    }
}

/// What a seal is on: which artifact, and the digest of what was made from it.
fn sealed(artifact: &Sha256, compiled: &Path) -> io::Result<Vec<u8>> {
    let mut hasher = Hasher::new();
    io::copy(&mut File::open(compiled)?, &mut hasher)?;
    Ok([b"twinlet compiled artifact 1".as_slice(), artifact.as_bytes(), &hasher.finalize()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_one_key_one_artifact_and_one_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.cwasm");
        std::fs::write(&path, b"code").unwrap();
        let (sealer, artifact) = (Sealer::new(b"key"), Sha256::from_bytes([1; 32]));
        let seal = sealer.seal(&artifact, &path).unwrap();
        assert!(sealer.holds(&artifact, &path, &seal).unwrap());
        assert!(!sealer.holds(&Sha256::from_bytes([2; 32]), &path, &seal).unwrap());
        assert!(!Sealer::new(b"other").holds(&artifact, &path, &seal).unwrap());
        std::fs::write(&path, b"c0de").unwrap();
        assert!(!sealer.holds(&artifact, &path, &seal).unwrap());
    }
}
