//! All that is known of one function at one moment, for explaining it.

use std::sync::Arc;
use std::time::Instant;

use super::super::super::Service;
use super::super::is_of_api;
use crate::desired::{AttachPoint, Desired, FunctionId, Host, OnFailure, RouteSpec, Segment};
use crate::hub::Connection;
use crate::metrics::Counts;
use crate::pool::Function;
use crate::serving::Snapshot;
use crate::status::{DesiredStatus, FunctionStatus};

/// What is known of a function.
pub(super) struct Facts {
    pub(super) id: FunctionId,
    pub(super) desired: Arc<Desired>,
    pub(super) desired_status: DesiredStatus,
    pub(super) twin_version: u64,
    pub(super) status: Option<FunctionStatus>,
    /// Seconds until it is tried again.
    pub(super) next_try_secs: Option<u64>,
    /// Its component is on the device, and whether it is compiled.
    pub(super) artifact: Artifact,
    pub(super) instances: i64,
    pub(super) counts: Counts,
    pub(super) exports_answerer: bool,
    /// What its routes promise and do not keep: whose the requests are instead.
    pub(super) shadowed: Vec<String>,
    /// The middleware in front of its routes.
    pub(super) guards: Vec<Guard>,
    pub(super) connection: Connection,
}

/// A function in front of another.
pub(super) struct Guard {
    pub(super) id: FunctionId,
    /// Whether it can be called.
    pub(super) ready: bool,
    /// Whether it is passed over where it fails.
    pub(super) open: bool,
}

/// Where a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Artifact {
    Missing,
    Fetched,
    Compiled,
}

impl Facts {
    /// None where nobody knows the function.
    pub(super) fn of(service: &Service, id: FunctionId) -> Option<Self> {
        let desired = service.api.desired.borrow().clone();
        let board = service.board.now();
        let status = board.functions.get(&id).cloned();
        let known =
            desired.functions.contains_key(&id) || desired.misfits.contains_key(&id) || status.is_some();
        // It may be what the hub asked for in a message that was refused.
        let known = known || matches!(board.last_desired_status.code, 400 | 409);
        if !known {
            return None;
        }
        let snapshot = service.serving.load_full();
        let serving = snapshot.functions.get(&id).and_then(Option::as_ref);
        let artifacts = &service.api.artifacts;
        let artifact = match desired.functions.get(&id).map(|spec| spec.sha256) {
            Some(sha256) if artifacts.compiled(&sha256).exists() => Artifact::Compiled,
            Some(sha256) if artifacts.has(&sha256) => Artifact::Fetched,
            _ => Artifact::Missing,
        };
        let is_ready = |function: &FunctionId| snapshot.functions.get(function).is_some_and(Option::is_some);
        let mut guards: Vec<Guard> = Vec::new();
        for route in desired.routes.values().filter(|route| route.function_id == id) {
            let path = sample(route);
            let points = [AttachPoint::Request, AttachPoint::Response];
            for link in points.iter().flat_map(|point| snapshot.chains.of(*point, &path)) {
                if !guards.iter().any(|guard| guard.id == link.function_id) {
                    guards.push(Guard {
                        id: link.function_id.clone(),
                        ready: is_ready(&link.function_id),
                        open: link.on_failure == OnFailure::Open,
                    });
                }
            }
        }
        let answers =
            |function: &Arc<Function>| function.exports().answerer() != crate::engine::Answerer::None;
        let shadowed = desired.routes.values().filter(|route| route.function_id == id);
        let shadowed = shadowed.flat_map(|route| taken(&snapshot, route)).collect();
        let again = status.as_ref().and_then(|status| status.again);
        Some(Self {
            desired_status: board.last_desired_status,
            twin_version: board.last_desired_version,
            next_try_secs: again.map(|at| at.saturating_duration_since(Instant::now()).as_secs()),
            artifact,
            instances: serving.map_or(0, |function| function.metrics.instances.get()),
            counts: serving.map(|function| function.metrics.counts()).unwrap_or_default(),
            shadowed,
            exports_answerer: serving.is_none_or(answers),
            guards,
            connection: service.api.connection.borrow().clone(),
            status,
            desired,
            id,
        })
    }

    /// The routes to it, as a person would write them.
    pub(super) fn routes(&self) -> Vec<String> {
        let shown = |route: &RouteSpec| {
            let methods =
                if route.methods.is_empty() { "any method".into() } else { route.methods.join(", ") };
            let host = match &route.host {
                Host::Any => String::new(),
                host => format!(" of {host}"),
            };
            format!("{} ({methods}){host}", route.path)
        };
        self.desired.routes.values().filter(|route| route.function_id == self.id).map(shown).collect()
    }
}

/// A path that fits a route.
fn sample(route: &RouteSpec) -> String {
    let of = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::Param(_) => "/x".to_owned(),
    };
    let path: String = route.path.segments.iter().map(of).collect();
    if route.path.open || path.is_empty() { format!("{path}/x") } else { path }
}

/// Whose the requests to a route are, where they are not its function's.
fn taken(snapshot: &Snapshot, route: &RouteSpec) -> Vec<String> {
    let path = sample(route);
    if is_of_api(&path) {
        return vec![format!("the management API answers {} on the local socket", route.path)];
    }
    let host = match &route.host {
        Host::Any => "localhost".to_owned(),
        Host::Under(domain) => format!("x{domain}"),
        Host::Exactly(host) => host.clone(),
    };
    let any = ["GET".to_owned()];
    let methods = if route.methods.is_empty() { &any[..] } else { &route.methods };
    let other = |method: &String| {
        let matched = snapshot.routes.find(&host, &path, method).ok()?;
        let others = *matched.function_id != route.function_id;
        others.then(|| format!("{method} {} goes to {} by another route", route.path, matched.function_id))
    };
    methods.iter().filter_map(other).collect()
}
