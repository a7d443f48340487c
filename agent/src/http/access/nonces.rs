//! Which signatures were used already. What is used is on the disk before the request is carried out, and stays there
//! for as long as the same signature would hold; then it goes, and the time up to which that was done stays, so that
//! not even a clock that is set back makes an old signature good again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::signature::{Signed, WINDOW};
use crate::store::{StoreError, Table};

/// Nonces that are kept at once, for all keys; each key has its equal share.
const CAPACITY: usize = 65_536;
/// Nonces that go on one occasion, so that no request waits for thousands.
const GO_AT_ONCE: usize = 256;

/// Whose floor is everyone's.
const EVERYONE: Key = [0; 8];
/// The floor of a time that no clock could tell yet.
const UNKNOWN: u64 = u64::MAX;

/// Stands for an entry that signs.
type Key = [u8; 8];
/// Stands for an entry and a nonce of its.
type Mark = (Key, [u8; 16]);

/// Why a nonce was not taken.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// It was used before, or so long ago that nobody can tell.
    Used,
    /// The body is not the one that was signed for.
    OtherBody,
    /// Its key has as many as it may have.
    Full,
    /// It can not be kept.
    Store(StoreError),
}

/// The nonces of the present window.
pub(super) struct Nonces {
    table: Table,
    /// Read when the first signed request comes: most nodes never see one.
    used: Mutex<Option<Used>>,
}

#[derive(Default)]
struct Used {
    /// Of the store that it was read from.
    generation: (u64, u64),
    marks: BTreeSet<Mark>,
    /// The same by the last second at which each signature holds.
    by_end: BTreeSet<(u64, Mark)>,
    counts: BTreeMap<Key, usize>,
    /// Per key, up to when signatures have been forgotten.
    floors: BTreeMap<Key, u64>,
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Nonces {
    pub(super) fn new(table: Table) -> Self {
        Self { table, used: Mutex::default() }
    }

    /// Notes that nonces may be lost with what the database lost: no signature from before this time, in seconds
    /// since 1970, is good any more, or from before the next signed request where the clock can not tell.
    pub(super) fn lost(table: &Table, now: Option<u64>) -> Result<(), StoreError> {
        let floor = now.map_or(UNKNOWN, |now| now.saturating_add(WINDOW));
        table.commit(&[(&EVERYONE, Some(&floor.to_be_bytes()))])
    }

    /// Whether a nonce is known to be used. Never waits; that it is not known says nothing.
    pub(super) fn is_used(&self, signed: &Signed) -> bool {
        let Ok(used) = self.used.try_lock() else { return false };
        used.as_ref().is_some_and(|used| used.marks.contains(&(signed.key, signed.nonce)))
    }

    /// Makes a nonce used, at this time in seconds since 1970; when this returns it is on the disk. Blocks.
    pub(super) fn take(&self, signed: &Signed, now: u64) -> Result<(), NotTaken> {
        let store = self.table.store();
        if store.untold_loss().is_some() {
            return Err(StoreError::Unusable("nonces may be lost, which is not noted yet".into()).into());
        }
        let generation = store.generation();
        let mut guard = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = match &mut *guard {
            Some(used) if used.generation == generation => used,
            empty => empty.insert(Used { generation, ..Used::load(&self.table)? }),
        };
        if used.floor(EVERYONE) == UNKNOWN {
            // The request's time is near this node's, so that its clock is right by now.
            Self::lost(&self.table, Some(now))?;
            used.floors.insert(EVERYONE, now.saturating_add(WINDOW));
        }
        let mark = (signed.key, signed.nonce);
        let floor = used.floor(signed.key).max(used.floor(EVERYONE));
        if used.marks.contains(&mark) || signed.until <= floor {
            return Err(NotTaken::Used);
        }
        let gone: Vec<(u64, Mark)> =
            used.by_end.iter().take_while(|(end, _)| *end < now).take(GO_AT_ONCE).copied().collect();
        let going = gone.iter().filter(|(_, (key, _))| *key == signed.key).count();
        let count = used.counts.get(&signed.key).copied().unwrap_or_default().saturating_sub(going);
        let len = used.marks.len().saturating_sub(gone.len());
        let share = CAPACITY / signed.signers.max(1);
        let is_full = count >= share || len >= CAPACITY;
        let floors = used.floors_after(&gone);
        // Where there is no room, what has expired goes all the same: there may be for the next.
        let new = (!is_full).then_some((signed.until, mark));
        let pending = self.table.apply(&changes(&gone, &floors, new).borrowed())?;
        used.forget(&gone);
        used.floors.extend(floors);
        if is_full {
            return Err(NotTaken::Full);
        }
        used.insert(signed.until, mark);
        drop(guard);
        Ok(pending.durable()?)
    }
}

impl Used {
    /// What is on the disk. A nonce lies under its end, key and mark, a floor under its key.
    fn load(table: &Table) -> Result<Self, StoreError> {
        let mut used = Self::default();
        for (name, value) in table.scan(b"")? {
            if let Ok(key) = Key::try_from(name.as_slice()) {
                let floor = value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                used.floors.insert(key, floor);
            } else if let Some((end, mark)) = record(&name) {
                used.insert(end, mark);
            }
        }
        Ok(used)
    }

