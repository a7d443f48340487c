//! The trial of what serves new: by its errors, its crashes and its health. What fails it is taken back, whole, to what
//! served before, and not tried again until the hub asks for something else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Reconciler;
use super::staging::Staged;
use super::state::{Hub, State, Watched, wait_after};
use crate::desired::{Desired, FunctionId, OnTrial, Stood, Unit};
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
        for trial in &state.rollout.trials.clone() {
            let now = Instant::now();
            let begun = || Watched { since: now, asked: now, failed: None, back: None };
            let watched = state.trials.entry(key(trial)).or_insert_with(begun);
            let running = now.duration_since(watched.since);
            if now.duration_since(watched.asked) >= HEALTH_EVERY {
                watched.asked = now;
                self.ask_for_health(trial, state, newer);
            }
            let decided = state.trials.get(&key(trial)).and_then(|watched| watched.failed.clone());
            match decided.map_or_else(|| verdict(trial, wanted, state, running), Verdict::Failed) {
                Verdict::Open => {}
                Verdict::Proved => {
                    log::info!("{} has proved itself", name(&trial.unit, state));
                    self.metrics.rollout("proved");
                    self.end_trial(trial, state);
                }
                Verdict::Failed(why) => {
                    if let Some(watched) = state.trials.get_mut(&key(trial)) {
                        watched.failed = Some(why.clone());
                    }
                    self.roll_back(trial, &why, wanted, state, newer);
                }
            }
        }
        let on_trial: Vec<_> = state.rollout.trials.iter().map(key).collect();
        state.trials.retain(|trial, _| on_trial.contains(trial));
    }

    fn end_trial(&self, trial: &OnTrial, state: &mut State) {
        state.rollout.trials.retain(|other| key(other) != key(trial));
        state.trials.remove(&key(trial));
        // What only the way back had needed.
        state.sweep = Some(Instant::now());
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
        let back = state.trials.get(&key(trial)).and_then(|watched| watched.back);
        if back.is_some_and(|(_, at)| Instant::now() < at) {
            return;
        }
        let named = name(&trial.unit, state);
        let (before, _) = trial.before.read(&self.defaults(wanted));
        let nothing_before = match &trial.unit {
            Unit::Twin => !trial.before.has_hub(),
            Unit::One(id) => !before.functions.contains_key(id),
        };
        if nothing_before {
            log::error!("{named} fails its trial: {why}; nothing served before it, so it goes on");
            for id in &trial.functions {
                self.board.invocation_failed(id, &format!("{why}; nothing served before it"));
            }
            return self.end_trial(trial, state);
        }
        let mut standing = state.rollout.standing.clone();
        standing.go_back(&trial.unit, &trial.before, wanted);
        let (mut stood, _) = standing.read(&self.defaults(wanted));
        let is_back = |id: &FunctionId| !standing.is_same(id, &state.rollout.standing);
        stood.functions.retain(|id, _| is_back(id));
        let staged = match self.stage_back(&stood, state, newer) {
            Ok(staged) => staged,
            Err(PrepareError::Superseded) => return,
            Err(PrepareError::Failed { why: hindrance, .. }) => {
                let tries = back.map_or(0, |(tries, _)| tries);
                let told = format!("{why}; going back is not possible now: {hindrance}");
                log::error!("{named} fails its trial: {told}");
                for id in &trial.functions {
                    self.board.invocation_failed(id, &told);
                }
                if let Some(watched) = state.trials.get_mut(&key(trial)) {
                    watched.back = Some((tries.saturating_add(1), Instant::now() + wait_after(tries)));
                }
                return;
            }
        };
        let told = format!("{named} was rolled back: {why}");
        log::error!("{told}");
        self.metrics.rollout("rolled_back");
        self.refuse(trial, &told, wanted, state);
        let gone: Vec<FunctionId> = state
            .functions
            .keys()
            .filter(|id| state.rollout.standing.has(id) && !standing.has(id))
            .cloned()
            .collect();
        if trial.unit == Unit::Twin {
            state.hub = Hub::stood(&stood);
        }
        state.rollout.standing = standing;
        // What came after it goes with it.
        state.rollout.trials.retain(|other| other.unit != trial.unit || other.number < trial.number);
        self.end_trial(trial, state);
        self.go_back(staged, &gone, wanted, state);
        self.tell_refusals(wanted, state);
        if let Some(status) = self.settle(wanted, state) {
            // Whatever was refused meanwhile, this is news.
            self.board.desired(None, status);
        }
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

    fn go_back(&self, staged: Staged, gone: &[FunctionId], wanted: &Desired, state: &mut State) {
        let mut old: Vec<Arc<Function>> =
            staged.place().into_iter().filter_map(|function| self.place(function, state)).collect();
        for id in gone {
            if let Some(item) = state.functions.get_mut(id) {
                old.extend(item.serving.take());
                self.board.stopped(id);
                self.preparer.actors.retire(id, true);
            }
        }
        self.publish(wanted, state);
        self.board.served();
        for function in old {
            function.retire();
        }
    }
}

fn verdict(trial: &OnTrial, wanted: &Desired, state: &State, running: Duration) -> Verdict {
    let (mut window, mut open) = (Duration::ZERO, false);
    for id in &trial.functions {
        let Some(function) = state.serving(id) else {
            // After a restart; what was taken away proves nothing any more.
            let tries = state.functions.get(id).and_then(|item| item.failed.as_ref()).map_or(0, |f| f.tries);
            if u64::from(tries) >= MAX_BREAKDOWNS {
                return Verdict::Failed(format!("{id} did not start again within its trial"));
            }
            open |= wanted.functions.contains_key(id);
            continue;
        };
        let (tally, terms) = (&function.metrics.tally, &function.spec.trial);
        window = window.max(terms.window);
        let (version, secs) = (function.spec.version, terms.window.as_secs());
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
    if running > window && !open { Verdict::Proved } else { Verdict::Open }
}

/// By which a trial is known.
fn key(trial: &OnTrial) -> (Unit, u64) {
    (trial.unit.clone(), trial.number)
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
