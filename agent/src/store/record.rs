//! Records by name, of any length and each on its own: the accepted desired state. Cut into chunks under
//! `name#index`, the first of which begins with a format version and a SHA-256 of the contents.

use sha2::{Digest, Sha256};

use super::{CHUNK_BYTES, RESERVE_OF_RECORDS, Store, StoreError};
use crate::metrics::disk::Purpose;

/// Of the records' layout.
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + 32;

impl Store {
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let damaged = || StoreError::Damaged(name.to_owned());
        let mut bytes = Vec::new();
        for (expected, entry) in self.base.shared()?.scan_prefix(prefix(name)).enumerate() {
            let (key, chunk) = entry?;
            if u32::try_from(expected).map(|index| chunk_key(name, index)) != Ok(key.to_vec()) {
                return Err(damaged());
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let (header, contents) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        match header.split_first() {
            Some((&FORMAT, digest)) if digest == Sha256::digest(contents).as_slice() => {
                Ok(Some(contents.to_vec()))
            }
            Some((&FORMAT, _)) | None => Err(damaged()),
            Some((format, _)) => Err(StoreError::Format(name.to_owned(), *format)),
        }
    }

    pub(super) fn write(&self, name: &str, contents: &[u8]) -> Result<(), StoreError> {
        self.base.space.check(RESERVE_OF_RECORDS)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + contents.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&Sha256::digest(contents));
        bytes.extend_from_slice(contents);
        let db = self.base.exclusive()?;
        let mut batch = without(&db, name)?;
        for (index, chunk) in (0u32..).zip(bytes.chunks(CHUNK_BYTES)) {
            batch.insert(chunk_key(name, index), chunk);
        }
        self.base.wrote(db.apply_batch(batch))?;
        let purpose = if name.starts_with("seal/") { Purpose::Compiled } else { Purpose::Desired };
        purpose.wrote(bytes.len());
        let pending = self.committer.join();
        drop(db);
        pending.durable()
    }
}

/// A batch that removes what there is of a record.
fn without(db: &sled::Db, name: &str) -> Result<sled::Batch, StoreError> {
    let mut batch = sled::Batch::default();
    for key in db.scan_prefix(prefix(name)).keys() {
        batch.remove(key?);
    }
    Ok(batch)
}

fn prefix(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"#"].concat()
}

fn chunk_key(name: &str, index: u32) -> Vec<u8> {
    [&prefix(name)[..], &index.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> tempfile::TempDir {
        tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_record_larger_than_a_chunk_reads_back_after_reopening() -> Result<(), StoreError> {
        let dir = temporary();
        let long: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let (store, _) = Store::open(dir.path())?;
        store.write("x", &long)?;
        drop(store);
        let (store, aside) = Store::open(dir.path())?;
        assert_eq!(aside, None);
        assert_eq!(store.read("x")?, Some(long));
        store.write("x", b"short")?;
        assert_eq!(store.read("x")?, Some(b"short".to_vec()), "no chunk of the longer record is left");
        assert_eq!(store.read("y")?, None);
        Ok(())
    }

    #[test]
    fn a_record_that_changed_underneath_is_damage_not_data() -> Result<(), StoreError> {
        let dir = temporary();
        let (store, _) = Store::open(dir.path())?;
        store.write("x", b"contents")?;
        let key = chunk_key("x", 0);
        let db = store.base.shared()?;
        let mut bytes = db.get(&key)?.map(|b| b.to_vec()).unwrap_or_default();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        db.insert(key, bytes)?;
        drop(db);
        assert!(matches!(store.read("x"), Err(StoreError::Damaged(_))));
        Ok(())
    }
}
