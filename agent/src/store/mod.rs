//! What must survive a power cut, in sled under `<state>/db`: the accepted desired state, and the tables of those who
//! keep small records. Knows how to write durably and how to open what a crash left, but not what any of it means.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | [`Store`]: opened, with its named records |
//! | `table`, `layout` | [`Table`]: small records, and how they lie in sled |
//! | `record` | the named records, of any length |
//! | `commit` | one `fsync` for all that wait for one |
//! | `open` | what to do with what a crash left |
//! | `space` | whether the disk has room |
//! | `starts` | how many starts did not get through |
//!
//! Every record carries a format version and a checksum of its contents, since a damaged sled can open with pages
//! missing and say nothing. Records are cut into chunks: sled keeps pages of over 128 KiB in files that it neither
//! fsyncs nor reclaims, and up to 17 values make a page.

mod commit;
mod layout;
mod open;
mod record;
mod space;
mod starts;
mod table;
#[cfg(test)]
mod tests;

#[cfg(fuzzing)]
pub use layout::fuzz_layout;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

pub use commit::Pending;
pub use space::free_bytes;
pub use table::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Record, Table};

use commit::Committer;
use open::{open, open_or_repair, set_aside};
use space::Space;
use starts::Starts;

use crate::desired::{Accepted, Rollout};

/// Bytes of one value in sled. 17 of them stay far below the page that it would keep in a file of its own, and the
/// database holds its size best so: 3 MiB on the disk after any number of 64 KiB values of which eight live.
const CHUNK_BYTES: usize = 4 << 10;
/// Bytes that must be free for a new value in a table.
const RESERVE_OF_TABLES: u64 = 8 << 20;
/// The same for the named records, without which nothing new can run.
const RESERVE_OF_RECORDS: u64 = 2 << 20;
/// The same for whatever else writes, removing included: twice sled's buffer. Once a write fails sled takes no other
/// until it is opened anew, so that none may ever fail for want of space.
const RESERVE_OF_ALL: u64 = 1 << 20;
const ACCEPTED: &str = "accepted";
const ROLLOUT: &str = "rollout";
/// After so many starts in a row that did not get through since the device was booted, the database is taken for the
/// cause.
const MAX_FAILED_STARTS: u32 = 3;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Reading, writing or making durable failed.
    #[error("{0}")]
    Sled(#[from] sled::Error),
    /// The same, below sled.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A record is not what was written.
    #[error("record `{0}` is damaged")]
    Damaged(String),
    /// A record is of a version of the agent that this one does not know.
    #[error("record `{0}` has the unknown format {1}")]
    Format(String, u8),
    /// The disk is nearly full; nothing was changed.
    #[error("the disk is full: {0} bytes are free, and {1} are needed")]
    Full(u64, u64),
    /// A key or a value of a table is longer than it may be, in bytes; nothing was changed.
    #[error("a key of {key} bytes or a value of {value} bytes is too large")]
    TooLarge {
        /// The key's length.
        key: usize,
        /// The value's.
        value: usize,
    },
}

/// The open database.
pub struct Store {
    db: sled::Db,
    committer: Arc<Committer>,
    /// Held to read tables, or alone to change them.
    tables: RwLock<()>,
    /// Records of tables that were found damaged since the start.
    damaged: AtomicU64,
    space: Arc<Space>,
    /// Counts starts that did not get to [`Store::started`].
    starts: Starts,
}

impl Store {
    /// Opens the database in a directory that exists. One that can not be opened, or with which the agent has ended
    /// in each of its last starts since the device was booted, is set aside; its new name is returned, and the agent
    /// starts with an empty one.
    pub fn open(state: &Path) -> Result<(Self, Option<PathBuf>), StoreError> {
        let dir = state.join("db");
        let starts = Starts::of(state);
        let failed = starts.failed();
        // sled ends the process on some damage, where it should return an error: only the next start can know.
        let hopeless = failed >= MAX_FAILED_STARTS;
        starts.note(if hopeless { 0 } else { failed.saturating_add(1) });
        let opened = if hopeless { None } else { open_or_repair(&dir)? };
        let (db, aside) = match opened {
            Some(db) => (db, None),
            None => {
                let aside = set_aside(&dir)?;
                (open(&dir)?, Some(aside))
            }
        };
        let space = Arc::new(Space { dir, free: space::free_bytes });
        let committer = Arc::new(Committer::new(db.clone(), space.clone())?);
        let (tables, damaged) = (RwLock::default(), AtomicU64::new(0));
        Ok((Self { db, committer, tables, damaged, space, starts }, aside))
    }

    /// The same on a disk that seems to have as much room as a test says.
    #[cfg(test)]
    pub(crate) fn with_space(
        state: &Path,
        free: fn(&Path) -> io::Result<u64>,
    ) -> Result<Arc<Self>, StoreError> {
        let mut store = Self::open(state)?.0;
        let space = Arc::new(Space { dir: state.join("db"), free });
        store.committer = Arc::new(Committer::new(store.db.clone(), space.clone())?);
        store.space = space;
        Ok(Arc::new(store))
    }

    /// The agent has got through its start with this database.
    pub fn started(&self) -> io::Result<()> {
        self.starts.passed()
    }

    /// The desired state that was accepted last, if any was.
    pub fn accepted(&self) -> Result<Option<Accepted>, StoreError> {
        let Some(bytes) = self.read(ACCEPTED)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| StoreError::Damaged(ACCEPTED.into()))
    }

    /// Keeps a desired state; when this returns it is on the disk.
    pub fn keep_accepted(&self, accepted: &Accepted) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(accepted).map_err(io::Error::from)?;
        self.write(ACCEPTED, &bytes)
    }

    /// What serves, what is on trial and what was refused, if anything was ever noted.
    pub fn rollout(&self) -> Result<Option<Rollout>, StoreError> {
        let Some(bytes) = self.read(ROLLOUT)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| StoreError::Damaged(ROLLOUT.into()))
    }

    /// Keeps that; when this returns it is on the disk.
    pub fn keep_rollout(&self, rollout: &Rollout) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(rollout).map_err(io::Error::from)?;
        self.write(ROLLOUT, &bytes)
    }

    /// Removes the seals of compiled artifacts, which earlier versions kept here. They are now in the artifacts' files.
    pub fn forget_seals(&self) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let mut seals = self.db.scan_prefix("seal/").keys().peekable();
        if seals.peek().is_none() {
            return Ok(());
        }
        self.space.check(RESERVE_OF_ALL)?;
        for key in seals {
            batch.remove(key?);
        }
        Ok(self.db.apply_batch(batch)?)
    }

    /// Bytes that may still be written to the disk of the database.
    pub fn free_bytes(&self) -> io::Result<u64> {
        (self.space.free)(&self.space.dir)
    }

    /// Records of tables that were found damaged since the start, and removed.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Relaxed)
    }
}
