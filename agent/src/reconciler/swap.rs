//! Puts what is staged into the place of what served, in one step that is on the disk first; and takes away what is no
//! longer wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::staging::Staged;
use super::state::{Hub, Item, State};
use super::{Reconciler, SWEEP_AFTER};
use crate::chains::Chains;
use crate::desired::{Desired, FunctionId, OnTrial, Rollout, Unit};
use crate::engine::Answerer;
use crate::plan;
use crate::pool::Function;
use crate::prepare::Again;
use crate::routes::RouteTable;
use crate::serving::Snapshot;
use crate::status::Phase;

/// Trials of one unit that go on at one time; of more the oldest end.
const MAX_TRIALS: u64 = 4;

impl Reconciler {
    /// Has a unit serve. Where that can not be noted on the disk, nothing changes.
    pub(super) fn swap(&self, unit: &Unit, staged: Staged, wanted: &Desired, state: &mut State) {
        let rollout = after_swap(unit, &staged, wanted, state);
        // A restart of what served before changes nothing on the disk.
        if rollout != state.written
            && let Err(error) = self.preparer.store.keep_rollout(&rollout)
        {
            let why = format!("not kept on the disk, so not put into its place: {error}");
            for function in staged.functions() {
                let of = (&function.id, &function.spec);
                self.note_failure(unit, of, (Phase::Starting, why.clone(), Again::Always), wanted, state);
            }
            state.hindrance = Some(why).filter(|_| staged.functions().is_empty());
            return;
        }
        let is_new = rollout.trials.iter().any(|trial| trial.unit == *unit);
        state.hindrance = None;
        (state.rollout, state.written) = (rollout.clone(), rollout);
        if *unit == Unit::Twin {
            state.hub = Hub::of(wanted);
        }
        let before: Vec<_> = staged.place().into_iter().filter_map(|f| self.place(f, state)).collect();
        self.publish(wanted, state);
        self.board.served();
        self.metrics.rollout("applied");
        if is_new && *unit == Unit::Twin {
            log::info!("version {} of the twin document serves, on trial", wanted.version);
        }
        for function in before {
            // Its last callers hold it until they are done.
            function.retire();
        }
    }

    /// Puts one function into its place, for whoever publishes next; returns what was there.
    pub(super) fn place(&self, function: Arc<Function>, state: &mut State) -> Option<Arc<Function>> {
        let (id, version) = (function.id.clone(), function.spec.version);
        let tries = state.tries(&id, &function.spec);
        let item = state.functions.entry(id.clone()).or_default();
        item.failed = None;
        let before = item.serving.replace(function.clone());
        // An actor that crashes at once says so after this.
        self.board.running(&id, version, tries);
        if function.exports().is_actor() {
            self.preparer.actors.deploy(&function);
        } else {
            // It may have been one, and may be again.
            self.preparer.actors.retire(&id, !state.rollout.trials.iter().any(|trial| trial.before.has(&id)));
        }
        before
    }

    /// Puts what is ready into the doors' hands.
    pub(super) fn publish(&self, wanted: &Desired, state: &mut State) {
        if !state.is_held(wanted) {
            state.hub = Hub::of(wanted);
        } else if wanted.routes_by_message {
            state.hub.follow_message(wanted);
        }
        let ready: BTreeSet<FunctionId> = state.all_serving().map(|function| function.id.clone()).collect();
        let routes = state.wanted_routes(wanted);
        let routes = plan::effective_routes(&routes, &state.routes, &wanted.functions, &ready);
        if routes != state.routes || self.serving.load().functions.is_empty() {
            state.table = Arc::new(RouteTable::new(&routes));
            state.routes = routes;
        }
        let mut functions: BTreeMap<_, _> = wanted.functions.keys().map(|id| (id.clone(), None)).collect();
        for function in state.all_serving() {
            functions.insert(function.id.clone(), Some(function.clone()));
        }
        let streams = |f: &Option<Arc<Function>>| {
            f.as_ref().is_some_and(|function| function.exports().answerer() == Answerer::WasiHttp)
        };
        let any_streams = functions.values().any(streams);
        state.middleware = state.middleware_for(wanted);
        let chains = Arc::new(Chains::new(&state.middleware));
        self.serving.store(Arc::new(Snapshot {
            routes: state.table.clone(),
            chains,
            functions,
            any_streams,
            applied: state.applied,
        }));
    }

