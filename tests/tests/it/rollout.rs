//! How what is wanted takes its place: a twin document whole or not at all, in one step, and what served goes on until
//! then, over restarts as well.

use serde_json::json;
use twinlet_tests::{DEADLINE, Desired, Fault, Function, Site, guests};

use crate::{agent, site};

/// Functions `a` and `b`, which answer with their version.
fn pair(site: &Site, version: u64) -> Desired {
    let function = |id: &str| {
        let artifact = site.artifact(&format!("{id}{version}"), guests::answers(&format!("{id}{version}")));
        Function::of(id, &artifact).version(version)
    };
    Desired::version(version).serving(function("a")).serving(function("b"))
}

fn started() -> Site {
    let site = site();
    site.hub.publish_desired(pair(&site, 1));
    site.hub.applied(1);
    site
}

#[test]
fn a_document_with_one_bad_function_changes_nothing_until_a_better_one_comes() {
    let site = started();
    let bad = Function::of("b", &site.artifact("bad", guests::noise(100))).version(2);
    let (new, added) = (guests::answers("a2"), guests::answers("added"));
    let a = Function::of("a", &site.artifact("a2", new)).version(2);
    let desired = Desired::version(2).serving(a).serving(bad).serving(site.function("c", added));
    site.hub.publish_desired(desired);
    let report = site.hub.reported_status(2, 500);
    let told = report["lastDesiredStatus"]["description"].to_string();
    assert!(told.contains("b: ") && told.contains("version 1 goes on serving"), "{told}");
    assert_eq!((site.agent.get("/a").text(), site.agent.get("/b").text()), ("a1".into(), "b1".into()));
    assert_eq!(site.agent.get("/c").status, 404, "its route is part of what did not take its place");
    let a = &report["functions"]["a"];
    assert_eq!((a["servingVersion"].as_u64(), a["phase"].as_str()), (Some(1), Some("failed")), "{a}");
    site.hub.publish_desired(pair(&site, 3));
    site.hub.applied(3);
    assert_eq!((site.agent.get("/a").text(), site.agent.get("/b").text()), ("a3".into(), "b3".into()));
}

#[test]
fn nobody_sees_half_of_a_new_document() {
    let site = started();
    for version in 2..8 {
        site.hub.publish_desired(pair(&site, version));
        let (a, b) = (format!("a{version}"), format!("b{version}"));
        // The second is asked after the first has answered: once one is new, the other is.
        while site.agent.get("/a").text() != a {}
        assert_eq!(site.agent.get("/b").text(), b);
    }
}

#[test]
fn functions_that_go_serve_until_the_document_without_them_takes_its_place() {
    let site = started();
    let slow = site.faulty("slow", guests::answers("c"), Fault::Stall);
    site.hub.publish_desired(Desired::version(2).serving(Function::of("c", &slow)));
    site.hub.phase("c", 1, "fetching");
    assert_eq!((site.agent.get("/a").text(), site.agent.get("/b").text()), ("a1".into(), "b1".into()));
    let c = site.function("c", guests::answers("c"));
    site.apply(3, |d| d.serving(c));
    assert_eq!((site.agent.get("/c").text(), site.agent.get("/a").status), ("c".into(), 404));
}

