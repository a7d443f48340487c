//! The open database behind a lock, so that it can be opened anew while the agent runs: once a write has failed sled
//! takes no other until then. Meanwhile reads go on, from what sled has in memory and on the disk.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::StoreError;
use super::elsewhere::Elsewhere;
use super::space::Space;
use super::witness::Witness;

/// The tree, of one record, in which the database counts its commits. Its leaf is a few bytes, so that to write it with
/// each commit costs next to nothing, as a record among the others would not.
const COMMITS: &str = "commits";
const COUNT: &[u8] = b"n";

/// The database and the lock around it.
pub(super) struct Base {
    /// Held to read, or alone to change. None while it could not be opened again.
    open: RwLock<Option<Arc<Open>>>,
    trouble: Mutex<Option<Trouble>>,
    pub(super) space: Space,
    /// What it must at least have.
    pub(super) witness: Witness,
    /// Times it was opened anew.
    pub(super) reopened: AtomicU64,
}

/// What is open.
pub(super) struct Open {
    pub(super) db: sled::Db,
    commits: sled::Tree,
    /// A second handle to sled's file: sled's `flush` alone does not reach the disk.
    pub(super) file: File,
    /// It is in memory, in place of one that could not be opened. Goes last.
    pub(super) elsewhere: Option<Elsewhere>,
}

/// Why the database takes no writes.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) why: String,
    /// The disk was full: nothing is to be tried before it has room.
    pub(super) was_full: bool,
    /// What is in the file is not to be relied on: the kernel may have dropped pages that it could not write, and says so
    /// only once. Where sled itself was told that the disk is full, what was written before is sound.
    pub(super) is_suspect: bool,
}

/// The database, for as long as it may be read, or changed by this thread alone.
pub(super) struct Held<'a, G> {
    open: Arc<Open>,
    _guard: G,
    _base: std::marker::PhantomData<&'a Base>,
}

pub(super) type Shared<'a> = Held<'a, RwLockReadGuard<'a, Option<Arc<Open>>>>;
pub(super) type Exclusive<'a> = Held<'a, RwLockWriteGuard<'a, Option<Arc<Open>>>>;

impl<G> Deref for Held<'_, G> {
    type Target = sled::Db;

    fn deref(&self) -> &sled::Db {
        &self.open.db
    }
}

impl Open {
    /// A database with a second handle to its file.
    pub(super) fn new(db: sled::Db, dir: &std::path::Path) -> Result<Self, StoreError> {
        // The name of a new file has to be durable as well.
        File::open(dir)?.sync_all()?;
        let commits = db.open_tree(COMMITS)?;
        Ok(Self { db, commits, file: File::open(dir.join("db"))?, elsewhere: None })
    }

    /// How often it was made durable.
    pub(super) fn commits(&self) -> Result<u64, sled::Error> {
        commits(&self.commits)
    }

    /// One more time; returns how often that makes.
    pub(super) fn count(&self) -> Result<u64, sled::Error> {
        let commits = self.commits()?.saturating_add(1);
        self.commits.insert(COUNT, &commits.to_be_bytes())?;
        Ok(commits)
    }

    /// Makes it count on from where it should have been; durable when this returns.
    pub(super) fn count_from(&self, commits: u64) -> Result<(), StoreError> {
        self.commits.insert(COUNT, &commits.to_be_bytes())?;
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }
}

impl Base {
    /// With what is open, and why it takes no writes, if it takes none from the start.
    pub(super) fn new(open: Open, trouble: Option<Trouble>, space: Space) -> Self {
        let (open, trouble) = (RwLock::new(Some(Arc::new(open))), Mutex::new(trouble));
        let witness = Witness::beside(&space.dir);
        Self { open, trouble, space, witness, reopened: AtomicU64::new(0) }
    }

    /// To read; a record of several chunks must not be read while it is written.
    pub(super) fn shared(&self) -> Result<Shared<'_>, StoreError> {
        let guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let open = guard.clone().ok_or_else(|| self.unusable())?;
        Ok(Held { open, _guard: guard, _base: std::marker::PhantomData })
    }

    /// To change, if it takes changes.
    pub(super) fn exclusive(&self) -> Result<Exclusive<'_>, StoreError> {
        let guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if self.trouble().is_some() {
            return Err(self.unusable());
        }
        let open = guard.clone().ok_or_else(|| self.unusable())?;
        Ok(Held { open, _guard: guard, _base: std::marker::PhantomData })
    }

    /// What is open, without the lock: for the one who takes its turn at the disk.
    pub(super) fn current(&self) -> Result<Arc<Open>, StoreError> {
        if self.trouble().is_some() {
            return Err(self.unusable());
        }
        let guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
        guard.clone().ok_or_else(|| self.unusable())
    }

    /// What is open, whether it takes writes or not, without the lock.
    pub(super) fn whatever_is_open(&self) -> Option<Arc<Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for those who began to write before it took no more writes.
    pub(super) fn wait_for_writers(&self) {
        drop(self.place());
    }

    /// The place of what is open, for whoever opens it anew.
    pub(super) fn place(&self) -> RwLockWriteGuard<'_, Option<Arc<Open>>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note where a write failed.
    pub(super) fn wrote<T>(&self, outcome: Result<T, sled::Error>) -> Result<T, StoreError> {
        outcome.map_err(|error| {
            let was_full = matches!(&error, sled::Error::Io(error) if is_full(error));
            self.note(&error.to_string(), was_full, !was_full);
            StoreError::Sled(error)
        })
    }

    /// Takes note where making durable failed.
    pub(super) fn synced(&self, outcome: io::Result<()>) -> Result<(), StoreError> {
        outcome.map_err(|error| {
            self.note(&error.to_string(), is_full(&error), true);
            StoreError::Io(error)
        })
    }

    fn note(&self, why: &str, was_full: bool, is_suspect: bool) {
        let mut trouble = self.trouble();
        if trouble.is_none() {
            log::error!("the database takes no writes until it is opened anew: {why}");
            *trouble = Some(Trouble { why: why.to_owned(), was_full, is_suspect });
        }
    }

    /// Why it takes no writes, if it takes none.
    pub(super) fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All is well again.
    pub(super) fn healed(&self) {
        *self.trouble() = None;
        self.reopened.fetch_add(1, Relaxed);
    }

    fn unusable(&self) -> StoreError {
        let why = self.trouble().as_ref().map_or("it is closed".into(), |trouble| trouble.why.clone());
        StoreError::Unusable(why)
    }
}

fn commits(tree: &sled::Tree) -> Result<u64, sled::Error> {
    let count = tree.get(COUNT)?;
    Ok(count.and_then(|count| count.first_chunk().copied()).map_or(0, u64::from_be_bytes))
}

/// Has one database count on from where another is.
pub(super) fn copy_commits(from: &sled::Db, to: &sled::Db) -> Result<(), sled::Error> {
    let count = commits(&from.open_tree(COMMITS)?)?;
    to.open_tree(COMMITS)?.insert(COUNT, &count.to_be_bytes()).map(drop)
}

/// Whether an error says that there is no room, and nothing worse.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
