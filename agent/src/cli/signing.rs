//! The private key that functions are signed with: made, kept in a file, read again. The file is PKCS#8 in PEM, of the
//! first version, which openssl reads and writes as well.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::output::note;
use crate::desired::{FunctionId, PublicKey, Sha256, Signature, signed_text};

/// What stands before the 32 bytes of an Ed25519 private key in its DER form (RFC 8410).
const DER_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Bytes of a file that can be a key.
const MAX_FILE_BYTES: u64 = 16 << 10;

/// Who signs.
pub(super) struct Signer(Ed25519KeyPair);

impl Signer {
    /// Makes a key, and a file of it that only its owner can read. A file that is there already is left alone.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| anyhow!("the system has no random numbers"))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| anyhow!("{error}"))?;
        let base64 = STANDARD.encode([&DER_PREFIX[..], &seed].concat());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(pem.as_bytes())?;
            file.sync_all()
        };
        match write() {
            Ok(()) => Ok(Self(pair)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                bail!("{} is there already, and is left as it is; give another --out", path.display())
            }
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Reads a file of [`Signer::create`]'s, or of `openssl genpkey -algorithm ed25519`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let file = File::open(path).with_context(|| shown.to_string())?;
        let mode = file.metadata().with_context(|| shown.to_string())?.mode() & 0o777;
        if mode & 0o077 != 0 {
            note(&format!("twinlet sign: {shown} is open to others (mode {mode:o}); chmod 600 closes it"));
        }
        let mut pem = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut pem).with_context(|| shown.to_string())?;
        let no_key = "holds no private key (`-----BEGIN PRIVATE KEY-----`); `twinlet keygen` makes one";
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| anyhow!("{shown} {no_key}"))?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map(Self)
            .map_err(|_| anyhow!("{shown} holds a private key, but not an Ed25519 one"))
    }

    /// What devices need to trust it.
    pub(super) fn public_key(&self) -> anyhow::Result<PublicKey> {
        PublicKey::from_bytes(self.0.public_key().as_ref()).context("a public key of another length")
    }

    /// Signs a function.
    pub(super) fn sign(&self, id: &FunctionId, version: u64, sha256: &Sha256) -> anyhow::Result<Signature> {
        let signature = self.0.sign(signed_text(id, version, sha256).as_bytes());
        Signature::from_bytes(signature.as_ref()).context("a signature of another length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Trust;

    #[test]
    fn a_key_that_was_made_signs_once_it_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let made = Signer::create(&path).unwrap().public_key().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let before = std::fs::read(&path).unwrap();
        assert!(Signer::create(&path).err().unwrap().to_string().contains("is there already"));
        assert_eq!(std::fs::read(&path).unwrap(), before);

        let signer = Signer::read(&path).unwrap();
        assert_eq!(signer.public_key().unwrap(), made);
        let (id, digest) = ("fn_a".parse().unwrap(), Sha256::from_bytes([7; 32]));
        let signature = signer.sign(&id, 3, &digest).unwrap();
        let trust = Trust { keys: [made].into(), required: true };
        assert_eq!(trust.check(&id, 3, &digest, Some(&signature)), Ok(true));
    }

    #[test]
    fn what_is_no_key_is_told_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let told = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Signer::read(&path).err().unwrap().to_string()
        };
        assert!(told("hunter2").contains("holds no private key"));
        let other = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
        let told = told(other);
        assert!(told.contains("not an Ed25519 one") && !told.contains("hunter2"), "{told}");
        let missing = Signer::read(&dir.path().join("none")).err().unwrap();
        assert!(format!("{missing:#}").contains("No such file"), "{missing:#}");
    }
}
