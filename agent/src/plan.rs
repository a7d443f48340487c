//! What to do next: the difference between what is wanted and what is so. Pure; the reconciler carries it out.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Desired, FunctionId, FunctionSpec, Origin, RouteId, RouteSpec, Unit};

/// What is so of one function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actual {
    /// The specification that serves.
    pub serving: Option<FunctionSpec>,
    /// The specification that could not be prepared, and whether it is to be tried now.
    pub failed: Option<(FunctionSpec, Retry)>,
}

/// Whether a failed preparation is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Its time has come.
    Due,
    /// Not yet.
    Later,
    /// Not until the function changes.
    Never,
}

/// The steps from what is so to what is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to prepare, and then to put into its place in one step; in this order.
    pub units: Vec<(Unit, Vec<FunctionId>)>,
    /// Functions to take out of the routes, drain and drop.
    pub retire: Vec<FunctionId>,
}

impl Plan {
    /// All functions to prepare.
    pub fn prepare(&self) -> impl Iterator<Item = &FunctionId> {
        self.units.iter().flat_map(|(_, ids)| ids)
    }
}

/// Plans. With `held`, the twin document has not taken its place yet, and what it changes is one unit: that waits
/// until all of it may be tried. What is on the device comes first, so that a slow download holds up nothing that needs
/// none.
pub fn plan(
    desired: &Desired,
    actual: &BTreeMap<FunctionId, Actual>,
    held: bool,
    on_device: impl Fn(&FunctionSpec) -> bool,
) -> Plan {
    let none = Actual::default();
    let (mut together, mut units, mut waits) = (Vec::new(), Vec::new(), false);
    for (id, wanted) in &desired.functions {
        let actual = actual.get(id).unwrap_or(&none);
        if actual.serving.as_ref() == Some(wanted) {
            continue;
        }
        let may_be_tried = match &actual.failed {
            Some((failed, retry)) if failed == wanted => *retry == Retry::Due,
            _ => true,
        };
        if held && desired.origins.get(id) == Some(&Origin::Twin) {
            waits |= !may_be_tried;
            together.push(id.clone());
        } else if may_be_tried {
            units.push((Unit::One(id.clone()), vec![id.clone()]));
        }
    }
    if held && !waits {
        units.push((Unit::Twin, together));
    }
    let is_there = |id: &FunctionId| desired.functions.get(id).is_some_and(&on_device);
    units.sort_by_key(|(_, ids)| !ids.iter().all(is_there));
    let retire = actual.keys().filter(|id| !desired.functions.contains_key(*id));
    Plan { units, retire: retire.cloned().collect() }
}

