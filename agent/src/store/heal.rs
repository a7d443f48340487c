//! Opens the database anew once a write has failed, as soon as the disk takes writes again, and looks after one who
//! waits for sled in vain. Whoever runs the agent calls [`Store::tend`] every now and then.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::accepted::mend_copy;
use super::base::{Open, Trouble, copy_commits};
use super::clean::Found;
use super::commit::Alone;
use super::open::{open, open_database};
use super::probe::{self, Verdict};
use super::space::bytes_of;
use super::{RESERVE_OF_RECORDS, Store, StoreError, replace, salvage};
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
        // Just then it is in trouble, mostly.
        let Some(open) = self.base.whatever_is_open() else { return };
        if let Err(error) = self.base.wrote(open.db.flush()) {
            log::debug!("those who wait for the disk are told: {error}");
        }
    }

    /// Opens it anew. False where that has to wait: for room, or for whoever is at the disk.
    fn heal(&self, trouble: &Trouble) -> Result<bool, StoreError> {
        let Some(alone) = self.committer.alone() else { return Ok(false) };
        let (space, open) = (&self.base.space, self.base.whatever_is_open());
        let suspect = open.filter(|open| trouble.is_suspect && open.elsewhere.is_none());
        let of_rebuilding = if suspect.is_some() { bytes_of(&space.dir)? } else { 0 };
        if (trouble.was_full || suspect.is_some())
            && (space.free)(&space.dir)? < RESERVE_OF_RECORDS.saturating_add(of_rebuilding)
        {
            return Ok(false);
        }
        if !trouble.was_full {
            // As long as not even a small file can be written, nothing is to be closed.
            write_durably(&self.state.join("disk.check"), b"written and synced to see whether that works\n")?;
        }
        let lost = match suspect {
            Some(suspect) => self.rebuild(&alone, &suspect, &trouble.why)?,
            None => self.reopen(&alone, &trouble.why)?,
        };
        if lost {
            self.lose();
        }
        self.base.healed();
        log::info!("the database takes writes again");
        Ok(true)
    }

    /// Writes all that the database knows into a new one, and puts that in its place: what the kernel could not write of
    /// the old file may be lost in it without a trace. Others read on until the new one is there. Says whether something
    /// is lost.
    fn rebuild(&self, alone: &Alone, old: &Open, why: &str) -> Result<bool, StoreError> {
        let dir = &self.base.space.dir;
        self.base.wait_for_writers();
        let (records, whole) = replace::fill(dir, |new| {
            let copied = salvage::copy(&old.db, new)?;
            copy_commits(&old.db, new)?;
            Ok(copied)
        })?;
        if let Some(program) = &self.program
            && let Verdict::Damaged(why) = probe::check(program, &replace::fresh(dir))
        {
            return Err(io::Error::other(format!("what was written anew is damaged as well: {why}")).into());
        }
        let gone = replace::failed(dir);
        let mut place = self.base.place();
        alone.fail_those_who_wait(why);
        replace::swap(dir, &gone)?;
        // Closing syncs the file, and sled ends the process where that fails; its place is taken already.
        std::mem::forget(place.take());
        self.base.witness.forget_unwritten();
        let open = Arc::new(Open::new(open(dir)?, dir)?);
        let gone_back = self.has_gone_back(&open);
        *place = Some(open);
        drop(place);
        log::warn!("the database was written anew with {records} records");
        if !whole {
            log::error!("some records of the database can not be read, and are lost");
        }
        if let Err(error) = aside::remove(&gone) {
            log::warn!("{}: {error}", gone.display());
        }
        Ok(!whole || gone_back)
    }

    /// Closes the database and opens what is on the disk. Says whether something is lost.
    fn reopen(&self, alone: &Alone, why: &str) -> Result<bool, StoreError> {
        let dir = &self.base.space.dir;
        let open = || {
            let (db, aside) = open_database(dir, self.program.as_deref(), false, Found::Unmarked)?;
            Ok::<_, StoreError>((Arc::new(Open::new(db, dir)?), aside))
        };
        let is_elsewhere = self.base.whatever_is_open().is_some_and(|open| open.elsewhere.is_some());
        // The one on the disk is nobody's yet: others read on in memory meanwhile.
        let opened = if is_elsewhere { Some(open()?) } else { None };
        let mut place = self.base.place();
        alone.fail_those_who_wait(why);
        // One on the disk is to let go of its file first.
        drop(place.take());
        let (opened, aside) = match opened {
            Some(opened) => opened,
            None => open()?,
        };
        self.base.witness.forget_unwritten();
        let gone_back = aside.is_none() && self.has_gone_back(&opened);
        *place = Some(opened);
        drop(place);
        if let Some(aside) = &aside {
            log::error!("the database was damaged; it is kept as {}", aside.display());
        }
        Ok(aside.is_some() || gone_back)
    }

    /// Whether it lacks commits that the one before had; tells of them.
    fn has_gone_back(&self, open: &Open) -> bool {
        let gone_back = self.catch_up(open);
        if gone_back > 0 {
            log::error!("the database lacks the last {gone_back} commits, and what was kept with them");
        }
        gone_back > 0
    }
}

#[cfg(test)]
mod tests;
