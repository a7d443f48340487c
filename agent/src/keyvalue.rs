//! The values that functions keep on the device: each function's apart from the others', within its quota, and on the
//! disk before the function goes on. Knows nothing of guests; keys and values have been checked for their length.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twinlet_host::KeyValue;

use crate::desired::FunctionId;
use crate::store::{Store, StoreError, Table};

/// Keys that one function may have.
pub const MAX_KEYS: usize = 1024;
/// Bytes that a function's keys and values may have together.
pub const MAX_BYTES: usize = 1 << 20;
/// Keys that one step of forgetting removes.
const REMOVED_AT_ONCE: usize = 256;

/// The values of all functions.
pub struct KeyValues {
    table: Table,
    shares: Mutex<HashMap<String, Arc<Mutex<Share>>>>,
}

/// What one function uses; none until its keys were counted. Locked while they change.
#[derive(Default)]
struct Share {
    used: Option<Usage>,
}

#[derive(Clone, Copy, Default)]
struct Usage {
    keys: usize,
    bytes: usize,
}

impl KeyValues {
    /// Those in a store.
    pub fn new(store: &Arc<Store>) -> Self {
        Self { table: store.table("keyvalue"), shares: Mutex::default() }
    }

    /// Removes all values of a function that is gone.
    pub fn forget(&self, function_id: &FunctionId) -> Result<(), StoreError> {
        let function_id = function_id.as_str();
        let share = self.share(function_id);
        let mut share = locked(&share);
        // Counted anew in any case: on an error some may be left.
        share.used = None;
        loop {
            let keys = self.table.keys(&prefix(function_id), 0, REMOVED_AT_ONCE)?;
            if keys.is_empty() {
                break;
            }
            let changes: Vec<(&[u8], Option<&[u8]>)> = keys.iter().map(|key| (&key[..], None)).collect();
            self.table.commit(&changes)?;
        }
        Ok(())
    }

    /// Removes the values of all functions but these, which are those of an earlier run.
    pub fn keep_only(&self, known: impl Fn(&FunctionId) -> bool) -> Result<(), StoreError> {
        let mut gone = BTreeSet::new();
        self.table.lengths(b"", |key, _| {
            let owner = key.split(|byte| *byte == b'/').next().and_then(|id| std::str::from_utf8(id).ok());
            let owner = owner.and_then(|id| id.parse::<FunctionId>().ok());
            gone.extend(owner.filter(|id| !known(id)));
        })?;
        gone.iter().try_for_each(|id| self.forget(id))
    }

    /// Writes a value and keeps the count, or changes nothing.
    fn change(&self, function_id: &str, key: &str, value: Option<&[u8]>) -> Result<(), String> {
        let place = [&prefix(function_id)[..], key.as_bytes()].concat();
        let share = self.share(function_id);
        let mut share = locked(&share);
        let used = match share.used {
            Some(used) => used,
            None => self.count(function_id)?,
        };
        let before = self.table.length(&place).map_err(text)?.map(|length| key.len() + length);
        let after = value.map(|value| key.len() + value.len());
        let keys = (used.keys + usize::from(after.is_some())).saturating_sub(usize::from(before.is_some()));
        let bytes = (used.bytes + after.unwrap_or(0)).saturating_sub(before.unwrap_or(0));
        // What makes less of it is let through: the quota may have been larger once.
        if keys > MAX_KEYS && keys > used.keys {
            return Err(format!("over the quota: a function keeps at most {MAX_KEYS} keys"));
        }
        if bytes > MAX_BYTES && bytes > used.bytes {
            return Err(format!(
                "over the quota: a function keeps at most {MAX_BYTES} bytes of keys and values"
            ));
        }
        if before.is_none() && after.is_none() {
            share.used = Some(used);
            return Ok(());
        }
        let pending = self.table.apply(&[(&place, value)]).map_err(text)?;
        share.used = Some(Usage { keys, bytes });
        // Others of the function can write meanwhile, and go to the disk together.
        drop(share);
        pending.durable().map_err(text)
    }

    fn count(&self, function_id: &str) -> Result<Usage, String> {
        let prefix = prefix(function_id);
        let mut used = Usage::default();
        let add = |key: &[u8], length: usize| {
            used.keys += 1;
            used.bytes += key.len().saturating_sub(prefix.len()) + length;
        };
        self.table.lengths(&prefix, add).map_err(text)?;
        Ok(used)
    }

    fn share(&self, function_id: &str) -> Arc<Mutex<Share>> {
        locked(&self.shares).entry(function_id.to_owned()).or_default().clone()
    }
}

impl KeyValue for KeyValues {
    fn get(&self, function_id: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
        let place = [&prefix(function_id)[..], key.as_bytes()].concat();
        self.table.get(&place).map_err(text)
    }

