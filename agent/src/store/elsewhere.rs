//! A database in memory, for a disk that does not even let the one on it be opened: it is full, or read-only. It holds
//! what that one holds and is never written to, so that the agent starts, serves what it can, and promises nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::base::{Open, Trouble, is_full};
use super::open::open_or_repair;
use super::{StoreError, open::open};
use crate::state_dir::aside;

/// Bytes of the largest database that is copied into memory.
const MOST: u64 = 64 << 20;

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
    // The same for the same database, so that one which a kill left goes.
    let place = memory.join(format!("twinlet-{:08x}", crc32fast::hash(dir.as_os_str().as_encoded_bytes())));
    aside::remove(&place)?;
    let guard = Elsewhere(place.clone());
    let copied = copy(dir, &place).map_err(StoreError::from).and_then(|()| open_or_repair(&place));
    let db = match copied {
        Ok(Some(db)) => db,
        copied => {
            let why = copied.err().map_or("it is damaged".into(), |error| error.to_string());
            log::error!("nothing of the database can be read for now: {why}");
            aside::remove(&place)?;
            aside::directory(&place)?;
            open(&place)?
        }
    };
    let was_full =
        matches!(error, StoreError::Sled(sled::Error::Io(error)) | StoreError::Io(error) if is_full(error));
    let trouble = Trouble { why: error.to_string(), was_full };
    let mut open = Open::new(db, &place)?;
    open.elsewhere = Some(guard);
    Ok((open, trouble))
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
