//! Messages that must change nothing: each one line in the log, one count, one word in the reported state, and what
//! was there goes on serving.

use serde_json::{Value, json};
use twinlet_tests::{Desired, Function, Site, guests};

use crate::{agent, site};

/// Sends something bad to a node that serves, and checks all that it must and must not cause. `topic` is what the
/// metric calls the topic; `says` is what the log and the reported state must name.
fn refused(topic: &str, rest: &str, payload: impl FnOnce(&Site) -> Vec<u8>, code: u64, says: &str) {
    let mut site = site().serving("good", guests::answers("good"));
    let (log, messages) = (site.agent.mark(), site.hub.mark());
    site.hub.publish(&site.hub.topic(topic, rest), payload(&site), false);
    site.agent.metrics_where("one refused message", |m| {
        m.sum("twinlet_messages_total", &["result=\"refused\""]) == 1.0
    });
    let report = site.hub.reported_after(messages, "a refusal", |r| r["lastDesiredStatus"]["code"] == code);
    let why = report["lastDesiredStatus"]["description"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains(says), "{says} is not in: {why}");
    assert_eq!(report["lastDesiredVersion"], 1);
    assert_eq!(report["functions"]["good"]["phase"], "running");
    let complaints = complaints(&site, log);
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert!(complaints[0].contains(says), "{says} is not in: {}", complaints[0]);
    assert_eq!(site.agent.get("/good").text(), "good");
    assert!(site.agent.runs());
}

/// The warnings and errors in the log since a mark.
fn complaints(site: &Site, mark: usize) -> Vec<String> {
    let lines = site.agent.log_since(mark);
    lines.into_iter().filter(|l| l.contains("WARN") || l.contains("ERROR")).collect()
}

fn desired_with(change: impl FnOnce(Function) -> Function) -> impl FnOnce(&Site) -> Vec<u8> {
    |site| {
        let function = change(site.function("fn", guests::answers("never")));
        bytes(Desired::version(2).serving(function))
    }
}

fn bytes(json: impl Into<Value>) -> Vec<u8> {
    json.into().to_string().into_bytes()
}

#[test]
fn malformed_json_is_refused() {
    refused("twin", "/desired", |_| b"{ \"$version\": 2, ".to_vec(), 400, "JSON");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    refused("twin", "/desired", |_| guests::noise(500), 400, "JSON");
}

#[test]
fn json_that_is_nested_too_deep_is_refused() {
    refused("twin", "/desired", |_| "[".repeat(100_000).into_bytes(), 400, "JSON");
}

#[test]
fn a_document_that_is_no_object_is_refused() {
    refused("twin", "/desired", |_| b"[1, 2]".to_vec(), 400, "object");
}

#[test]
fn an_unknown_key_is_refused_with_its_path() {
    let change = desired_with(|f| f.set("surprise", true));
    refused("twin", "/desired", change, 400, "functions.fn.surprise");
}

#[test]
fn a_wrong_type_is_refused_with_its_path() {
    let change = desired_with(|f| f.set("memory_pages", "many"));
    refused("twin", "/desired", change, 400, "functions.fn.memory_pages");
}

#[test]
fn an_id_that_climbs_out_of_its_directory_is_refused() {
    let climb = |site: &Site| {
        let mut notification = site.function("fn", guests::answers("never")).notification();
        notification["function_id"] = "../../etc/passwd".into();
        bytes(notification)
    };
    refused("deployments", "", climb, 400, "../../etc/passwd");
}

#[test]
fn an_id_with_a_nul_is_refused_and_shown_escaped() {
    let nul = |site: &Site| {
        let mut notification = site.function("fn", guests::answers("never")).notification();
        notification["function_id"] = "a\0b".into();
        bytes(notification)
    };
    refused("deployments", "", nul, 400, "function_id");
}

#[test]
fn a_sha256_that_is_none_is_refused() {
    refused(
        "twin",
        "/desired",
        desired_with(|f| f.set("sha256", "abc123def456...")),
        400,
        "functions.fn.sha256",
    );
}

#[test]
fn a_url_of_an_unknown_scheme_is_refused() {
    let change = desired_with(|f| f.set("artifact_url", "gopher://x/y"));
    refused("twin", "/desired", change, 400, "functions.fn.artifact_url");
}

#[test]
fn a_route_list_that_is_none_is_refused() {
    refused("routes", "", |_| bytes(json!({ "routes": "all of them" })), 400, "routes");
}

#[test]
fn a_route_over_the_agents_own_paths_is_refused() {
    let route = |_: &Site| bytes(Desired::version(2).route("/metrics", "good"));
    refused("twin", "/desired", route, 400, "/metrics");
}

#[test]
fn every_problem_of_a_document_is_told_at_once() {
    let change = desired_with(|f| f.set("surprise", true).set("version", -1).set("sha256", 7));
    refused("twin", "/desired", change, 400, "functions.fn.sha256");
    let change = desired_with(|f| f.set("surprise", true).set("version", -1).set("sha256", 7));
    refused("twin", "/desired", change, 400, "functions.fn.surprise");
}

#[test]
fn an_older_version_is_ignored_and_said_so() {
    let site = site();
    let function = site.function("fn", guests::answers("new"));
    site.apply(5, |d| d.serving(function));
    let mark = site.hub.mark();
    site.hub.publish_desired(Desired::version(4));
    let report = site.hub.reported_after(mark, "409", |r| r["lastDesiredStatus"]["code"] == 409);
    assert_eq!(report["lastDesiredVersion"], 5);
    assert_eq!(site.agent.get("/fn").text(), "new");
}

#[test]
fn the_same_version_with_other_contents_is_an_error() {
    refused("twin", "/desired", |_| bytes(Desired::version(1)), 409, "1");
}

#[test]
fn a_message_over_the_limit_is_dropped_and_the_connection_lives() {
    let site =
        Site::start(agent().env("MQTT_MAX_MESSAGE_BYTES", 10_000)).serving("good", guests::answers("good"));
    let big = Desired::version(2).set("functions", json!({ "x": "y".repeat(50_000) }));
    // Retained, so that it comes again with every subscription until it is replaced.
    site.hub.publish_desired(big);
    site.agent.metrics_where("a dropped message", |m| {
        m.sum("twinlet_mqtt_events_total", &["oversize"]) + m.sum("twinlet_messages_total", &["refused"])
            >= 1.0
    });
    site.agent.log_line_where("the dropped message", |l| l.contains("WARN") && l.contains("10000"));
    assert_eq!(site.agent.get("/good").text(), "good");
    let function = site.function("next", guests::answers("next"));
    site.apply(3, |d| d.serving(function));
    assert_eq!(site.agent.get("/next").text(), "next");
}

#[test]
fn why_tells_of_the_message_that_asked_for_a_function_and_was_refused() {
    let site = site();
    assert_eq!(site.agent.local("GET", "/twinlet/why/fn", b"").status, 404);
    site.hub.publish_desired(
        Desired::version(1).set("routes", json!({ "r": { "path": "x", "function_id": "fn" } })),
    );
    site.hub.reported_status(0, 400);
    let why = site.agent.local("GET", "/twinlet/why/fn", b"").json();
    let told = why["steps"][0]["detail"].as_str().unwrap();
    assert!(told.contains("refused (400)") && told.contains("routes.r.path"), "{why}");
    assert!(why["conclusion"].as_str().unwrap().starts_with("fn does not run"), "{why}");
}
