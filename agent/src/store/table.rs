//! Tables of small records, each in its own corner of the database: changes that hold all or none, and many threads'
//! changes made durable by one `fsync`. Knows nothing of what the records mean.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::base::{Exclusive, Shared};
use super::commit::Pending;
use super::layout::{self, Head};
use super::{RESERVE_OF_ALL, RESERVE_OF_RECORDS, RESERVE_OF_TABLES, Store, StoreError};
use crate::metrics::disk::Purpose;

/// Bytes of the largest value.
pub const MAX_VALUE_BYTES: usize = 96 << 10;
/// Bytes of the longest key.
pub const MAX_KEY_BYTES: usize = 512;

/// One table; all handles of one name are the same table.
#[derive(Clone)]
pub struct Table {
    store: Arc<Store>,
    name: &'static str,
    /// Bytes that must be free for a new value.
    reserve: u64,
}

/// A key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// Records that one of those who use tables numbers: 1, 2, 3 and so on, over all starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbered {
    /// The number given last; 0 for none.
    pub last: u64,
    /// How many of them have not been dealt with.
    pub waiting: u64,
}

impl Store {
    /// The table of this name, which holds no `/`. It is there as soon as something is in it.
    pub fn table(self: &Arc<Self>, name: &'static str) -> Table {
        debug_assert!(!name.is_empty() && !name.contains('/'), "{name}");
        Table { store: self.clone(), name, reserve: RESERVE_OF_TABLES }
    }

    /// The same for the few bytes that the agent itself needs to keep on a disk that is nearly full.
    pub fn vital_table(self: &Arc<Self>, name: &'static str) -> Table {
        Table { reserve: RESERVE_OF_RECORDS, ..self.table(name) }
    }
}

impl Table {
    /// What it is a table of.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Sets keys, or with none removes them: all or nothing, and on the disk when this returns. Of a key that comes
    /// more than once the last change counts.
    pub fn commit(&self, changes: &[(&[u8], Option<&[u8]>)]) -> Result<(), StoreError> {
        self.apply(changes)?.durable()
    }

    /// The same in two steps: after the first everyone reads the changes, after [`Pending::durable`] they are on the
    /// disk. An error of the first has changed nothing.
    pub fn apply(&self, changes: &[(&[u8], Option<&[u8]>)]) -> Result<Pending, StoreError> {
        self.apply_numbered(changes, Numbered::default())
    }

    /// The same for changes that number a record, so that it is missed at the next start where it is gone.
    pub fn apply_numbered(
        &self,
        changes: &[(&[u8], Option<&[u8]>)],
        numbered: Numbered,
    ) -> Result<Pending, StoreError> {
        for (key, value) in changes {
            let length = value.map_or(0, <[u8]>::len);
            if key.len() > MAX_KEY_BYTES || length > MAX_VALUE_BYTES {
                return Err(StoreError::TooLarge { key: key.len(), value: length });
            }
        }
        let grows = changes.iter().any(|(_, value)| value.is_some());
        self.store.base.space.check(if grows { self.reserve } else { RESERVE_OF_ALL })?;
        let changes: BTreeMap<&[u8], Option<&[u8]>> = changes.iter().copied().collect();
        let db = self.exclusive()?;
        let mut batch = sled::Batch::default();
        let mut bytes = 0;
        for (key, value) in changes {
            self.stage(&db, &mut batch, key, value)?;
            bytes += key.len() + value.map_or(0, <[u8]>::len);
        }
        self.store.base.wrote(db.apply_batch(batch))?;
        Purpose::of_table(self.name).wrote(bytes);
        if numbered.last > 0 {
            self.store.base.witness.numbered(numbered.last);
            self.store.base.witness.waiting(numbered.waiting);
        }
        // Before another may open the database anew, and this write is perhaps not in it.
        Ok(self.store.committer.join())
    }

    /// That so many of the numbered records wait still.
    pub fn note_waiting(&self, waiting: usize) {
        self.store.base.witness.waiting(waiting as u64);
    }

    /// What numbered records the database had when the agent ran last, as far as is known beside it. Of those that it
    /// can not show for now, none waits.
    pub fn numbered_before(&self) -> Numbered {
        let said = self.store.base.witness.at_start;
        let waiting = if self.store.base.trouble().is_some() { 0 } else { said.waiting };
        Numbered { last: said.number, waiting }
    }

    /// Removes a key; on the disk with the next commit.
    pub fn remove_lazily(&self, key: &[u8]) -> Result<(), StoreError> {
        self.store.base.space.check(RESERVE_OF_ALL)?;
        let db = self.exclusive()?;
        let mut batch = sled::Batch::default();
        self.stage(&db, &mut batch, key, None)?;
        Purpose::of_table(self.name).wrote(key.len());
        self.store.base.wrote(db.apply_batch(batch))
    }

