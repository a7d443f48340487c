//! Says what would become of a desired state that came as a dry run, and changes nothing of what runs. Input: dry runs,
//! latest wins. Output: `dryRun` on the board. Knows nothing of MQTT or HTTP.
//!
//! So that refused imports and wrong digests show, it fetches, verifies, compiles and links what is new, where there is
//! room for it without removing anything; it starts no instance. All that stays of it lies in the cache of artifacts,
//! where it makes the real document faster, and whence it goes like anything that nothing uses.
//!
//! It begins once the reconciler rests, and works on a thread of its own (`rehearsal`) that is there for as long, so that
//! a slow download holds up nothing. When desired state changes, or another dry run comes, it gives up at once.

mod compare;
mod look;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::board::Board;
use crate::desired::{Desired, FunctionId, FunctionSpec, new_permissions, unapproved};
use crate::prepare::Preparer;
use crate::process::{available_bytes, give_memory_back};
use crate::serving::Serving;
use crate::status::{self, Action, FunctionDryRun, Phase, Status, cut};
use crate::thread::Thread;
use crate::twin::DryRun;
use compare::{changes, memory};
use look::{Looker, Seen};

/// How long the reconciler is waited for. After that the answer holds for what serves then.
const WAIT: Duration = Duration::from_secs(300);
/// How long one dry run may look at artifacts; the rest is not looked at.
const PATIENCE: Duration = Duration::from_secs(900);

/// Answers dry runs.
pub struct Rehearsals {
    /// The last one; none where desired state has changed since.
    pub asked: watch::Receiver<Option<Arc<DryRun>>>,
    /// Fetches, verifies, compiles and links.
    pub preparer: Arc<Preparer>,
    /// What serves.
    pub serving: Arc<Serving>,
    /// Where the answers go, and where it is seen when the reconciler rests.
    pub board: Arc<Board>,
    /// Bytes that artifacts may take.
    pub cache_bytes: u64,
}

/// What a desired state is compared with, and looked at by.
pub struct Stage<'a> {
    /// What is asked for now.
    pub stands: &'a Desired,
    /// What serves.
    pub serving: &'a BTreeMap<FunctionId, FunctionSpec>,
    /// Fetches, verifies, compiles and links.
    pub preparer: &'a Preparer,
    /// Bytes that artifacts may take.
    pub cache_bytes: u64,
    /// Whether nobody wants to know any more.
    pub given_up: &'a dyn Fn() -> bool,
    /// Told what it is at.
    pub at: &'a dyn Fn(&FunctionId, Phase),
}

