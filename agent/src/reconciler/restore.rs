//! What a start begins with: what served when the agent last ran, from the disk alone, before anything is asked of the
//! network. What does not serve again at once is tried again until something else takes its place.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::Reconciler;
use super::state::{Hub, Missing, State, wait_after};
use crate::desired::{Desired, FunctionId, FunctionSpec, Refusals, Rollout};
use crate::prepare::{PrepareError, Progress};
use crate::status::Phase;

impl Reconciler {
    /// Begins with what is noted on the disk. What served then serves again at once, even where something else is
    /// wanted by now that is not ready.
    pub(super) fn restore(&self, wanted: &Desired) -> State {
        let mut state = State::default();
        let noted = self.preparer.store.rollout().unwrap_or_else(|error| {
            log::error!("what served before can not be read: {error}; what is wanted is taken for it");
            None
        });
        let Some(mut rollout) = noted else {
            // Written by an earlier version of the agent, or never: what was accepted is what served.
            state.hub = Hub::of(wanted);
            self.version.clone_into(&mut state.rollout.agent);
            return state;
        };
        state.written = rollout.clone();
        if rollout.agent != self.version {
            // This version may run what the other one could not.
            rollout.refused = Refusals::default();
        }
        let (stood, problems) = rollout.standing.read(&self.defaults(wanted));
        let problems = problems.to_string();
        if !problems.is_empty() {
            log::error!("what served before no longer fits this configuration: {problems}");
        }
        state.hub = Hub::stood(&stood);
        state.rollout = Rollout { agent: self.version.to_owned(), ..rollout };
        state.note_origins(wanted);
        // Nothing of it is to make room for the rest.
        self.keep_artifacts(wanted, &state);
        let held = state.is_held(wanted);
        for (id, spec) in stood.functions {
            let is_wanted = wanted.functions.get(&id) == Some(&spec);
            let goes = !held && !wanted.functions.contains_key(&id);
            // What is wanted and in force is the plan's to prepare.
            let is_for_plan = is_wanted && !held;
            if !goes && !is_for_plan && !self.restore_one(&id, &spec, wanted, &mut state) {
                state.missing.insert(id, Missing { spec, tries: 0, again: Instant::now() });
            }
        }
        if held && state.all_serving().next().is_some() {
            log::info!(
                "version {} of the twin document serves again; version {} is wanted",
                state.hub.version,
                wanted.version
            );
        }
        state
    }

    /// One function, from the disk alone; false where it does not serve again.
    fn restore_one(&self, id: &FunctionId, spec: &FunctionSpec, wanted: &Desired, state: &mut State) -> bool {
        if !self.preparer.on_device(spec) {
            return false;
        }
        // An artifact that is damaged is fetched again, but not now.
        let fetching = Cell::new(false);
        let phase = |phase| {
            self.tick();
            fetching.set(phase == Phase::Fetching);
            self.board.phase(id, spec.version, phase);
        };
        let given_up = || {
            self.tick();
            fetching.get()
        };
        match self.preparer.prepare(id, spec, &Progress { phase: &phase, superseded: &given_up }) {
            Ok(function) => {
                drop(self.place(function, state));
                self.publish(wanted, state);
                true
            }
            Err(PrepareError::Superseded) => false,
            Err(PrepareError::Failed { why, .. }) => {
                log::error!("function {id} v{}, which served before: {why}", spec.version);
                false
            }
        }
    }

    /// Tries again to have serve what served before the start, as long as nothing else has taken its place.
    pub(super) fn find_missing(
        &self,
        wanted: &Desired,
        state: &mut State,
        newer: &watch::Receiver<Arc<Desired>>,
    ) {
        for (id, missing) in std::mem::take(&mut state.missing) {
            let stands = state.rollout.standing.has(&id) && state.serving(&id).is_none();
            let is_for_plan = !state.is_held(wanted) && wanted.functions.get(&id) == Some(&missing.spec);
            if !stands || is_for_plan {
                continue;
            }
            if missing.again > Instant::now() || newer.has_changed().unwrap_or(true) {
                state.missing.insert(id, missing);
                continue;
            }
            match self.prepare(&id, &missing.spec, newer) {
                Ok(function) => {
                    log::info!("function {id} v{}, which served before, serves again", missing.spec.version);
                    drop(self.place(function, state));
                    self.publish(wanted, state);
                    self.board.served();
                }
                Err(PrepareError::Superseded) => drop(state.missing.insert(id, missing)),
                Err(PrepareError::Failed { why, .. }) => {
                    let wait = wait_after(missing.tries);
                    let secs = wait.as_secs_f32();
                    let version = missing.spec.version;
                    log::error!(
                        "function {id} v{version}, which served before: {why}; next try in {secs:.1} s"
                    );
                    let (tries, again) = (missing.tries.saturating_add(1), Instant::now() + wait);
                    state.missing.insert(id, Missing { tries, again, ..missing });
                }
            }
        }
    }
}
