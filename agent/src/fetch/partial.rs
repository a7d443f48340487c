//! A download that is not whole yet, as a file that outlives failures, restarts and power cuts: `<sha256>.wasm.partial`
//! beside the artifact's place, and `….partial.json` with where its bytes are from. Knows nothing of how bytes come.
//!
//! After a crash the file may be shorter than it was, or hold what was never written: its bytes are hashed again before
//! they are continued, so that the digest at the end judges them as well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256 as Hasher};

use crate::desired::Sha256;
use crate::metrics::disk::Purpose;

/// Bytes after which what came is made durable,
const SYNC_BYTES: u64 = 1 << 20;
/// or the time, where they come slowly.
const SYNC_EVERY: Duration = Duration::from_secs(10);

/// What the bytes of a partial file are a part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The URL, without what may be secret in it.
    pub(super) url: String,
    /// The server's strong `ETag`, or its `Last-Modified`.
    pub(super) validator: Option<String>,
    /// Bytes of the whole.
    pub(super) total: Option<u64>,
}

/// The file, open, and the hash of what is in it.
pub(super) struct Partial {
    target: PathBuf,
    path: PathBuf,
    file: File,
    len: u64,
    /// Whether bytes came since it was opened.
    grew: bool,
    hasher: Hasher,
    origin: Origin,
    /// Bytes since the last sync, and when that was; none before the first.
    unsynced: u64,
    synced: Option<Instant>,
    began: Instant,
}

impl Partial {
    /// Opens the partial file of what is to stand at `target`, or makes it. [`Partial::rehash`] comes next.
    pub(super) fn open(target: &Path) -> io::Result<Self> {
        let path = path_of(target);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        // What can not be read is as good as none: the digest judges the bytes, not this.
        let origin = fs::read(origin_of(&path)).ok();
        let origin = origin.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Ok(Self {
            target: target.to_owned(),
            path,
            file,
            len: 0,
            grew: false,
            hasher: Hasher::new(),
            origin,
            unsynced: 0,
            synced: None,
            began: Instant::now(),
        })
    }

    /// Hashes what is in the file already; throws away what can not be read.
    pub(super) fn rehash(&mut self) -> io::Result<()> {
        self.hasher = Hasher::new();
        self.file.seek(SeekFrom::Start(0))?;
        match io::copy(&mut self.file, &mut self.hasher) {
            Ok(len) => self.len = len,
            Err(error) => {
                log::warn!("{}: {error}; the download begins anew", self.path.display());
                self.restart()?;
            }
        }
        Ok(())
    }

    /// Bytes that are there.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The digest of what is there.
    pub(super) fn digest(&self) -> Sha256 {
        Sha256::from_bytes(self.hasher.clone().finalize().into())
    }

    /// Whether bytes were added to what there was.
    pub(super) fn grew(&self) -> bool {
        self.grew
    }

    /// What the bytes are a part of, as far as it is known.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Keeps in mind what the bytes that come are a part of.
    pub(super) fn note(&mut self, origin: Origin) -> io::Result<()> {
        if self.origin == origin {
            return Ok(());
        }
        let text = serde_json::to_vec(&origin).map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        options.open(origin_of(&self.path))?.write_all(&text)?;
        self.origin = origin;
        self.synced = None;
        Ok(())
    }

    /// Adds bytes, and makes durable what is there from time to time.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        Purpose::Artifact.wrote(bytes.len());
        self.hasher.update(bytes);
        let added = bytes.len() as u64;
        self.len = self.len.saturating_add(added);
        self.grew = true;
        self.unsynced = self.unsynced.saturating_add(added);
        if self.unsynced >= SYNC_BYTES || self.synced.unwrap_or(self.began).elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Throws away what is there.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.len, self.hasher, self.origin) = (0, Hasher::new(), Origin::default());
        remove(&origin_of(&self.path))
    }

    /// Ends a try that failed: what came is kept for the next.
    pub(super) fn keep(mut self) -> io::Result<()> {
        if self.len == 0 { self.discard() } else { self.sync() }
    }

    /// Ends a try whose bytes are good for nothing.
    pub(super) fn discard(self) -> io::Result<()> {
        remove(&self.path)?;
        remove(&origin_of(&self.path))
    }

    /// Puts the file, which is whole, durably into its place.
    pub(super) fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        Purpose::Artifact.synced();
        fs::rename(&self.path, &self.target)?;
        sync_directory(&self.target)?;
        remove(&origin_of(&self.path))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        Purpose::Artifact.synced();
        if self.synced.is_none() {
            match File::open(origin_of(&self.path)) {
                Ok(origin) => origin.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            sync_directory(&self.path)?;
        }
        (self.unsynced, self.synced) = (0, Some(Instant::now()));
        Ok(())
    }
}

/// Where the partial file of what is to stand at `target` lies.
pub(super) fn path_of(target: &Path) -> PathBuf {
    target.with_added_extension("partial")
}

/// Where the origin of a partial file lies.
pub(super) fn origin_of(partial: &Path) -> PathBuf {
    partial.with_added_extension("json")
}

/// Removes a file; that there is none is as good.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(target: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut partial = Partial::open(target)?;
        partial.rehash()?;
        partial.note(Origin { url: "http://h/f".into(), validator: Some("\"1\"".into()), total: Some(9) })?;
        partial.append(bytes)?;
        partial.keep()
    }

    #[test]
    fn what_came_is_there_again_and_hashed() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let target = dir.path().join("a.wasm");
        begun(&target, b"half")?;
        let mut partial = Partial::open(&target)?;
        partial.rehash()?;
        assert_eq!((partial.len(), partial.origin().validator.as_deref()), (4, Some("\"1\"")));
        partial.append(b" done")?;
        assert_eq!(partial.digest(), Sha256::from_bytes(Hasher::digest(b"half done").into()));
        partial.finish()?;
        assert_eq!(fs::read(&target)?, b"half done");
        assert_eq!(fs::read_dir(dir.path())?.count(), 1);
        Ok(())
    }

    #[test]
    fn a_damaged_file_is_seen_by_its_digest_and_a_damaged_origin_is_none() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let target = dir.path().join("a.wasm");
        begun(&target, b"half")?;
        fs::write(path_of(&target), b"hAlf")?;
        fs::write(origin_of(&path_of(&target)), b"{\"url\":")?;
        let mut partial = Partial::open(&target)?;
        partial.rehash()?;
        assert_ne!(partial.digest(), Sha256::from_bytes(Hasher::digest(b"half").into()));
        assert_eq!(*partial.origin(), Origin::default());
        partial.restart()?;
        assert_eq!(partial.len(), 0);
        partial.keep()?;
        assert_eq!(fs::read_dir(dir.path())?.count(), 0, "a file without bytes is worth nothing");
        Ok(())
    }
}
