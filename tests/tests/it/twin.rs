//! The twin's rules beside the refusals: patches, what the broker keeps, who is online.

use serde_json::{Value, json};
use twinlet_tests::site::NODE;
use twinlet_tests::{Desired, Function, Hub, Site, guests};

use crate::{agent, site};

#[test]
fn a_merge_patch_changes_what_it_names() {
    let site = site();
    let (one, two) = (site.function("one", guests::answers("1")), site.function("two", guests::answers("2")));
    site.apply(1, |d| d.serving(one).serving(two));
    let next = site.artifact("next", guests::answers("2, patched"));
    site.hub.publish_patch(json!({ "$version": 2, "functions": {
        "one": null,
        "two": { "version": 2, "artifact_url": next.url, "sha256": next.sha256 },
    }}));
    site.hub.applied(2);
    assert_eq!(site.agent.get("/two").text(), "2, patched");
    site.hub.reported_where("`two` running, `one` gone", |r| {
        r["functions"]["two"]["version"] == 2
            && r["functions"]["one"]["phase"].as_str().is_none_or(|p| p == "stopped")
    });
    assert_eq!(site.agent.get("/one").status, 404);
}

#[test]
fn a_patch_after_a_gap_is_refused_until_the_whole_document_comes() {
    let site = site().serving("fn", guests::answers("v1"));
    site.hub.publish_patch(json!({ "$version": 3, "functions": { "fn": null } }));
    site.hub.reported_status(1, 409);
    assert_eq!(site.agent.get("/fn").text(), "v1");
    let next = Function::of("fn", &site.artifact("next", guests::answers("v3"))).version(3);
    site.apply(3, |d| d.serving(next));
    assert_eq!(site.agent.get("/fn").text(), "v3");
}

#[test]
fn settings_of_the_document_take_effect_and_go_again() {
    let site = site();
    site.apply(1, |d| d.set("settings", json!({ "heartbeat_interval_secs": 1 })));
    let times = |least: usize| {
        let topic = site.hub.topic("heartbeat", "");
        let mut mark = site.hub.mark();
        for _ in 0..least {
            site.hub.wait_after(mark, &topic, "a heartbeat", |_| true);
            mark = site.hub.mark();
        }
    };
    times(3); // the default of 30 s would not give three before the deadline
}

#[test]
fn the_reported_state_is_kept_for_who_comes_later() {
    let site = site().serving("fn", guests::answers("x"));
    let late = Hub::at(&site.broker, NODE);
    let report = late.applied(1);
    assert_eq!(report["functions"]["fn"]["phase"], "running");
    late.status_after(0, "online");
    let topic = late.topic("twin", "/reported");
    assert!(late.received(&topic)[0].retained);
}

#[test]
fn the_reported_state_has_the_documented_shape() {
    let site = site().serving("fn", guests::answers("x"));
    let report = site.hub.applied(1);
    assert!(report["lastDesiredStatus"]["description"].is_string());
    let function = report["functions"]["fn"].as_object().unwrap();
    assert_eq!((&function["version"], &function["phase"]), (&json!(1), &json!("running")));
    assert_eq!((&function["lastError"], &function["restartCount"]), (&Value::Null, &json!(0)));
    assert!(function.contains_key("since"));
}

#[test]
fn the_reported_state_is_published_only_when_it_changed() {
    let site = Site::start(agent().env("HEARTBEAT_INTERVAL_SECS", 1)).serving("fn", guests::answers("x"));
    let topic = site.hub.topic("twin", "/reported");
    let (mark, before) = (site.hub.mark(), site.hub.received(&topic).len());
    // The same document again, then two heartbeats in which nothing happens.
    let same = site.function("fn", guests::answers("x"));
    site.hub.publish_desired(Desired::version(1).serving(same));
    let beat = |_: &_| true;
    site.hub.wait_after(mark, &site.hub.topic("heartbeat", ""), "a heartbeat", beat);
    let mark = site.hub.mark();
    site.hub.wait_after(mark, &site.hub.topic("heartbeat", ""), "another heartbeat", beat);
    let reports = site.hub.received(&topic);
    for pair in reports.windows(2) {
        assert_ne!(pair[0].json(), pair[1].json(), "the same report twice");
    }
    assert_eq!(reports.len(), before, "reports without a change");
}

#[test]
fn a_node_that_dies_is_offline_by_its_last_will() {
    let mut site = site();
    let mark = site.hub.mark();
    site.agent.kill9();
    site.hub.status_after(mark, "offline");
}
