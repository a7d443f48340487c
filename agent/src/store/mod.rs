//! What must survive a power cut, in sled under `<state>/db`: the accepted desired state, and the tables of those who
//! keep small records. Knows how to write durably and how to open what a crash left, but not what any of it means.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | [`Store`]: opened, with its named records |
//! | `table`, `layout` | [`Table`]: small records, and how they lie in sled |
//! | `record` | the named records, of any length |
//! | `accepted` | the accepted desired state, and its copy beside sled |
//! | `base` | the database behind a lock, and why it takes no writes |
//! | `commit` | one `fsync` for all that wait for one |
//! | `heal` | opens it anew after a write that failed |
//! | `loss` | who is to know that records may be lost |
//! | `open`, `elsewhere` | what to do with what a crash left; and where the disk lets nothing be opened |
//! | `clean`, `probe` | whether it ended in good order; else a child looks at it first |
//! | `salvage`, `replace` | carries what can be read into a new one, and puts that in its place |
//! | `space` | whether the disk has room |
//! | `starts` | how many starts did not get through |
//! | `witness` | what the database must at least have, in a file beside it |
//!
//! Every record carries a format version and a checksum of its contents, since a damaged sled can open with pages
//! missing and say nothing. Records are cut into chunks: sled keeps pages of over 128 KiB in files that it neither
//! fsyncs nor reclaims, and up to 17 values make a page.

mod accepted;
mod base;
mod clean;
mod commit;
mod elsewhere;
mod heal;
mod layout;
mod loss;
mod open;
mod probe;
mod record;
mod replace;
mod salvage;
mod space;
mod starts;
mod table;
#[cfg(test)]
mod tests;
mod witness;

#[cfg(fuzzing)]
pub use layout::fuzz_layout;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

pub use crate::state_dir::free_bytes;
pub use commit::Pending;
pub use heal::Health;
pub use probe::child_main;
pub use table::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Numbered, Record, Table};

use base::{Base, Open};
use clean::Found;
use commit::Committer;
use elsewhere::open_elsewhere;
use heal::Healing;
use open::open_database;
use space::Space;
use starts::Starts;

use crate::desired::Rollout;

/// Bytes of one value in sled. 17 of them stay far below the page that it would keep in a file of its own, and the
/// database holds its size best so: 3 MiB on the disk after any number of 64 KiB values of which eight live.
const CHUNK_BYTES: usize = 4 << 10;
/// Bytes that must be free for a new value in a table.
const RESERVE_OF_TABLES: u64 = 8 << 20;
/// The same for the named records, without which nothing new can run.
const RESERVE_OF_RECORDS: u64 = 2 << 20;
/// The same for whatever else writes, removing included: twice sled's buffer. Once a write fails sled takes no other
/// until it is opened anew, so that none should ever fail for want of space.
const RESERVE_OF_ALL: u64 = 1 << 20;
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
    /// A write has failed before, and the database is not open anew yet; nothing was changed.
    #[error("the database takes no writes: {0}")]
    Unusable(String),
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
    state: PathBuf,
    base: Arc<Base>,
    committer: Arc<Committer>,
    healing: Mutex<Healing>,
    /// Records of tables that were found damaged since the start.
    damaged: AtomicU64,
    /// Times that records may have been lost, and how many of them those know who depend on what was there.
    losses: AtomicU64,
    losses_told: AtomicU64,
    /// Commits that it had when the agent ran last, and had no more at the start.
    gone_back: AtomicU64,
    /// The copy of the accepted desired state is not what the database has.
    copy_is_old: AtomicBool,
    /// Counts starts that did not get to [`Store::started`].
    starts: Starts,
    /// What looks at a database that may be damaged.
    program: Option<PathBuf>,
}

impl Store {
    /// Opens the database in a directory that exists. One that can not be opened, or with which the agent has ended
    /// in each of its last starts since the device was booted, is set aside; its new name is returned, and the agent
    /// starts with one that holds what could be saved.
    pub fn open(state: &Path) -> Result<(Self, Option<PathBuf>), StoreError> {
        Self::open_by(state, None)
    }

    /// The same for the agent itself: a database that was not closed in good order is looked at by a child of this
    /// program first, and one that the disk does not let be opened for now is read from memory.
    pub fn open_safely(state: &Path) -> Result<(Self, Option<PathBuf>), StoreError> {
        Self::open_by(state, Some(std::env::current_exe()?))
    }

