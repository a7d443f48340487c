//! Signatures and floors over the whole life of what is accepted: messages, restarts, keys that come and go.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Map, json};

use super::*;
use crate::desired::{Ask, AskError, Bundle, PublicKey, Sha256, Signature, signed_text};

const DIGEST: [u8; 32] = [0xab; 32];

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// A device that trusts these keys and requires signatures.
fn trusting(seeds: &[u8]) -> Defaults {
    let key = |seed: &u8| PublicKey::from_bytes(pair(*seed).public_key().as_ref()).unwrap();
    Defaults { trust: Trust { keys: seeds.iter().map(key).collect(), required: true }, ..Defaults::default() }
}

fn function(version: u64) -> Value {
    json!({ "version": version, "artifact_url": "f.wasm", "sha256": Sha256::from_bytes(DIGEST).to_string() })
}

fn signed(seed: u8, id: &str, version: u64) -> Value {
    let text = signed_text(&id.parse().unwrap(), version, &Sha256::from_bytes(DIGEST));
    let signature = Signature::from_bytes(pair(seed).sign(text.as_bytes()).as_ref()).unwrap();
    let mut function = function(version);
    function["signature"] = signature.to_string().into();
    function
}

fn document(version: u64, functions: &[(&str, Value)]) -> Value {
    let functions: Map<String, Value> =
        functions.iter().map(|(id, value)| ((*id).to_owned(), value.clone())).collect();
    json!({ "$version": version, "functions": functions })
}

fn deployment(id: &str, mut function: Value) -> Value {
    function["function_id"] = id.into();
    function
}

fn downgrading(mut message: Value) -> Value {
    message["allow_downgrade"] = true.into();
    message
}

fn next(change: Result<Change, Refused>) -> Accepted {
    match change {
        Ok(Change::Next(accepted, _)) => *accepted,
        other => panic!("no change: {other:?}"),
    }
}

fn refused(change: Result<Change, Refused>) -> (u16, String) {
    let refused = change.unwrap_err();
    (refused.code(), refused.to_string())
}

/// The functions with their versions, and those that are left out.
fn stands(accepted: &Accepted, defaults: &Defaults) -> (Vec<(String, u64)>, Vec<String>) {
    let desired = accepted.desired(defaults).unwrap();
    let functions = desired.functions.iter().map(|(id, spec)| (id.to_string(), spec.version));
    (functions.collect(), desired.misfits.keys().map(ToString::to_string).collect())
}

#[test]
fn what_is_not_signed_comes_by_no_message() {
    let device = trusting(&[1]);
    let none = Accepted::default();
    let (code, told) = refused(none.document(document(1, &[("f", function(1))]), &device));
    assert_eq!(code, 400);
    assert!(told.starts_with("functions.f.signature: is missing"), "{told}");
    let (_, told) = refused(none.document(document(1, &[("f", signed(2, "f", 1))]), &device));
    assert!(told.starts_with("functions.f.signature: is not valid"), "{told}");
    let (_, told) = refused(none.deployment(deployment("f", function(1)), &device));
    assert!(told.starts_with("signature: is missing"), "{told}");
    let mut mute = function(1);
    mute["signature"] = "hunter2".into();
    let (_, told) = refused(none.deployment(deployment("f", mute), &device));
    assert!(told.starts_with("signature: is not a signature") && !told.contains("missing"), "{told}");

    let one = next(none.document(document(1, &[("f", signed(1, "f", 1))]), &device));
    let patch = json!({ "$version": 2, "functions": { "f": { "version": 2 } } });
    let (_, told) = refused(one.patch(&patch, &device));
    assert!(
        told.starts_with("functions.f.signature: is not valid"),
        "a patch keeps no old signature: {told}"
    );
    let patch = json!({ "$version": 2, "functions": { "g": function(1) } });
    assert!(refused(one.patch(&patch, &device)).1.starts_with("functions.g.signature"));
    let patch = json!({ "$version": 2, "functions": { "f": { "memory_pages": 7 }, "g": signed(1, "g", 1) } });
    assert_eq!(stands(&next(one.patch(&patch, &device)), &device).0.len(), 2);
}

