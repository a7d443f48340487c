//! What is taken back by the agent itself: a new version that fails its trial, whole, and for good until the hub asks
//! for something else.

use serde_json::{Value, json};
use twinlet_tests::guests::actors::{self, Break, Event, breaks_in};
use twinlet_tests::guests::middleware::{self, Point};
use twinlet_tests::{Agent, DEADLINE, Desired, Function, Site, eventually, guests};

use crate::site;

/// More invocations than a trial wants to see.
const ENOUGH: usize = 12;

fn started() -> Site {
    let site = site();
    let (a, b) = (site.function("a", guests::answers("a1")), site.function("b", guests::answers("b1")));
    site.apply(1, |d| d.serving(a).serving(b));
    site
}

/// Version 2 of both; `a` is this component.
fn second(site: &Site, a: Vec<u8>, trial: Value) -> Desired {
    let function = |id: &str, bytes: Vec<u8>| {
        Function::of(id, &site.artifact(&format!("{id}2"), bytes)).version(2).set("trial", trial.clone())
    };
    Desired::version(2).serving(function("a", a)).serving(function("b", guests::answers("b2")))
}

fn is_back(site: &Site, agent: &Agent) {
    let report = site.hub.reported_status(2, 500);
    let told = report["lastDesiredStatus"]["description"].to_string();
    assert!(told.contains("rolled back") && told.contains("version 1 goes on serving"), "{told}");
    let a = &report["functions"]["a"];
    assert_eq!((a["version"].as_u64(), a["servingVersion"].as_u64()), (Some(2), Some(1)), "{a}");
    assert_eq!(a["phase"], "failed", "{a}");
    assert_eq!((agent.get("/a").text(), agent.get("/b").text()), ("a1".into(), "b1".into()));
}

#[test]
fn a_version_that_fails_too_often_takes_its_whole_document_back() {
    for component in [guests::traps(), guests::mirrors(500), guests::returns_error("no")] {
        let mut site = started();
        site.hub.publish_desired(second(&site, component, json!({})));
        site.hub.applied(2);
        assert_eq!(site.agent.get("/b").text(), "b2");
        for _ in 0..ENOUGH {
            site.agent.get("/a");
        }
        is_back(&site, &site.agent);
        let m = site.agent.metrics();
        assert_eq!(m.sum("twinlet_rollouts_total", &["result=\"rolled_back\""]), 1.0);
        // It stays so over a restart, with the same document still wanted.
        site.agent.sigterm();
        assert_eq!(site.agent.wait_exit(DEADLINE), 0);
        let again = site.agent.again(|b| b);
        again.says("/a", "a1");
        is_back(&site, &again);
        let better = site.function("a", guests::answers("a3")).version(3);
        site.hub.publish_desired(Desired::version(3).serving(better));
        site.hub.applied(3);
        assert_eq!(again.get("/a").text(), "a3");
    }
}

#[test]
fn a_version_that_fails_seldom_enough_proves_itself() {
    let site = started();
    let trial = json!({ "window_secs": 2, "max_error_percent": 100 });
    site.hub.publish_desired(second(&site, guests::traps(), trial));
    site.hub.applied(2);
    for _ in 0..ENOUGH {
        assert_eq!(site.agent.get("/a").status, 500);
    }
    site.agent.metrics_where("the end of the trial", |m| {
        m.sum("twinlet_rollouts_total", &["result=\"proved\""]) >= 1.0
    });
    assert_eq!(site.agent.get("/b").text(), "b2");
}

#[test]
fn an_actor_that_crashes_at_its_start_is_taken_back() {
    let site = site();
    let actor = |version: u64, bytes: Vec<u8>| {
        Function::of("actor", &site.artifact(&format!("actor{version}"), bytes)).version(version)
    };
    site.apply(1, |d| d.serving(actor(1, actors::echoes())));
    assert_eq!(site.agent.post("/actor", "hello").text(), "hello");
    site.hub.publish_desired(Desired::version(2).serving(actor(2, breaks_in(Event::Init, Break::Trap))));
    let report = site.hub.reported_where("the way back", |r| {
        let told = r["lastDesiredStatus"]["description"].to_string();
        r["lastDesiredStatus"]["code"] == 500 && told.contains("rolled back")
    });
    assert_eq!(report["functions"]["actor"]["servingVersion"], 1);
    assert_eq!(site.agent.post("/actor", "hello").text(), "hello");
}

