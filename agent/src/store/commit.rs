//! Makes what was written durable, for many threads at once: whoever comes while the disk is busy is served together
//! with all others who did, by one `fsync`. Knows nothing of what was written.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::space::Space;
use super::{RESERVE_OF_ALL, StoreError};

/// Takes turns at the disk.
pub(super) struct Committer {
    db: sled::Db,
    /// A second handle to sled's file: sled's `flush` alone does not reach the disk.
    file: File,
    space: Arc<Space>,
    turn: Mutex<Turn>,
    ended: Condvar,
}

/// Who is at the disk, and who comes next.
#[derive(Default)]
struct Turn {
    busy: bool,
    next: Arc<Group>,
}

/// Those that are served by one `fsync`, and what became of it.
#[derive(Default)]
struct Group {
    outcome: OnceLock<Result<(), sled::Error>>,
}

/// Something that was written and is to be waited for. Written it is in any case; it becomes durable with whatever
/// is made durable after it.
#[must_use = "only `durable` says that it is on the disk"]
pub struct Pending {
    committer: Arc<Committer>,
    group: Arc<Group>,
}

impl Committer {
    /// For a database that holds nothing yet that waits.
    pub(super) fn new(db: sled::Db, space: Arc<Space>) -> Result<Self, StoreError> {
        // The name of a new file has to be durable as well.
        File::open(&space.dir)?.sync_all()?;
        let file = File::open(space.dir.join("db"))?;
        Ok(Self { db, file, space, turn: Mutex::default(), ended: Condvar::new() })
    }

    /// To be called after a write: joins those whose writes are made durable next.
    pub(super) fn join(self: &Arc<Self>) -> Pending {
        Pending { committer: self.clone(), group: self.turn().next.clone() }
    }

    fn sync(&self) -> Result<(), sled::Error> {
        let full = |error: StoreError| io::Error::new(io::ErrorKind::StorageFull, error.to_string());
        self.space.check(RESERVE_OF_ALL).map_err(full)?;
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// Blocks until the write is on the disk. An error is everyone's whose writes it concerns.
    pub fn durable(self) -> Result<(), StoreError> {
        let Self { committer, group } = self;
        let mut turn = committer.turn();
        loop {
            if let Some(outcome) = group.outcome.get() {
                return outcome.clone().map_err(StoreError::from);
            }
            if !turn.busy {
                break;
            }
            turn = committer.ended.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        // The group has no outcome and nobody is at the disk, so it is the next one; it goes by this thread.
        turn.busy = true;
        turn.next = Arc::default();
        drop(turn);
        let outcome = committer.sync();
        let mut turn = committer.turn();
        turn.busy = false;
        let outcome = group.outcome.get_or_init(|| outcome).clone();
        drop(turn);
        committer.ended.notify_all();
        outcome.map_err(StoreError::from)
    }
}
