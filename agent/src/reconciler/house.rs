//! What the reconciler looks after between two desired states: instances, space on the disk, and what functions that are
//! gone have kept.

use std::collections::BTreeSet;
use std::sync::Arc;
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
        let mut keep: BTreeSet<_> = wanted.functions.values().map(|spec| spec.sha256).collect();
        keep.extend(wanted.kept.iter().copied());
        keep.extend(state.functions.values().filter_map(|item| item.serving.as_ref()).map(|f| f.spec.sha256));
        let artifacts = &self.preparer.artifacts;
        let swept = artifacts.evict(self.cache_bytes, &keep).and_then(|removed| {
            for sha256 in &removed {
                log::info!("artifact {sha256}: removed to make room");
            }
            artifacts.bytes()
        });
        match swept {
            Ok(bytes) => self.metrics.artifact_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX)),
            Err(error) => log::warn!("looking after the artifacts: {error}"),
        }
    }
}
