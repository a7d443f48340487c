//! The values that a function keeps, as a test's agent keeps them: in memory, within the agent's limits.

use std::collections::BTreeMap;

use super::{Host, with};
use crate::store;

const MAX_KEYS: usize = 1_024;
const MAX_KEY_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 65_536;
const MAX_BYTES: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Store {
    values: BTreeMap<String, Vec<u8>>,
    error: Option<store::Error>,
}

impl Host {
    /// What the function keeps, by key.
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        with(|state| state.store.values.clone())
    }

    /// Fails every further call to the store.
    pub fn refuse_store(&self, error: store::Error) {
        with(|state| state.store.error = Some(error));
    }
}

impl Store {
    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), store::Error> {
        let refused = |why: &str| Err(store::Error(why.to_owned()));
        if key.len() > MAX_KEY_BYTES {
            return refused("the key is longer than 128 bytes");
        }
        if value.len() > MAX_VALUE_BYTES {
            return refused("the value is larger than 65536 bytes");
        }
        if self.values.len() >= MAX_KEYS && !self.values.contains_key(key) {
            return refused("more than 1024 keys");
        }
        let others: usize =
            self.values.iter().filter(|(k, _)| *k != key).map(|(k, v)| k.len() + v.len()).sum();
        if others + key.len() + value.len() > MAX_BYTES {
            return refused("keys and values are more than 1 MiB");
        }
        self.values.insert(key.to_owned(), value.to_vec());
        Ok(())
    }
}

pub(crate) mod agent {
    use super::{Store, with};
    use crate::store::Error;

    fn ask<T>(f: impl FnOnce(&mut Store) -> Result<T, Error>) -> Result<T, Error> {
        with(|state| match &state.store.error {
            Some(error) => Err(error.clone()),
            None => f(&mut state.store),
        })
    }

    pub(crate) fn store_get(key: &str) -> Result<Option<Vec<u8>>, Error> {
        ask(|store| Ok(store.values.get(key).cloned()))
    }

    pub(crate) fn store_set(key: &str, value: &[u8]) -> Result<(), Error> {
        ask(|store| store.set(key, value))
    }

    pub(crate) fn store_delete(key: &str) -> Result<(), Error> {
        ask(|store| {
            store.values.remove(key);
            Ok(())
        })
    }

    pub(crate) fn store_exists(key: &str) -> Result<bool, Error> {
        ask(|store| Ok(store.values.contains_key(key)))
    }

    pub(crate) fn store_keys() -> Result<Vec<String>, Error> {
        ask(|store| Ok(store.values.keys().cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::Host;
    use crate::store;

    #[test]
    fn the_store_is_held_to_the_agents_limits() {
        let host = Host::new();
        assert!(store::set(&"k".repeat(129), "").is_err());
        assert!(store::set("k", vec![0; 65_537]).is_err());
        for n in 0..16 {
            let set = store::set(&n.to_string(), vec![0; 65_536]);
            assert_eq!(set.is_ok(), n < 15, "{n}: fifteen and their keys fit into 1 MiB, sixteen do not");
        }
        store::set("0", "").unwrap();
        store::set("15", vec![0; 65_000]).unwrap();
        assert_eq!(store::keys().unwrap().len(), host.stored().len());
    }

    #[test]
    fn a_failing_disk_is_an_error_for_every_call() {
        let host = Host::new();
        host.refuse_store(store::Error("the disk failed".to_owned()));
        assert_eq!(store::get("a").unwrap_err().to_string(), "store: the disk failed");
        assert!(store::set("a", "").is_err() && store::keys().is_err() && store::exists("a").is_err());
    }
}
