//! The files of artifacts: `<state>/artifacts/<sha256>.wasm` as fetched, and `.cwasm` as compiled by this device.
//! Knows names, sizes and durable writing; not what is in the files.
//!
//! Whatever stands under such a name is whole: a file is written under a temporary name, made durable, then renamed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use sha2::{Digest, Sha256 as Hasher};

use crate::desired::Sha256;

/// The directory of artifacts.
pub struct Artifacts {
    dir: PathBuf,
}

impl Artifacts {
    /// Opens the directory, makes it if need be, and removes what an interrupted write left in it.
    pub fn open(state: &Path) -> io::Result<Self> {
        let dir = state.join("artifacts");
        fs::create_dir_all(&dir)?;
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "part") {
                fs::remove_file(&path)?;
            }
        }
        Ok(Self { dir })
    }

    /// The directory of all files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where an artifact's bytes are, or would be.
    pub fn wasm(&self, sha256: &Sha256) -> PathBuf {
        self.dir.join(format!("{sha256}.wasm"))
    }

    /// Where its compiled form is, or would be.
    pub fn compiled(&self, sha256: &Sha256) -> PathBuf {
        self.dir.join(format!("{sha256}.cwasm"))
    }

    /// Whether an artifact is on the device.
    pub fn has(&self, sha256: &Sha256) -> bool {
        self.wasm(sha256).exists()
    }

    /// Whether an artifact's file holds the bytes that its name says.
    pub fn verify(&self, sha256: &Sha256) -> io::Result<bool> {
        let mut hasher = Hasher::new();
        io::copy(&mut File::open(self.wasm(sha256))?, &mut hasher)?;
        Ok(hasher.finalize().as_slice() == sha256.as_bytes())
    }

    /// Begins to write the file that is to stand at `path`.
    pub fn begin(&self, path: PathBuf) -> io::Result<Partial> {
        // A name of its own: a download that was given up may still be writing to an earlier one.
        static BEGUN: AtomicU64 = AtomicU64::new(0);
        let temporary = path.with_added_extension(format!("{}.part", BEGUN.fetch_add(1, Relaxed)));
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        Ok(Partial { temporary, path, file })
    }

    /// Bytes that all files take.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.files()?.iter().map(|(_, _, bytes)| bytes).sum())
    }

    /// Removes an artifact and its compiled form.
    pub fn remove(&self, sha256: &Sha256) -> io::Result<()> {
        for path in [self.wasm(sha256), self.compiled(sha256)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what was used longest ago until all files take no more than `max_bytes`, but nothing of `keep`.
    /// Returns what it removed.
    pub fn evict(&self, max_bytes: u64, keep: &BTreeSet<Sha256>) -> io::Result<BTreeSet<Sha256>> {
        let mut files = self.files()?;
        files.sort();
        let mut total: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        let mut removed = BTreeSet::new();
        for (_, path, bytes) in files {
            if total <= max_bytes {
                break;
            }
            let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if stem.is_some_and(|sha256| keep.contains(&sha256)) {
                continue;
            }
            fs::remove_file(&path)?;
            total = total.saturating_sub(bytes);
            removed.extend(stem);
        }
        Ok(removed)
    }

    /// Marks an artifact as used now, for [`Artifacts::evict`].
    pub fn touch(&self, sha256: &Sha256) -> io::Result<()> {
        File::options().append(true).open(self.wasm(sha256))?.set_modified(SystemTime::now())
    }

    fn files(&self) -> io::Result<Vec<(SystemTime, PathBuf, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            files.push((metadata.modified()?, entry.path(), metadata.len()));
        }
        Ok(files)
    }
}

/// A file that is being written. Dropped before [`Partial::finish`], it leaves nothing.
pub struct Partial {
    temporary: PathBuf,
    path: PathBuf,
    file: File,
}

impl Partial {
    /// The file to write to.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Its name while it is written, for another process to write to.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes what was written durable and puts it in its place.
    pub fn finish(self) -> io::Result<()> {
        // Another process may have replaced what the handle shows.
        File::open(&self.temporary)?.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        match self.path.parent() {
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After `finish` there is nothing under this name; what else remains, the next start removes.
        fs::remove_file(&self.temporary).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn put(artifacts: &Artifacts, byte: u8, len: usize) -> io::Result<Sha256> {
        let contents = vec![byte; len];
        let sha256 = Sha256::from_bytes(Hasher::digest(&contents).into());
        let mut partial = artifacts.begin(artifacts.wasm(&sha256))?;
        partial.file().write_all(&contents)?;
        partial.finish()?;
        Ok(sha256)
    }

    #[test]
    fn an_unfinished_file_is_not_there() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let artifacts = Artifacts::open(dir.path())?;
        let sha256 = Sha256::from_bytes([1; 32]);
        artifacts.begin(artifacts.wasm(&sha256))?.file().write_all(b"half")?;
        assert!(!artifacts.has(&sha256));
        assert_eq!(artifacts.bytes()?, 0);
        Ok(())
    }

    #[test]
    fn eviction_takes_the_longest_unused_and_spares_what_is_needed() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let artifacts = Artifacts::open(dir.path())?;
        let ids = (0..4).map(|n| put(&artifacts, n, 100)).collect::<io::Result<Vec<_>>>()?;
        for (age, id) in [3, 2, 1, 0].into_iter().zip(&ids) {
            let past = SystemTime::now() - std::time::Duration::from_secs(age * 60);
            File::options().append(true).open(artifacts.wasm(id))?.set_modified(past)?;
        }
        let keep: BTreeSet<_> = ids.first().copied().into_iter().collect();
        let removed = artifacts.evict(200, &keep)?;
        assert_eq!(removed, ids.iter().copied().skip(1).take(2).collect());
        assert_eq!(artifacts.bytes()?, 200);
        Ok(())
    }

    #[test]
    fn a_changed_file_does_not_verify() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let artifacts = Artifacts::open(dir.path())?;
        let sha256 = put(&artifacts, 7, 100)?;
        assert!(artifacts.verify(&sha256)?);
        fs::write(artifacts.wasm(&sha256), [8; 100])?;
        assert!(!artifacts.verify(&sha256)?);
        Ok(())
    }
}