    fn open_by(state: &Path, program: Option<PathBuf>) -> Result<(Self, Option<PathBuf>), StoreError> {
        let dir = state.join("db");
        // Before the next line makes durable what it changes.
        let found = clean::take(&dir);
        let starts = Starts::of(state);
        let failed = starts.failed();
        // What the probe does not see may show only when the database is used.
        let doubted = failed >= MAX_FAILED_STARTS;
        starts.note(if doubted { 0 } else { failed.saturating_add(1) });
        let opened = open_database(&dir, program.as_deref(), doubted, found)
            .and_then(|(db, aside)| Ok((Open::new(db, &dir)?, aside)));
        let (open, trouble, aside) = match opened {
            Ok((open, aside)) => (open, None, aside),
            Err(error) if program.is_some() => {
                log::error!(
                    "the database does not open for now: {error}; the agent goes on without writing to it"
                );
                let (open, trouble) = open_elsewhere(&dir, &error)?;
                (open, Some(trouble), None)
            }
            Err(error) => return Err(error),
        };
        let base = Arc::new(Base::new(open, trouble, Space::of(dir)));
        let store = Self::with(state, base, starts, program);
        let gone_back = store.compare();
        if aside.is_none() {
            store.gone_back.store(gone_back, Relaxed);
        }
        if found == Found::Changed || aside.is_some() || gone_back > 0 || store.loss_mark().exists() {
            store.lose();
        }
        Ok((store, aside))
    }

    /// How many commits the database has less than it must have; from here on it counts on from there. None where it
    /// can not be opened for now.
    fn compare(&self) -> u64 {
        match self.base.current() {
            Ok(open) => self.catch_up(&open),
            Err(_) => 0,
        }
    }

    /// The same of one that is not in its place yet.
    fn catch_up(&self, open: &Open) -> u64 {
        let known = self.base.witness.commits();
        let failed = |error| log::warn!("counting the commits of the database: {error}");
        let has = open.commits().map_err(|error| failed(StoreError::from(error))).unwrap_or(known);
        if has < known {
            open.count_from(known).unwrap_or_else(failed);
        }
        known.saturating_sub(has)
    }

    fn with(state: &Path, base: Arc<Base>, starts: Starts, program: Option<PathBuf>) -> Self {
        Self {
            state: state.to_owned(),
            committer: Arc::new(Committer::new(base.clone())),
            base,
            healing: Mutex::default(),
            damaged: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            losses_told: AtomicU64::new(0),
            gone_back: AtomicU64::new(0),
            copy_is_old: AtomicBool::new(false),
            starts,
            program,
        }
    }

    /// The same on a disk that seems to have as much room as a test says.
    #[cfg(test)]
    pub(crate) fn with_space(
        state: &Path,
        free: fn(&Path) -> io::Result<u64>,
    ) -> Result<Arc<Self>, StoreError> {
        Self::with_seams(state, free, std::fs::File::sync_data)
    }

    /// The same where a test says how files are made durable as well.
    #[cfg(test)]
    fn with_seams(
        state: &Path,
        free: fn(&Path) -> io::Result<u64>,
        sync: fn(&std::fs::File) -> io::Result<()>,
    ) -> Result<Arc<Self>, StoreError> {
        let dir = state.join("db");
        let (db, _) = open_database(&dir, None, false, Found::Unmarked)?;
        let mut space = Space::of(dir.clone());
        (space.free, space.sync) = (free, sync);
        let base = Arc::new(Base::new(Open::new(db, &dir)?, None, space));
        Ok(Arc::new(Self::with(state, base, Starts::of(state), None)))
    }

    /// The agent has got through its start with this database.
    pub fn started(&self) -> io::Result<()> {
        self.starts.passed()
    }

    /// Closes it in good order, so that the next start need not doubt it. Whoever uses it from now on gets an error.
    pub fn close(&self) {
        let Some(_alone) = self.committer.alone() else { return };
        let mut place = self.base.place();
        if self.base.trouble().is_some() || place.take().is_none() {
            return;
        }
        if let Err(error) = self.base.witness.sync() {
            log::info!("what the database has is not durable beside it: {error}");
        }
        if let Err(error) = clean::note(&self.base.space.dir) {
            log::info!("the next start will look at the database: {error}");
        }
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
        let db = self.base.exclusive()?;
        let mut batch = sled::Batch::default();
        let mut seals = db.scan_prefix("seal/").keys().peekable();
        if seals.peek().is_none() {
            return Ok(());
        }
        self.base.space.check(RESERVE_OF_ALL)?;
        for key in seals {
            batch.remove(key?);
        }
        self.base.wrote(db.apply_batch(batch))
    }

    /// Bytes that may still be written to the disk of the database.
    pub fn free_bytes(&self) -> io::Result<u64> {
        (self.base.space.free)(&self.base.space.dir)
    }

    /// How many commits the database had lost at the start without a trace in it: what was kept with them is gone.
    pub fn gone_back(&self) -> u64 {
        self.gone_back.load(Relaxed)
    }

    /// Records of tables that were found damaged since the start, and removed; and one for a database that was.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Relaxed)
    }
}
