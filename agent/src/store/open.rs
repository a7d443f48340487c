//! Opens what a crash left: sled as it is, without the snapshots of an interrupted start, or not at all. Knows nothing
//! of what is in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::StoreError;

/// sled keeps at least the page of each of its 256 shards that was used last, and forgets others late: a larger cache
/// only makes a full outbox of small messages hold 3 MB more.
const CACHE_BYTES: u64 = 64 << 10;

/// How long sled may take to let go of a database that was closed: it does so on threads of its own. Nobody else can
/// have it, for the directory around it is locked.
const LET_GO: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(10);

/// The database in a directory, made where there is none.
pub(super) fn open(dir: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let end = Instant::now() + LET_GO;
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if is_locked(&error) && Instant::now() < end => thread::sleep(AGAIN),
            outcome => return Ok(outcome?),
        }
    }
}

/// sled wraps the system's error into one of its own.
fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

/// Whether opening failed for what is in the files, and not for want of space, rights or file descriptors.
fn is_damage(error: &StoreError) -> bool {
    use sled::Error::{Corruption, ReportableBug, Unsupported};
    matches!(error, StoreError::Sled(Corruption { .. } | ReportableBug(_) | Unsupported(_)))
}

/// None where the database opens neither as it is nor without the snapshots that an interrupted start left.
pub(super) fn open_or_repair(dir: &Path) -> Result<Option<sled::Db>, StoreError> {
    let error = match open(dir) {
        Ok(db) => return Ok(Some(db)),
        Err(error) if is_damage(&error) => error,
        Err(error) => return Err(error),
    };
    log::warn!("database {}: {error}; trying without its snapshots", dir.display());
    for suffix in [".generating", ""] {
        remove_snapshots(dir, suffix)?;
        if let Ok(db) = open(dir) {
            return Ok(Some(db));
        }
    }
    Ok(None)
}

fn remove_snapshots(dir: &Path, suffix: &str) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("snap.") && name.to_string_lossy().ends_with(suffix) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Keeps the database under another name, and of those that were set aside before the last one.
pub(super) fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let aside = dir.with_file_name("db.damaged");
    let before = dir.with_file_name("db.damaged.before");
    if aside.exists() {
        if before.exists() {
            fs::remove_dir_all(&before)?;
        }
        fs::rename(&aside, &before)?;
    }
    fs::rename(dir, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::super::{ACCEPTED, MAX_FAILED_STARTS, Store};
    use super::*;

    fn temporary() -> tempfile::TempDir {
        tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_database_that_is_none_is_set_aside() -> Result<(), StoreError> {
        let dir = temporary();
        fs::create_dir(dir.path().join("db"))?;
        fs::write(dir.path().join("db").join("conf"), b"this is not sled's")?;
        fs::write(dir.path().join("db").join("db"), b"nor is this")?;
        let (store, aside) = Store::open(dir.path())?;
        assert!(aside.is_some_and(|path| path.exists()));
        assert_eq!(store.read(ACCEPTED)?, None);
        Ok(())
    }

    #[test]
    fn a_database_with_which_no_start_gets_through_is_set_aside() -> Result<(), StoreError> {
        let dir = temporary();
        for failed in 0..MAX_FAILED_STARTS {
            let (store, aside) = Store::open(dir.path())?;
            assert_eq!(aside, None, "after {failed} failed starts");
            store.write("x", b"kept")?;
        }
        let (store, aside) = Store::open(dir.path())?;
        assert!(aside.is_some());
        assert_eq!(store.read("x")?, None);
        store.started()?;
        drop(store);
        for _ in 0..2 {
            let (store, aside) = Store::open(dir.path())?;
            assert_eq!(aside, None);
            store.started()?;
        }
        Ok(())
    }
}