    /// Takes away a function that is no longer wanted.
    pub(super) fn retire(&self, id: &FunctionId, wanted: &Desired, state: &mut State) {
        let mut served = state.routes.iter().filter(|(_, route)| route.function_id == *id);
        if served.any(|(route_id, route)| wanted.routes.get(route_id) != Some(route)) {
            log::debug!("function {id}: stays until a route's new target is ready");
            return;
        }
        if state.middleware.iter().any(|(_, spec)| spec.function_id == *id) {
            log::debug!("function {id}: stays until what it guards is replaced");
            return;
        }
        let may_return =
            wanted.misfits.contains_key(id) || state.rollout.trials.iter().any(|trial| trial.before.has(id));
        self.take_away(id, !may_return, state);
        log::info!("function {id}: stopped, no longer wanted");
    }

    /// Takes a function out of what the doors serve from, and ends it; where it goes for good, with all that it kept.
    pub(super) fn take_away(&self, id: &FunctionId, for_good: bool, state: &mut State) {
        if let Some(Item { serving: Some(function), .. }) = state.functions.remove(id) {
            function.retire();
            let kept = self.serving.load();
            let mut functions = kept.functions.clone();
            functions.remove(id);
            self.serving.store(Arc::new(Snapshot {
                routes: kept.routes.clone(),
                chains: kept.chains.clone(),
                functions,
                any_streams: kept.any_streams,
                applied: state.applied,
            }));
        }
        self.preparer.actors.retire(id, for_good);
        if for_good && let Err(error) = self.preparer.keyvalue.forget(id) {
            log::warn!("function {id}: forgetting its values: {error}");
        }
        state.sweep = Some(Instant::now() + SWEEP_AFTER);
        self.metrics.forget_function(id);
    }

    /// Keeps on the disk what a restart begins with, where that has changed otherwise than by a swap.
    pub(super) fn note_standing(&self, wanted: &Desired, state: &mut State) {
        let State { functions, missing, rollout, .. } = state;
        let serves = |id: &FunctionId| functions.get(id).is_some_and(|item| item.serving.is_some());
        let is_wanted = |id: &FunctionId| wanted.functions.contains_key(id);
        rollout.standing.keep_only(|id| serves(id) || missing.contains_key(id) || is_wanted(id));
        // The same function may be written, signed or asked for otherwise.
        for function in functions.values().filter_map(|item| item.serving.as_ref()) {
            if wanted.functions.get(&function.id) == Some(&function.spec) {
                rollout.standing.put(&function.id, wanted);
            }
        }
        if !state.is_held(wanted) {
            state.rollout.standing.follow_hub(wanted);
        } else if wanted.routes_by_message {
            state.rollout.standing.follow_message(wanted);
        }
        self.keep_rollout(state);
    }

    /// Writes it, if it is not on the disk; what does not get there is tried again with the next.
    pub(super) fn keep_rollout(&self, state: &mut State) {
        if state.rollout == state.written || (state.rollout.is_bare() && state.written.is_bare()) {
            return;
        }
        match self.preparer.store.keep_rollout(&state.rollout) {
            Ok(()) => state.written = state.rollout.clone(),
            Err(error) => log::warn!("what serves could not be noted on the disk: {error}"),
        }
    }
}

/// What is kept once a unit serves.
fn after_swap(unit: &Unit, staged: &Staged, wanted: &Desired, state: &State) -> Rollout {
    let now = &state.rollout;
    let mut next = now.clone();
    let mut on_trial = BTreeSet::new();
    let mut is_new = false;
    for Function { id, spec, .. } in staged.functions().iter().map(AsRef::as_ref) {
        if !now.standing.is_as_wanted(id, wanted) {
            is_new = true;
            if !spec.trial.window.is_zero() {
                on_trial.insert(id.clone());
            }
        }
        next.standing.put(id, wanted);
    }
    if *unit == Unit::Twin {
        next.standing.follow_hub(wanted);
        next.standing.keep_only(|id| wanted.functions.contains_key(id));
    }
    if !is_new {
        // A restart of what served before: its trial, if it is on one, goes on.
        return next;
    }
    let before = match unit {
        Unit::Twin => now.standing.clone(),
        Unit::One(id) => now.standing.only(id),
    };
    // Another trial that one of these was part of is not about what serves now.
    for trial in &mut next.trials {
        trial.functions.retain(|id| !staged.functions().iter().any(|function| function.id == *id));
    }
    // What an earlier document brought and this one leaves as it is has not proved itself yet, and stays on its own.
    next.trials.retain(|trial| !trial.functions.is_empty());
    let of_unit = |trial: &&OnTrial| trial.unit == *unit;
    let number =
        next.trials.iter().filter(of_unit).map(|trial| trial.number).max().map_or(1, |last| last + 1);
    next.trials.retain(|trial| trial.unit != *unit || trial.number.saturating_add(MAX_TRIALS) > number);
    if !on_trial.is_empty() {
        next.trials.push(OnTrial { unit: unit.clone(), number, functions: on_trial, before });
    }
    next
}