impl Rehearsals {
    /// Runs until the sender of dry runs is gone.
    pub async fn run(self) {
        let mut asked = self.asked.clone();
        let this = Arc::new(self);
        loop {
            let dry_run = asked.borrow_and_update().clone();
            if let Some(dry_run) = dry_run
                && this.rested(&dry_run.stands, asked.clone()).await
            {
                this.clone().answer(dry_run, asked.clone()).await;
            }
            if asked.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until the reconciler has no work, for [`WAIT`] at most. False where something newer came meanwhile.
    async fn rested(&self, stands: &Desired, mut newer: watch::Receiver<Option<Arc<DryRun>>>) -> bool {
        let mut status = self.board.subscribe();
        let rested = status.wait_for(|status| rests(status, stands, &self.served()));
        tokio::select! {
            _ = newer.changed() => false,
            outcome = tokio::time::timeout(WAIT, rested) => !matches!(outcome, Ok(Err(_))),
        }
    }

    /// Answers on a thread of its own; when this returns, that thread has ended.
    async fn answer(self: Arc<Self>, dry_run: Arc<DryRun>, newer: watch::Receiver<Option<Arc<DryRun>>>) {
        let (done, ended) = oneshot::channel::<()>();
        let work = move || {
            self.work(&dry_run, &|| newer.has_changed().unwrap_or(true));
            drop(done);
        };
        match Thread::start("rehearsal", work) {
            // The sender is dropped, never used: either way it has ended.
            Ok(_) => ended.await.unwrap_or_default(),
            Err(error) => log::error!("dry run: starting its thread: {error}"),
        }
    }

    fn work(&self, dry_run: &DryRun, given_up: &dyn Fn() -> bool) {
        let serving = self.served();
        let at = |id: &FunctionId, phase: Phase| {
            let description = format!("looking at {id}: {}", phase.as_str());
            self.board.dry_run_got(status::DryRun { description, ..dry_run.told.clone() });
        };
        let stage = Stage {
            stands: &dry_run.stands,
            serving: &serving,
            preparer: &self.preparer,
            cache_bytes: self.cache_bytes,
            given_up,
            at: &at,
        };
        match rehearse(&dry_run.wanted, &stage, dry_run.told.clone()) {
            Some(told) => {
                log::info!("dry run of version {}: {}: {}", told.version, told.code, told.description);
                self.board.dry_run_got(told);
            }
            None => log::info!("dry run of version {}: given up for something newer", dry_run.told.version),
        }
        give_memory_back();
    }

    fn served(&self) -> BTreeMap<FunctionId, FunctionSpec> {
        let snapshot = self.serving.load();
        let specs = snapshot.functions.iter();
        specs.filter_map(|(id, function)| Some((id.clone(), function.as_ref()?.spec.clone()))).collect()
    }
}

/// Whether the reconciler has come to an end with a desired state, for now at least.
fn rests(status: &Status, wanted: &Desired, serving: &BTreeMap<FunctionId, FunctionSpec>) -> bool {
    let ours = status.last_desired_version == wanted.version;
    if ours && matches!(status.last_desired_status.code, 200 | 500) {
        return true;
    }
    let told = |id, spec: &FunctionSpec| status.functions.get(id).filter(|told| told.version == spec.version);
    let held = wanted.functions.iter().any(|(id, spec)| told(id, spec).is_some_and(|told| told.held));
    // All else of a document waits for the one that is held back.
    held || wanted.functions.iter().all(|(id, spec)| {
        let failed = told(id, spec).is_some_and(|told| matches!(told.phase, Phase::Backoff | Phase::Failed));
        failed || serving.get(id) == Some(spec)
    })
}

/// Says what would become of a desired state; none where that was given up. `told` is what is known of it so far.
/// Blocks for as long as downloads and compilations take.
pub fn rehearse(wanted: &Desired, stage: &Stage<'_>, told: status::DryRun) -> Option<status::DryRun> {
    let mut told = told;
    let free = stage.preparer.store.free_bytes().ok();
    let mut looker = Looker::new(stage, Instant::now() + PATIENCE);
    let waiting = unapproved(wanted, stage.serving);
    let mut functions = Vec::new();
    for (id, spec) in &wanted.functions {
        let old = stage.serving.get(id);
        if old == Some(spec) {
            continue;
        }
        let look = looker.look(id, spec)?;
        let (error, not_looked) = match look.seen {
            Seen::Fine => (None, None),
            Seen::Wrong(why) => (Some(cut(why)), None),
            Seen::Unknown(why) => (None, Some(cut(why))),
        };
        functions.push((
            id.clone(),
            FunctionDryRun {
                action: if old.is_some() { Action::Update } else { Action::Add },
                from_version: old.map(|old| old.version),
                to_version: Some(spec.version),
                download_bytes: look.download,
                disk_bytes: look.disk,
                new_permissions: new_permissions(old, spec).map(cut),
                awaits_approval: waiting.contains_key(id),
                error,
                not_looked,
            },
        ));
    }
    functions.extend(compare::removed(wanted, stage.serving));
    told.unchanged =
        Some(wanted.functions.iter().filter(|(id, f)| stage.serving.get(*id) == Some(*f)).count());
    told.routes = Some(changes(&stage.stands.routes, &wanted.routes));
    told.middleware = Some(changes(&stage.stands.middleware, &wanted.middleware));
    (told.download_bytes, told.disk_bytes) = (Some(looker.download), Some(looker.disk));
    told.disk_free_bytes = free;
    told.memory_bytes = Some(memory(&wanted.functions));
    told.memory_now_bytes = Some(memory(stage.serving));
    told.memory_available_bytes = Some(available_bytes()).filter(|bytes| *bytes > 0);
    compare::judge(&mut told, &functions);
    told.list(functions);
    Some(told)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::{Defaults, Problems, awaits_approval};
    use crate::status::DesiredStatus;

    #[test]
    fn the_reconciler_rests_when_every_function_has_come_to_an_end() -> Result<(), Problems> {
        let f = json!({ "version": 2, "artifact_url": "f.wasm", "sha256": "ab".repeat(32) });
        let wanted =
            Desired::parse(&json!({ "$version": 5, "functions": { "f": f } }), &Defaults::default())?;
        let id = wanted.functions.keys().next().cloned();
        let none = BTreeMap::new();
        let board = Board::default();
        board.desired(Some(5), DesiredStatus::new(202, "accepted"));
        assert!(!rests(&board.now(), &wanted, &none));
        assert!(rests(&board.now(), &wanted, &wanted.functions));
        for id in id.iter() {
            board.phase(id, 2, Phase::Fetching);
            assert!(!rests(&board.now(), &wanted, &none));
            board.phase(id, 2, Phase::Pending);
            board.invocation_failed(id, "of the version before");
            assert!(!rests(&board.now(), &wanted, &none));
            board.held(id, 1, "of the version before");
            assert!(!rests(&board.now(), &wanted, &none));
            board.held(id, 2, &awaits_approval(id, 2, "sends telemetry"));
            assert!(rests(&board.now(), &wanted, &none));
            board.failed(id, "no", Phase::Backoff, 1, None);
            assert!(rests(&board.now(), &wanted, &none));
            board.phase(id, 2, Phase::Fetching);
        }
        board.settle(5, DesiredStatus::new(500, "f: no"));
        assert!(rests(&board.now(), &wanted, &none));
        board.desired(Some(6), DesiredStatus::new(200, "of another version"));
        assert!(!rests(&board.now(), &wanted, &none));
        Ok(())
    }
}
