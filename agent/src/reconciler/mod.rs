//! Makes the device match the desired state, on a thread of its own, and owns what is so. Input: desired state, latest
//! wins. Output: the snapshot that the doors serve from, and the board. Knows nothing of MQTT or HTTP.
//!
//! Swap, never strip: a function's new version is prepared beside the old one and takes its place in one step; a route
//! keeps its old target until its new one is ready; what is no longer wanted goes last.

mod house;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::backoff;
use crate::board::Board;
use crate::chains::Chains;
use crate::desired::{Desired, FunctionId, FunctionSpec};
use crate::engine::Answerer;
use crate::metrics::Metrics;
use crate::plan;
use crate::pool::Function;
use crate::prepare::{PrepareError, Preparer, Progress};
use crate::process::give_memory_back;
use crate::routes::RouteTable;
use crate::serving::{Serving, Snapshot};
use crate::status::{DesiredStatus, Phase};
use state::{Failure, Item, State};

/// How often idle instances and space on the disk are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// After a function went, until what it kept is looked for once more.
const SWEEP_AFTER: Duration = Duration::from_secs(30);
/// The first wait before a failed preparation is tried again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// The one owner of what is so.
pub struct Reconciler {
    /// Prepares functions.
    pub preparer: Preparer,
    /// What the doors serve from.
    pub serving: Arc<Serving>,
    /// Where progress is told.
    pub board: Arc<Board>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Runs the waits.
    pub runtime: Handle,
    /// Changes whenever this thread gets on, for the watchdog.
    pub progress: Arc<AtomicU64>,
}

/// A newer desired state came.
struct Superseded;

impl Reconciler {
    /// Runs until the sender of desired states is gone.
    pub fn run(self, mut desired: watch::Receiver<Arc<Desired>>) {
        let mut state = State::default();
        loop {
            self.tick();
            let wanted = desired.borrow_and_update().clone();
            if self.apply(&wanted, &mut state, &desired).is_err() {
                if desired.has_changed().is_err() {
                    break;
                }
                log::info!("a newer desired state came; the work on version {} ends here", wanted.version);
                continue;
            }
            self.keep_house(&wanted, &mut state, &desired);
            let wait = self.wait(&state);
            let changed =
                self.runtime.block_on(async { tokio::time::timeout(wait, desired.changed()).await });
            if let Ok(Err(_gone)) = changed {
                break;
            }
        }
        self.serving.store(Arc::new(Snapshot::default()));
        for function in state.functions.values().filter_map(|item| item.serving.as_ref()) {
            function.retire();
        }
    }

