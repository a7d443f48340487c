//! The state directory: makes it, makes sure that it is ours alone, brings it to the present format, and keeps the
//! node's own name and key in it.
//!
//! | file | what it is |
//! | --- | --- |
//! | `state_dir` | [`StateDir`], and small files |
//! | `format` | which format the directory has, and the way from an older one |
//! | `identity` | the node's name and key |
//! | `aside` | what stands in the way of a file of ours |

pub mod aside;
pub mod format;
mod identity;

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::metrics::disk::Purpose;

/// The file whose lock says that an agent works in the directory.
const LOCK: &str = "lock";
/// How long somebody may look whether an agent works in the directory.
const LOOKED_AT: Duration = Duration::from_millis(200);
/// Bytes of the largest small file of ours.
const SMALL: u64 = 4 << 10;

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
    /// A newer release has worked in it.
    #[error(
        "{path} has format {found}, and this release of twinlet knows {} at most; nothing was changed: start the newer \
         release, or choose another cache_dir",
        format::FORMAT
    )]
    Newer {
        /// The directory.
        path: String,
        /// Its format.
        found: u32,
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
        aside::file(&path.join(LOCK), &path).map_err(failed)?;
        let lock = File::create(path.join(LOCK)).or_else(|error| match error.kind() {
            // It may be there from before, which is enough to lock it.
            io::ErrorKind::ReadOnlyFilesystem => File::open(path.join(LOCK)),
            _ => Err(error),
        });
        let lock = lock.map_err(failed)?;
        locked(&lock).map_err(|error| match error {
            TryLockError::WouldBlock => StateDirError::InUse { path: path.display().to_string() },
            TryLockError::Error(source) => failed(source),
        })?;
        format::bring_up(&path)?;
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

/// Writes a small file of our own so that after a power cut it is whole or not there, and counts it as state.
pub fn write_durably(path: &Path, contents: &[u8]) -> io::Result<()> {
    write_durably_for(Purpose::State, path, contents)
}

/// The same, counted for another purpose.
pub fn write_durably_for(purpose: Purpose, path: &Path, contents: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&temporary).or_else(|error| match error.kind() {
        // Something stands there that is none of ours.
        io::ErrorKind::IsADirectory | io::ErrorKind::PermissionDenied => {
            aside::remove(&temporary)?;
            options.open(&temporary)
        }
        _ => Err(error),
    });
    let mut file = file?;
    let written = file.write_all(contents).and_then(|()| {
        purpose.wrote(contents.len());
        purpose.synced();
        file.sync_all()
    });
    let replaced = written.and_then(|()| match fs::rename(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            aside::file(path, path.parent().unwrap_or(path))?;
            fs::rename(&temporary, path)
        }
        replaced => replaced,
    });
    if let Err(error) = replaced {
        // A full disk is not to be filled by halves.
        fs::remove_file(&temporary).ok();
        return Err(error);
    }
    purpose.synced();
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// What a small file of ours holds; none where there is none. What stands there and is no such file is set aside.
pub(crate) fn read_small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    aside::file(path, path.parent().unwrap_or(path))?;
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut contents = Vec::new();
    match file.take(SMALL).read_to_end(&mut contents) {
        Ok(_) => Ok(Some(contents)),
        Err(error) => {
            // A bad block, for example: what can not be read is as good as damaged.
            log::error!("{}: {error}", path.display());
            Ok(Some(Vec::new()))
        }
    }
}

/// Bytes that this user may still write to the file system of a path.
#[allow(clippy::unnecessary_cast)] // The fields are as wide as the machine.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero, and the structure is ours and of the right size.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call that fills it has succeeded.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
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
}
