//! Whether the database is byte for byte what an agent left that ended in good order: then it opens without a doubt.
//! After anything else, a power cut or a bad block, it is looked at first by a child (`probe`), whom it may crash.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::state_dir::write_durably;

/// How long sled may take to let go of its file.
const LET_GO: Duration = Duration::from_secs(1);

/// The mark lies beside the database.
fn mark(db: &Path) -> PathBuf {
    db.with_added_extension("clean")
}

/// Notes what a database is like that was closed. What is written to it later makes the mark void by itself.
pub(super) fn note(db: &Path) -> io::Result<()> {
    wait_for(&File::open(db.join("db"))?)?;
    write_durably(&mark(db), &digest(db)?)
}

/// Waits until sled has let go of its file: it does so on threads of its own.
pub(super) fn wait_for(file: &File) -> io::Result<()> {
    let until = Instant::now() + LET_GO;
    while let Err(error) = file.try_lock_shared() {
        match error {
            TryLockError::WouldBlock if Instant::now() < until => std::thread::sleep(LET_GO / 100),
            TryLockError::WouldBlock => return Err(io::Error::other("sled has not let go of it")),
            TryLockError::Error(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a mark says of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is as it was closed.
    Untouched,
    /// It was closed, and changed since, by none of us.
    Changed,
    /// It was not closed in good order, or is none yet.
    Unmarked,
}

/// What the mark says, which is void from now on: the database is about to be opened.
pub(super) fn take(db: &Path) -> Found {
    let Ok(noted) = fs::read(mark(db)) else { return Found::Unmarked };
    let found = match digest(db) {
        Ok(found) if found == noted => Found::Untouched,
        _ => Found::Changed,
    };
    if let Err(error) = fs::remove_file(mark(db)) {
        log::warn!("{}: {error}", mark(db).display());
    }
    found
}

/// A line over the names and the contents of all files.
fn digest(db: &Path) -> io::Result<Vec<u8>> {
    let mut paths = fs::read_dir(db)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    let (mut hasher, mut bytes) = (crc32fast::Hasher::new(), 0u64);
    let mut buffer = vec![0; 64 << 10];
    for path in paths.iter().filter(|path| !path.is_dir()) {
        hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        let mut file = File::open(path)?;
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(buffer.get(..n).unwrap_or_default());
            bytes = bytes.saturating_add(n as u64);
        }
    }
    Ok(format!("{bytes} {:08x}\n", hasher.finalize()).into_bytes())
}
