//! Whether the disk has room for one more write; and the two ways to the disk that a test can have fail.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{RESERVE_OF_TABLES, StoreError};
use crate::state_dir::free_bytes;

/// Where the free space counts.
pub(super) struct Space {
    /// Of the database.
    pub(super) dir: PathBuf,
    /// How to ask for it; another way only for a test that wants a full disk.
    pub(super) free: fn(&Path) -> io::Result<u64>,
    /// How a file is made durable; another way only for a test that wants a broken disk.
    pub(super) sync: fn(&File) -> io::Result<()>,
    /// That it is short was logged.
    told: AtomicBool,
}

/// What the files in a directory have.
pub(super) fn bytes_of(dir: &Path) -> io::Result<u64> {
    std::fs::read_dir(dir)?.try_fold(0u64, |sum, entry| Ok(sum.saturating_add(entry?.metadata()?.len())))
}

impl Space {
    /// That of a directory, as the system knows it.
    pub(super) fn of(dir: PathBuf) -> Self {
        Self { dir, free: free_bytes, sync: File::sync_data, told: AtomicBool::new(false) }
    }

    /// An error where less than so many bytes are free. Asked before anything is written, so that a full disk is
    /// refused in time and harms nothing.
    pub(super) fn check(&self, reserve: u64) -> Result<(), StoreError> {
        let free = (self.free)(&self.dir)?;
        if free >= reserve {
            if free >= RESERVE_OF_TABLES && self.told.swap(false, Relaxed) {
                log::info!("the disk has room again: {free} bytes are free");
            }
            return Ok(());
        }
        if !self.told.swap(true, Relaxed) {
            log::error!(
                "the disk is full: {free} bytes are free; what needs more is refused until it has room"
            );
        }
        Err(StoreError::Full(free, reserve))
    }
}
