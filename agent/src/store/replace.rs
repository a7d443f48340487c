//! Puts a new database in the place of one that is not to be relied on. It is filled beside the old one and made durable
//! before their names are swapped, so that one of the two is whole whenever the agent ends: what a start finds half
//! filled it throws away and does again, what it finds half swapped it finishes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::open::open;
use super::{StoreError, clean};
use crate::state_dir::aside;

/// Where a new database is filled.
pub(super) fn fresh(dir: &Path) -> PathBuf {
    dir.with_added_extension("new")
}

/// Where one that was written anew is until it goes.
pub(super) fn failed(dir: &Path) -> PathBuf {
    dir.with_added_extension("failed")
}

/// Where one is kept that was damaged.
fn damaged(dir: &Path) -> PathBuf {
    dir.with_added_extension("damaged")
}

/// Fills a new database, which is whole and on the disk when this returns, and closed.
pub(super) fn fill<T>(
    dir: &Path,
    fill: impl FnOnce(&sled::Db) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    finish(dir)?;
    let fresh = fresh(dir);
    let db = open(&fresh)?;
    let filled = fill(&db).and_then(|filled| {
        db.flush()?;
        sync(&fresh)?;
        Ok(filled)
    });
    if filled.is_err() {
        // Closing syncs the file, and sled ends the process where that fails.
        std::mem::forget(db);
        aside::remove(&fresh)?;
        return filled;
    }
    drop(db);
    clean::wait_for(&File::open(fresh.join("db"))?)?;
    sync(&fresh)?;
    filled
}

/// Makes the files of a database durable, and their names.
fn sync(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}

/// Puts what was filled in the place of the old one, which has this name from then on. Where that fails the old one is
/// where it was.
pub(super) fn swap(dir: &Path, name_of_old: &Path) -> io::Result<()> {
    fs::rename(dir, name_of_old)?;
    if let Err(error) = fs::rename(fresh(dir), dir) {
        fs::rename(name_of_old, dir)?;
        return Err(error);
    }
    sync_names(dir)
}

/// The same; the old one is kept, and of those that were kept before the last one. Returns its new name.
pub(super) fn swap_and_keep(dir: &Path) -> io::Result<PathBuf> {
    let (kept, before) = (damaged(dir), damaged(dir).with_added_extension("before"));
    if fs::symlink_metadata(&kept).is_ok() {
        aside::remove(&before)?;
        fs::rename(&kept, &before)?;
    }
    swap(dir, &kept)?;
    Ok(kept)
}

/// Finishes what was being done when the agent ended. Returns where a damaged database is kept that was being replaced.
pub(super) fn finish(dir: &Path) -> io::Result<Option<PathBuf>> {
    let (fresh, failed) = (fresh(dir), failed(dir));
    let mut kept = None;
    if !dir.exists() {
        // The first of the two renames was done, and so the new one is whole.
        if fresh.exists() {
            kept = Some(damaged(dir)).filter(|kept| !failed.exists() && kept.exists());
            fs::rename(&fresh, dir)?;
            sync_names(dir)?;
        } else if failed.exists() {
            fs::rename(&failed, dir)?;
            sync_names(dir)?;
        }
    }
    for left in [fresh, failed] {
        if let Err(error) = aside::remove(&left) {
            log::warn!("{}: {error}", left.display());
        }
    }
    Ok(kept)
}

fn sync_names(dir: &Path) -> io::Result<()> {
    match dir.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;

    type Outcome = Result<(), StoreError>;
    type Case = (&'static str, &'static [(&'static str, bool)], &'static [u8]);

    /// A state directory whose database holds `x`.
    fn prepared(value: &[u8]) -> Result<tempfile::TempDir, StoreError> {
        let dir = tempfile::tempdir()?;
        let (store, _) = Store::open(dir.path())?;
        store.write("x", value)?;
        Ok(dir)
    }

    fn holds(dir: &tempfile::TempDir, value: &[u8]) -> Result<Option<PathBuf>, StoreError> {
        let (store, aside) = Store::open(dir.path())?;
        assert_eq!(store.read("x")?.as_deref(), Some(value));
        for left in ["db.new", "db.failed"] {
            assert!(!dir.path().join(left).exists(), "{left}");
        }
        Ok(aside)
    }

    #[test]
    fn wherever_a_replacement_was_cut_off_a_whole_database_is_there() -> Outcome {
        let other = prepared(b"new")?;
        // What is there, and whether it is the new one; and what a start finds.
        let cases: [Case; 5] = [
            ("half filled", &[("db", false), ("db.new", false)], b"old"),
            ("salvaged, half swapped", &[("db.damaged", false), ("db.new", true)], b"new"),
            ("written anew, half swapped", &[("db.failed", false), ("db.new", true)], b"new"),
            ("the new one is gone", &[("db.failed", false)], b"old"),
            ("swapped", &[("db.failed", false), ("db", true)], b"new"),
        ];
        for (case, files, value) in cases {
            let dir = prepared(b"old")?;
            fs::rename(dir.path().join("db"), dir.path().join("as it was"))?;
            for (name, is_new) in files {
                let from = if *is_new { other.path().join("db") } else { dir.path().join("as it was") };
                let to = dir.path().join(name);
                fs::create_dir(&to)?;
                for file in ["db", "conf"] {
                    // Half filled: not a database.
                    if (*name, *is_new) != ("db.new", false) {
                        fs::copy(from.join(file), to.join(file))?;
                    }
                }
            }
            let aside = holds(&dir, value)?;
            assert_eq!(aside.is_some(), case.starts_with("salvaged"), "{case}");
            assert_eq!(holds(&dir, value)?, None, "{case}, once more");
        }
        Ok(())
    }

    #[test]
    fn a_swap_that_fails_leaves_the_old_one_in_its_place() -> Outcome {
        let dir = prepared(b"old")?;
        let db = dir.path().join("db");
        assert!(swap(&db, &failed(&db)).is_err(), "there is no new one");
        holds(&dir, b"old")?;
        fill(&db, |new| Ok(new.insert("k", "v")?))?;
        swap(&db, &failed(&db))?;
        assert_eq!(Store::open(dir.path())?.0.read("x")?, None);
        Ok(())
    }
}
