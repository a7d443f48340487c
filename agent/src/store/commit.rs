//! Makes what was written durable, for many threads at once: whoever comes while the disk is busy is served together
//! with all others who did, by one `fsync`. Knows nothing of what was written.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::base::Base;
use super::{RESERVE_OF_ALL, StoreError};
use crate::metrics::disk::Purpose;

/// Takes turns at the disk.
pub(super) struct Committer {
    base: Arc<Base>,
    turn: Mutex<Turn>,
    ended: Condvar,
}

/// Who is at the disk, and who comes next.
#[derive(Default)]
struct Turn {
    /// Since when somebody is.
    busy: Option<Instant>,
    next: Arc<Group>,
}

/// Those that are served by one `fsync`, and what became of it.
#[derive(Default)]
struct Group {
    outcome: OnceLock<Result<(), Failed>>,
}

/// An error for all whom it concerns.
#[derive(Clone)]
struct Failed {
    kind: io::ErrorKind,
    why: String,
}

/// Something that was written and is to be waited for. Written it is in any case; it becomes durable with whatever
/// is made durable after it.
#[must_use = "only `durable` says that it is on the disk"]
pub struct Pending {
    committer: Arc<Committer>,
    group: Arc<Group>,
}

/// Nobody else is at the disk for as long as this lives.
pub(super) struct Alone<'a>(&'a Committer);

impl Committer {
    /// For a database that holds nothing yet that waits.
    pub(super) fn new(base: Arc<Base>) -> Self {
        Self { base, turn: Mutex::default(), ended: Condvar::new() }
    }

    /// To be called after a write, while no one else may write: joins those whose writes are made durable next.
    pub(super) fn join(self: &Arc<Self>) -> Pending {
        Pending { committer: self.clone(), group: self.turn().next.clone() }
    }

    /// How long somebody has been at the disk.
    pub(super) fn busy_for(&self) -> Option<Duration> {
        self.turn().busy.map(|since| since.elapsed())
    }

    /// Keeps others from the disk, unless somebody is there.
    pub(super) fn alone(&self) -> Option<Alone<'_>> {
        let mut turn = self.turn();
        if turn.busy.is_some() {
            return None;
        }
        turn.busy = Some(Instant::now());
        Some(Alone(self))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.base.space.check(RESERVE_OF_ALL)?;
        let open = self.base.current()?;
        let noted = self.base.witness.noted();
        let commits = self.base.wrote(open.count())?;
        self.base.wrote(open.db.flush())?;
        Purpose::Database.synced();
        self.base.synced((self.base.space.sync)(&open.file))?;
        // Not before: it must never be ahead of the disk.
        self.base.witness.committed(commits, noted);
        Ok(())
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alone<'_> {
    /// Tells those whose writes are not durable yet, and will not be: the database is opened anew.
    pub(super) fn fail_those_who_wait(&self, why: &str) {
        let waiting = std::mem::take(&mut self.0.turn().next);
        let failed = Failed { kind: io::ErrorKind::Other, why: why.to_owned() };
        waiting.outcome.get_or_init(|| Err(failed));
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.turn().busy = None;
        self.0.ended.notify_all();
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
            if turn.busy.is_none() {
                break;
            }
            turn = committer.ended.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
        // The group has no outcome and nobody is at the disk, so it is the next one; it goes by this thread.
        turn.busy = Some(Instant::now());
        turn.next = Arc::default();
        drop(turn);
        let outcome = committer.sync().map_err(Failed::from);
        let mut turn = committer.turn();
        turn.busy = None;
        let outcome = group.outcome.get_or_init(|| outcome).clone();
        drop(turn);
        committer.ended.notify_all();
        outcome.map_err(StoreError::from)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Sled(sled::Error::Io(error)) | StoreError::Io(error) => error.kind(),
            StoreError::Full(..) => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        Self { kind, why: error.to_string() }
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        Self::Io(io::Error::new(failed.kind, failed.why))
    }
}
