//! What the reconciler looks after between two desired states: instances, space on the disk, and what functions that are
//! gone have kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::sync::watch;

use super::Reconciler;
use super::state::{State, wait_after};
use crate::desired::{Desired, FunctionId};

impl Reconciler {
    pub(super) fn keep_house(
        &self,
        wanted: &Desired,
        state: &mut State,
        newer: &watch::Receiver<Arc<Desired>>,
    ) {
        let given_up = || {
            self.tick();
            newer.has_changed().unwrap_or(true)
        };
        let now = Instant::now();
        for function in state.functions.values().filter_map(|item| item.serving.as_ref()) {
            function.drop_idle(now);
            if !function.is_short() {
                state.short.remove(&function.id);
                continue;
            }
            // One that does not start takes a worker and this thread each time.
            let (tries, at) = state.short.get(&function.id).copied().unwrap_or((0, now));
            if at <= now
                && let Err(error) = self.preparer.warm_up(function, &given_up)
            {
                let wait = wait_after(tries);
                state.short.insert(function.id.clone(), (tries.saturating_add(1), Instant::now() + wait));
                let secs = wait.as_secs_f32();
                log::warn!(
                    "function {}: starting another instance: {error}; next try in {secs:.1} s",
                    function.id
                );
            }
        }
        state.short.retain(|id, _| state.functions.contains_key(id));
        if !state.is_hub_unknown(wanted) && state.sweep.take_if(|at| *at <= now).is_some() {
            // What this device does not admit now may be admitted again.
            let wants =
                |id: &FunctionId| wanted.functions.contains_key(id) || wanted.misfits.contains_key(id);
            let stays = |id: &FunctionId| state.functions.contains_key(id) || state.rollout.may_come_back(id);
            self.preparer.forget_all_but(|id| wants(id) || stays(id));
        }
        self.keep_artifacts(wanted, state);
        self.tidy_artifacts();
    }

    /// Says which artifacts must not be evicted: before anything is prepared, and whenever something went.
    pub(super) fn keep_artifacts(&self, wanted: &Desired, state: &State) {
        let mut keep: BTreeSet<_> = wanted.functions.values().map(|spec| spec.sha256).collect();
        keep.extend(wanted.kept.iter().copied());
        keep.extend(state.functions.values().filter_map(|item| item.serving.as_ref()).map(|f| f.spec.sha256));
        // What something on trial would go back to.
        keep.extend(state.rollout.standing.components());
        keep.extend(state.rollout.trials.iter().flat_map(|trial| trial.before.components()));
        self.preparer.artifacts.keep(keep);
    }

    /// Holds the artifacts within their bound and the disk above its floor.
    fn tidy_artifacts(&self) {
        let artifacts = &self.preparer.artifacts;
        match artifacts.tidy() {
            Ok(bytes) => self.metrics.artifact_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX)),
            Err(error) => log::warn!("looking after the artifacts: {error}"),
        }
        let (evicted, refused) = artifacts.counts();
        self.metrics.disk.evicted.store(evicted, Relaxed);
        self.metrics.disk.refused.store(refused, Relaxed);
    }
}
