//! Instances that are hot before anyone wants them.

use serde_json::{Value, json};
use twinlet_tests::guests::{self, actors};
use twinlet_tests::{Agent, Response};

use super::{assert_text, at_once, create, create_of, function, get, invoke, post, with};
use crate::agent;

fn prewarm(agent: &Agent, name: &str, instances: u32) -> Response {
    post(agent, "/prewarm", &json!({ "Function": name, "Instances": instances }))
}

/// How many instances were started.
fn started(answer: &Response) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["Prewarmed"].as_u64().unwrap()
}

fn hot(agent: &Agent) -> Value {
    get(agent, "/status").json()["AvailableWarmContainers"]["fn"].clone()
}

#[test]
fn as_many_are_started_as_were_asked_for_and_serve_warm() {
    let agent = with(&guests::dawdles(200, "x"));
    assert_eq!(started(&prewarm(&agent, "fn", 0)), 0);
    assert_eq!(hot(&agent), 1);
    assert_eq!(started(&prewarm(&agent, "fn", 2)), 2);
    assert_eq!(hot(&agent), 3);
    let answers = at_once(3, |_| invoke(&agent, &json!({})).json());
    assert!(answers.iter().all(|a| a["IsWarmStart"] == true && a["InitTime"] == 0.0), "{answers:?}");
}

#[test]
fn never_more_are_started_than_there_may_be() {
    let agent = agent().start();
    let mut fields = function("fn", &guests::answers("x"));
    fields["CPUDemand"] = 3.5.into();
    create_of(&agent, &fields);
    let all: u64 = at_once(6, |_| started(&prewarm(&agent, "fn", 4_096))).iter().sum();
    assert_eq!((all, hot(&agent)), (3, json!(4)), "one was there");
    assert_eq!(started(&prewarm(&agent, "fn", 1)), 0);
}

#[test]
fn where_the_pool_of_instances_ends_fewer_are_started() {
    let agent = agent().env("MAX_HOT_INSTANCES", 4_096).start();
    create(&agent, "fn", &guests::answers("x"));
    let first = started(&prewarm(&agent, "fn", 4_096));
    assert!((1..4_096).contains(&first), "{first}");
    assert_eq!(started(&prewarm(&agent, "fn", 1)), 0);
    assert_eq!(invoke(&agent, &json!({})).status, 200, "those that are there serve");
}

#[test]
fn an_actor_is_one_instance_and_there_already() {
    let agent = with(&actors::echoes());
    assert_eq!(started(&prewarm(&agent, "fn", 5)), 0);
    assert_eq!(hot(&agent), 1);
}

#[test]
fn who_is_not_there_is_404() {
    let agent = agent().start();
    for name in ["nobody", "", "A/b", &"x".repeat(1_000)] {
        assert_text(&prewarm(&agent, name, 1), 404, "Unknown function.");
    }
}

#[test]
fn an_artifact_that_is_looked_at_must_be_what_its_digest_says() {
    let agent = with(&guests::answers("x"));
    let forced =
        || post(&agent, "/prewarm", &json!({ "Function": "fn", "Instances": 1, "ForceImagePull": true }));
    assert_eq!(started(&forced()), 1);
    let artifacts = std::fs::read_dir(agent.state_dir().join("artifacts")).unwrap();
    let wasm = artifacts
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "wasm"));
    let wasm = wasm.unwrap();
    let mut bytes = std::fs::read(&wasm).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&wasm, bytes).unwrap();
    assert_text(&forced(), 503, "Prewarming failed: the artifact on the device is damaged");
    std::fs::remove_file(wasm).unwrap();
    assert_text(&forced(), 503, "Prewarming failed: ");
    assert_eq!(started(&prewarm(&agent, "fn", 1)), 1, "what runs does not need it");
}
