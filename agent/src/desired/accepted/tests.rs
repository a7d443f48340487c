//! Which of two messages stands, and what is refused.

use super::*;
use serde_json::json;

fn function(version: u64) -> Value {
    json!({ "version": version, "artifact_url": "f.wasm", "sha256": "ab".repeat(32) })
}

fn deployment(id: &str, version: u64) -> Value {
    let mut message = function(version);
    merge(&mut message, &json!({ "function_id": id }));
    message
}

fn next(change: Result<Change, Refused>) -> (Accepted, Desired) {
    match change {
        Ok(Change::Next(accepted, desired)) => (*accepted, *desired),
        other => panic!("no change: {other:?}"),
    }
}

#[test]
fn versions_only_go_forward_and_never_mean_two_things() {
    let defaults = Defaults::default();
    let (seven, _) = next(Accepted::default().document(json!({ "$version": 7 }), &defaults));
    assert_eq!(seven.document(json!({ "$version": 7 }), &defaults), Ok(Change::None));
    assert_eq!(seven.document(json!({ "$version": 6 }), &defaults), Err(Refused::Stale { have: 7, got: 6 }));
    assert_eq!(seven.document(json!({ "$version": 7, "routes": {} }), &defaults), Err(Refused::Conflict(7)));
}

#[test]
fn a_patch_follows_its_version_or_waits_for_the_whole_document() {
    let defaults = Defaults::default();
    let document = json!({ "$version": 1, "functions": { "a": function(1), "b": function(1) } });
    let (one, _) = next(Accepted::default().document(document, &defaults));
    let patch = json!({ "$version": 2, "functions": { "a": null, "b": { "version": 2 } } });
    let (two, desired) = next(one.patch(&patch, &defaults));
    let versions: Vec<_> = desired.functions.iter().map(|(id, spec)| (id.as_str(), spec.version)).collect();
    assert_eq!(versions, [("b", 2)]);
    assert_eq!(two.patch(&patch, &defaults), Ok(Change::None));
    assert_eq!(two.patch(&json!({ "$version": 4 }), &defaults), Err(Refused::Gap { have: 2, got: 4 }));
    let first = Accepted::default().patch(&json!({ "$version": 1 }), &defaults);
    assert_eq!(first, Err(Refused::Gap { have: 0, got: 1 }));
}

#[test]
fn a_dry_run_follows_the_rules_of_versions_and_leaves_its_own_free() {
    let defaults = Defaults::default();
    let (one, _) = next(Accepted::default().document(json!({ "$version": 1 }), &defaults));
    let functions = json!({ "a": function(1) });
    let document = |version| json!({ "$version": version, "dryRun": true, "functions": functions });
    for asked in [
        one.document(document(2), &defaults),
        one.patch(&document(2), &defaults),
        Accepted::default().document(document(2), &defaults),
    ] {
        assert!(matches!(&asked, Ok(Change::DryRun(d)) if d.version == 2 && d.functions.len() == 1));
    }
    assert_eq!(one.document(document(1), &defaults), Err(Refused::Conflict(1)));
    assert_eq!(one.patch(&document(3), &defaults), Err(Refused::Gap { have: 1, got: 3 }));
    assert_eq!(one.document(document(0), &defaults).map_err(|e| e.code()), Err(400));
    let real = json!({ "$version": 2, "dryRun": false, "functions": functions });
    let (two, _) = next(one.document(real, &defaults));
    assert_eq!(two.document(document(1), &defaults), Err(Refused::Stale { have: 2, got: 1 }));
}

#[test]
fn a_deployment_changes_its_function_alone_until_the_next_document() {
    let defaults = Defaults::default();
    let document = json!({ "$version": 1, "functions": { "a": function(1) } });
    let (one, _) = next(Accepted::default().document(document.clone(), &defaults));
    let (above, desired) = next(one.deployment(deployment("b", 5), &defaults));
    assert_eq!(desired.functions.len(), 2);
    assert_eq!(above.document(document, &defaults), Ok(Change::None), "a retained document comes again");
    let (_, desired) = next(above.document(json!({ "$version": 2 }), &defaults));
    assert!(desired.functions.is_empty());
}

#[test]
fn a_route_list_replaces_the_last_one() {
    let defaults = Defaults::default();
    let list = |path: &str| json!({ "routes": [{ "id": "r1", "path": path, "function_id": "f" }] });
    let (one, _) = next(Accepted::default().route_list(list("/a"), &defaults));
    let (_, desired) = next(one.route_list(list("/b"), &defaults));
    assert_eq!(desired.routes.len(), 1);
    let twice = json!({ "routes": [{ "id": "r", "path": "/a", "function_id": "f" },
                                   { "id": "r", "path": "/b", "function_id": "f" }] });
    assert!(matches!(Accepted::default().route_list(twice, &defaults), Err(Refused::Invalid(_))));
}

#[test]
fn what_the_device_asks_for_stays_where_the_hub_s_own_no_longer_fits() {
    let defaults = Defaults::default();
    let mut large = function(1);
    merge(&mut large, &json!({ "memory_pages": 1_024 }));
    let (one, _) =
        next(Accepted::default().document(json!({ "$version": 1, "functions": { "a": large } }), &defaults));
    let bundle = |id: &str| {
        let function = json!({ "artifact_url": "upload://f", "sha256": "ab".repeat(32), "memory_pages": 16 });
        let function = function.as_object().cloned().unwrap_or_default();
        let id = id.parse().unwrap_or_else(|e| panic!("{e}"));
        let (routes, middleware) = (Map::new(), Map::new());
        Ask::Put(Box::new(Bundle { id, function, routes, middleware, module: None, replace: false }))
    };
    let (both, _) = one.ask(bundle("b"), &defaults).unwrap_or_else(|e| panic!("{e}"));
    let narrow = Defaults { max_memory_pages: 64, ..Defaults::default() };
    assert!(both.desired(&narrow).is_err());
    assert_eq!(both.desired_here(&narrow).functions.len(), 1);
    let (_, desired) = both.ask(bundle("c"), &narrow).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(desired.functions.len(), 2);
}

#[test]
fn what_is_stored_reads_back() -> Result<(), serde_json::Error> {
    let (accepted, _) = next(Accepted::default().deployment(deployment("b", 5), &Defaults::default()));
    let text = serde_json::to_string(&accepted)?;
    assert_eq!(serde_json::from_str::<Accepted>(&text)?, accepted);
    Ok(())
}
