//! Opens what a crash left: sled as it is, without the snapshots of an interrupted start, or a new one with what can
//! still be read of the old, which is set aside. Knows nothing of what is in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::clean::Found;
use super::probe::{self, Verdict};
use super::{StoreError, loss, replace, salvage};
use crate::state_dir::aside;

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
    match error {
        StoreError::Sled(Corruption { .. } | ReportableBug(_) | Unsupported(_)) => true,
        StoreError::Sled(sled::Error::Io(error)) | StoreError::Io(error) => !is_the_systems(error),
        _ => false,
    }
}

/// Whether an error is none of the files' making, and may be gone at the next try.
fn is_the_systems(error: &io::Error) -> bool {
    use io::ErrorKind::{
        OutOfMemory, QuotaExceeded, ReadOnlyFilesystem, ResourceBusy, StorageFull, WouldBlock,
    };
    let passing = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN, libc::EROFS, libc::ENOSPC];
    matches!(
        error.kind(),
        OutOfMemory | QuotaExceeded | ReadOnlyFilesystem | ResourceBusy | StorageFull | WouldBlock
    ) || error.raw_os_error().is_some_and(|code| passing.contains(&code))
        || is_locked(error)
        // sled wraps these into a kind that says nothing.
        || error.to_string().contains("os error 24")
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

/// The database in a directory, whatever state that is in. One that is damaged, or doubted, is set aside; then the new
/// name is returned, and the database is a new one with what can be read of it. A program to look at it with keeps
/// sled from ending this process.
pub(super) fn open_database(
    dir: &Path,
    program: Option<&Path>,
    doubted: bool,
    found: Found,
) -> Result<(sled::Db, Option<PathBuf>), StoreError> {
    let finished = replace::finish(dir)?;
    if found == Found::Changed {
        log::error!("the database was changed while no agent ran, as by a bad block: records may be missing");
    }
    let mut why = if doubted { Some("no start got through with it".to_owned()) } else { misfit(dir)? };
    if why.is_none()
        && let Some(program) = program
        && dir.join("db").exists()
        && found != Found::Untouched
    {
        match probe::check(program, dir) {
            Verdict::Sound => log::debug!("the database is sound"),
            Verdict::Unknown(error) => log::warn!("the database could not be looked at: {error}"),
            Verdict::Damaged(found) => why = Some(found),
        }
    }
    if why.is_none()
        && let Some(db) = open_or_repair(dir)?
    {
        return Ok((db, finished));
    }
    log::error!("database {}: {}", dir.display(), why.as_deref().unwrap_or("it does not open"));
    let records = replace::fill(dir, |new| {
        let saved = match program {
            Some(program) => probe::salvage(program, dir, new),
            None => match open_or_repair(dir) {
                Ok(Some(old)) => salvage::copy(&old, new).map(|(records, _)| records),
                _ => Ok(0),
            },
        };
        match saved {
            // The old one is still in its place, and there may be room the next time.
            Err(error) if !is_damage(&error) => Err(error),
            Err(error) => {
                log::error!("saving records from {}: {error}", dir.display());
                Ok(0)
            }
            saved => saved,
        }
    })?;
    loss::note(dir);
    let aside = replace::swap_and_keep(dir)?;
    log::warn!("{records} records were saved from {}", aside.display());
    Ok((open(dir)?, Some(aside)))
}

/// What does not fit in the directory of a database, if anything: where a file should be there is something else.
fn misfit(dir: &Path) -> Result<Option<String>, StoreError> {
    aside::directory(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == "blobs" {
            aside::directory(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            // Only its mode can be wrong.
            aside::file(&entry.path(), dir)?;
        } else {
            return Ok(Some(format!("{} is no file", entry.path().display())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_FAILED_STARTS, Store};
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
        assert_eq!(store.read("accepted")?, None);
        Ok(())
    }

    #[test]
    fn a_database_with_which_no_start_gets_through_is_made_anew_with_all_it_holds() -> Result<(), StoreError>
    {
        let dir = temporary();
        for failed in 0..MAX_FAILED_STARTS {
            let (store, aside) = Store::open(dir.path())?;
            assert_eq!(aside, None, "after {failed} failed starts");
            store.write("x", b"kept")?;
        }
        let (store, aside) = Store::open(dir.path())?;
        assert!(aside.is_some());
        assert_eq!(store.read("x")?, Some(b"kept".to_vec()));
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