#[test]
fn what_served_serves_again_when_the_power_goes_in_the_middle_of_a_rollout() {
    let mut site = started();
    let stalled = site.faulty("stalled", guests::answers("b2"), Fault::Stall);
    let a = Function::of("a", &site.artifact("a2", guests::answers("a2"))).version(2);
    site.hub.publish_desired(Desired::version(2).serving(a).serving(Function::of("b", &stalled).version(2)));
    site.hub.phase("b", 2, "fetching");
    site.agent.kill9();
    let again = site.agent.again(|b| b.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
    assert_eq!((again.says("/a", "a1").text(), again.says("/b", "b1").text()), ("a1".into(), "b1".into()));
    // Now its artifact can be had.
    site.artifact("stalled", guests::answers("b2"));
    again.says("/b", "b2");
    assert_eq!(again.get("/a").text(), "a2");
}

#[test]
fn an_old_version_of_a_deployment_serves_on_while_the_new_one_can_not_be_had() {
    let mut site = started();
    let one = site.function("one", guests::answers("one1"));
    site.hub.deploy(one.notification());
    site.hub.routes(json!({ "routes": [{ "id": "r", "path": "/one", "function_id": "one" }] }));
    site.agent.says("/one", "one1");
    let gone = site.faulty("gone", guests::answers("one2"), Fault::NotFound);
    site.hub.deploy(Function::of("one", &gone).version(2).notification());
    site.hub.phase("one", 2, "backoff");
    assert_eq!(site.agent.get("/one").text(), "one1");
    site.agent.kill9();
    let again = site.agent.again(|b| b.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
    again.says("/one", "one1");
}

#[test]
fn a_document_that_changes_routes_alone_is_in_force_at_once() {
    let site = started();
    let desired = pair(&site, 1).set("$version", 2).route("/other", "a");
    site.hub.publish_desired(desired);
    site.hub.applied(2);
    assert_eq!(site.agent.get("/other").text(), "a1");
}

#[test]
fn a_function_serves_once_it_has_answered_its_health_request() {
    let site = started();
    for (n, (component, says)) in [
        (guests::mirrors(503), "GET /health was answered with 503"),
        (guests::traps(), "unreachable"),
        (guests::spins(), "1000 ms"),
        (guests::actors::echoes(), "answers no HTTP requests"),
    ]
    .into_iter()
    .enumerate()
    {
        let version = u64::try_from(n).unwrap() + 2;
        let artifact = site.artifact(&format!("sick{version}"), component);
        let sick = Function::of("a", &artifact).version(version).set("max_execution_ms", 1000);
        let sick = sick.set("health", json!({ "path": "/health" }));
        site.hub.publish_desired(Desired::version(version).serving(sick));
        let report = site.hub.reported_where(says, |r| {
            let a = &r["functions"]["a"];
            a["version"] == version && a["phase"] == "failed"
        });
        let told = report["functions"]["a"]["lastError"].to_string();
        assert!(told.contains(says), "{told}");
        assert_eq!(site.agent.get("/a").text(), "a1");
    }
    let healthy = site.function("a", guests::mirrors(200)).version(9);
    site.hub
        .publish_desired(Desired::version(9).serving(healthy.set("health", json!({ "path": "/health" }))));
    site.hub.applied(9);
}

#[test]
fn what_does_not_start_is_not_tried_again_after_a_restart_until_the_hub_asks_anew() {
    let mut site = started();
    let bad = site.artifact("bad", guests::imports_unknown());
    site.hub.publish_desired(Desired::version(2).serving(Function::of("a", &bad).version(2)));
    site.hub.phase("a", 2, "failed");
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(DEADLINE), 0);
    let mark = site.hub.mark();
    let again = site.agent.again(|b| b);
    let report = site.hub.reported_after(mark, "the same refusal", |r| {
        r["functions"]["a"]["phase"] == "failed" && r["lastDesiredStatus"]["code"] == 500
    });
    assert!(report["functions"]["a"]["lastError"].to_string().contains("acme:unknown/thing"));
    assert_eq!(again.get("/b").text(), "b1");
    let compiled = again.log_since(0).iter().filter(|line| line.contains("a v2: starting")).count();
    assert_eq!(compiled, 0, "it was started again");
    site.hub.publish_desired(Desired::version(3).serving(Function::of("a", &bad).version(2)));
    again.log_line_where("another try", |line| line.contains("a v2: starting"));
}

#[test]
fn health_and_trial_are_checked_with_their_paths() {
    let site = Site::start(agent());
    let function = site.function("a", guests::answers("a"));
    for (n, (key, value, path)) in [
        ("health", json!({ "path": "health" }), "functions.a.health.path"),
        ("health", json!({}), "functions.a.health.path"),
        ("health", json!({ "path": "/", "method": "G T" }), "functions.a.health.method"),
        ("health", json!({ "path": "/", "timeout_ms": 0 }), "functions.a.health.timeout_ms"),
        ("trial", json!({ "max_error_percent": 101 }), "functions.a.trial.max_error_percent"),
        ("trial", json!({ "window": 5 }), "functions.a.trial.window"),
    ]
    .into_iter()
    .enumerate()
    {
        let desired = Desired::version(u64::try_from(n).unwrap() + 1);
        site.hub.publish_desired(desired.serving(function.clone().set(key, value)));
        site.hub.reported_where(path, |r| {
            r["lastDesiredStatus"]["code"] == 400
                && r["lastDesiredStatus"]["description"].to_string().contains(path)
        });
    }
}