    fn set(&self, function_id: &str, key: &str, value: Option<&[u8]>) -> Result<(), String> {
        self.change(function_id, key, value)
    }

    fn keys(&self, function_id: &str, from: usize, limit: usize) -> Result<Vec<String>, String> {
        let prefix = prefix(function_id);
        let keys = self.table.keys(&prefix, from, limit).map_err(text)?;
        let key =
            |key: Vec<u8>| String::from_utf8_lossy(key.get(prefix.len()..).unwrap_or_default()).into_owned();
        Ok(keys.into_iter().map(key).collect())
    }
}

/// What all of a function's keys begin with; its id holds no `/`.
fn prefix(function_id: &str) -> Vec<u8> {
    [function_id.as_bytes(), b"/"].concat()
}

/// The error, for the guest.
fn text(error: StoreError) -> String {
    error.to_string()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn opened(dir: &tempfile::TempDir) -> KeyValues {
        let (store, aside) = Store::open(dir.path()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(aside, None);
        KeyValues::new(&Arc::new(store))
    }

    #[test]
    fn values_are_each_function_s_own_and_survive_a_restart() -> Outcome {
        let dir = tempfile::tempdir()?;
        let values = opened(&dir);
        values.set("a", "k", Some(b"of a"))?;
        values.set("ab", "k", Some(b"of ab"))?;
        values.set("a", "b/k", Some(b""))?;
        values.set("a", "gone", Some(b"1"))?;
        values.set("a", "gone", None)?;
        values.set("a", "never", None)?;
        drop(values);
        let values = opened(&dir);
        assert_eq!(values.get("a", "k")?.as_deref(), Some(&b"of a"[..]));
        assert_eq!(values.get("ab", "k")?.as_deref(), Some(&b"of ab"[..]));
        assert_eq!((values.get("a", "gone")?, values.get("b", "k")?), (None, None));
        assert_eq!(values.keys("a", 0, 10)?, ["b/k", "k"]);
        assert_eq!(values.keys("a", 1, 10)?, ["k"]);
        assert_eq!(values.keys("a", 0, 1)?, ["b/k"]);
        Ok(())
    }

    #[test]
    fn a_quota_in_bytes_is_exact_also_after_a_restart() -> Outcome {
        let dir = tempfile::tempdir()?;
        let mut values = opened(&dir);
        // 16 values of 64 KiB less their keys fill it to the byte.
        let value = vec![7; (64 << 10) - 2];
        for n in 10..26 {
            if n == 20 {
                drop(values);
                values = opened(&dir);
            }
            values.set("a", &n.to_string(), Some(&value))?;
        }
        assert!(values.set("a", "x", Some(b"")).is_err_and(|error| error.contains("quota")));
        assert_eq!(values.get("a", "x")?, None);
        values.set("b", "x", Some(b"another function's"))?;
        values.set("a", "10", Some(&value[1..]))?;
        values.set("a", "x", Some(b""))?;
        assert!(values.set("a", "10", Some(&value)).is_err());
        assert_eq!(values.get("a", "10")?.map(|value| value.len()), Some(value.len() - 1));
        values.set("a", "11", None)?;
        values.set("a", "10", Some(&value))?;
        Ok(())
    }

    #[test]
    fn a_quota_of_keys_holds_against_many_threads() -> Outcome {
        let dir = tempfile::tempdir()?;
        let values = opened(&dir);
        let kept: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let values = &values;
                    scope.spawn(move || {
                        (0..200)
                            .filter(|n| values.set("a", &format!("{thread}-{n}"), Some(b"1")).is_ok())
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
        });
        assert_eq!(kept, MAX_KEYS);
        assert_eq!(values.keys("a", 0, 10_000)?.len(), MAX_KEYS);
        let first = values.keys("a", 0, 1)?;
        values.set("a", &first[0], Some(b"an old key is no new one"))?;
        assert!(values.set("a", "one more", Some(b"1")).is_err());
        Ok(())
    }

    #[test]
    fn a_function_that_is_gone_leaves_nothing_and_its_namesake_starts_anew() -> Outcome {
        let dir = tempfile::tempdir()?;
        let values = opened(&dir);
        for n in 0..MAX_KEYS {
            values.set("a", &n.to_string(), Some(b"1"))?;
        }
        values.set("ab", "k", Some(b"stays"))?;
        values.forget(&"a".parse()?)?;
        assert_eq!(values.keys("a", 0, 10)?.len(), 0);
        assert_eq!(values.keys("ab", 0, 10)?, ["k"]);
        values.set("a", "k", Some(b"new"))?;
        assert_eq!(values.keys("a", 0, 10)?, ["k"]);
        Ok(())
    }
}
