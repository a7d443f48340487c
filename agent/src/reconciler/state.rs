//! What is so, as the reconciler alone knows and changes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::desired::{FunctionId, FunctionSpec, RouteId, RouteSpec};
use crate::plan::{Actual, Retry};
use crate::pool::Function;
use crate::routes::RouteTable;

/// What is so, between two looks at desired state.
#[derive(Default)]
pub(super) struct State {
    /// Whether all that is on the device was made ready once.
    pub(super) applied: bool,
    pub(super) functions: BTreeMap<FunctionId, Item>,
    /// The routes that are served.
    pub(super) routes: BTreeMap<RouteId, RouteSpec>,
    pub(super) table: Arc<RouteTable>,
    /// Whether what functions kept that are no longer wanted was swept out.
    pub(super) swept: bool,
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
    /// How often this very specification has failed.
    pub(super) fn tries(&self, id: &FunctionId, spec: &FunctionSpec) -> u32 {
        let failed = self.functions.get(id).and_then(|item| item.failed.as_ref());
        failed.filter(|failure| failure.spec == *spec).map_or(0, |failure| failure.tries)
    }
}
