//! Prepares what belongs together beside what serves: all of it, or nothing takes its place.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::state::{Failure, State, wait_after};
use super::{Reconciler, Superseded};
use crate::desired::{Desired, FunctionId, FunctionSpec, Unit};
use crate::pool::Function;
use crate::prepare::{Again, PrepareError, Progress, Take};
use crate::status::Phase;

/// How often a new version that does not start, or does not answer its health request, is tried.
const STARTS: u32 = 3;

/// Functions that are ready to serve and do not yet. Dropped, they end.
#[derive(Default)]
pub(super) struct Staged(Vec<Arc<Function>>);

impl Staged {
    pub(super) fn of(functions: Vec<Arc<Function>>) -> Self {
        Self(functions)
    }

    pub(super) fn functions(&self) -> &[Arc<Function>] {
        &self.0
    }

    /// They serve now.
    pub(super) fn place(mut self) -> Vec<Arc<Function>> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for function in &self.0 {
            function.retire();
        }
    }
}

impl Reconciler {
    /// A unit, all of it ready; none where some of it failed, which is then noted. All of it is tried, so that all that
    /// is wrong is told at once.
    pub(super) fn stage(
        &self,
        (unit, ids): (&Unit, &[FunctionId]),
        wanted: &Desired,
        state: &mut State,
        newer: &watch::Receiver<Arc<Desired>>,
    ) -> Result<Option<Staged>, Superseded> {
        let mut staged = Staged::default();
        let mut failed = !self.fetch_all((unit, ids), wanted, state, newer)?;
        // Nothing is started for what can not be had.
        for id in ids.iter().filter(|_| !failed).collect::<Vec<_>>() {
            let Some(spec) = wanted.functions.get(id) else { continue };
            match self.prepare(id, spec, newer) {
                Ok(function) => staged.0.push(function),
                Err(PrepareError::Superseded) => return Err(Superseded),
                Err(PrepareError::Failed { phase, why, again }) => {
                    failed = true;
                    self.note_failure(unit, (id, spec), (phase, why, again), wanted, state);
                }
            }
        }
        if !failed {
            return Ok(Some(staged));
        }
        for function in staged.functions() {
            self.board.phase(&function.id, function.spec.version, Phase::Pending);
        }
        self.tell_refusals(wanted, state);
        Ok(None)
    }

    /// Has all components of a unit on the device, compiled; false where one could not be had.
    fn fetch_all(
        &self,
        (unit, ids): (&Unit, &[FunctionId]),
        wanted: &Desired,
        state: &mut State,
        newer: &watch::Receiver<Arc<Desired>>,
    ) -> Result<bool, Superseded> {
        let mut all = true;
        for id in ids.iter().filter(|_| ids.len() > 1) {
            let Some(spec) = wanted.functions.get(id) else { continue };
            if self.preparer.on_device(spec) {
                continue;
            }
            self.metrics.cache_lookup(false);
            let (phase, superseded) = (self.phases(id, spec), || self.is_superseded(newer));
            match self.preparer.component(
                spec,
                &Progress { phase: &phase, superseded: &superseded },
                Take::Any,
            ) {
                Ok(_) => self.board.phase(id, spec.version, Phase::Pending),
                Err(PrepareError::Superseded) => return Err(Superseded),
                Err(PrepareError::Failed { phase, why, again }) => {
                    all = false;
                    self.note_failure(unit, (id, spec), (phase, why, again), wanted, state);
                }
            }
        }
        Ok(all)
    }

    fn phases<'a>(&'a self, id: &'a FunctionId, spec: &'a FunctionSpec) -> impl Fn(Phase) + 'a {
        move |phase: Phase| {
            self.tick();
            log::debug!("function {id} v{}: {}", spec.version, phase.as_str());
            self.board.phase(id, spec.version, phase);
        }
    }

    fn is_superseded(&self, newer: &watch::Receiver<Arc<Desired>>) -> bool {
        self.tick();
        newer.has_changed().unwrap_or(true)
    }

    /// One function, ready to serve.
    pub(super) fn prepare(
        &self,
        id: &FunctionId,
        spec: &FunctionSpec,
        newer: &watch::Receiver<Arc<Desired>>,
    ) -> Result<Arc<Function>, PrepareError> {
        let began = Instant::now();
        let (phase, superseded) = (self.phases(id, spec), || self.is_superseded(newer));
        let function =
            self.preparer.prepare(id, spec, &Progress { phase: &phase, superseded: &superseded })?;
        log::info!("function {id} v{}: ready after {} ms", spec.version, began.elapsed().as_millis());
        Ok(function)
    }

    pub(super) fn note_failure(
        &self,
        unit: &Unit,
        (id, spec): (&FunctionId, &FunctionSpec),
        (phase, why, again): (Phase, String, Again),
        wanted: &Desired,
        state: &mut State,
    ) {
        let (tries, starts) = (state.tries(id, spec), state.starts(id, spec));
        let starts = starts.saturating_add(u32::from(again == Again::AFewTimes));
        // What has served before is not given up for a start that failed.
        let is_new = !state.rollout.standing.is_as_wanted(id, wanted);
        let retry = match again {
            Again::Always => true,
            Again::AFewTimes => !is_new || starts < STARTS,
            Again::Never => false,
        };
        let wait = retry.then(|| wait_after(tries));
        let mut then = match wait {
            Some(wait) => format!("next try in {:.1} s", wait.as_secs_f32()),
            None => "not tried again until the desired state changes".into(),
        };
        if let Some(old) = state.serving(id) {
            then = format!("version {} goes on serving; {then}", old.spec.version);
        }
        let in_phase = phase.as_str();
        log::error!("function {id} v{}: {in_phase} failed: {why}; {then}", spec.version);
        self.metrics.failure(id, in_phase);
        if !retry && is_new {
            let of_unit = match unit {
                Unit::Twin => {
                    format!("version {} of the twin document is refused: {id}: {why}", wanted.version)
                }
                Unit::One(_) => why.clone(),
            };
            state.rollout.refused.add(unit, wanted, &of_unit);
            self.metrics.rollout("refused");
        }
        let told = if retry { Phase::Backoff } else { Phase::Failed };
        let again = wait.map(|wait| Instant::now() + wait);
        self.board.failed(id, &format!("{in_phase}: {why}"), told, tries, again);
        let item = state.functions.entry(id.clone()).or_default();
        item.failed =
            Some(Failure { spec: spec.clone(), why, tries: tries.saturating_add(1), starts, again });
    }
}
