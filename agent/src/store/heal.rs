//! Opens the database anew once a write has failed, as soon as the disk takes writes again, and looks after one who
//! waits for sled in vain. Whoever runs the agent calls [`Store::tend`] every now and then.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::accepted::mend_copy;
use super::base::{Open, Trouble, copy_commits};
use super::clean::Found;
use super::open::{open, open_database};
use super::{RESERVE_OF_RECORDS, Store, StoreError, salvage};
use crate::state_dir::{aside, write_durably};

/// The first wait after a try that failed; doubled each time.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);
/// After so long at the disk somebody may wait for a word that sled forgot to say: a failed write is not always told to
/// those who wait for it, but another call tells them.
const STUCK: Duration = Duration::from_secs(3);

/// When to try again.
#[derive(Default)]
pub(super) struct Healing {
    next: Option<Instant>,
    tries: u32,
}

/// What the database is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes writes, as far as is known.
    pub writable: bool,
    /// Times it was opened anew since the start.
    pub reopened: u64,
    /// Records found damaged since the start.
    pub damaged: u64,
}

impl Store {
    /// What it is like now.
    pub fn health(&self) -> Health {
        Health {
            writable: self.base.trouble().is_none(),
            reopened: self.base.reopened.load(Relaxed),
            damaged: self.damaged(),
        }
    }

    /// Whether [`Store::tend`] has something to do.
    pub fn wants_tending(&self) -> bool {
        let due = || {
            let healing = self.healing.lock().unwrap_or_else(PoisonError::into_inner);
            healing.next.is_none_or(|next| next <= Instant::now())
        };
        self.is_stuck()
            || (self.base.trouble().is_some() && due())
            || (self.copy_is_old.load(Relaxed) && due())
    }

    /// Does what there is to be done; blocks for as long as the disk takes. Never fails: what can not be done is tried
    /// again later.
    pub fn tend(&self) {
        if self.is_stuck() {
            self.nudge();
        }
        let trouble = self.base.trouble().clone();
        let done = match trouble {
            Some(trouble) => self.heal(&trouble),
            None => Ok(true),
        };
        let done = done.and_then(|healed| if healed { mend_copy(self).map(|()| true) } else { Ok(false) });
        let mut healing = self.healing.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok(_) => *healing = Healing::default(),
            Err(error) => {
                let wait = FIRST.saturating_mul(1 << healing.tries.min(6)).min(LONGEST);
                if healing.tries == 0 {
                    log::warn!("the database: {error}; trying again, at least every {} s", LONGEST.as_secs());
                }
                healing.tries = healing.tries.saturating_add(1);
                healing.next = Some(Instant::now() + wait);
            }
        }
    }

    fn is_stuck(&self) -> bool {
        self.committer.busy_for().is_some_and(|time| time >= STUCK)
    }

    /// Has sled say once more what it knows to those who wait. On a disk that is merely slow it waits with them.
    fn nudge(&self) {
        let open = self.base.current();
        if let Err(error) = open.and_then(|open| self.base.wrote(open.db.flush())) {
            log::debug!("those who wait for the disk are told: {error}");
        }
    }

    /// Opens it anew. False where that has to wait: for room, or for whoever is at the disk.
    fn heal(&self, trouble: &Trouble) -> Result<bool, StoreError> {
        let Some(alone) = self.committer.alone() else { return Ok(false) };
        let space = &self.base.space;
        if trouble.was_full && (space.free)(&space.dir)? < RESERVE_OF_RECORDS {
            return Ok(false);
        }
        if !trouble.was_full {
            // As long as not even a small file can be written, nothing is to be closed.
            write_durably(&self.state.join("disk.check"), b"written and synced to see whether that works\n")?;
        }
        let mut place = self.base.place();
        alone.fail_those_who_wait(&trouble.why);
        let before = place.take();
        let is_suspect = |open: &Open| !trouble.was_full && open.elsewhere.is_none();
        match before {
            Some(open) if is_suspect(&open) => {
                if let Err(error) = rebuild(&open, &space.dir) {
                    *place = Some(open);
                    return Err(error);
                }
                // Closing syncs the file, and sled ends the process where that fails; its place is taken already.
                std::mem::forget(open);
            }
            before => drop(before),
        }
        self.base.witness.forget_unwritten();
        let (db, aside) = open_database(&space.dir, self.program.as_deref(), false, Found::Unmarked)?;
        let open = Open::new(db, &space.dir)?;
        let gone_back = self.catch_up(&open);
        if gone_back > 0 && aside.is_none() {
            log::error!("the database lacks the last {gone_back} commits, and what was kept with them");
            self.damaged.fetch_add(1, Relaxed);
        }
        *place = Some(Arc::new(open));
        drop(place);
        if let Some(aside) = aside {
            log::error!("the database was damaged; it is kept as {}", aside.display());
        }
        self.base.healed();
        log::info!("the database takes writes again");
        Ok(true)
    }
}

/// Writes all that the database knows into a new one, and puts that in its place. What the kernel could not write of
/// the old file may be lost in it without a trace.
fn rebuild(old: &Open, dir: &Path) -> Result<(), StoreError> {
    let fresh = dir.with_added_extension("new");
    aside::remove(&fresh)?;
    let new = open(&fresh)?;
    let copied = salvage::copy(&old.db, &new).and_then(|copied| {
        copy_commits(&old.db, &new)?;
        new.flush()?;
        File::open(fresh.join("db"))?.sync_all()?;
        File::open(&fresh)?.sync_all()?;
        Ok(copied)
    });
    let (records, whole) = match copied {
        Ok(copied) => copied,
        Err(error) => {
            // See above: it must not sync when it is closed.
            std::mem::forget(new);
            aside::remove(&fresh)?;
            return Err(error);
        }
    };
    drop(new);
    if !whole {
        log::error!("some records of the database can not be read, and are lost");
    }
    let gone = dir.with_added_extension("failed");
    aside::remove(&gone)?;
    fs::rename(dir, &gone)?;
    fs::rename(&fresh, dir)?;
    if let Some(state) = dir.parent() {
        File::open(state)?.sync_all()?;
    }
    aside::remove(&gone)?;
    log::warn!("the database was written anew with {records} records");
    Ok(())
}

#[cfg(test)]
mod tests;