    fn floor(&self, key: Key) -> u64 {
        self.floors.get(&key).copied().unwrap_or_default()
    }

    fn insert(&mut self, end: u64, mark: Mark) {
        self.marks.insert(mark);
        self.by_end.insert((end, mark));
        *self.counts.entry(mark.0).or_default() += 1;
    }

    fn forget(&mut self, gone: &[(u64, Mark)]) {
        for (end, mark) in gone {
            self.marks.remove(mark);
            self.by_end.remove(&(*end, *mark));
            if let Some(count) = self.counts.get_mut(&mark.0) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// The floors that rise when these go.
    fn floors_after(&self, gone: &[(u64, Mark)]) -> BTreeMap<Key, u64> {
        let mut floors = BTreeMap::new();
        for (end, (key, _)) in gone {
            let floor: &mut u64 = floors.entry(*key).or_insert_with(|| self.floor(*key));
            *floor = (*floor).max(*end);
        }
        floors
    }
}

/// Changes of the table, all or nothing.
#[derive(Default)]
struct Changes(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Changes {
    fn borrowed(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect()
    }
}

fn changes(gone: &[(u64, Mark)], floors: &BTreeMap<Key, u64>, new: Option<(u64, Mark)>) -> Changes {
    let mut changes: Vec<_> = gone.iter().map(|(end, mark)| (name(*end, *mark), None)).collect();
    changes.extend(floors.iter().map(|(key, floor)| (key.to_vec(), Some(floor.to_be_bytes().to_vec()))));
    changes.extend(new.map(|(end, mark)| (name(end, mark), Some(Vec::new()))));
    Changes(changes)
}

fn name(end: u64, (key, nonce): Mark) -> Vec<u8> {
    [end.to_be_bytes().as_slice(), &key, &nonce].concat()
}

fn record(name: &[u8]) -> Option<(u64, Mark)> {
    let (end, rest) = name.split_first_chunk()?;
    let (key, nonce) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*end), (*key, nonce.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::store::Store;

    fn nonces(dir: &Path) -> Nonces {
        let (store, aside) = Store::open(dir).unwrap();
        store.started().unwrap();
        assert_eq!(aside, None);
        Nonces::new(Arc::new(store).table("nonces"))
    }

    fn signed(key: u8, nonce: u64, until: u64, signers: usize) -> Signed {
        let mut of_nonce = [0; 16];
        of_nonce[..8].copy_from_slice(&nonce.to_be_bytes());
        Signed::for_test([key; 8], of_nonce, until, signers)
    }

    #[test]
    fn a_nonce_is_good_for_once_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let first = nonces(dir.path());
        first.take(&signed(1, 1, 1_300, 1), 1_000).unwrap();
        assert!(matches!(first.take(&signed(1, 1, 1_300, 1), 1_000), Err(NotTaken::Used)));
        assert!(matches!(first.take(&signed(1, 1, 1_350, 1), 1_000), Err(NotTaken::Used)));
        first.take(&signed(2, 1, 1_300, 1), 1_000).unwrap();
        drop(first);
        let second = nonces(dir.path());
        assert!(matches!(second.take(&signed(1, 1, 1_300, 1), 1_000), Err(NotTaken::Used)));
        assert!(matches!(second.take(&signed(2, 1, 1_300, 1), 1_000), Err(NotTaken::Used)));
        second.take(&signed(1, 2, 1_300, 1), 1_000).unwrap();
    }

    #[test]
    fn none_is_taken_while_used_ones_may_be_lost_and_nobody_noted_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = nonces(dir.path());
        first.take(&signed(1, 1, 1_300, 1), 1_000).unwrap();
        drop(first);
        // As a database leaves it that was made anew.
        std::fs::write(dir.path().join("db.lost"), b"").unwrap();
        let second = nonces(dir.path());
        assert!(matches!(second.take(&signed(1, 2, 1_300, 1), 1_000), Err(NotTaken::Store(_))));
        Nonces::lost(&second.table, Some(1_000)).unwrap();
        let store = second.table.store();
        store.told_of_loss(store.untold_loss().unwrap());
        assert!(matches!(second.take(&signed(1, 2, 1_300, 1), 1_000), Err(NotTaken::Used)));
        second.take(&signed(1, 3, 1_301, 1), 1_001).unwrap();
    }

    #[test]
    fn what_was_forgotten_is_not_good_again_when_the_clock_goes_back() {
        let dir = tempfile::tempdir().unwrap();
        let first = nonces(dir.path());
        first.take(&signed(1, 1, 1_300, 1), 1_000).unwrap();
        first.take(&signed(1, 2, 2_000, 1), 1_700).unwrap();
        assert_eq!(first.used.lock().unwrap().as_ref().unwrap().marks.len(), 1, "the first is forgotten");
        assert!(matches!(first.take(&signed(1, 1, 1_300, 1), 1_000), Err(NotTaken::Used)));
        drop(first);
        let second = nonces(dir.path());
        assert!(matches!(second.take(&signed(1, 1, 1_300, 1), 1_000), Err(NotTaken::Used)));
        second.take(&signed(2, 1, 1_300, 1), 1_000).unwrap();
        second.take(&signed(1, 3, 1_301, 1), 1_001).unwrap();
    }

    #[test]
    fn where_nonces_were_lost_nothing_from_before_is_good() {
        let dir = tempfile::tempdir().unwrap();
        let first = nonces(dir.path());
        Nonces::lost(&first.table, Some(1_000)).unwrap();
        assert!(matches!(first.take(&signed(1, 1, 1_000 + WINDOW, 1), 1_010), Err(NotTaken::Used)));
        first.take(&signed(1, 1, 1_001 + WINDOW, 1), 1_010).unwrap();
        drop(first);
        let second = nonces(dir.path());
        assert!(matches!(second.take(&signed(2, 2, 1_000 + WINDOW, 1), 1_010), Err(NotTaken::Used)));
        // No clock could tell when that was: it was before the first that came with one.
        Nonces::lost(&second.table, None).unwrap();
        drop(second);
        let third = nonces(dir.path());
        assert!(matches!(third.take(&signed(2, 3, 2_000 + WINDOW, 1), 2_000), Err(NotTaken::Used)));
        third.take(&signed(2, 3, 2_001 + WINDOW, 1), 2_000).unwrap();
        drop(third);
        assert!(matches!(
            nonces(dir.path()).take(&signed(2, 4, 2_000 + WINDOW, 1), 2_001),
            Err(NotTaken::Used)
        ));
    }

    #[test]
    fn each_key_has_its_share_and_what_is_over_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let nonces = nonces(dir.path());
        // So many signers that each has a share of three.
        let take = |key, nonce, until, now| nonces.take(&signed(key, nonce, until, CAPACITY / 3), now);
        for nonce in 0..3 {
            take(1, nonce, 1_300, 1_000).unwrap();
        }
        assert!(matches!(take(1, 3, 1_300, 1_000), Err(NotTaken::Full)));
        take(2, 3, 1_300, 1_000).unwrap();
        assert!(matches!(take(1, 3, 1_600, 1_300), Err(NotTaken::Full)));
        take(1, 3, 1_601, 1_301).unwrap();
        let guard = nonces.used.lock().unwrap();
        let used = guard.as_ref().unwrap();
        assert_eq!((used.marks.len(), used.by_end.len()), (1, 1));
        let on_disk = Used::load(&nonces.table).unwrap();
        assert_eq!((on_disk.marks, on_disk.floors), (used.marks.clone(), used.floors.clone()));
    }
}