    /// A key's value.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let db = self.shared()?;
        match db.get(layout::key(self.name, key))? {
            Some(first) => self.assemble(&db, key, &first).map(Some),
            None => Ok(None),
        }
    }

    /// The length of a key's value, without reading more of it; damage shows when it is read.
    pub fn length(&self, key: &[u8]) -> Result<Option<usize>, StoreError> {
        let first = self.shared()?.get(layout::key(self.name, key))?;
        Ok(first.map(|first| length(&first)))
    }

    /// The records whose keys begin so, in the order of their keys. Damaged ones are left out, logged, counted and, where
    /// the disk lets them be, removed.
    pub fn scan(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        let db = self.shared()?;
        for entry in db.scan_prefix(layout::key(self.name, prefix)) {
            let (place, first) = entry?;
            let key = layout::key_of(self.name, &place);
            match self.assemble(&db, key, &first) {
                Ok(value) => records.push((key.to_vec(), value)),
                Err(StoreError::Damaged(_)) => damaged.push(key.to_vec()),
                Err(error @ StoreError::Format(..)) => log::warn!("{error}; it is left as it is"),
                Err(error) => return Err(error),
            }
        }
        drop(db);
        for key in &damaged {
            // On a full or a broken disk it stays; what is whole is to be had all the same.
            if let Err(error) = self.discard_damaged(key) {
                self.store.damaged.fetch_add(1, Relaxed);
                log::error!("a damaged record of {} is left out but not removed: {error}", self.name);
            }
        }
        Ok(records)
    }

    /// Hands over the keys that begin so, in order, each with its value's length, and reads no more of the values
    /// than that: damage shows when they are read. What it hands over to must not use the table.
    pub fn lengths(&self, prefix: &[u8], mut record: impl FnMut(&[u8], usize)) -> Result<(), StoreError> {
        let db = self.shared()?;
        for entry in db.scan_prefix(layout::key(self.name, prefix)) {
            let (place, first) = entry?;
            record(
                layout::key_of(self.name, &place),
                Head::read(&first).map_or(0, |(head, _)| head.length()),
            );
        }
        Ok(())
    }

    /// The keys that begin so, in order, from the `from`th on, up to `limit` of them.
    pub fn keys(&self, prefix: &[u8], from: usize, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let db = self.shared()?;
        let found = db.scan_prefix(layout::key(self.name, prefix)).keys();
        let key = |place: sled::Result<sled::IVec>| Ok(layout::key_of(self.name, &place?).to_vec());
        found.skip(from).take(limit).map(key).collect()
    }

    /// The first key that begins so and comes after another, and its value's length, as by [`Table::lengths`].
    pub fn next(&self, prefix: &[u8], after: &[u8]) -> Result<Option<(Vec<u8>, usize)>, StoreError> {
        let after = layout::key(self.name, after);
        let range = (Bound::Excluded(&after[..]), Bound::Unbounded);
        let db = self.shared()?;
        let Some((place, first)) = db.range::<&[u8], _>(range).next().transpose()? else {
            return Ok(None);
        };
        if !place.starts_with(&layout::key(self.name, prefix)) {
            return Ok(None);
        }
        Ok(Some((layout::key_of(self.name, &place).to_vec(), length(&first))))
    }

    /// Makes durable whatever was changed lazily up to now.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.store.committer.join().durable()
    }

    /// Adds to a batch what sets or removes a key, the chunks of what stood there before included.
    fn stage(
        &self,
        db: &sled::Db,
        batch: &mut sled::Batch,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let place = layout::key(self.name, key);
        let chunks = match db.get(&place)? {
            Some(first) => Head::read(&first).map_or(layout::MAX_CHUNKS, |(head, _)| head.more_chunks()),
            None => 0,
        };
        let mut kept = 0;
        if let Some(value) = value {
            let (first, more) = layout::cut(self.name, key, value);
            batch.insert(place, first);
            for chunk in more {
                batch.insert(layout::chunk_key(self.name, key, kept), chunk);
                kept += 1;
            }
        } else {
            batch.remove(place);
        }
        for gone in kept..chunks {
            batch.remove(layout::chunk_key(self.name, key, gone));
        }
        Ok(())
    }

    /// The value that begins with this chunk.
    fn assemble(&self, db: &sled::Db, key: &[u8], first: &[u8]) -> Result<Vec<u8>, StoreError> {
        let name = || format!("{}/{}", self.name, String::from_utf8_lossy(key).escape_default());
        let (head, begin) = Head::read(first).ok_or_else(|| StoreError::Damaged(name()))?;
        if head.format != layout::FORMAT {
            return Err(StoreError::Format(name(), head.format));
        }
        let mut value = begin.to_vec();
        for index in 0..head.more_chunks() {
            match db.get(layout::chunk_key(self.name, key, index))? {
                Some(chunk) => value.extend_from_slice(&chunk),
                None => return Err(StoreError::Damaged(name())),
            }
        }
        if head.fits(self.name, key, &value) { Ok(value) } else { Err(StoreError::Damaged(name())) }
    }

    /// Removes and counts a record that was found damaged, unless it was written anew meanwhile.
    pub fn discard_damaged(&self, key: &[u8]) -> Result<(), StoreError> {
        self.store.base.space.check(RESERVE_OF_ALL)?;
        let db = self.exclusive()?;
        let Some(first) = db.get(layout::key(self.name, key))? else { return Ok(()) };
        if let Err(error @ StoreError::Damaged(_)) = self.assemble(&db, key, &first) {
            log::error!("{error}; it is removed");
            let mut batch = sled::Batch::default();
            self.stage(&db, &mut batch, key, None)?;
            self.store.base.wrote(db.apply_batch(batch))?;
            self.store.damaged.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn shared(&self) -> Result<Shared<'_>, StoreError> {
        self.store.base.shared()
    }

    fn exclusive(&self) -> Result<Exclusive<'_>, StoreError> {
        self.store.base.exclusive()
    }
}

/// What a first chunk says of the length of the value; nothing, if it is damaged beyond that.
fn length(first: &[u8]) -> usize {
    Head::read(first).map_or(0, |(head, _)| head.length())
}
