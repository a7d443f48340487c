//! Seals on compiled artifacts: an HMAC under the device's own key at the end of the file, so that only what this device
//! compiled, unchanged, is ever run as native code.
//!
//! The seal stands in the file itself, behind the last byte that the engine reads, so that one rename puts both in place
//! and a lost database costs no compilation. It is on the artifact's digest, the settings that code was compiled with,
//! and every byte before it:
//!
//! | bytes from the end | what |
//! | --- | --- |
//! | 72 | [`MARK`], which counts the formats of this trailer |
//! | 64 | the digest of the engine's settings, wasmtime's version and target among them |
//! | 32 | HMAC-SHA256 of mark, settings, artifact and the SHA-256 of what was compiled |

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use ring::{digest, hmac};

use crate::desired::Sha256;

/// The first bytes of a seal.
const MARK: &[u8; 8] = b"twnlseal";
const DIGEST_BYTES: usize = digest::SHA256_OUTPUT_LEN;
const SEAL_BYTES: usize = MARK.len() + 2 * DIGEST_BYTES;
/// What is read of a file at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What a file's seal says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This device compiled it of this artifact, with these settings.
    Holds,
    /// This device compiled it of this artifact, but with other settings.
    OtherSettings,
    /// It is damaged, or of another artifact or device.
    Broken,
}

/// Makes and checks seals.
pub struct Sealer {
    key: hmac::Key,
}

impl Sealer {
    /// A sealer with the device's key.
    pub fn new(device_key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, device_key) }
    }

    /// Seals a file that was compiled of an artifact with settings of this digest: the seal is added to its end.
    pub fn seal(&self, artifact: &Sha256, settings: &[u8; 32], compiled: &mut File) -> io::Result<()> {
        let length = compiled.metadata()?.len();
        let sealed = sealed(artifact, settings, &contents(compiled, length)?);
        let seal = hmac::sign(&self.key, &sealed);
        compiled.seek(SeekFrom::Start(length))?;
        compiled.write_all(&[MARK.as_slice(), settings, seal.as_ref()].concat())
    }

    /// Reads a whole file and its seal. Without settings of one's own, as in a build that can not compile, those of the
    /// seal are as good as any: the engine looks for itself whether it can use what it maps.
    pub fn check(
        &self,
        artifact: &Sha256,
        settings: Option<&[u8; 32]>,
        compiled: &mut File,
    ) -> io::Result<Verdict> {
        let trailer = u64::try_from(SEAL_BYTES).unwrap_or(u64::MAX);
        let Some(length) = compiled.metadata()?.len().checked_sub(trailer) else {
            return Ok(Verdict::Broken);
        };
        let digest = contents(compiled, length)?;
        let mut seal = [0; SEAL_BYTES];
        compiled.read_exact(&mut seal)?;
        let (mark, rest) = seal.split_at(MARK.len());
        let (of_file, tag) = rest.split_at(DIGEST_BYTES);
        let sealed = sealed(artifact, of_file, &digest);
        Ok(if mark != MARK || hmac::verify(&self.key, &sealed, tag).is_err() {
            Verdict::Broken
        } else if settings.is_some_and(|settings| settings != of_file) {
            Verdict::OtherSettings
        } else {
            Verdict::Holds
        })
    }
}

/// What a seal is on.
fn sealed(artifact: &Sha256, settings: &[u8], contents: &digest::Digest) -> Vec<u8> {
    [MARK.as_slice(), settings, artifact.as_bytes(), contents.as_ref()].concat()
}

/// The digest of the first bytes of a file, which is read from its beginning to behind them.
fn contents(file: &mut File, length: u64) -> io::Result<digest::Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let wanted = piece.get_mut(..most).unwrap_or_default();
        file.read_exact(wanted)?;
        hasher.update(wanted);
        left = left.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
    }
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [u8; 32] = [7; 32];

    fn artifact() -> Sha256 {
        Sha256::from_bytes([1; 32])
    }

    /// A file with contents of more than one piece, sealed by the key `key`.
    fn sealed_file() -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![0x5a; PIECE_BYTES + 100]).unwrap();
        Sealer::new(b"key").seal(&artifact(), &SETTINGS, &mut file).unwrap();
        file
    }

    #[test]
    fn a_seal_holds_for_one_key_one_artifact_and_one_setting() {
        let (mut file, sealer) = (sealed_file(), Sealer::new(b"key"));
        let mut check = |sealer: &Sealer, artifact: &Sha256, settings: Option<&[u8; 32]>| {
            sealer.check(artifact, settings, &mut file).unwrap()
        };
        assert_eq!(check(&sealer, &artifact(), Some(&SETTINGS)), Verdict::Holds);
        assert_eq!(check(&sealer, &artifact(), None), Verdict::Holds);
        assert_eq!(check(&sealer, &artifact(), Some(&[8; 32])), Verdict::OtherSettings);
        assert_eq!(check(&sealer, &Sha256::from_bytes([2; 32]), Some(&SETTINGS)), Verdict::Broken);
        assert_eq!(check(&Sealer::new(b"other"), &artifact(), Some(&SETTINGS)), Verdict::Broken);
    }

    #[test]
    fn it_breaks_with_any_byte_of_the_seal_and_with_any_length() {
        let whole = {
            let (mut file, mut bytes) = (sealed_file(), Vec::new());
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        };
        let check = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            Sealer::new(b"key").check(&artifact(), None, &mut file).unwrap()
        };
        assert_eq!(check(&whole), Verdict::Holds);
        for back in 1..=SEAL_BYTES + 1 {
            let mut bytes = whole.clone();
            let at = bytes.len() - back;
            bytes[at] ^= 0x80;
            assert_eq!(check(&bytes), Verdict::Broken, "{back} from the end");
        }
        for length in [0, 1, SEAL_BYTES - 1, SEAL_BYTES, whole.len() - 1] {
            assert_eq!(check(&whole[..length]), Verdict::Broken, "cut to {length}");
        }
        assert_eq!(check(&[&whole[..], b"x"].concat()), Verdict::Broken);
    }
}