#[test]
fn a_key_that_is_no_longer_trusted_takes_its_functions_and_no_others() {
    let both = trusting(&[1, 2]);
    let functions = [("old", signed(1, "old", 1)), ("new", signed(2, "new", 1))];
    let one = next(Accepted::default().document(document(1, &functions), &both));
    let two = next(one.deployment(deployment("late", signed(1, "late", 1)), &both));
    assert_eq!(stands(&two, &both), (vec![("late".into(), 1), ("new".into(), 1), ("old".into(), 1)], vec![]));

    let revoked = trusting(&[2]);
    assert_eq!(stands(&two, &revoked), (vec![("new".into(), 1)], vec!["late".into(), "old".into()]));
    // Each is signed anew by a message of its own, without waiting for the others.
    let three = next(two.deployment(deployment("late", signed(2, "late", 1)), &revoked));
    assert_eq!(stands(&three, &revoked).1, ["old"]);
    let four = next(three.deployment(deployment("old", signed(2, "old", 1)), &revoked));
    assert_eq!(
        stands(&four, &revoked),
        (vec![("late".into(), 1), ("new".into(), 1), ("old".into(), 1)], vec![])
    );
    // What stands there but for its signature is no example for a document.
    assert!(refused(two.document(document(2, &functions), &revoked)).1.contains("functions.old.signature"));
    // And the key comes back.
    assert_eq!(stands(&two, &both).1.len(), 0);
}

#[test]
fn an_older_deployment_below_one_that_is_not_trusted_does_not_come_up() {
    let both = trusting(&[1, 2]);
    let one = next(Accepted::default().document(document(1, &[("f", signed(2, "f", 1))]), &both));
    let two = next(one.deployment(deployment("f", signed(1, "f", 2)), &both));
    assert_eq!(stands(&two, &trusting(&[2])), (vec![], vec!["f".into()]));
    let mirrored = next(Accepted::default().document(document(1, &[("f", signed(1, "f", 1))]), &both));
    let mirrored = next(mirrored.deployment(deployment("f", signed(2, "f", 2)), &both));
    assert_eq!(stands(&mirrored, &trusting(&[2])), (vec![("f".into(), 2)], vec![]));
}

fn put(accepted: &Accepted, id: &str, device: &Defaults) -> Result<Accepted, AskError> {
    let mut function = function(0).as_object().cloned().unwrap();
    function.remove("version");
    let id = id.parse().unwrap();
    let (routes, middleware) = (Map::new(), Map::new());
    let bundle = Bundle { id, function, routes, middleware, module: None, replace: true };
    accepted.ask(Ask::Put(Box::new(bundle)), device).map(|(accepted, _)| *accepted)
}

#[test]
fn what_is_asked_for_on_the_device_needs_no_signature_and_covers_nothing_of_the_hub_s() {
    let device = trusting(&[1]);
    let here = put(&Accepted::default(), "f", &device).unwrap();
    assert_eq!(stands(&here, &device), (vec![("f".into(), 1)], vec![]));
    let covered = next(here.document(document(1, &[("f", signed(1, "f", 9))]), &device));
    // With its key gone the hub's function still has the name: what was put here is another.
    let revoked = trusting(&[2]);
    assert_eq!(stands(&covered, &revoked), (vec![], vec!["f".into()]));
    assert!(matches!(put(&covered, "f", &revoked), Err(AskError::OfTheHub(..))));
    // What is put here has versions of its own, which are nobody's floor and sink none.
    let gone = next(covered.document(json!({ "$version": 2 }), &device));
    assert_eq!(stands(&gone, &device).0, [("f".into(), 1)]);
    let again = next(gone.route_list(json!({ "routes": [] }), &device));
    assert_eq!(refused(again.deployment(deployment("f", signed(1, "f", 8)), &device)).0, 409);
}

