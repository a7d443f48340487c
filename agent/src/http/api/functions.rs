//! Puts functions on the device and takes them away again: nothing of one that does not get to run is left.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256 as Hasher};

use super::super::Service;
use crate::desired::{Ask, AskError, Bundle, FunctionId, FunctionSpec, Sha256};
use crate::status::Phase;

/// How long a new function may take to be fetched, compiled and started.
const READY_WITHIN: Duration = Duration::from_secs(150);

/// How long a function that is no longer wanted may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// What whoever was overtaken by another change is told.
pub(super) const OVERTAKEN: &str = "another change came in between";

/// Why a function was not put on the device.
#[derive(Debug, thiserror::Error)]
pub(super) enum PutError {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] AskError),
    /// It did not get to run; nothing of it is left.
    #[error("{why}")]
    Failed {
        /// One line for people.
        why: String,
        /// Whether the same might run another time.
        retry: bool,
    },
}

/// Did not get to run this time.
fn not_now(why: &str) -> PutError {
    PutError::Failed { why: why.to_owned(), retry: true }
}

/// A function that was put on the device.
pub(super) struct Placed {
    id: FunctionId,
    /// Its version.
    pub(super) version: u64,
    /// What is kept of it, by which it is known again.
    kept: Value,
}

impl Service {
    /// Keeps a component on the device, under its digest.
    pub(super) fn keep_component(&self, bytes: &[u8]) -> io::Result<Sha256> {
        let sha256 = Sha256::from_bytes(Hasher::digest(bytes).into());
        if !self.api.artifacts.has(&sha256) {
            let room = self.api.artifacts.make_room("the upload", &sha256, bytes.len() as u64);
            room.map_err(|error| io::Error::new(io::ErrorKind::StorageFull, error.to_string()))?;
            let mut partial = self.api.artifacts.begin(self.api.artifacts.wasm(&sha256))?;
            partial.file().write_all(bytes)?;
            partial.finish()?;
        }
        Ok(sha256)
    }

    /// Puts a function on the device and waits until it runs. One that does not is taken away again, and where it was
    /// to replace another, that one is what is wanted again; it has served all the time. Returns the version.
    pub(super) fn put(&self, bundle: Bundle) -> Result<u64, PutError> {
        self.put_within(READY_WITHIN, bundle).map(|placed| placed.version)
    }

    /// The same, for whoever has less time, or has several.
    pub(super) fn put_within(&self, time: Duration, bundle: Bundle) -> Result<Placed, PutError> {
        let time = time.min(READY_WITHIN);
        let id = bundle.id.clone();
        if !self.api.desired.borrow().functions.contains_key(&id) {
            // What is said of one of this name that went must not be taken for news of this one.
            self.gone(&id);
        }
        let done = self.api.desk.ask(Ask::Put(Box::new(bundle)))?;
        let kept = done.kept.unwrap_or_default();
        let spec = done.desired.functions.get(&id);
        let ready = async {
            match spec {
                Some(spec) => tokio::time::timeout(time, self.ready(&id, spec)).await,
                None => Ok(Err(not_now(OVERTAKEN))),
            }
        };
        let failed = match (self.api.runtime.block_on(ready), spec) {
            (Ok(Ok(())), Some(spec)) => return Ok(Placed { id, version: spec.version, kept }),
            (Ok(Ok(())), None) => not_now(OVERTAKEN),
            (Ok(Err(failed)), _) => failed,
            (Err(_), _) => not_now(&format!("it was not ready within {} s", time.as_secs())),
        };
        self.take_back(Placed { id, version: 0, kept }, done.before);
        Err(failed)
    }

    /// Takes away what was put, unless something else stands there by now.
    pub(super) fn take_back(&self, placed: Placed, before: Option<Box<Bundle>>) {
        let Placed { id, kept, .. } = placed;
        match self.api.desk.ask(Ask::TakeBack { id: id.clone(), kept, before }) {
            Ok(_) | Err(AskError::Unknown(_)) => {}
            Err(error) => log::warn!("function {id}: taking back what does not run: {error}"),
        }
    }

    /// Waits until a function that is no longer wanted is gone.
    pub(super) fn gone(&self, id: &FunctionId) {
        let mut board = self.board.subscribe();
        let gone = board.wait_for(|all| !all.functions.contains_key(id));
        let waited =
            self.api.runtime.block_on(async { tokio::time::timeout(GONE_WITHIN, gone).await.is_ok() });
        if !waited {
            log::warn!("function {id} is no longer wanted and is still being let go");
        }
    }

    /// Whether the doors have it; the board's followers are woken once they do.
    fn serves(&self, id: &FunctionId, spec: &FunctionSpec) -> bool {
        let snapshot = self.serving.load();
        let function = snapshot.functions.get(id).and_then(Option::as_ref);
        function.is_some_and(|function| function.spec == *spec)
    }

    /// Waits until a function serves as it is wanted here, or has failed.
    async fn ready(&self, id: &FunctionId, spec: &FunctionSpec) -> Result<(), PutError> {
        let mut board = self.board.subscribe();
        let mut desired = self.api.desired.clone();
        let mut stopping = self.api.stopping.clone();
        loop {
            if desired.borrow_and_update().functions.get(id) != Some(spec) {
                return Err(not_now(OVERTAKEN));
            }
            if let Some(function) = board.borrow_and_update().functions.get(id)
                && function.version == spec.version
            {
                match function.phase {
                    Phase::Running if self.serves(id, spec) => return Ok(()),
                    Phase::Failed | Phase::Backoff => {
                        let why = function.last_error.as_deref().unwrap_or("it does not start").to_owned();
                        return Err(PutError::Failed { why, retry: function.phase == Phase::Backoff });
                    }
                    _ => {}
                }
            }
            let changed = tokio::select! {
                changed = board.changed() => changed,
                changed = desired.changed() => changed,
                // It is taken back while that can still be done.
                _ = stopping.wait_for(|stopping| *stopping) => return Err(not_now("the agent is stopping")),
            };
            if changed.is_err() {
                return Err(not_now("the agent is stopping"));
            }
        }
    }
}
