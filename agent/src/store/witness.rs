//! What the database must at least have, in a small file beside it: sled opens an older state of its log without a word
//! where the end of that log is gone, and nothing in it then says what is missing.
//!
//! It is written after every commit, and never before that is on the disk, so that it is never ahead of the database;
//! it is made durable only when the database is closed. After a power cut it may lag behind, which is no alarm; after a
//! kill, or damage to a database that nobody has open, it is exact. The length of sled's file is no part of it, since
//! sled cuts that itself. The file holds two slots that are written in turn, so that a torn write leaves one whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metrics::disk::Purpose;
use crate::state_dir::{aside, read_small};

/// Bytes of a slot: a word, a turn, four numbers, room, and a checksum.
const SLOT: usize = 64;
const WORD: [u8; 8] = *b"twinlet1";
/// Slots of the file.
const SLOTS: u64 = 2;

/// What a database has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Commits, as it counts them itself.
    pub(super) commits: u64,
    /// The highest number that was given to a record.
    pub(super) number: u64,
    /// How many of the numbered records have not been dealt with.
    pub(super) waiting: u64,
    /// The version of the accepted desired state.
    pub(super) accepted: u64,
}

/// The file, and what is to be written to it next.
pub(super) struct Witness {
    path: PathBuf,
    /// What it said at the start.
    pub(super) at_start: Said,
    number: AtomicU64,
    waiting: AtomicU64,
    written: Mutex<Written>,
}

/// What was written last.
struct Written {
    file: Option<File>,
    turn: u64,
    said: Said,
    /// That it can not be written was logged.
    told: bool,
}

impl Witness {
    /// That of a database, with what it says. One that is damaged says nothing.
    pub(super) fn beside(db: &Path) -> Self {
        let path = db.with_added_extension("witness");
        let (turn, said) = read(&path);
        Self {
            path,
            at_start: said,
            number: said.number.into(),
            waiting: said.waiting.into(),
            written: Mutex::new(Written { file: None, turn, said, told: false }),
        }
    }

    /// A record was numbered, and is in the database. To be called before anybody can make that durable.
    pub(super) fn numbered(&self, number: u64) {
        self.number.fetch_max(number, Relaxed);
    }

    /// How many numbered records wait. A number that is too high for a while harms nothing.
    pub(super) fn waiting(&self, waiting: u64) {
        self.waiting.store(waiting, Relaxed);
    }

    /// What is in the database now. What is made durable after this call may be written.
    pub(super) fn noted(&self) -> (u64, u64) {
        (self.number.load(Relaxed), self.waiting.load(Relaxed))
    }

    /// Commits that a database of today has at least.
    pub(super) fn commits(&self) -> u64 {
        self.written().said.commits
    }

    /// The database was opened anew, perhaps without what was not durable.
    pub(super) fn forget_unwritten(&self) {
        self.number.store(self.written().said.number, Relaxed);
    }

    /// A commit is on the disk, and with it what was noted before it.
    pub(super) fn committed(&self, commits: u64, (number, waiting): (u64, u64)) {
        let mut written = self.written();
        let said = Said { commits, number, waiting, ..written.said };
        self.write(&mut written, said);
    }

    /// The desired state of this version is on the disk.
    pub(super) fn accepted(&self, accepted: u64) {
        let mut written = self.written();
        let said = Said { accepted, ..written.said };
        self.write(&mut written, said);
    }

    /// Makes durable what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        let written = self.written();
        let Some(file) = &written.file else { return Ok(()) };
        Purpose::State.synced();
        file.sync_all()?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }

    /// What can not be written leaves it behind the database, which only makes it blind.
    fn write(&self, written: &mut Written, said: Said) {
        let turn = written.turn.wrapping_add(1);
        let outcome = match written.file.take() {
            Some(file) => Ok(file),
            None => open(&self.path),
        };
        let outcome = outcome.and_then(|file| {
            file.write_all_at(&slot(turn, said), turn % SLOTS * SLOT as u64)?;
            Purpose::State.wrote(SLOT);
            Ok(file)
        });
        match outcome {
            Ok(file) => {
                (written.file, written.turn, written.said) = (Some(file), turn, said);
                written.told = false;
            }
            Err(error) if !written.told => {
                log::warn!("{}: {error}; what the database loses now may go unseen", self.path.display());
                written.told = true;
            }
            Err(_) => {}
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> io::Result<File> {
    aside::file(path, path.parent().unwrap_or(path))?;
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The later one of the slots that are whole, and its turn.
fn read(path: &Path) -> (u64, Said) {
    let bytes = match read_small(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Default::default(),
        Err(error) => {
            log::error!("{}: {error}; it is made anew", path.display());
            return Default::default();
        }
    };
    let whole = bytes.chunks(SLOT).take(2).filter_map(read_slot).max_by_key(|(turn, _)| *turn);
    whole.unwrap_or_else(|| {
        log::error!("{} is damaged; it is made anew", path.display());
        Default::default()
    })
}

fn slot(turn: u64, said: Said) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    let words = [turn, said.commits, said.number, said.waiting, said.accepted].map(u64::to_be_bytes);
    let bytes = WORD.iter().chain(words.iter().flatten());
    slot.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    if let Some((contents, checksum)) = slot.split_last_chunk_mut::<4>() {
        *checksum = crc32fast::hash(contents).to_be_bytes();
    }
    slot
}

fn read_slot(bytes: &[u8]) -> Option<(u64, Said)> {
    let bytes: &[u8; SLOT] = bytes.try_into().ok()?;
    let (contents, checksum) = bytes.split_last_chunk::<4>()?;
    let rest = contents.strip_prefix(&WORD)?;
    if *checksum != crc32fast::hash(contents).to_be_bytes() {
        return None;
    }
    let mut words = rest.chunks(8).map_while(|word| word.try_into().ok().map(u64::from_be_bytes));
    let mut word = || words.next();
    let turn = word()?;
    let said = Said { commits: word()?, number: word()?, waiting: word()?, accepted: word()? };
    Some((turn, said))
}

#[cfg(test)]
mod tests;
