//! Prepares what belongs together beside what serves: all of it, or nothing takes its place.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::state::{Failure, State, wait_after};
use super::{Reconciler, Superseded};
use crate::desired::{Desired, FunctionId, FunctionSpec, Unit};
use crate::pool::Function;
use crate::prepare::{Again, PrepareError, Progress};
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
        let mut failed = false;
        for id in ids {
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

    /// One function, ready to serve.
    pub(super) fn prepare(
        &self,
        id: &FunctionId,
        spec: &FunctionSpec,
        newer: &watch::Receiver<Arc<Desired>>,
    ) -> Result<Arc<Function>, PrepareError> {
        let began = Instant::now();
        let phase = |phase: Phase| {
            self.tick();
            log::debug!("function {id} v{}: {}", spec.version, phase.as_str());
            self.board.phase(id, spec.version, phase);
        };
        let superseded = || {
            self.tick();
            newer.has_changed().unwrap_or(true)
        };
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
        let tries = state.tries(id, spec);
        // What has served before is not given up for a start that failed.
        let is_new = !state.rollout.standing.is_as_wanted(id, wanted);
        let retry = match again {
            Again::Always => true,
            Again::AFewTimes => !is_new || tries.saturating_add(1) < STARTS,
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
        item.failed = Some(Failure { spec: spec.clone(), why, tries: tries.saturating_add(1), again });
    }
}
