//! What is so, as the reconciler alone knows and changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backoff;
use crate::desired::{
    Desired, FunctionId, FunctionSpec, MiddlewareId, MiddlewareSpec, Origin, Rollout, RouteId, RouteSpec,
    Stood, Unit,
};
use crate::plan::{Actual, Retry};
use crate::pool::Function;
use crate::routes::RouteTable;

/// The first wait before something that failed is tried again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// What is so, between two looks at desired state.
pub(super) struct State {
    /// Whether all that is on the device was made ready once.
    pub(super) applied: bool,
    pub(super) functions: BTreeMap<FunctionId, Item>,
    /// What is in force of the twin document.
    pub(super) hub: Hub,
    /// The routes that are served.
    pub(super) routes: BTreeMap<RouteId, RouteSpec>,
    pub(super) table: Arc<RouteTable>,
    /// The middleware that is called.
    pub(super) middleware: Vec<(MiddlewareId, MiddlewareSpec)>,
    /// The functions that were asked for on the device when they were last wanted.
    pub(super) of_device: BTreeSet<FunctionId>,
    /// When what functions kept that are no longer wanted is swept out: some time after the last of them went, since its
    /// last events may have kept something more.
    pub(super) sweep: Option<Instant>,
    /// What a restart begins with.
    pub(super) rollout: Rollout,
    /// The same as it is on the disk.
    pub(super) written: Rollout,
    /// What is on trial, in this run of the agent.
    pub(super) trials: BTreeMap<(Unit, u64), Watched>,
    /// What served before the start and does not yet serve again.
    pub(super) missing: BTreeMap<FunctionId, Missing>,
    /// Why the twin document could not take its place although all of it was ready.
    pub(super) hindrance: Option<String>,
    /// Functions that lack instances and do not start another: how often that failed, and when it is tried again.
    pub(super) short: BTreeMap<FunctionId, (u32, Instant)>,
    /// Functions whose new permissions wait for approval, with what is new.
    pub(super) waiting: BTreeMap<FunctionId, String>,
}

/// A trial that goes on.
pub(super) struct Watched {
    pub(super) since: Instant,
    /// When it was last asked for its health.
    pub(super) asked: Instant,
    /// Why it is to go back; it is decided once.
    pub(super) failed: Option<String>,
    /// When going back is tried again, where that failed, and how often it has.
    pub(super) back: Option<(u32, Instant)>,
}

/// Something that served before the start.
pub(super) struct Missing {
    pub(super) spec: FunctionSpec,
    pub(super) tries: u32,
    pub(super) again: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self {
            applied: false,
            functions: BTreeMap::new(),
            hub: Hub::default(),
            routes: BTreeMap::new(),
            table: Arc::default(),
            middleware: Vec::new(),
            of_device: BTreeSet::new(),
            // Functions may have been taken away while the agent was not running.
            sweep: Some(Instant::now()),
            rollout: Rollout::default(),
            written: Rollout::default(),
            trials: BTreeMap::new(),
            missing: BTreeMap::new(),
            hindrance: None,
            short: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }
}

/// What is in force of the twin document, beside its functions.
#[derive(Default)]
pub(super) struct Hub {
    pub(super) version: u64,
    routes: BTreeMap<RouteId, RouteSpec>,
    middleware: BTreeMap<MiddlewareId, MiddlewareSpec>,
}

#[derive(Default)]
pub(super) struct Item {
    pub(super) serving: Option<Arc<Function>>,
    pub(super) failed: Option<Failure>,
}

pub(super) struct Failure {
    pub(super) spec: FunctionSpec,
    pub(super) why: String,
    pub(super) tries: u32,
    /// How many of the tries failed in its start.
    pub(super) starts: u32,
    /// None: not until the function changes.
    pub(super) again: Option<Instant>,
}

impl Hub {
    pub(super) fn of(wanted: &Desired) -> Self {
        let of_device = &wanted.of_device;
        let routes = wanted.routes.iter().filter(|(id, _)| !of_device.routes.contains(*id));
        let middleware = wanted.middleware.iter().filter(|(id, _)| !of_device.middleware.contains(*id));
        Self {
            version: wanted.version,
            routes: routes.map(|(id, route)| (id.clone(), route.clone())).collect(),
            middleware: middleware.map(|(id, spec)| (id.clone(), spec.clone())).collect(),
        }
    }

    /// Notes the routes of a message, which are in force though the twin document is not.
    pub(super) fn follow_message(&mut self, wanted: &Desired) {
        self.routes = Self::of(wanted).routes;
    }

    pub(super) fn stood(stood: &Stood) -> Self {
        Self { version: stood.version, routes: stood.routes.clone(), middleware: stood.middleware.clone() }
    }
}

impl Item {
    pub(super) fn actual(&self, now: Instant) -> Actual {
        let failed = self.failed.as_ref().map(|failure| {
            let retry = match failure.again {
                None => Retry::Never,
                Some(at) if at <= now => Retry::Due,
                Some(_) => Retry::Later,
            };
            (failure.spec.clone(), retry)
        });
        Actual { serving: self.serving.as_ref().map(|function| function.spec.clone()), failed }
    }
}

impl State {
    /// Notes who asks for what now.
    pub(super) fn note_origins(&mut self, wanted: &Desired) {
        for (id, origin) in &wanted.origins {
            if *origin == Origin::Api {
                self.of_device.insert(id.clone());
            } else {
                self.of_device.remove(id);
            }
        }
        // Of one that is gone nobody will ask again once nothing of it is left.
        let functions = &self.functions;
        self.of_device.retain(|id| wanted.functions.contains_key(id) || functions.contains_key(id));
    }

    /// Whether the twin document that is wanted has not taken its place.
    pub(super) fn is_held(&self, wanted: &Desired) -> bool {
        self.hub.version != wanted.version || self.is_hub_unknown(wanted)
    }