#[test]
fn a_version_goes_back_only_where_the_message_says_so() {
    let any = Defaults::default();
    let one =
        next(Accepted::default().document(document(1, &[("f", function(5)), ("g", function(5))]), &any));
    let (code, told) = refused(one.document(document(2, &[("f", function(4)), ("g", function(3))]), &any));
    assert_eq!(code, 409);
    let why =
        |id: &str, got: u64| format!("functions.{id}.version: {got} is older than 5, which was accepted");
    assert!(told.contains(&why("f", 4)) && told.contains(&why("g", 3)), "{told}");
    let (_, told) = refused(one.deployment(deployment("f", function(4)), &any));
    assert!(told.starts_with("version: 4 is older than 5"), "{told}");
    let patch = json!({ "$version": 2, "functions": { "f": { "version": 4 } } });
    assert_eq!(refused(one.patch(&patch, &any)).0, 409);
    // The same version with other contents is no older one.
    let mut other = function(5);
    other["memory_pages"] = 9.into();
    next(one.deployment(deployment("f", other), &any));

    let back = next(one.deployment(downgrading(deployment("f", function(4))), &any));
    assert_eq!(stands(&back, &any).0, [("f".into(), 4), ("g".into(), 5)]);
    let back = next(one.document(downgrading(document(2, &[("f", function(4)), ("g", function(5))])), &any));
    // It is the floor from now on, for messages that say nothing of it.
    next(back.document(document(3, &[("f", function(4))]), &any));
    assert_eq!(refused(back.document(document(3, &[("f", function(3))]), &any)).0, 409);
    let mut odd = document(2, &[]);
    odd["allow_downgrade"] = 1.into();
    assert!(refused(one.document(odd, &any)).1.contains("allow_downgrade: true or false"));
}

#[test]
fn the_higher_of_document_and_deployment_is_the_floor() {
    let any = Defaults::default();
    let one = next(Accepted::default().document(document(1, &[("f", function(3))]), &any));
    let two = next(one.deployment(deployment("f", function(5)), &any));
    assert_eq!(refused(two.document(document(2, &[("f", function(4))]), &any)).0, 409);
    assert_eq!(
        two.document(document(1, &[("f", function(3))]), &any),
        Ok(Change::None),
        "it is the retained one"
    );
}

#[test]
fn a_removal_is_forgotten_unless_it_was_signed() {
    let device = trusting(&[1]);
    for (before, after, code) in
        [(function(5), function(4), None), (signed(1, "f", 5), signed(1, "f", 4), Some(409))]
    {
        let defaults = if code.is_some() { device.clone() } else { Defaults::default() };
        let one = next(Accepted::default().document(document(1, &[("f", before)]), &defaults));
        let gone = next(one.document(document(2, &[]), &defaults));
        let stored = serde_json::to_string(&gone).unwrap();
        let gone: Accepted = serde_json::from_str(&stored).unwrap();
        let again = gone.document(document(3, &[("f", after.clone())]), &defaults);
        assert_eq!(again.err().map(|refused| refused.code()), code);
        let back = next(gone.document(downgrading(document(3, &[("f", after.clone())])), &defaults));
        next(back.document(document(4, &[("f", after)]), &defaults));
    }
}

#[test]
fn an_unsigned_function_that_was_let_go_below_takes_the_floor_along() {
    let device = trusting(&[1]);
    let one = next(Accepted::default().document(document(1, &[("f", signed(1, "f", 5))]), &device));
    let lax = Defaults::default();
    assert_eq!(refused(one.document(document(2, &[("f", function(4))]), &lax)).0, 409);
    let back = next(one.document(downgrading(document(2, &[("f", function(4))])), &lax));
    next(back.document(document(3, &[("f", function(4))]), &lax));
}

#[test]
fn what_earlier_versions_stored_is_read() {
    let stored = json!({ "twin": document(1, &[("f", function(5))]), "functions": {}, "routes": null });
    let accepted: Accepted = serde_json::from_value(stored).unwrap();
    assert_eq!(stands(&accepted, &Defaults::default()).0, [("f".into(), 5)]);
    assert_eq!(stands(&accepted, &trusting(&[1])), (vec![], vec!["f".into()]));
}
