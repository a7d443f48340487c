//! What actors have synced: in memory, and on the disk where their policy says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::desired::StatePolicy;
use crate::store::{StoreError, Table};

/// The last synced state of every actor, by its function's id.
pub(super) struct States {
    table: Table,
    transient: Mutex<HashMap<String, Arc<[u8]>>>,
}

impl States {
    pub(super) fn new(table: Table) -> Self {
        Self { table, transient: Mutex::default() }
    }

    /// What was synced last; under a policy that has changed, what was synced before.
    pub(super) fn get(&self, id: &str) -> Result<Option<Arc<[u8]>>, StoreError> {
        if let Some(state) = self.transient().get(id) {
            return Ok(Some(state.clone()));
        }
        Ok(self.table.get(id.as_bytes())?.map(Arc::from))
    }

    /// Keeps a state; where it is to be on the disk, it is when this returns.
    pub(super) fn put(&self, id: &str, policy: StatePolicy, state: Vec<u8>) -> Result<(), StoreError> {
        match policy {
            StatePolicy::NodeLocal => {
                self.table.commit(&[(id.as_bytes(), Some(&state))])?;
                self.transient().remove(id);
            }
            StatePolicy::Transient => {
                // What an earlier policy left on the disk must not come back with a restart.
                if self.transient().insert(id.to_owned(), state.into()).is_none() {
                    self.table.remove_lazily(id.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Forgets a state.
    pub(super) fn forget(&self, id: &str) -> Result<(), StoreError> {
        self.transient().remove(id);
        match self.table.get(id.as_bytes())? {
            Some(_) => self.table.commit(&[(id.as_bytes(), None)]),
            None => Ok(()),
        }
    }

    /// The functions that have a state on the disk.
    pub(super) fn kept(&self) -> Result<Vec<String>, StoreError> {
        let records = self.table.scan(b"")?;
        Ok(records.into_iter().filter_map(|(key, _)| String::from_utf8(key).ok()).collect())
    }

    fn transient(&self) -> MutexGuard<'_, HashMap<String, Arc<[u8]>>> {
        self.transient.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
