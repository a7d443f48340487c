//! What is so, as the reconciler alone knows and changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::desired::{
    Desired, FunctionId, FunctionSpec, MiddlewareId, MiddlewareSpec, Origin, RouteId, RouteSpec,
};
use crate::plan::{Actual, Retry};
use crate::pool::Function;
use crate::routes::RouteTable;

/// What is so, between two looks at desired state.
pub(super) struct State {
    /// Whether all that is on the device was made ready once.
    pub(super) applied: bool,
    pub(super) functions: BTreeMap<FunctionId, Item>,
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
}

impl Default for State {
    fn default() -> Self {
        Self {
            applied: false,
            functions: BTreeMap::new(),
            routes: BTreeMap::new(),
            table: Arc::default(),
            middleware: Vec::new(),
            of_device: BTreeSet::new(),
            // Functions may have been taken away while the agent was not running.
            sweep: Some(Instant::now()),
        }
    }
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
    /// None: not until the function changes.
    pub(super) again: Option<Instant>,
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

    /// Has what waits to be tried again tried now, and wait no longer after that than after a first failure.
    pub(super) fn try_all_again(&mut self, now: Instant) {
        for failure in self.functions.values_mut().filter_map(|item| item.failed.as_mut()) {
            if failure.again.is_some() {
                (failure.again, failure.tries) = (Some(now), 0);
            }
        }
    }

    /// Whether every function serves as it is wanted.
    pub(super) fn is_as_wanted(&self, wanted: &Desired) -> bool {
        wanted.functions.iter().all(|(id, spec)| {
            let serving = self.functions.get(id).and_then(|item| item.serving.as_ref());
            serving.is_some_and(|function| function.spec == *spec)
        })
    }

    /// The middleware to call: what is wanted, and as long as something else serves still, what guarded that.
    pub(super) fn middleware_for(&self, wanted: &Desired) -> Vec<(MiddlewareId, MiddlewareSpec)> {
        let mut all: Vec<_> = wanted.middleware.iter().map(|(id, spec)| (id.clone(), spec.clone())).collect();
        if !self.is_as_wanted(wanted) {
            // What was asked for on the device guards nothing of the hub's: it goes when it is taken away.
            let goes = |id: &FunctionId| self.of_device.contains(id) && !wanted.functions.contains_key(id);
            let stays = |old: &&(_, MiddlewareSpec)| !all.contains(old) && !goes(&old.1.function_id);
            let before = self.middleware.iter().filter(stays).cloned().collect::<Vec<_>>();
            all.extend(before);
        }
        all
    }

    /// How often this very specification has failed.
    pub(super) fn tries(&self, id: &FunctionId, spec: &FunctionSpec) -> u32 {
        let failed = self.functions.get(id).and_then(|item| item.failed.as_ref());
        failed.filter(|failure| failure.spec == *spec).map_or(0, |failure| failure.tries)
    }
}
