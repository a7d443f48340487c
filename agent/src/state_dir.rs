//! The state directory: makes it, makes sure that it is ours alone, and keeps the node's own name and key in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};

use crate::config::NodeId;

/// The file whose lock says that an agent works in the directory.
const LOCK: &str = "lock";
/// How long somebody may look whether an agent works in the directory.
const LOOKED_AT: Duration = Duration::from_millis(200);
/// Bytes of the device key.
const KEY_BYTES: usize = 32;

/// Why the state directory can not be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// The system refuses.
    #[error("{path}: {source}")]
    Io {
        /// What was to be read or written.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Another agent works in it.
    #[error("another twinlet runs with {path}; choose another cache_dir, or end that one")]
    InUse {
        /// The directory.
        path: String,
    },
    /// Native code is loaded from it, so no one else may write to it.
    #[error("{path} belongs to another user (uid {uid}); choose another cache_dir")]
    Foreign {
        /// The directory.
        path: String,
        /// Whose it is.
        uid: u32,
    },
}

/// The directory, ready for use.
pub struct StateDir {
    path: PathBuf,
    /// Held for as long as this process works in the directory.
    _lock: File,
}

impl StateDir {
    /// Makes the directory if need be, and closes it to others.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let failed = |source| StateDirError::Io { path: path.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let metadata = fs::metadata(path).map_err(failed)?;
        // SAFETY: geteuid has no preconditions and can not fail.
        let me = unsafe { libc::geteuid() };
        if metadata.uid() != me {
            return Err(StateDirError::Foreign { path: path.display().to_string(), uid: metadata.uid() });
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let path = fs::canonicalize(path).map_err(failed)?;
        let lock = File::create(path.join(LOCK)).map_err(failed)?;
        locked(&lock).map_err(|error| match error {
            TryLockError::WouldBlock => StateDirError::InUse { path: path.display().to_string() },
            TryLockError::Error(source) => failed(source),
        })?;
        if is_volatile(&path) {
            log::warn!(
                "{} does not survive a restart of the device: choose a cache_dir elsewhere",
                path.display()
            );
        }
        Ok(Self { path, _lock: lock })
    }

    /// Where it is, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name this node was given when it first started without one: a UUID.
    pub fn node_id(&self) -> Result<NodeId, StateDirError> {
        let path = self.path.join("node_id");
        let kept = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse::<NodeId>().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(StateDirError::Io { path: path.display().to_string(), source }),
        };
        if let Some(id) = kept {
            return Ok(id);
        }
        let made = uuid::Uuid::new_v4().to_string();
        let failed = |source| StateDirError::Io { path: path.display().to_string(), source };
        write_durably(&path, made.as_bytes()).map_err(failed)?;
        made.parse().map_err(|e| failed(io::Error::other(format!("{e}"))))
    }

    /// The key of this device, made at the first start. Compiled artifacts are sealed with it.
    pub fn device_key(&self) -> Result<Vec<u8>, StateDirError> {
        let path = self.path.join("device.key");
        let failed = |source| StateDirError::Io { path: path.display().to_string(), source };
        match fs::read(&path) {
            Ok(key) if key.len() == KEY_BYTES => return Ok(key),
            Ok(_) => log::warn!(
                "{} is damaged; a new key is made, and all artifacts compiled anew",
                path.display()
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source)),
        }
        let mut key = vec![0; KEY_BYTES];
        SystemRandom::new().fill(&mut key).map_err(|_| failed(io::Error::other("no randomness")))?;
        write_durably(&path, &key).map_err(failed)?;
        Ok(key)
    }
}

/// Whether an agent works in a directory, which is not changed by asking.
pub fn in_use(path: &Path) -> io::Result<bool> {
    let lock = match File::open(path.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        lock => lock?,
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Takes the lock. Whoever looks whether it is taken holds it for a moment, which is not to end a start.
fn locked(lock: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + LOOKED_AT;
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOOKED_AT / 20),
            outcome => return outcome,
        }
    }
}

/// Whether what stands at an absolute path is gone once the device restarts.
pub fn is_volatile(path: &Path) -> bool {
    path.starts_with("/tmp") || path.starts_with("/run")
}

/// Writes a small file of our own so that after a power cut it is whole or not there.
pub fn write_durably(path: &Path, contents: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_key_are_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("a/b")).unwrap();
        let (id, key) = (state.node_id().unwrap(), state.device_key().unwrap());
        assert!(matches!(StateDir::open(state.path()), Err(StateDirError::InUse { .. })));
        let path = state.path().to_owned();
        assert!(in_use(&path).unwrap());
        drop(state);
        assert!(!in_use(&path).unwrap() && !in_use(dir.path()).unwrap());
        let again = StateDir::open(&path).unwrap();
        assert_eq!(again.node_id().unwrap(), id);
        assert_eq!(again.device_key().unwrap(), key);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path.join("device.key")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        fs::write(state.path().join("device.key"), b"short").unwrap();
        assert_eq!(state.device_key().unwrap().len(), KEY_BYTES);
    }
}
