//! What the reconciler looks after between two desired states: instances, space on the disk, and what functions that are
//! gone have kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::sync::watch;

use super::Reconciler;
use super::state::State;
use crate::desired::Desired;

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
            if function.is_short()
                && let Err(error) = self.preparer.warm_up(function, &given_up)
            {
                log::warn!("function {}: starting another instance: {error}", function.id);
            }
        }
        if *wanted != Desired::default() && state.sweep.take_if(|at| *at <= now).is_some() {
            self.preparer
                .forget_all_but(|id| wanted.functions.contains_key(id) || state.functions.contains_key(id));
        }
        self.keep_artifacts(wanted, state);
        self.tidy_artifacts();
    }

    /// Says which artifacts must not be evicted: before anything is prepared, and whenever something went.
    pub(super) fn keep_artifacts(&self, wanted: &Desired, state: &State) {
        let mut keep: BTreeSet<_> = wanted.functions.values().map(|spec| spec.sha256).collect();
        keep.extend(wanted.kept.iter().copied());
        keep.extend(state.functions.values().filter_map(|item| item.serving.as_ref()).map(|f| f.spec.sha256));
        self.preparer.artifacts.keep(keep);
    }

    /// Holds the artifacts within their bound and the disk above its floor.
    fn tidy_artifacts(&self) {
        let artifacts = &self.preparer.artifacts;
        match artifacts.tidy() {
            Ok(bytes) => self.metrics.artifact_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX)),
            Err(error) => log::warn!("looking after the artifacts: {error}"),
        }
        for sha256 in artifacts.take_evicted() {
            // One that stays is of no use to anyone, and goes with the next eviction of the same artifact.
            if let Err(error) = self.preparer.store.forget_seal(&sha256) {
                log::warn!("artifact {sha256}: forgetting its seal: {error}");
            }
        }
        let (evicted, refused) = artifacts.counts();
        self.metrics.disk.evicted.store(evicted, Relaxed);
        self.metrics.disk.refused.store(refused, Relaxed);
    }
}
