//! Room for artifacts: within their bound, and above the floor of free space that the rest of the agent lives on. What
//! was used longest ago goes first, and never what is needed.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{MutexGuard, PoisonError};

use super::Artifacts;
use super::listing::{Files, Listing};
use crate::desired::Sha256;

/// How much artifacts may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files together.
    pub max_bytes: u64,
    /// Bytes that are to stay free on the disk.
    pub min_free_bytes: u64,
}

/// Why there is no room. Trying again can help: something may go, or be needed no longer.
#[derive(Debug, thiserror::Error)]
pub enum NoRoom {
    /// The disk is full.
    #[error("no room for {what}: {free} bytes free, {needed} needed, min_free_mb says {}", .floor >> 20)]
    Disk {
        /// What was to be written.
        what: &'static str,
        /// Bytes that are free.
        free: u64,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are to stay free.
        floor: u64,
    },
    /// All that artifacts may take is taken by what is needed.
    #[error("no room for {what}: {used} bytes used, {needed} needed, cache_size_gb says {bound} bytes")]
    Bound {
        /// What was to be written.
        what: &'static str,
        /// Bytes that are in use.
        used: u64,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that all may take.
        bound: u64,
    },
    /// The disk says nothing.
    #[error("looking for room: {0}")]
    Io(#[from] io::Error),
}

impl Artifacts {
    /// Says which artifacts are needed: wanted, serving, or pinned for a roll-back. What was needed until now counts as
    /// used just now.
    pub fn keep(&self, needed: BTreeSet<Sha256>) {
        let before = std::mem::replace(&mut *self.kept(), needed.clone());
        for gone in before.difference(&needed) {
            if let Err(error) = self.used(gone) {
                log::warn!("artifact {gone}: noting its last use: {error}");
            }
        }
    }

    /// Says how to ask whether a download of an artifact is under way: what it writes to is never removed to make room,
    /// for it would come to nothing. The first answer holds.
    pub fn spare(&self, under_way: impl Fn(&Sha256) -> bool + Send + Sync + 'static) {
        self.under_way.get_or_init(|| Box::new(under_way));
    }

    /// Makes sure that so many bytes can be written for an artifact. What has come of its download counts.
    pub fn make_room(&self, what: &'static str, artifact: &Sha256, bytes: u64) -> Result<(), NoRoom> {
        self.room(what, artifact, bytes, true)
    }

    /// The same, but removes nothing for it.
    pub fn find_room(&self, what: &'static str, artifact: &Sha256, bytes: u64) -> Result<(), NoRoom> {
        self.room(what, artifact, bytes, false)
    }

    fn room(&self, what: &'static str, artifact: &Sha256, bytes: u64, may_evict: bool) -> Result<(), NoRoom> {
        let come = Listing::of(&self.dir)?.partial.get(artifact).map_or(0, |files| files.bytes);
        let needed = bytes.saturating_sub(come);
        let (used, free) = if may_evict {
            self.evict(needed, Some(artifact))?
        } else {
            (self.bytes()?, (self.free)(&self.dir)?)
        };
        let Limits { max_bytes: bound, min_free_bytes: floor } = self.limits;
        if free < needed.saturating_add(floor) {
            self.refused.fetch_add(1, Relaxed);
            return Err(NoRoom::Disk { what, free, needed, floor });
        }
        if used.saturating_add(needed) > bound {
            self.refused.fetch_add(1, Relaxed);
            return Err(NoRoom::Bound { what, used, needed, bound });
        }
        Ok(())
    }

    /// Evicts what is too much. Returns the bytes that all files take then.
    pub fn tidy(&self) -> io::Result<u64> {
        Ok(self.evict(0, None)?.0)
    }

    /// Evicts until so many bytes can be written, or nothing is left that may go. Returns what is used and free then.
    fn evict(&self, needed: u64, for_whom: Option<&Sha256>) -> io::Result<(u64, u64)> {
        let listing = Listing::of(&self.dir)?;
        let mut used = listing.bytes;
        let room = |used: u64| -> io::Result<(bool, u64)> {
            let free = (self.free)(&self.dir)?;
            let fits = used.saturating_add(needed) <= self.limits.max_bytes
                && free >= needed.saturating_add(self.limits.min_free_bytes);
            Ok((fits, free))
        };
        let (fits, free) = room(used)?;
        if fits {
            return Ok((used, free));
        }
        let kept = self.kept().clone();
        let is_kept = |sha256: &Sha256| kept.contains(sha256) || for_whom == Some(sha256);
        // Of a download that is needed, the rest can be fetched again; that goes last.
        let half_needed = |sha256: &Sha256| !kept.contains(sha256) || for_whom == Some(sha256);
        let half = Listing::by_use(&listing.partial, is_kept).into_iter().map(|one| (false, one));
        let whole = Listing::by_use(&listing.whole, is_kept).into_iter().map(|one| (true, one));
        let half_needed = Listing::by_use(&listing.partial, half_needed).into_iter().map(|one| (false, one));
        let mut free = free;
        for (is_whole, (sha256, files)) in half.chain(whole).chain(half_needed) {
            // Asked as late as can be: a download may have begun meanwhile.
            if !is_whole && self.under_way.get().is_some_and(|under_way| under_way(&sha256)) {
                continue;
            }
            remove(files)?;
            used = used.saturating_sub(files.bytes);
            log::info!("artifact {sha256}: {} bytes removed to make room", files.bytes);
            self.evictions.fetch_add(u64::from(is_whole), Relaxed);
            let fits;
            (fits, free) = room(used)?;
            if fits {
                break;
            }
        }
        Ok((used, free))
    }

    fn kept(&self) -> MutexGuard<'_, BTreeSet<Sha256>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(files: &Files) -> io::Result<()> {
    files.paths.iter().try_for_each(|path| absent(path))
}

/// Removes a file, if it is there.
pub(super) fn absent(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