#[test]
fn what_a_document_leaves_out_has_lost_nothing_when_it_comes_back() {
    let site = site();
    let counter = site.function("counter", actors::counts_casts()).set("state", "node-local");
    let cast = site.function("cast", guests::casts()).set("outputs", json!({ "to": "counter" }));
    let first = |version: u64, a: Vec<u8>| {
        let artifact = site.artifact(&format!("a{version}"), a);
        Desired::version(version).serving(Function::of("a", &artifact).version(version)).serving(cast.clone())
    };
    site.hub.publish_desired(first(1, guests::answers("a1")).serving(counter));
    site.hub.applied(1);
    site.agent.post("/cast", "1");
    let count = eventually("the first cast", || {
        let answer = site.agent.post("/counter", "");
        (answer.status == 200).then(|| answer.text()).filter(|text| !text.is_empty() && text != "0")
    });
    site.hub.publish_desired(first(2, guests::traps()));
    site.hub.applied(2);
    assert_eq!(site.agent.get("/counter").status, 404);
    for _ in 0..ENOUGH {
        site.agent.get("/a");
    }
    site.agent.says("/a", "a1");
    let again = eventually("the counter", || {
        let answer = site.agent.post("/counter", "");
        (answer.status == 200).then(|| answer.text())
    });
    assert_eq!(again, count);
}

#[test]
fn a_guard_that_traps_is_taken_back() {
    let site = site();
    let guard = |version: u64, bytes: Vec<u8>| {
        Function::of("guard", &site.artifact(&format!("guard{version}"), bytes)).version(version)
    };
    let document = |version: u64, bytes: Vec<u8>| {
        let a = site.function("a", guests::answers("a"));
        let middleware = json!({ "m": { "function_id": "guard", "attach": ["on-request"] } });
        Desired::version(version).serving(a).function(guard(version, bytes)).set("middleware", middleware)
    };
    site.hub.publish_desired(document(1, middleware::continues(&[Point::Request])));
    site.hub.applied(1);
    assert_eq!(site.agent.get("/a").text(), "a");
    site.hub.publish_desired(document(2, middleware::breaks(&[Point::Request], Break::Trap)));
    site.hub.applied(2);
    for _ in 0..ENOUGH {
        site.agent.get("/a");
    }
    site.agent.log_line_where("the way back", |line| line.contains("was rolled back"));
    site.agent.says("/a", "a");
    site.hub.reported_status(2, 500);
}

#[test]
fn a_trial_is_not_ended_by_a_document_that_leaves_the_function_as_it_is() {
    let site = started();
    site.hub.publish_desired(second(&site, guests::traps(), json!({})));
    site.hub.applied(2);
    let third = Function::of("b", &site.artifact("b3", guests::answers("b3"))).version(3);
    let a = Function::of("a", &site.artifact("a2", guests::traps())).version(2).set("trial", json!({}));
    site.hub.publish_desired(Desired::version(3).serving(a).serving(third));
    site.hub.applied(3);
    for _ in 0..ENOUGH {
        site.agent.get("/a");
    }
    site.agent.says("/a", "a1");
    assert_eq!(site.agent.get("/b").text(), "b1");
    site.hub.reported_status(3, 500);
}

#[test]
fn a_deployment_is_taken_back_alone() {
    let site = started();
    site.hub.deploy(Function::of("a", &site.artifact("a2", guests::traps())).version(2).notification());
    site.agent.answers("/a", 500);
    site.hub.deploy(Function::of("b", &site.artifact("b2", guests::answers("b2"))).version(2).notification());
    site.agent.says("/b", "b2");
    for _ in 0..ENOUGH {
        site.agent.get("/a");
    }
    site.agent.says("/a", "a1");
    assert_eq!(site.agent.get("/b").text(), "b2");
    let report = site.hub.reported_where("the refusal", |r| r["functions"]["a"]["phase"] == "failed");
    assert!(report["functions"]["a"]["lastError"].to_string().contains("rolled back"));
    // The same once more is not news; another version is.
    site.hub.deploy(Function::of("a", &site.artifact("a3", guests::answers("a3"))).version(3).notification());
    site.agent.says("/a", "a3");
}

#[test]
fn what_has_nothing_before_it_goes_on() {
    let site = site();
    let bad = site.function("a", guests::traps());
    site.apply(1, |d| d.serving(bad));
    for _ in 0..ENOUGH {
        assert_eq!(site.agent.get("/a").status, 500);
    }
    site.hub.reported_where("why it is not taken back", |r| {
        r["functions"]["a"]["lastError"].to_string().contains("nothing served before it")
    });
    assert_eq!(site.agent.get("/a").status, 500);
}

#[test]
fn a_trial_goes_on_after_a_restart() {
    let mut site = started();
    site.hub.publish_desired(second(&site, guests::traps(), json!({})));
    site.hub.applied(2);
    site.agent.kill9();
    let again = site.agent.again(|b| b);
    again.answers("/a", 500);
    for _ in 0..ENOUGH {
        again.get("/a");
    }
    again.says("/a", "a1");
    is_back(&site, &again);
}
