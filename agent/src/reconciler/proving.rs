//! The trial of what serves new: by its errors, its crashes and its health. What fails it is taken back, whole, to what
//! served before, and not tried again until the hub asks for something else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Reconciler;
use super::staging::Staged;
use super::state::{Hub, State, wait_after};
use crate::desired::{Desired, OnTrial, Stood, Unit};
use crate::pool::{CallError, Function};
use crate::prepare::PrepareError;
use crate::process::give_memory_back;

/// Between two health requests to what is on trial.
const HEALTH_EVERY: Duration = Duration::from_secs(10);
/// So many crashes, and health requests without a good answer, are too many.
const MAX_BREAKDOWNS: u64 = 3;

/// How a trial stands.
enum Verdict {
    Open,
    Proved,
    Failed(String),
}

impl Reconciler {
    /// Looks at everything that is on trial.
    pub(super) fn prove(&self, wanted: &Desired, state: &mut State, newer: &watch::Receiver<Arc<Desired>>) {
        let now = Instant::now();
        for trial in state.rollout.trials.clone() {
            let (since, asked) = state.trials.entry(trial.unit.clone()).or_insert((now, now));
            let running = now.duration_since(*since);
            if now.duration_since(*asked) >= HEALTH_EVERY {
                *asked = now;
                self.ask_for_health(&trial, state, newer);
            }
            match verdict(&trial, state, running) {
                Verdict::Open => {}
                Verdict::Proved => {
                    log::info!("{} has proved itself", name(&trial.unit, state));
                    self.metrics.rollout("proved");
                    self.end_trial(&trial, state);
                }
                Verdict::Failed(why) => self.roll_back(&trial, &why, wanted, state, newer),
            }
        }
    }

    fn end_trial(&self, trial: &OnTrial, state: &mut State) {
        state.rollout.trials.retain(|other| other.unit != trial.unit);
        state.trials.remove(&trial.unit);
        self.keep_rollout(state);
    }

    fn ask_for_health(&self, trial: &OnTrial, state: &State, newer: &watch::Receiver<Arc<Desired>>) {
        let given_up = || {
            self.tick();
            newer.has_changed().unwrap_or(true)
        };
        for function in trial.functions.iter().filter_map(|id| state.serving(id)) {
            match self.preparer.check_health(function, &given_up) {
                // Its neighbours' doing, or nobody's.
                Ok(()) | Err(CallError::Exhausted(_)) => {}
                Err(error) => {
                    log::warn!("function {} v{}, on trial: {error}", function.id, function.spec.version);
                    function.metrics.tally.broke_down();
                }
            }
        }
    }

    /// Goes back to what served before. Where that can not be prepared now it is tried again, and until then what
    /// serves goes on.
    fn roll_back(
        &self,
        trial: &OnTrial,
        why: &str,
        wanted: &Desired,
        state: &mut State,
        newer: &watch::Receiver<Arc<Desired>>,
    ) {
        if state.back.is_some_and(|(_, at)| Instant::now() < at) {
            return;
        }
        let named = name(&trial.unit, state);
        let mut standing = state.rollout.standing.clone();
        standing.go_back(&trial.unit, &trial.functions, &trial.before);
        let nothing_before = match &trial.unit {
            Unit::Twin => trial.before.is_empty(),
            Unit::One(id) => !trial.before.has(id),
        };
        if nothing_before {
            log::error!("{named} fails its trial: {why}; nothing served before it, so it goes on");
            for id in &trial.functions {
                self.board.invocation_failed(id, &format!("{why}; nothing served before it"));
            }
            return self.end_trial(trial, state);
        }
        let (stood, _) = standing.read(&self.defaults(wanted));
        let staged = match self.stage_back(&stood, state, newer) {
            Ok(staged) => staged,
            Err(PrepareError::Superseded) => return,
            Err(PrepareError::Failed { why: hindrance, .. }) => {
                let tries = state.back.map_or(0, |(tries, _)| tries);
                state.back = Some((tries.saturating_add(1), Instant::now() + wait_after(tries)));
                log::error!("{named} fails its trial: {why}; going back is not possible now: {hindrance}");
                return;
            }
        };
        state.back = None;
        let told = format!("{named} was rolled back: {why}");
        log::error!("{told}");
        self.metrics.rollout("rolled_back");
        self.refuse(trial, &told, wanted, state);
        state.rollout.standing = standing;
        self.end_trial(trial, state);
        self.go_back(trial, staged, &stood, wanted, state);
        self.tell_refusals(wanted, state);
        self.settle(wanted, state);
        give_memory_back();
    }

