//! The files of artifacts: `<state>/artifacts/<sha256>.wasm` as fetched, and `.cwasm` as compiled by this device.
//! Knows names, sizes, room and durable writing; not what is in the files.
//!
//! Whatever stands under such a name is whole: a file is written under a temporary name, made durable, then renamed.
//!
//! | file | what it is |
//! | --- | --- |
//! | `artifacts` | [`Artifacts`], and files on their way into it |
//! | `listing` | what is in the directory |
//! | `order` | which was used last, without a clock |
//! | `room` | what goes to make room |

mod listing;
mod order;
mod room;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

use sha2::{Digest, Sha256 as Hasher};

use crate::desired::Sha256;
use crate::metrics::disk::Purpose;
use crate::state_dir::{aside, free_bytes};
use listing::{Kind, Listing};
use order::Order;
pub use room::{Limits, NoRoom};

type UnderWay = Box<dyn Fn(&Sha256) -> bool + Send + Sync>;

/// The directory of artifacts.
pub struct Artifacts {
    dir: PathBuf,
    limits: Limits,
    /// How to ask for the free space; another way only for a test that wants a full disk.
    free: fn(&Path) -> io::Result<u64>,
    order: Arc<Order>,
    kept: Mutex<BTreeSet<Sha256>>,
    /// Whether a download of an artifact is under way.
    under_way: OnceLock<UnderWay>,
    evictions: AtomicU64,
    refused: AtomicU64,
}

impl Artifacts {
    /// Opens the directory and makes it if need be, removes what an interrupted write left in it, and sets aside what
    /// is no file and stands where one should be.
    pub fn open(state: &Path, limits: Limits) -> io::Result<Self> {
        let dir = state.join("artifacts");
        aside::directory(&dir)?;
        let order = Arc::new(Order::default());
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            match listing::kind(&entry.file_name()) {
                Kind::Temporary => {
                    if let Err(error) = aside::remove(&entry.path()) {
                        log::warn!("{}: {error}", entry.path().display());
                    }
                }
                Kind::Foreign => log::debug!("{}: not ours; it is left alone", entry.path().display()),
                Kind::Whole(_) | Kind::Partial(_) => {
                    aside::file(&entry.path(), state)?;
                    let modified = entry.metadata().and_then(|metadata| metadata.modified());
                    order.seen(modified.map_or(0, order::count));
                }
            }
        }
        let kept = Mutex::default();
        let (evictions, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let under_way = OnceLock::new();
        let artifacts = Self { dir, limits, free: free_bytes, order, kept, under_way, evictions, refused };
        if artifacts.order.is_spent() {
            artifacts.count_anew()?;
        }
        Ok(artifacts)
    }

    /// Gives all files the smallest counts that keep their order.
    fn count_anew(&self) -> io::Result<()> {
        self.order.begin_anew();
        let listing = Listing::of(&self.dir)?;
        for files in [&listing.partial, &listing.whole] {
            for (_, files) in Listing::by_use(files, |_| false) {
                files
                    .paths
                    .iter()
                    .try_for_each(|path| self.order.used(&File::options().append(true).open(path)?))?;
            }
        }
        Ok(())
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
        Ok(Partial { temporary, path, file, order: self.order.clone() })
    }

    /// Bytes that all files take.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(Listing::of(&self.dir)?.bytes)
    }

    /// How often an artifact was evicted, and how often there was no room, since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.evictions.load(Relaxed), self.refused.load(Relaxed))
    }

    /// Removes an artifact and its compiled form.
    pub fn remove(&self, sha256: &Sha256) -> io::Result<()> {
        [self.wasm(sha256), self.compiled(sha256)].iter().try_for_each(|path| room::absent(path))
    }

    /// Notes that an artifact was used just now, as when it has come: for [`Artifacts::tidy`].
    pub fn used(&self, sha256: &Sha256) -> io::Result<()> {
        match File::options().append(true).open(self.wasm(sha256)) {
            // It was never fetched, or is gone already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            file => self.order.used(&file?),
        }
    }
}

/// A file that is being written. Dropped before [`Partial::finish`], it leaves nothing.
pub struct Partial {
    temporary: PathBuf,
    path: PathBuf,
    file: File,
    order: Arc<Order>,
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
        let file = File::options().append(true).open(&self.temporary)?;
        self.order.used(&file)?;
        file.sync_all()?;
        let compiled = self.path.extension().is_some_and(|extension| extension == "cwasm");
        let purpose = if compiled { Purpose::Compiled } else { Purpose::Artifact };
        purpose.wrote_u64(file.metadata()?.len());
        purpose.synced();
        fs::rename(&self.temporary, &self.path)?;
        purpose.synced();
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
