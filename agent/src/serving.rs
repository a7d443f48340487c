//! What the doors serve from: one immutable snapshot of routes and functions, swapped whole by the reconciler.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::chains::Chains;
use crate::desired::FunctionId;
use crate::pool::Function;
use crate::routes::RouteTable;

/// What is served at one moment.
#[derive(Default)]
pub struct Snapshot {
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// What is called before and after.
    pub chains: Arc<Chains>,
    /// Every function that is wanted; none stands for one that is not ready yet.
    pub functions: BTreeMap<FunctionId, Option<Arc<Function>>>,
    /// Whether any of them takes bodies as they come.
    pub any_streams: bool,
    /// Whether a desired state was applied; until then the node is not ready.
    pub applied: bool,
}

/// The present snapshot, to be read without waiting.
pub type Serving = ArcSwap<Snapshot>;