    fn tick(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    fn apply(
        &self,
        wanted: &Desired,
        state: &mut State,
        newer: &watch::Receiver<Arc<Desired>>,
    ) -> Result<(), Superseded> {
        self.keep_artifacts(wanted, state);
        self.accept_what_serves(wanted, state);
        state.note_origins(wanted);
        let now = Instant::now();
        let actual = state.functions.iter().map(|(id, item)| (id.clone(), item.actual(now))).collect();
        let plan = plan::plan(wanted, &actual, |spec| self.preparer.on_device(spec));
        if !plan.prepare.is_empty() {
            let names: Vec<_> = plan.prepare.iter().map(FunctionId::as_str).collect();
            self.board
                .settle(wanted.version, DesiredStatus::new(202, format!("preparing {}", names.join(", "))));
        }
        for id in &plan.prepare {
            if let Some(spec) = wanted.functions.get(id)
                && state.tries(id, spec) == 0
            {
                self.board.phase(id, spec.version, Phase::Pending);
            }
        }
        self.board.origins(&wanted.origins);
        for id in &plan.prepare {
            let Some(spec) = wanted.functions.get(id) else { continue };
            if !self.preparer.on_device(spec) {
                // All that needs no network is ready.
                self.started(state);
                self.publish(wanted, state);
            }
            // Each function serves as soon as it is ready; a slow download of the next holds up nothing.
            if let Some(function) = self.prepare(id, spec, state, newer)? {
                self.swap(id, function, wanted, state);
            }
        }
        self.started(state);
        self.publish(wanted, state);
        for id in &plan.retire {
            self.retire(id, wanted, state);
        }
        self.settle(wanted, state);
        if plan != plan::Plan::default() {
            // Fetching, compiling and starting take much that serving does not.
            give_memory_back();
        }
        Ok(())
    }

    /// What serves may be what is wanted again, after a version that failed or never got ready; nothing is to be done
    /// then but to say so. What is no longer wanted is not tried again either.
    fn accept_what_serves(&self, wanted: &Desired, state: &mut State) {
        for (id, item) in &mut state.functions {
            let spec = wanted.functions.get(id);
            let serves = item.serving.as_ref().is_some_and(|function| Some(&function.spec) == spec);
            if serves && let Some(spec) = spec {
                item.failed = None;
                self.board.serves(id, spec.version);
            } else if spec.is_none() {
                item.failed = None;
            }
        }
    }

    /// What is on the device is ready: the doors may say so, and this start counts as one that got through.
    fn started(&self, state: &mut State) {
        if !std::mem::replace(&mut state.applied, true)
            && let Err(error) = self.preparer.store.started()
        {
            log::warn!("noting that the start got through: {error}");
        }
    }

    /// A function ready to serve; none where it failed, which is then noted.
    fn prepare(
        &self,
        id: &FunctionId,
        spec: &FunctionSpec,
        state: &mut State,
        newer: &watch::Receiver<Arc<Desired>>,
    ) -> Result<Option<Arc<Function>>, Superseded> {
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
        match self.preparer.prepare(id, spec, &Progress { phase: &phase, superseded: &superseded }) {
            Ok(function) => {
                log::info!("function {id} v{}: ready after {} ms", spec.version, began.elapsed().as_millis());
                Ok(Some(function))
            }
            Err(PrepareError::Superseded) => Err(Superseded),
            Err(PrepareError::Failed { phase, why, retry }) => {
                self.note_failure((id, spec), (phase, why, retry), state);
                Ok(None)
            }
        }
    }

    /// Puts a prepared function into the place of what served under its id.
    fn swap(&self, id: &FunctionId, function: Arc<Function>, wanted: &Desired, state: &mut State) {
        let version = function.spec.version;
        let tries = state.tries(id, &function.spec);
        let item = state.functions.entry(id.clone()).or_default();
        item.failed = None;
        let before = item.serving.replace(function.clone());
        // An actor that crashes at once says so after this.
        self.board.running(id, version, tries);
        if function.exports().is_actor() {
            self.preparer.actors.deploy(&function);
        } else {
            // It may have been one.
            self.preparer.actors.retire(id, true);
        }
        self.publish(wanted, state);
        self.board.served();
        if let Some(before) = before {
            // Its last callers hold it until they are done.
            before.retire();
        }
    }

    fn note_failure(
        &self,
        (id, spec): (&FunctionId, &FunctionSpec),
        (phase, why, retry): (Phase, String, bool),
        state: &mut State,
    ) {
        let tries = state.tries(id, spec);
        let item = state.functions.entry(id.clone()).or_default();
        let wait = retry.then(|| backoff::wait(FIRST_RETRY, LONGEST_RETRY, tries));
        let mut then = match wait {
            Some(wait) => format!("next try in {:.1} s", wait.as_secs_f32()),
            None => "not tried again until it changes".into(),
        };
        if let Some(old) = &item.serving {
            then = format!("version {} goes on serving; {then}", old.spec.version);
        }
        let in_phase = phase.as_str();
        log::error!("function {id} v{}: {in_phase} failed: {why}; {then}", spec.version);
        self.metrics.failure(id, in_phase);
        let told = if retry { Phase::Backoff } else { Phase::Failed };
        let again = wait.map(|wait| Instant::now() + wait);
        self.board.failed(id, &format!("{in_phase}: {why}"), told, tries, again);
        item.failed = Some(Failure { spec: spec.clone(), why, tries: tries.saturating_add(1), again });
    }

    /// Puts what is ready into the doors' hands.
    fn publish(&self, wanted: &Desired, state: &mut State) {
        let ready: BTreeSet<FunctionId> = state
            .functions
            .iter()
            .filter(|(_, item)| item.serving.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        let routes = plan::effective_routes(&wanted.routes, &state.routes, &wanted.functions, &ready);
        if routes != state.routes || self.serving.load().functions.is_empty() {
            state.table = Arc::new(RouteTable::new(&routes));
            state.routes = routes;
        }
        let mut functions: BTreeMap<_, _> = wanted.functions.keys().map(|id| (id.clone(), None)).collect();
        for (id, item) in &state.functions {
            if item.serving.is_some() {
                functions.insert(id.clone(), item.serving.clone());
            }
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

    fn retire(&self, id: &FunctionId, wanted: &Desired, state: &mut State) {
        let mut served = state.routes.iter().filter(|(_, route)| route.function_id == *id);
        if served.any(|(route_id, route)| wanted.routes.get(route_id) != Some(route)) {
            log::debug!("function {id}: stays until a route's new target is ready");
            return;
        }
        if state.middleware.iter().any(|(_, spec)| spec.function_id == *id) {
            log::debug!("function {id}: stays until what it guards is replaced");
            return;
        }
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
        self.preparer.actors.retire(id, true);
        if let Err(error) = self.preparer.keyvalue.forget(id) {
            log::warn!("function {id}: forgetting its values: {error}");
        }
        state.sweep = Some(Instant::now() + SWEEP_AFTER);
        self.metrics.forget_function(id);
        log::info!("function {id}: stopped, no longer wanted");
    }

    /// Says what became of the desired state as a whole.
    fn settle(&self, wanted: &Desired, state: &State) {
        let known = |id: &_| wanted.functions.contains_key(id) || state.functions.contains_key(id);
        for gone in self.board.keep_only(known) {
            self.metrics.forget_function(&gone);
        }
        if *wanted == Desired::default() && self.board.now().last_desired_status.code != 202 {
            // Nothing was asked for yet, or what was can not be read; the board says so.
            return;
        }
        let failures: Vec<String> = state
            .functions
            .iter()
            .filter(|(id, _)| wanted.functions.contains_key(*id))
            .filter_map(|(id, item)| item.failed.as_ref().map(|failure| format!("{id}: {}", failure.why)))
            .collect();
        let status = if failures.is_empty() {
            DesiredStatus::new(200, "applied")
        } else {
            DesiredStatus::new(500, failures.join("; "))
        };
        self.board.settle(wanted.version, status);
    }

    /// How long until something is to be done without a new desired state.
    fn wait(&self, state: &State) -> Duration {
        let now = Instant::now();
        let retries = state.functions.values().filter_map(|item| item.failed.as_ref()?.again);
        retries.map(|at| at.saturating_duration_since(now)).min().unwrap_or(HOUSEKEEPING).min(HOUSEKEEPING)
    }
}
