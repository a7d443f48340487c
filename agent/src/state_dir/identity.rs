//! Who this node is: its name and its key. A flipped bit in a UUID makes another UUID, so the name stands twice, once
//! with a checksum; one in the key makes another key, so that has a checksum as well.

use std::io;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use super::format::{self, FORMAT};
use super::{StateDir, StateDirError, read_small, write_durably};
use crate::config::NodeId;

const NAME: &str = "node_id";
/// The name once more, and its checksum.
const CHECK: &str = "node_id.check";
const KEY: &str = "device.key";
/// Bytes of the device key.
const KEY_BYTES: usize = 32;

impl StateDir {
    /// The name this node was given when it first started without one: a UUID.
    pub fn node_id(&self) -> Result<NodeId, StateDirError> {
        let failed = |source| StateDirError::Io { path: self.path.join(NAME).display().to_string(), source };
        name(&self.path).map_err(failed)?.parse().map_err(|e| failed(io::Error::other(format!("{e}"))))
    }

    /// The key of this device, made at the first start. Compiled artifacts are sealed with it.
    pub fn device_key(&self) -> Result<Vec<u8>, StateDirError> {
        let path = self.path.join(KEY);
        let failed = |source| StateDirError::Io { path: path.display().to_string(), source };
        match read_small(&path).map_err(failed)? {
            // As long as the disk has had no room for the present format.
            Some(kept) if kept.len() == KEY_BYTES && format::of(&self.path) != Some(FORMAT) => {
                return Ok(kept);
            }
            Some(kept) => match key_of(&kept) {
                Some(key) => return Ok(key.to_vec()),
                None => log::error!(
                    "{} is damaged; a new key is made, and all artifacts compiled anew",
                    path.display()
                ),
            },
            None => log::info!("{} is made", path.display()),
        }
        let mut key = vec![0; KEY_BYTES];
        SystemRandom::new().fill(&mut key).map_err(|_| failed(io::Error::other("no randomness")))?;
        // Without it nothing is lost but the time that compiling takes.
        keep(&path, &with_checksum(&key));
        Ok(key)
    }
}

/// The kept name, mended where one of its two copies is damaged, or a new one.
fn name(dir: &Path) -> io::Result<String> {
    let plain = read_small(&dir.join(NAME))?;
    let checked = read_small(&dir.join(CHECK))?;
    let of_plain = plain.as_deref().and_then(name_of);
    if let Some(name) = checked.as_deref().and_then(checked_name_of) {
        if of_plain.as_deref() != Some(&name) {
            log::error!("{} is damaged; it is mended from {CHECK}", dir.join(NAME).display());
            keep(&dir.join(NAME), name.as_bytes());
        }
        return Ok(name);
    }
    let lost = plain.is_some() || checked.is_some();
    let name = of_plain.unwrap_or_else(|| {
        let made = uuid::Uuid::new_v4().to_string();
        if lost {
            log::error!("{} and {CHECK} are damaged; the node is {made} now", dir.join(NAME).display());
        }
        made
    });
    keep(&dir.join(CHECK), &checked_name(&name));
    if plain.as_deref() != Some(name.as_bytes()) {
        keep(&dir.join(NAME), name.as_bytes());
    }
    Ok(name)
}

/// A disk that is full does not keep the node from starting.
fn keep(path: &Path, contents: &[u8]) {
    if let Err(error) = write_durably(path, contents) {
        log::error!("{}: {error}; it is written at the next start", path.display());
    }
}

/// Of a directory of format 0, in which neither name nor key has a checksum.
pub(super) fn add_checksums(dir: &Path) -> io::Result<()> {
    if read_small(&dir.join(NAME))?.is_some() {
        name(dir)?;
    }
    match read_small(&dir.join(KEY))? {
        Some(key) if key.len() == KEY_BYTES => write_durably(&dir.join(KEY), &with_checksum(&key)),
        _ => Ok(()),
    }
}

fn name_of(text: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(text).ok()?.trim();
    name.parse::<NodeId>().is_ok().then(|| name.to_owned())
}

fn checked_name(name: &str) -> Vec<u8> {
    format!("{name} {:08x}\n", crc32fast::hash(name.as_bytes())).into_bytes()
}

fn checked_name_of(text: &[u8]) -> Option<String> {
    let name = name_of(text.split(|byte| *byte == b' ').next()?)?;
    (checked_name(&name) == text).then_some(name)
}

fn with_checksum(key: &[u8]) -> Vec<u8> {
    [key, &crc32fast::hash(key).to_be_bytes()].concat()
}

fn key_of(kept: &[u8]) -> Option<&[u8]> {
    let (key, _) = kept.split_at_checked(KEY_BYTES)?;
    (with_checksum(key) == kept).then_some(key)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_flipped_bit_renames_the_node() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let made = name(dir.path())?;
        for file in [NAME, CHECK] {
            let path = dir.path().join(file);
            let whole = fs::read(&path)?;
            for at in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[at] ^= 1;
                fs::write(&path, flipped)?;
                assert_eq!(name(dir.path())?, made, "{file}, byte {at}");
                assert_eq!(fs::read(&path)?, whole, "{file} is not mended");
            }
            fs::write(&path, b"")?;
            assert_eq!(name(dir.path())?, made);
            fs::remove_file(&path)?;
            assert_eq!(name(dir.path())?, made);
        }
        Ok(())
    }

    #[test]
    fn a_key_that_is_not_the_one_that_was_written_is_replaced() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let state = StateDir::open(dir.path())?;
        let path = state.path().join(KEY);
        let mut key = state.device_key()?;
        for damage in [&b"short"[..], &[7; KEY_BYTES], &[7; KEY_BYTES + 4], b""] {
            fs::write(&path, damage)?;
            let new = state.device_key()?;
            assert!(new.len() == KEY_BYTES && new != key);
            assert_eq!(state.device_key()?, new);
            key = new;
        }
        Ok(())
    }

    #[test]
    fn a_directory_of_format_0_keeps_its_name_and_its_key() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let (name, key) = ("ab5e2f1c-7d2a-4b0e-9a53-1f6f0f0a2c11", [9; KEY_BYTES]);
        fs::write(dir.path().join(NAME), name)?;
        fs::write(dir.path().join(KEY), key)?;
        // Twice: after a power cut a step is done again.
        add_checksums(dir.path())?;
        add_checksums(dir.path())?;
        let state = StateDir::open(dir.path())?;
        assert_eq!((state.node_id()?.as_str(), &state.device_key()?[..]), (name, &key[..]));
        assert!(dir.path().join(CHECK).exists());
        Ok(())
    }
}
