//! A database in memory, for a disk that does not even let the one on it be opened: it is full, or read-only. It holds
//! what that one holds and is never written to, so that the agent starts, serves what it can, and promises nothing.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::base::{Open, Trouble, is_full};
use super::open::open_or_repair;
use super::{StoreError, open::open};
use crate::state_dir::aside;

/// Bytes of the largest database that is copied into memory.
const MOST: u64 = 64 << 20;
/// Names that are tried where somebody has taken the one before.
const TRIES: u32 = 8;

/// A directory that goes with this value.
pub(super) struct Elsewhere(PathBuf);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Err(error) = aside::remove(&self.0) {
            log::warn!("{}: {error}", self.0.display());
        }
    }
}

/// Opens a copy in memory of a database that does not open because of `error`, or an empty one where that fails too.
pub(super) fn open_elsewhere(dir: &Path, error: &StoreError) -> Result<(Open, Trouble), StoreError> {
    let memory =
        Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir);
    let name = format!("twinlet-{:08x}", crc32fast::hash(dir.as_os_str().as_encoded_bytes()));
    remove_left(&memory, &name);
    let guard = Elsewhere(make_own(&memory, &name)?);
    let (mut place, empty) = (guard.0.join("db"), guard.0.join("empty"));
    let copied = copy(dir, &place).map_err(StoreError::from).and_then(|()| open_or_repair(&place));
    let db = match copied {
        Ok(Some(db)) => db,
        copied => {
            let why = copied.err().map_or("it is damaged".into(), |error| error.to_string());
            log::error!("nothing of the database can be read for now: {why}");
            // It has taken what memory there may be.
            aside::remove(&place)?;
            place = empty;
            aside::directory(&place)?;
            open(&place)?
        }
    };
    let was_full =
        matches!(error, StoreError::Sled(sled::Error::Io(error)) | StoreError::Io(error) if is_full(error));
    let trouble = Trouble { why: error.to_string(), was_full, is_suspect: !was_full };
    let mut open = Open::new(db, &place)?;
    open.elsewhere = Some(guard);
    Ok((open, trouble))
}

/// Makes a directory that was not there, and is nobody else's: whoever may write here may not read what is in it, or have
/// put something there before.
fn make_own(memory: &Path, name: &str) -> io::Result<PathBuf> {
    let mut made = Err(io::ErrorKind::AlreadyExists.into());
    for _ in 0..TRIES {
        let place = memory.join(format!("{name}-{:016x}", fastrand::u64(..)));
        made = DirBuilder::new().mode(0o700).create(&place).map(|()| place);
        if !made.as_ref().is_err_and(|error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    made
}

/// Removes what a killed agent of this user left of the same database.
fn remove_left(memory: &Path, name: &str) {
    // SAFETY: it has no preconditions and can not fail.
    let user = unsafe { libc::geteuid() };
    let Ok(entries) = fs::read_dir(memory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_of_it =
            path.file_name().is_some_and(|found| found.as_encoded_bytes().starts_with(name.as_bytes()));
        if is_of_it
            && fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() && found.uid() == user)
            && let Err(error) = aside::remove(&path)
        {
            log::warn!("{}: {error}", path.display());
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    aside::directory(to)?;
    let mut bytes = 0u64;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if !metadata.is_file() {
            continue;
        }
        bytes = bytes.saturating_add(metadata.len());
        if bytes > MOST {
            return Err(io::Error::other(format!("it has more than {} MB", MOST >> 20)));
        }
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_put_there_is_neither_used_nor_touched_and_what_was_left_goes() -> io::Result<()> {
        let memory = tempfile::tempdir()?;
        let outside = tempfile::tempdir()?;
        fs::write(outside.path().join("kept"), b"")?;
        std::os::unix::fs::symlink(outside.path(), memory.path().join("twinlet-0-link"))?;
        let left = make_own(memory.path(), "twinlet-0")?;
        fs::write(left.join("file"), b"left")?;
        remove_left(memory.path(), "twinlet-0");
        assert!(!left.exists() && outside.path().join("kept").exists());
        let own = make_own(memory.path(), "twinlet-0")?;
        assert_ne!(own, left);
        assert_eq!(fs::metadata(&own)?.mode() & 0o777, 0o700);
        let guard = Elsewhere(own.clone());
        drop(guard);
        assert!(!own.exists());
        Ok(())
    }
}
