//! The layer of what is asked for on the device, beneath the hub's.

use super::*;
use crate::desired::{Accepted, Change};
use serde_json::json;

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn bundle(id: &str, path: &str) -> Bundle {
    Bundle {
        id: id.parse().unwrap(),
        function: fields(json!({ "artifact_url": "upload://f", "sha256": "ab".repeat(32) })),
        routes: fields(json!({ id: { "path": path, "function_id": id } })),
        middleware: Map::new(),
        module: None,
        replace: false,
    }
}

fn put(accepted: &Accepted, bundle: Bundle) -> Result<(Accepted, Desired), AskError> {
    accepted.ask(Ask::Put(Box::new(bundle)), &Defaults::default()).map(|(a, d)| (*a, *d))
}

fn twin(accepted: &Accepted, document: Value) -> (Accepted, Desired) {
    match accepted.document(document, &Defaults::default()) {
        Ok(Change::Next(accepted, desired)) => (*accepted, *desired),
        other => panic!("no change: {other:?}"),
    }
}

fn function() -> Value {
    json!({ "version": 7, "artifact_url": "f.wasm", "sha256": "ab".repeat(32) })
}

#[test]
fn what_is_asked_for_here_outlives_a_newer_document_of_the_hub() {
    let (accepted, desired) = put(&Accepted::default(), bundle("a", "/a")).unwrap();
    assert_eq!(desired.functions.len(), 1);
    let document = json!({ "$version": 1, "functions": { "b": function() } });
    let (_, desired) = twin(&accepted, document);
    let origins: Vec<_> = desired.origins.values().copied().collect();
    assert_eq!(origins, [Origin::Api, Origin::Twin]);
    assert_eq!(desired.routes.len(), 1);
}

#[test]
fn the_hub_wins_and_what_stood_below_comes_back() {
    let (accepted, _) = put(&Accepted::default(), bundle("a", "/a")).unwrap();
    let document = json!({ "$version": 1, "functions": { "a": function() } });
    let (accepted, desired) = twin(&accepted, document);
    let id = "a".parse().unwrap();
    assert_eq!(desired.functions[&id].version, 7);
    assert_eq!(desired.origins[&id], Origin::Twin);
    assert!(desired.routes.is_empty(), "a route of ours must not lead to a function of the hub");
    let foreign = Err(AskError::OfTheHub(id.clone(), Origin::Twin));
    assert_eq!(put(&accepted, Bundle { replace: true, ..bundle("a", "/a") }), foreign);
    let removed = accepted.ask(Ask::Remove(id.clone()), &Defaults::default());
    assert!(matches!(removed, Err(AskError::OfTheHub(..))));
    let (_, desired) = twin(&accepted, json!({ "$version": 2 }));
    assert_eq!(desired.origins[&id], Origin::Api);
}

#[test]
fn a_second_one_is_refused_unless_it_is_to_replace_the_first() {
    let (accepted, _) = put(&Accepted::default(), bundle("a", "/a")).unwrap();
    assert!(matches!(put(&accepted, bundle("a", "/b")), Err(AskError::Exists(..))));
    let (_, desired) = put(&accepted, Bundle { replace: true, ..bundle("a", "/b") }).unwrap();
    assert_eq!(desired.functions[&"a".parse().unwrap()].version, 2);
    assert_eq!(desired.routes.len(), 1);
}

#[test]
fn what_is_not_valid_changes_nothing_and_names_its_field() {
    let told = |bundle| put(&Accepted::default(), bundle).unwrap_err().to_string();
    let mut wrong = bundle("a", "a");
    wrong.function.insert("memory_pages".into(), json!(0));
    wrong.function.insert("surprise".into(), json!(0));
    let told = told(wrong);
    for path in ["memory_pages:", "surprise:", "routes.a.path:"] {
        assert!(told.contains(path), "{path} is not in {told}");
    }
    let (accepted, _) = put(&Accepted::default(), bundle("a", "/a")).unwrap();
    let mut other = bundle("b", "/b");
    other.routes = fields(json!({ "a": { "path": "/b", "function_id": "b" } }));
    assert!(matches!(put(&accepted, other), Err(AskError::Invalid(_))));
}

#[test]
fn removing_takes_all_that_came_with_it() {
    let (accepted, _) = put(&Accepted::default(), bundle("a", "/a")).unwrap();
    let remove = || Ask::Remove("a".parse().unwrap());
    let (accepted, desired) = accepted.ask(remove(), &Defaults::default()).unwrap();
    assert_eq!((*accepted.clone(), *desired), (Accepted::default(), Desired::default()));
    assert!(matches!(accepted.ask(remove(), &Defaults::default()), Err(AskError::Unknown(_))));
}

#[test]
fn what_is_taken_back_is_what_was_put_and_nothing_that_came_later() {
    let defaults = Defaults::default();
    let (one, _) = put(&Accepted::default(), bundle("a", "/a")).unwrap();
    let id: FunctionId = "a".parse().unwrap();
    let take_back = |accepted: &Accepted, kept: &Value, before| {
        accepted.ask(Ask::TakeBack { id: id.clone(), kept: kept.clone(), before }, &defaults)
    };
    let kept = one.kept(&id).cloned().unwrap();
    let (two, _) = put(&one, Bundle { replace: true, ..bundle("a", "/b") }).unwrap();
    assert!(matches!(take_back(&two, &kept, None), Err(AskError::Unknown(_))));

    // Although the hub has the name by now.
    let document = json!({ "$version": 1, "functions": { "a": function() } });
    let (covered, _) = twin(&one, document);
    let (gone, desired) = take_back(&covered, &kept, None).unwrap();
    assert_eq!((gone.kept(&id), desired.functions.len()), (None, 1));

    let before = one.bundle(&id).map(Box::new);
    let later = two.kept(&id).cloned().unwrap();
    let (back, desired) = take_back(&two, &later, before).unwrap();
    assert_eq!(desired.routes.len(), 1);
    assert_eq!(back.bundle(&id).map(|bundle| bundle.routes), one.bundle(&id).map(|bundle| bundle.routes));
}

#[test]
fn a_name_that_no_route_can_have_is_told() {
    let mut wrong = bundle("a", "/a");
    wrong.routes = fields(json!({ "x".repeat(65): { "path": "/a", "function_id": "a" } }));
    assert!(matches!(put(&Accepted::default(), wrong), Err(AskError::Invalid(_))));
}

#[test]
fn components_stay_while_the_hub_covers_them() {
    let (accepted, _) = put(&Accepted::default(), bundle("a", "/a")).unwrap();
    let (_, desired) = twin(&accepted, json!({ "$version": 1, "functions": { "a": function() } }));
    assert_eq!(desired.kept.len(), 1);
}
