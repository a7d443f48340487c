//! Makes the device match the desired state, on a thread of its own, and owns what is so. Input: desired state, latest
//! wins. Output: the snapshot that the doors serve from, and the board. Knows nothing of MQTT or HTTP.
//!
//! ```text
//!  restore ──► apply: plan ──► staging ──► swap ──► proving ──► (rolled back, or proved)
//!  (from disk)   each unit: all prepared, or nothing    on trial     house: instances, space
//! ```
//! Swap, never strip: what a twin document changes is prepared whole beside what serves, noted on the disk, and takes its
//! place in one step; what is no longer wanted goes last. A function that came alone, by a deployment message or from
//! the device itself, is a unit of its own.

mod house;
mod proving;
mod restore;
mod staging;
mod state;
mod swap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::board::Board;
use crate::desired::{Defaults, Desired, FunctionId, Origin, Unit, awaits_approval, unapproved};
use crate::metrics::Metrics;
use crate::plan::{self, Plan};
use crate::prepare::Preparer;
use crate::process::give_memory_back;
use crate::serving::{Serving, Snapshot};
use crate::status::{DesiredStatus, Phase};
use state::{Failure, State};

/// How often idle instances and space on the disk are looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// The same while something is on trial.
const HOUSEKEEPING_ON_TRIAL: Duration = Duration::from_millis(500);
/// After a function went, until what it kept is looked for once more.
const SWEEP_AFTER: Duration = Duration::from_secs(30);

/// The one owner of what is so.
pub struct Reconciler {
    /// Prepares functions.
    pub preparer: Arc<Preparer>,
    /// What functions get that do not say; what served before is read with it, and with the trust of what is wanted.
    pub defaults: Defaults,
    /// The version of this agent.
    pub version: &'static str,
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
    /// Changes when something happened that may let succeed what failed: the clock was set, the broker is back.
    pub circumstances: watch::Receiver<u64>,
}

/// A newer desired state came.
struct Superseded;

/// Why the thread goes on.
enum Woken {
    /// There may be something to do.
    Look,
    /// What failed may succeed now.
    TryAgain,
    /// Nobody will ask for anything any more.
    End,
}