    /// Whether what the hub wants is not known: what serves of it stays, and nothing that it kept is forgotten.
    pub(super) fn is_hub_unknown(&self, wanted: &Desired) -> bool {
        wanted.hub_unread || (wanted.version == 0 && self.hub.version > 0)
    }

    /// What serves under an id.
    pub(super) fn serving(&self, id: &FunctionId) -> Option<&Arc<Function>> {
        self.functions.get(id)?.serving.as_ref()
    }

    /// What serves, all of it.
    pub(super) fn all_serving(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.functions.values().filter_map(|item| item.serving.as_ref())
    }

    /// Whether every function serves as it is wanted.
    pub(super) fn is_as_wanted(&self, wanted: &Desired) -> bool {
        wanted.functions.iter().all(|(id, spec)| self.serving(id).is_some_and(|f| f.spec == *spec))
    }

    /// The routes to serve, were all their functions ready: those of a twin document come with it, not before.
    pub(super) fn wanted_routes(&self, wanted: &Desired) -> BTreeMap<RouteId, RouteSpec> {
        if !self.is_held(wanted) || wanted.routes_by_message {
            return wanted.routes.clone();
        }
        let mut routes = self.hub.routes.clone();
        let of_device = wanted.of_device.routes.iter().filter_map(|id| wanted.routes.get_key_value(id));
        // What the document covers of the device's own serves on until it takes its place.
        let covered = self.routes.iter().filter(|(_, route)| self.is_covered(&route.function_id, wanted));
        for (id, route) in of_device.chain(covered) {
            routes.entry(id.clone()).or_insert_with(|| route.clone());
        }
        routes
    }

    /// The middleware to call: what is wanted, and as long as something else serves still, what guarded that.
    pub(super) fn middleware_for(&self, wanted: &Desired) -> Vec<(MiddlewareId, MiddlewareSpec)> {
        let pair = |(id, spec): (&MiddlewareId, &MiddlewareSpec)| (id.clone(), spec.clone());
        if self.is_held(wanted) {
            let of_device = wanted.of_device.middleware.iter();
            let of_device = of_device.filter_map(|id| wanted.middleware.get_key_value(id));
            let of_device = of_device.filter(|(id, _)| !self.hub.middleware.contains_key(*id));
            let mut all: Vec<_> = self.hub.middleware.iter().chain(of_device).map(pair).collect();
            let covered = |old: &&(MiddlewareId, MiddlewareSpec)| self.is_covered(&old.1.function_id, wanted);
            let covered = self.middleware.iter().filter(covered).filter(|old| !all.contains(old));
            let covered: Vec<_> = covered.cloned().collect();
            all.extend(covered);
            return all;
        }
        let mut all: Vec<_> = wanted.middleware.iter().map(pair).collect();
        if !self.is_as_wanted(wanted) {
            // What was asked for on the device guards nothing of the hub's: it goes when it is taken away.
            let goes = |id: &FunctionId| self.of_device.contains(id) && !wanted.functions.contains_key(id);
            let stays = |old: &&(_, MiddlewareSpec)| !all.contains(old) && !goes(&old.1.function_id);
            let before = self.middleware.iter().filter(stays).cloned().collect::<Vec<_>>();
            all.extend(before);
        }
        all
    }

    /// Whether the device's own function serves under an id that the hub wants by now.
    fn is_covered(&self, id: &FunctionId, wanted: &Desired) -> bool {
        let by_hub = wanted.origins.get(id).is_some_and(|origin| *origin != Origin::Api);
        by_hub && self.rollout.standing.is_of_device(id) && self.serving(id).is_some()
    }

    /// How often this very specification has failed to start.
    pub(super) fn starts(&self, id: &FunctionId, spec: &FunctionSpec) -> u32 {
        let failed = self.functions.get(id).and_then(|item| item.failed.as_ref());
        failed.filter(|failure| failure.spec == *spec).map_or(0, |failure| failure.starts)
    }

    /// How often this very specification has failed.
    pub(super) fn tries(&self, id: &FunctionId, spec: &FunctionSpec) -> u32 {
        let failed = self.functions.get(id).and_then(|item| item.failed.as_ref());
        failed.filter(|failure| failure.spec == *spec).map_or(0, |failure| failure.tries)
    }

    /// Has everything that waits for its next try wait no longer: something has changed that may have been the cause.
    /// What was refused is not tried again.
    pub(super) fn try_again_now(&mut self, wanted: &Desired) {
        for (id, item) in &mut self.functions {
            if self.rollout.refused.why(id, wanted).is_none()
                && let Some(failure) = &mut item.failed
            {
                (failure.tries, failure.again) = (0, Some(Instant::now()));
            }
        }
        for (tries, at) in self.trials.values_mut().filter_map(|watched| watched.back.as_mut()) {
            (*tries, *at) = (0, Instant::now());
        }
        for missing in self.missing.values_mut() {
            (missing.tries, missing.again) = (0, Instant::now());
        }
        self.short.clear();
    }

    /// When the next of what failed is tried again. What was due before this turn, and was left alone, waits for
    /// something else.
    pub(super) fn next_try(&self, turn: Instant) -> Option<Instant> {
        let retries = self.functions.values().filter_map(|item| item.failed.as_ref()?.again);
        let back = self.trials.values().filter_map(|watched| Some(watched.back?.1));
        let missing = self.missing.values().map(|missing| missing.again);
        retries.chain(back).chain(missing).filter(|at| *at > turn).min()
    }
}

/// How long to wait after so many failures before the present one.
pub(super) fn wait_after(failures: u32) -> Duration {
    backoff::wait(FIRST_RETRY, LONGEST_RETRY, failures)
}
