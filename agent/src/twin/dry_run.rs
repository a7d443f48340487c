//! Dry runs on their way from the hub's messages to the rehearsal. Only the last one counts.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256 as Hasher};
use tokio::sync::watch;

use crate::board::Board;
use crate::desired::{Desired, Refused, Sha256};
use crate::status;

/// A desired state that is not to be carried out: only what would become of it is asked.
#[derive(Debug)]
pub struct DryRun {
    /// What is told of it so far.
    pub told: status::DryRun,
    /// What it asks for.
    pub wanted: Desired,
    /// What is asked for now.
    pub stands: Arc<Desired>,
}

/// Where dry runs are handed on, and told of.
pub(super) struct DryRuns {
    latest: watch::Sender<Option<Arc<DryRun>>>,
    board: Arc<Board>,
    count: u64,
}

impl DryRuns {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self { latest: watch::Sender::new(None), board, count: 0 }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<DryRun>>> {
        self.latest.subscribe()
    }

    /// Hands a dry run on.
    pub(super) fn take(&mut self, payload: &[u8], wanted: Desired, stands: Arc<Desired>) {
        log::info!("dry run of version {}: nothing changes by it", wanted.version);
        let told = self.told(payload, wanted.version, 202, "waits its turn".to_owned());
        self.board.dry_run(Some(told.clone()));
        self.latest.send_replace(Some(Arc::new(DryRun { told, wanted, stands })));
    }

    /// Says why a dry run has no other answer. What was asked before is not asked any more.
    pub(super) fn refuse(&mut self, payload: &[u8], document: &Value, refused: &Refused) {
        let version = document.get("$version").and_then(Value::as_u64).unwrap_or(0);
        let why: String = refused.to_string().chars().take(super::MAX_SHOWN).collect();
        log::warn!("refused a dry run: {why}");
        let told = self.told(payload, version, refused.code(), why);
        self.latest.send_replace(None);
        self.board.dry_run(Some(told));
    }

    /// Desired state is about to change: what was asked of another is answered no more.
    pub(super) fn end(&self) {
        let there = |latest: &mut Option<_>| latest.take().is_some();
        self.latest.send_if_modified(there);
        self.board.dry_run(None);
    }

    fn told(&mut self, payload: &[u8], version: u64, code: u16, description: String) -> status::DryRun {
        self.count += 1;
        let message = Sha256::from_bytes(Hasher::digest(payload).into()).to_string();
        status::DryRun { version, run: self.count, message, code, description, ..status::DryRun::default() }
    }
}
