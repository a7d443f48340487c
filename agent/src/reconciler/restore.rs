//! What a start begins with: what served when the agent last ran, from the disk alone, before anything is asked of the
//! network.

use std::time::Instant;

use super::Reconciler;
use super::state::{Hub, State};
use crate::desired::{Desired, Refusals, Rollout};
use crate::prepare::{PrepareError, Progress};

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
        let held = state.is_held(wanted);
        let started = Instant::now();
        for (id, spec) in &stood.functions {
            let is_wanted = wanted.functions.get(id) == Some(spec);
            let goes = !held && !wanted.functions.contains_key(id);
            if (is_wanted && !held) || goes || !self.preparer.on_device(spec) {
                continue;
            }
            let phase = |phase| {
                self.tick();
                self.board.phase(id, spec.version, phase);
            };
            let never = || {
                self.tick();
                false
            };
            match self.preparer.prepare(id, spec, &Progress { phase: &phase, superseded: &never }) {
                Ok(function) => drop(self.place(function, &mut state)),
                Err(PrepareError::Superseded) => {}
                Err(PrepareError::Failed { why, .. }) => {
                    log::error!("function {id} v{}, which served before: {why}", spec.version);
                }
            }
        }
        if held && !stood.functions.is_empty() {
            log::info!(
                "version {} of the twin document serves again after {} ms; version {} is wanted",
                state.hub.version,
                started.elapsed().as_millis(),
                wanted.version
            );
        }
        if state.all_serving().next().is_some() {
            self.publish(wanted, &mut state);
        }
        state
    }
}
