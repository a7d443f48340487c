//! Tells those who depend on what is *not* in the database (a nonce that was not used yet) that records may be lost. It is
//! kept beside the database until they know, over restarts as well.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::Store;
use crate::state_dir::write_durably;

impl Store {
    /// How often records may have been lost, if somebody is still to be told. Whoever was calls [`Store::told_of_loss`]
    /// with it.
    pub fn untold_loss(&self) -> Option<u64> {
        let losses = self.losses.load(Acquire);
        (losses != self.losses_told.load(Acquire)).then_some(losses)
    }

    /// Whoever depends on it knows of so many losses.
    pub fn told_of_loss(&self, losses: u64) {
        self.losses_told.store(losses, Release);
        match fs::remove_file(self.loss_mark()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::debug!(
                    "{}: {error}; it is told once more at the next start",
                    self.loss_mark().display()
                );
            }
            _ => {}
        }
    }

    /// Changes whenever what is in the database may be another than before.
    pub fn generation(&self) -> (u64, u64) {
        (self.base.reopened.load(Acquire), self.losses.load(Acquire))
    }

    /// Records may have been lost. What is missing can not be counted; that something may be is to be seen.
    pub(super) fn lose(&self) {
        self.damaged.fetch_add(1, Relaxed);
        self.losses.fetch_add(1, AcqRel);
        note(&self.base.space.dir);
    }

    /// Where it stands that somebody is still to be told.
    pub(super) fn loss_mark(&self) -> PathBuf {
        mark(&self.base.space.dir)
    }
}

/// The mark lies beside the database.
fn mark(db: &Path) -> PathBuf {
    db.with_added_extension("lost")
}

/// Notes that records may be lost, before they are.
pub(super) fn note(db: &Path) {
    if let Err(error) = write_durably(&mark(db), b"records of the database may be lost\n") {
        log::warn!("{}: {error}", mark(db).display());
    }
}
