//! What must survive a power cut, in sled under `<state>/db`: the accepted desired state, and the seals of compiled
//! artifacts. Knows how to write durably and how to open what a crash left, but not what desired state means.
//!
//! Every record carries a format version and a SHA-256 of its contents, since a damaged sled can open with pages
//! missing and say nothing. Records are cut into chunks: sled keeps values of over 128 KiB in files that it neither
//! fsyncs nor reclaims.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::desired::Accepted;
use crate::state_dir::write_durably;

/// Of the records' layout.
const FORMAT: u8 = 1;
const CHUNK_BYTES: usize = 32 << 10;
const CACHE_BYTES: u64 = 2 << 20;
const HEADER_BYTES: usize = 1 + 32;
const ACCEPTED: &str = "accepted";
/// After so many starts in a row that did not get through, the database is taken for the cause.
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
}

/// The open database.
pub struct Store {
    db: sled::Db,
    /// A second handle to sled's file: `flush` alone does not reach the disk.
    file: File,
    /// Counts starts that did not get to [`Store::started`].
    starts: PathBuf,
}

impl Store {
    /// Opens the database in a directory that exists. One that can not be opened, or with which the agent has ended
    /// in each of its last starts, is set aside; its new name is returned, and the agent starts with an empty one.
    pub fn open(state: &Path) -> Result<(Self, Option<PathBuf>), StoreError> {
        let dir = state.join("db");
        let starts = state.join("db.starts");
        let failed = fs::read_to_string(&starts).ok().and_then(|n| n.trim().parse().ok()).unwrap_or(0u32);
        // sled ends the process on some damage, where it should return an error: only the next start can know.
        let hopeless = failed >= MAX_FAILED_STARTS;
        let count = if hopeless { 0 } else { failed.saturating_add(1) };
        if let Err(error) = write_durably(&starts, count.to_string().as_bytes()) {
            // As on a full disk, with which the agent is to serve all the same.
            log::warn!("{}: {error}; this start is not counted", starts.display());
        }
        let opened = if hopeless { None } else { open_or_repair(&dir)? };
        let (db, aside) = match opened {
            Some(db) => (db, None),
            None => {
                let aside = set_aside(&dir)?;
                (open(&dir)?, Some(aside))
            }
        };
        let file = File::open(dir.join("db"))?;
        Ok((Self { db, file, starts }, aside))
    }

    /// The agent has got through its start with this database.
    pub fn started(&self) -> io::Result<()> {
        match fs::remove_file(&self.starts) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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

    /// The seal of a compiled artifact, if it is known and undamaged.
    pub fn seal(&self, artifact: &crate::desired::Sha256) -> Option<Vec<u8>> {
        self.read(&seal_name(artifact)).ok().flatten()
    }

    /// Keeps the seal of a compiled artifact.
    pub fn keep_seal(&self, artifact: &crate::desired::Sha256, seal: &[u8]) -> Result<(), StoreError> {
        self.write(&seal_name(artifact), seal)
    }

    /// Forgets the seal of an artifact that is gone.
    pub fn forget_seal(&self, artifact: &crate::desired::Sha256) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for key in self.db.scan_prefix(prefix(&seal_name(artifact))).keys() {
            batch.remove(key?);
        }
        self.db.apply_batch(batch)?;
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let damaged = || StoreError::Damaged(name.to_owned());
        let mut bytes = Vec::new();
        for (expected, entry) in self.db.scan_prefix(prefix(name)).enumerate() {
            let (key, chunk) = entry?;
            if u32::try_from(expected).map(|index| chunk_key(name, index)) != Ok(key.to_vec()) {
                return Err(damaged());
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let (header, contents) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        match header.split_first() {
            Some((&FORMAT, digest)) if digest == Sha256::digest(contents).as_slice() => {
                Ok(Some(contents.to_vec()))
            }
            Some((&FORMAT, _)) | None => Err(damaged()),
            Some((format, _)) => Err(StoreError::Format(name.to_owned(), *format)),
        }
    }

    fn write(&self, name: &str, contents: &[u8]) -> Result<(), StoreError> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + contents.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&Sha256::digest(contents));
        bytes.extend_from_slice(contents);
        let mut batch = sled::Batch::default();
        for key in self.db.scan_prefix(prefix(name)).keys() {
            batch.remove(key?);
        }
        for (index, chunk) in (0u32..).zip(bytes.chunks(CHUNK_BYTES)) {
            batch.insert(chunk_key(name, index), chunk);
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        self.file.sync_data()?;
        Ok(())
    }
}

fn seal_name(artifact: &crate::desired::Sha256) -> String {
    format!("seal/{artifact}")
}

fn prefix(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"#"].concat()
}

fn chunk_key(name: &str, index: u32) -> Vec<u8> {
    [&prefix(name)[..], &index.to_be_bytes()].concat()
}

fn open(dir: &Path) -> Result<sled::Db, StoreError> {
    Ok(sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()?)
}

/// Whether opening failed for what is in the files, and not for want of space, rights or file descriptors.
fn is_damage(error: &StoreError) -> bool {
    use sled::Error::{Corruption, ReportableBug, Unsupported};
    matches!(error, StoreError::Sled(Corruption { .. } | ReportableBug(_) | Unsupported(_)))
}

/// None where the database opens neither as it is nor without the snapshots that an interrupted start left.
fn open_or_repair(dir: &Path) -> Result<Option<sled::Db>, StoreError> {
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
fn set_aside(dir: &Path) -> io::Result<PathBuf> {
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
    use super::*;

    fn temporary() -> tempfile::TempDir {
        tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_record_larger_than_a_chunk_reads_back_after_reopening() -> Result<(), StoreError> {
        let dir = temporary();
        let long: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let (store, _) = Store::open(dir.path())?;
        store.write("x", &long)?;
        drop(store);
        let (store, aside) = Store::open(dir.path())?;
        assert_eq!(aside, None);
        assert_eq!(store.read("x")?, Some(long));
        store.write("x", b"short")?;
        assert_eq!(store.read("x")?, Some(b"short".to_vec()), "no chunk of the longer record is left");
        assert_eq!(store.read("y")?, None);
        Ok(())
    }

    #[test]
    fn a_record_that_changed_underneath_is_damage_not_data() -> Result<(), StoreError> {
        let dir = temporary();
        let (store, _) = Store::open(dir.path())?;
        store.write("x", b"contents")?;
        let key = chunk_key("x", 0);
        let mut bytes = store.db.get(&key)?.map(|b| b.to_vec()).unwrap_or_default();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        store.db.insert(key, bytes)?;
        assert!(matches!(store.read("x"), Err(StoreError::Damaged(_))));
        Ok(())
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