/// The routes to serve while not everything is ready: a route whose wanted target is still being prepared keeps the
/// target it had, as long as that one serves.
pub fn effective_routes(
    wanted: &BTreeMap<RouteId, RouteSpec>,
    served: &BTreeMap<RouteId, RouteSpec>,
    functions: &BTreeMap<FunctionId, FunctionSpec>,
    ready: &BTreeSet<FunctionId>,
) -> BTreeMap<RouteId, RouteSpec> {
    let choose = |(id, route): (&RouteId, &RouteSpec)| {
        let to_come = functions.contains_key(&route.function_id) && !ready.contains(&route.function_id);
        let before = served.get(id).filter(|before| to_come && ready.contains(&before.function_id));
        (id.clone(), before.unwrap_or(route).clone())
    };
    wanted.iter().map(choose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Defaults;
    use serde_json::json;

    fn desired(functions: &[(&str, u64)]) -> Desired {
        let functions: serde_json::Map<_, _> = functions
            .iter()
            .map(|(id, version)| {
                let f = json!({ "version": version, "artifact_url": "f.wasm", "sha256": "ab".repeat(32) });
                ((*id).to_owned(), f)
            })
            .collect();
        let document = json!({ "$version": 1, "functions": functions });
        let mut desired = Desired::parse(&document, &Defaults::default()).unwrap_or_else(|e| panic!("{e}"));
        desired.origins = desired.functions.keys().map(|id| (id.clone(), Origin::Twin)).collect();
        desired
    }

    fn serving(desired: &Desired) -> BTreeMap<FunctionId, Actual> {
        let actual = |spec: &FunctionSpec| Actual { serving: Some(spec.clone()), failed: None };
        desired.functions.iter().map(|(id, spec)| (id.clone(), actual(spec))).collect()
    }

    fn names<'a>(ids: impl IntoIterator<Item = &'a FunctionId>) -> Vec<&'a str> {
        ids.into_iter().map(FunctionId::as_str).collect()
    }

    #[test]
    fn only_the_difference_is_done() {
        let before = desired(&[("a", 1), ("b", 1), ("gone", 1)]);
        let after = desired(&[("a", 1), ("b", 2), ("c", 1)]);
        let steps = plan(&after, &serving(&before), false, |_| true);
        assert_eq!(names(steps.prepare()), ["b", "c"]);
        assert_eq!(names(&steps.retire), ["gone"]);
        assert_eq!(plan(&after, &serving(&after), false, |_| true), Plan::default());
    }

    #[test]
    fn what_is_on_the_device_comes_first() {
        let wanted = desired(&[("a", 1), ("b", 2), ("c", 1)]);
        let steps = plan(&wanted, &BTreeMap::new(), false, |spec| spec.version == 2);
        assert_eq!(names(steps.prepare()), ["b", "a", "c"]);
    }

    #[test]
    fn what_a_twin_document_changes_is_one_unit_and_what_came_alone_goes_alone() {
        let mut wanted = desired(&[("a", 1), ("b", 2), ("c", 1), ("d", 1)]);
        let alone: FunctionId = "c".parse().unwrap_or_else(|e| panic!("{e}"));
        wanted.origins.insert(alone.clone(), Origin::Deployment);
        let before = desired(&[("d", 1)]);
        let steps = plan(&wanted, &serving(&before), true, |_| true);
        assert_eq!(
            steps.units.iter().map(|(unit, _)| unit).collect::<Vec<_>>(),
            [&Unit::One(alone), &Unit::Twin]
        );
        assert_eq!(names(steps.prepare()), ["c", "a", "b"]);
        let nothing = plan(&before, &serving(&before), true, |_| true);
        assert_eq!(nothing.units, [(Unit::Twin, vec![])], "routes may have changed");
    }

    #[test]
    fn a_unit_waits_until_all_of_it_may_be_tried() {
        let wanted = desired(&[("a", 1), ("b", 1)]);
        for (retry, units) in [(Retry::Never, 0), (Retry::Later, 0), (Retry::Due, 1)] {
            let failed = |spec: &FunctionSpec| Actual { serving: None, failed: Some((spec.clone(), retry)) };
            let a = wanted.functions.iter().take(1).map(|(id, spec)| (id.clone(), failed(spec))).collect();
            assert_eq!(plan(&wanted, &a, true, |_| true).units.len(), units, "{retry:?}");
        }
    }

    #[test]
    fn a_failure_waits_for_its_time_or_for_a_change() {
        let wanted = desired(&[("a", 1)]);
        let failed = |version, retry| {
            let mut actual = serving(&wanted);
            for actual in actual.values_mut() {
                let spec = actual.serving.take().map(|spec| FunctionSpec { version, ..spec });
                actual.failed = spec.map(|spec| (spec, retry));
            }
            plan(&wanted, &actual, false, |_| true).units.len()
        };
        assert_eq!(failed(1, Retry::Later), 0);
        assert_eq!(failed(1, Retry::Never), 0);
        assert_eq!(failed(1, Retry::Due), 1);
        assert_eq!(failed(2, Retry::Never), 1, "another version is wanted now");
    }

    #[test]
    fn a_route_keeps_its_target_until_the_new_one_is_ready() {
        let table = |target: &str| {
            let mut document =
                json!({ "$version": 1, "routes": { "r": { "path": "/x", "function_id": target } } });
            if target == "b" {
                let b = json!({ "version": 1, "artifact_url": "f.wasm", "sha256": "ab".repeat(32) });
                document["functions"] = json!({ "b": b });
            }
            Desired::parse(&document, &Defaults::default()).unwrap_or_else(|e| panic!("{e}"))
        };
        let (before, after) = (table("a"), table("b"));
        let targets = |ready: &[&str]| {
            let ready = ready.iter().filter_map(|id| id.parse().ok()).collect();
            let routes = effective_routes(&after.routes, &before.routes, &after.functions, &ready);
            routes.values().map(|route| route.function_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(targets(&["a"]), ["a"]);
        assert_eq!(targets(&["a", "b"]), ["b"]);
        assert_eq!(targets(&[]), ["b"], "nothing serves yet, so the new target answers that it is not ready");
    }
}