    /// What was on trial is not tried again, if it still is what is wanted.
    fn refuse(&self, trial: &OnTrial, told: &str, wanted: &Desired, state: &mut State) {
        let is_wanted = match &trial.unit {
            Unit::Twin => !state.is_held(wanted),
            Unit::One(id) => state.rollout.standing.is_as_wanted(id, wanted),
        };
        if is_wanted {
            state.rollout.refused.add(&trial.unit, wanted, told);
        }
    }

    /// All that served before and does not now, ready to serve.
    fn stage_back(
        &self,
        stood: &Stood,
        state: &State,
        newer: &watch::Receiver<Arc<Desired>>,
    ) -> Result<Staged, PrepareError> {
        let mut functions = Vec::new();
        for (id, spec) in &stood.functions {
            if state.serving(id).is_some_and(|function| function.spec == *spec) {
                continue;
            }
            match self.prepare(id, spec, newer) {
                Ok(function) => functions.push(function),
                Err(error) => {
                    drop(Staged::of(functions));
                    return Err(error);
                }
            }
        }
        Ok(Staged::of(functions))
    }

    fn go_back(&self, trial: &OnTrial, staged: Staged, stood: &Stood, wanted: &Desired, state: &mut State) {
        if trial.unit == Unit::Twin {
            state.hub = Hub::stood(stood);
        }
        let mut gone: Vec<Arc<Function>> =
            staged.place().into_iter().filter_map(|function| self.place(function, state)).collect();
        for id in trial.functions.iter().filter(|id| !stood.functions.contains_key(*id)) {
            if let Some(item) = state.functions.get_mut(id) {
                gone.extend(item.serving.take());
                self.board.stopped(id);
                self.preparer.actors.retire(id, true);
            }
        }
        self.publish(wanted, state);
        self.board.served();
        for function in gone {
            function.retire();
        }
    }
}

fn verdict(trial: &OnTrial, state: &State, running: Duration) -> Verdict {
    let mut window = Duration::ZERO;
    for function in trial.functions.iter().filter_map(|id| state.serving(id)) {
        let (tally, terms) = (&function.metrics.tally, &function.spec.trial);
        window = window.max(terms.window);
        if running > terms.window {
            continue;
        }
        let (id, version, secs) = (&function.id, function.spec.version, terms.window.as_secs());
        let (invocations, errors) = (tally.invocations(), tally.errors());
        if tally.breakdowns() >= MAX_BREAKDOWNS {
            let times = tally.breakdowns();
            let what = "crashed, or gave its health request no good answer,";
            return Verdict::Failed(format!("{id} v{version} {what} {times} times in its trial of {secs} s"));
        }
        if terms.is_failed(invocations, errors) {
            let most = terms.max_error_percent;
            return Verdict::Failed(format!(
                "{errors} of {invocations} invocations of {id} v{version} failed in its trial of {secs} s, more than \
                 {most}%"
            ));
        }
    }
    if running > window { Verdict::Proved } else { Verdict::Open }
}

fn name(unit: &Unit, state: &State) -> String {
    match unit {
        Unit::Twin => format!("version {} of the twin document", state.hub.version),
        Unit::One(id) => {
            let version = state.serving(id).map_or(0, |function| function.spec.version);
            format!("function {id} v{version}")
        }
    }
}
