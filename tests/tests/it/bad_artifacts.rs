//! Artifacts that must never serve: each one line in the log, one count, one last error, and the last good version
//! goes on serving.

use serde_json::json;
use twinlet_tests::{Artifact, Desired, Fault, Function, Site, guests};

use crate::{agent, site};

/// Gives a function that serves version 1 a bad version 2, and checks all that this must and must not cause.
/// `phase` is where it must fail; `says` is what the last error must name.
fn kept_from(site: Site, bad: &Artifact, change: impl Fn(Function) -> Function, phase: &str, says: &str) {
    let mut site = site.serving("fn", guests::answers("last good"));
    let mark = site.agent.mark();
    site.hub.publish_desired(Desired::version(2).serving(change(Function::of("fn", bad).version(2))));
    let report = site.hub.reported_where(&format!("a last error with {says}"), |r| {
        let f = &r["functions"]["fn"];
        f["version"] == 2 && f["lastError"].to_string().contains(says)
    });
    let function = &report["functions"]["fn"];
    assert!(["failed", "backoff"].contains(&function["phase"].as_str().unwrap()), "{function}");
    let labels = ["function_id=\"fn\"".to_owned(), format!("phase=\"{phase}\"")];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    site.agent.metrics_where(&format!("a failure while {phase}"), |m| {
        m.sum("twinlet_function_failures_total", &labels) >= 1.0
    });
    site.agent.log_line_after(mark, "the failure, with the function's name", |l| {
        (l.contains("WARN") || l.contains("ERROR")) && l.contains("fn") && l.contains(says)
    });
    assert_eq!(site.agent.get("/fn").text(), "last good");
    assert!(site.agent.runs());
}

fn same(function: Function) -> Function {
    function
}

/// As `kept_from`, for bytes that arrive as they are.
fn refused(bytes: Vec<u8>, phase: &str, says: &str) {
    let site = site();
    let bad = site.artifact("bad", bytes);
    kept_from(site, &bad, |f| f.set("max_execution_ms", 200), phase, says);
}

#[test]
fn a_digest_that_does_not_match_is_refused() {
    let site = site();
    let bad = site.artifact("bad", guests::answers("not what was asked for"));
    kept_from(site, &bad, |f| f.set("sha256", "ab".repeat(32)), "verifying", "sha256");
}

#[test]
fn a_download_cut_short_is_refused() {
    let site = site();
    let bad = site.faulty("bad", guests::answers("cut"), Fault::CutAfter(100));
    kept_from(site, &bad, same, "fetching", "after 100 bytes");
}

#[test]
fn a_download_larger_than_said_is_refused() {
    let site = site();
    let bad = site.artifact("bad", guests::answers("more than said"));
    let said = bad.size - 1;
    kept_from(site, &bad, |f| f.set("size", said), "verifying", &said.to_string());
}

#[test]
fn a_download_without_end_is_refused() {
    let site = Site::start(agent().env("ARTIFACT_MAX_BYTES", 100_000));
    let bad = site.faulty("bad", guests::answers("and again"), Fault::Endless);
    kept_from(site, &bad, same, "fetching", "100000");
}

#[test]
fn a_download_that_stands_still_is_given_up() {
    let site = Site::start(agent().env("FETCH_STALL_TIMEOUT_SECS", 1));
    let bad = site.faulty("bad", guests::answers("stuck"), Fault::Stall);
    kept_from(site, &bad, same, "fetching", "after 1 bytes");
}

#[test]
fn an_artifact_that_is_not_there_is_reported_with_its_status() {
    let site = site();
    let bad = site.faulty("bad", guests::answers("gone"), Fault::NotFound);
    kept_from(site, &bad, same, "fetching", "404");
}

#[test]
fn bytes_that_are_no_wasm_are_refused() {
    refused(guests::noise(5000), "compiling", "component");
}

#[test]
fn a_module_that_is_no_component_is_refused() {
    refused(guests::not_a_component(), "compiling", "component");
}

#[test]
fn a_component_that_was_cut_is_refused() {
    let mut bytes = guests::answers("cut");
    bytes.truncate(bytes.len() / 2);
    refused(bytes, "compiling", "compile");
}

#[test]
fn an_import_that_is_not_offered_is_named() {
    refused(guests::imports_unknown(), "starting", "acme:unknown/thing");
}

#[test]
fn a_component_that_traps_at_start_is_refused() {
    refused(guests::traps_at_start(), "starting", "does not start");
}

#[test]
fn a_component_that_never_starts_is_refused() {
    refused(guests::spins_at_start(), "starting", "200 ms");
}

#[test]
fn a_bad_function_does_not_hold_up_its_neighbours() {
    let site = site();
    let (bad, good) =
        (site.function("bad", guests::noise(100)), site.function("good", guests::answers("good")));
    // Each comes alone; what one document wants together is in `rollout`.
    site.hub.deploy(bad.notification());
    site.hub.deploy(good.notification());
    let route = |id: &str| json!({ "id": id, "path": format!("/{id}"), "function_id": id });
    site.hub.routes(json!({ "routes": [route("good"), route("bad")] }));
    site.agent.says("/good", "good");
    assert!(!site.hub.last_error("bad").is_empty());
    let report = site.hub.reported_where("the whole outcome", |r| {
        r["lastDesiredStatus"]["code"] == 500 && r["functions"]["good"]["phase"] == "running"
    });
    assert_eq!(report["functions"]["bad"]["phase"], "failed");
    assert_eq!(site.agent.get("/bad").status, 503);
}