impl Reconciler {
    /// Runs until the sender of desired states is gone.
    pub fn run(mut self, mut desired: watch::Receiver<Arc<Desired>>) {
        let mut state = self.restore(&desired.borrow().clone());
        let mut seen = Arc::new(Desired::default());
        loop {
            self.tick();
            let turn = Instant::now();
            let wanted = desired.borrow_and_update().clone();
            if !Arc::ptr_eq(&seen, &wanted) {
                state.rollout.refused.keep_only_wanted(&wanted);
                state.try_again_now(&wanted);
                state.hindrance = None;
                seen = wanted.clone();
            }
            self.find_missing(&wanted, &mut state, &desired);
            if self.apply(&wanted, &mut state, &desired).is_err() {
                if desired.has_changed().is_err() {
                    break;
                }
                log::info!("a newer desired state came; the work on version {} ends here", wanted.version);
                continue;
            }
            self.prove(&wanted, &mut state, &desired);
            self.keep_house(&wanted, &mut state, &desired);
            let wait = self.wait(&state, turn);
            let circumstances = &mut self.circumstances;
            let woken = self.runtime.block_on(async {
                tokio::select! {
                    changed = desired.changed() => changed.map_or(Woken::End, |()| Woken::Look),
                    Ok(()) = circumstances.changed() => Woken::TryAgain,
                    () = tokio::time::sleep(wait) => Woken::Look,
                }
            });
            match woken {
                Woken::Look => {}
                Woken::TryAgain => state.try_again_now(&seen),
                Woken::End => break,
            }
        }
        self.serving.store(Arc::new(Snapshot::default()));
        for function in state.all_serving() {
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
        self.tell_refusals(wanted, state);
        self.drop_what_is_not_admitted(wanted, state);
        self.note_waiting(wanted, state);
        let plan = self.plan(wanted, state);
        self.tell_plan(&plan, wanted, state);
        for (unit, ids) in &plan.units {
            let specs = ids.iter().filter_map(|id| wanted.functions.get(id));
            if !specs.into_iter().all(|spec| self.preparer.on_device(spec)) {
                // All that needs no network is ready.
                self.started(state);
                self.publish(wanted, state);
            }
            // Each unit serves as soon as it is ready; a slow download of the next holds up nothing.
            if let Some(staged) = self.stage((unit, ids), wanted, state, newer)? {
                self.swap(unit, staged, wanted, state);
            }
        }
        self.started(state);
        self.publish(wanted, state);
        // What a swap has just replaced goes as well.
        let retire = self.plan(wanted, state).retire;
        for id in &retire {
            self.retire(id, wanted, state);
        }
        self.settle(wanted, state);
        self.note_standing(wanted, state);
        if !plan.units.is_empty() || !retire.is_empty() {
            // Fetching, compiling and starting take much that serving does not.
            give_memory_back();
        }
        Ok(())
    }

    fn plan(&self, wanted: &Desired, state: &State) -> Plan {
        let now = Instant::now();
        let actual = state.functions.iter().map(|(id, item)| (id.clone(), item.actual(now))).collect();
        let held = state.is_held(wanted);
        let mut plan = plan::plan(wanted, &actual, held, |spec| self.preparer.on_device(spec));
        if state.is_hub_unknown(wanted) || state.rollout.refused.why_twin(wanted).is_some() {
            plan.units.retain(|(unit, _)| *unit != Unit::Twin);
        }
        plan.units.retain(|(_, ids)| !ids.iter().any(|id| state.waiting.contains_key(id)));
        if held {
            // What is the hub's stays until the twin document without it takes its place.
            plan.retire.retain(|id| state.of_device.contains(id) || state.serving(id).is_none());
        }
        plan
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

    /// Says of what was refused before that it is not tried again, and why.
    fn tell_refusals(&self, wanted: &Desired, state: &mut State) {
        for (id, spec) in &wanted.functions {
            if state.serving(id).is_some_and(|function| function.spec == *spec) {
                continue;
            }
            let Some(why) = state.rollout.refused.why(id, wanted).map(str::to_owned) else { continue };
            let item = state.functions.entry(id.clone()).or_default();
            let told = item.failed.as_ref().is_some_and(|f| f.spec == *spec && f.again.is_none());
            if !told {
                self.board.phase(id, spec.version, Phase::Failed);
                self.board.failed(id, &why, Phase::Failed, 0, None);
                item.failed = Some(Failure { spec: spec.clone(), why, tries: 1, starts: 0, again: None });
            }
        }
    }

    /// Notes which functions may not take their place until what they ask for is approved.
    fn note_waiting(&self, wanted: &Desired, state: &mut State) {
        let waiting = if wanted.settings.gate_new_permissions {
            // By what is noted, since after a restart nothing serves yet.
            let (stood, _) = state.rollout.standing.read(&self.defaults(wanted));
            unapproved(wanted, &stood.functions)
        } else {
            BTreeMap::new()
        };
        for (id, new) in waiting.iter().filter(|(id, new)| state.waiting.get(*id) != Some(*new)) {
            let version = wanted.functions.get(id).map_or(0, |spec| spec.version);
            log::warn!("function {id} v{version} waits for approval: {new}");
            self.board.held(id, version, &awaits_approval(id, version, new));
        }
        state.waiting = waiting;
    }

    /// What the device does not admit any more waits for nothing that takes its place.
    fn drop_what_is_not_admitted(&self, wanted: &Desired, state: &mut State) {
        let mut gone = state.rollout.standing.untrusted(&wanted.trust);
        // Of the hub's it is the version that serves which counts.
        let of_device = |id: &&FunctionId| state.rollout.standing.is_of_device(id);
        gone.extend(wanted.misfits.keys().filter(of_device).cloned());
        for id in gone {
            if state.serving(&id).is_some() {
                log::error!("function {id}: this device's configuration does not admit it any more");
                // It may be admitted again, and finds then what it has kept.
                self.take_away(&id, false, state);
            }
        }
    }

    /// What is wanted and served is read as this device is configured now.
    fn defaults(&self, wanted: &Desired) -> Defaults {
        Defaults { trust: wanted.trust.clone(), ..self.defaults.clone() }
    }

    /// What is on the device is ready: the doors may say so, and this start counts as one that got through.
    fn started(&self, state: &mut State) {
        if !std::mem::replace(&mut state.applied, true)
            && let Err(error) = self.preparer.store.started()
        {
            log::warn!("noting that the start got through: {error}");
        }
    }

    fn tell_plan(&self, plan: &Plan, wanted: &Desired, state: &State) {
        let names: Vec<_> = plan.prepare().map(|id| id.as_str()).collect();
        if !names.is_empty() {
            let what = format!("preparing {}", names.join(", "));
            self.board.settle(wanted.version, DesiredStatus::new(202, what));
        }
        for id in plan.prepare() {
            if let Some(spec) = wanted.functions.get(id)
                && state.tries(id, spec) == 0
            {
                self.board.phase(id, spec.version, Phase::Pending);
            }
        }
        self.board.origins(&wanted.origins);
    }

    /// Says what became of the desired state as a whole.
    fn settle(&self, wanted: &Desired, state: &State) -> Option<DesiredStatus> {
        let known = |id: &_| wanted.functions.contains_key(id) || state.functions.contains_key(id);
        for gone in self.board.keep_only(known) {
            self.metrics.forget_function(&gone);
        }
        let nothing = wanted.version == 0 && wanted.functions.is_empty();
        if (nothing || wanted.hub_unread) && self.board.now().last_desired_status.code != 202 {
            // Nothing was asked for yet, or what was can not be read; the board says so.
            return None;
        }
        let refused = state.rollout.refused.why_twin(wanted);
        let mut failures: Vec<String> = refused.map(str::to_owned).into_iter().collect();
        for (id, item) in state.functions.iter().filter(|(id, _)| wanted.functions.contains_key(*id)) {
            let is_told = refused.is_some() && wanted.origins.get(id) == Some(&Origin::Twin);
            if let Some(failure) = &item.failed
                && !is_told
            {
                failures.push(format!("{id}: {}", failure.why));
            }
        }
        failures.extend(state.hindrance.clone());
        if !failures.is_empty() && state.is_held(wanted) && state.hub.version > 0 {
            failures.push(format!("version {} goes on serving", state.hub.version));
        }
        let waiting: Vec<_> = state.waiting.keys().map(|id| id.as_str()).collect();
        let status = if failures.is_empty() && !waiting.is_empty() {
            DesiredStatus::new(202, format!("waits for approval of {}", waiting.join(", ")))
        } else if failures.is_empty() && state.is_held(wanted) {
            DesiredStatus::new(202, "in progress")
        } else if failures.is_empty() {
            DesiredStatus::new(200, "applied")
        } else {
            DesiredStatus::new(500, failures.join("; "))
        };
        self.board.settle(wanted.version, status.clone());
        Some(status)
    }

    /// How long until something is to be done without a new desired state.
    fn wait(&self, state: &State, turn: Instant) -> Duration {
        let now = Instant::now();
        let longest = if state.rollout.trials.is_empty() { HOUSEKEEPING } else { HOUSEKEEPING_ON_TRIAL };
        state.next_try(turn).map_or(longest, |at| at.saturating_duration_since(now)).min(longest)
    }
}
