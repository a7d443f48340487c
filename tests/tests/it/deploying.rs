//! From a message to an answer: both ways of asking for work, swaps, removals, downloads.

use std::sync::atomic::{AtomicBool, Ordering};

use twinlet_tests::desired::route_list;
use twinlet_tests::http::{Request, client};
use twinlet_tests::wait::Journal;
use twinlet_tests::{DEADLINE, Desired, Fault, Function, Site, guests};

use crate::{agent, site};

#[test]
fn a_deployed_function_answers_on_its_route() {
    let site = site();
    let function = site.function("fn_abc123", guests::answers("it works"));
    site.hub.deploy(function.notification());
    site.hub.routes(route_list("/api/my-function", "fn_abc123"));
    site.hub.phase("fn_abc123", 1, "running");
    site.agent.says("/api/my-function", "it works");
}

#[test]
fn a_twin_document_deploys_functions_and_routes_together() {
    let site = site();
    let (one, two) = (site.function("one", guests::answers("1")), site.function("two", guests::answers("2")));
    site.apply(1, |d| d.serving(one).serving(two));
    assert_eq!(site.agent.get("/one").text(), "1");
    assert_eq!(site.agent.get("/two").text(), "2");
}

#[test]
fn the_committed_sample_says_hello() {
    let site = site().serving("hello", guests::prebuilt("hello-http"));
    assert_eq!(site.agent.get("/hello?name=gateway").text(), "Hello, gateway!\n");
}

#[test]
fn a_deployment_message_changes_its_function_alone() {
    let site = site();
    let (one, two) = (site.function("one", guests::answers("1")), site.function("two", guests::answers("2")));
    site.apply(1, |d| d.serving(one).serving(two));
    let next = Function::of("two", &site.artifact("two-next", guests::answers("2, next"))).version(2);
    site.hub.deploy(next.notification());
    site.hub.phase("two", 2, "running");
    assert_eq!(site.agent.get("/two").text(), "2, next");
    assert_eq!(site.agent.get("/one").text(), "1");
}

#[test]
fn a_new_version_is_swapped_in_without_a_failed_request() {
    let site = site().serving("fn", guests::answers("v1"));
    let url = site.agent.url("/fn");
    let (seen, done) = (Journal::default(), AtomicBool::new(false));
    let hammer = || {
        let client = client();
        while !done.load(Ordering::SeqCst) {
            let answer = Request::new("GET", &url).send_by(&client);
            seen.push(answer.map_or_else(|e| e.to_string(), |r| format!("{} {}", r.status, r.text())));
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(hammer);
        }
        let so_often = |text: &'static str, mark, times: usize| {
            let mut left = times;
            seen.wait(mark, DEADLINE, text, |answer: &String| {
                left -= usize::from(answer == text).min(left);
                (left == 0).then_some(())
            });
        };
        so_often("200 v1", 0, 100);
        let next = Function::of("fn", &site.artifact("fn-v2", guests::answers("v2"))).version(2);
        site.hub.publish_desired(Desired::version(2).serving(next));
        site.hub.phase("fn", 2, "running");
        so_often("200 v2", seen.mark(), 100);
        done.store(true, Ordering::SeqCst);
    });
    let answers = seen.all();
    let wrong: Vec<_> = answers.iter().filter(|a| *a != "200 v1" && *a != "200 v2").collect();
    assert!(wrong.is_empty(), "{} of {} failed, such as {:?}", wrong.len(), answers.len(), wrong.first());
    assert_eq!(answers.last().unwrap(), "200 v2");
}

#[test]
fn a_function_that_is_no_longer_wanted_is_gone() {
    let site = site().serving("fn", guests::answers("here"));
    site.apply(2, |d| d);
    site.agent.answers("/fn", 404);
    site.hub.reported_where("no function", |r| {
        r["lastDesiredVersion"] == 2 && r["functions"]["fn"]["phase"].as_str().is_none_or(|p| p == "stopped")
    });
}

#[test]
fn an_artifact_that_is_on_the_device_is_not_fetched_again() {
    let site = site();
    let artifact = site.artifact("shared", guests::answers("same bytes"));
    site.apply(1, |d| d.serving(Function::of("fn", &artifact)));
    let renamed = Function::of("other", &artifact);
    site.apply(2, |d| d.serving(Function::of("fn", &artifact).version(2)).serving(renamed));
    site.agent.says("/other", "same bytes");
    assert_eq!(site.artifacts.requests("shared.wasm"), 1);
}

#[test]
fn a_download_that_fails_at_first_is_tried_again() {
    let site = site();
    let artifact = site.faulty("fn", guests::answers("at last"), Fault::FailFirst(2));
    site.hub.publish_desired(Desired::version(1).serving(Function::of("fn", &artifact)));
    site.hub.reported_where("one try again that failed as well", |r| {
        let f = &r["functions"]["fn"];
        f["phase"] == "backoff" && f["restartCount"] == 1 && f["lastError"].to_string().contains("500")
    });
    let running = site.hub.phase("fn", 1, "running");
    assert!(running["functions"]["fn"]["lastError"].is_null());
    site.agent.says("/fn", "at last");
}

#[test]
fn a_relative_url_is_taken_from_the_control_plane() {
    let site = site();
    let function = site.function("fn", guests::answers("relative")).set("artifact_url", "/fn.wasm");
    site.apply(1, |d| d.serving(function));
    assert_eq!(site.agent.get("/fn").text(), "relative");
}

#[test]
fn a_newer_desired_state_does_not_wait_for_a_download_in_progress() {
    // Longer than any test waits: only who is not held up by it passes.
    let site = Site::start(agent().env("FETCH_STALL_TIMEOUT_SECS", 600));
    let stalls = site.faulty("slow", guests::answers("never"), Fault::Stall);
    site.hub.publish_desired(Desired::version(1).serving(Function::of("slow", &stalls)));
    site.artifacts.requested("slow.wasm", 1);
    let function = site.function("fast", guests::answers("now"));
    site.apply(2, |d| d.serving(function));
    assert_eq!(site.agent.get("/fast").text(), "now");
}

#[test]
fn going_back_to_the_version_that_serves_ends_the_failure_of_the_other() {
    let site = site();
    let good = site.function("fn", guests::answers("good"));
    let bad = Function::of("fn", &site.artifact("bad", guests::traps_at_start())).version(2);
    site.apply(1, |d| d.serving(good.clone()));
    site.hub.publish_desired(Desired::version(2).serving(bad));
    site.hub.phase("fn", 2, "backoff");
    site.apply(3, |d| d.serving(good).set("allow_downgrade", true));
    let function = &site.hub.phase("fn", 1, "running")["functions"]["fn"];
    assert_eq!(function["lastError"], serde_json::Value::Null, "{function}");
    assert_eq!(site.agent.get("/fn").text(), "good");
}

#[test]
fn instances_are_reused_or_fresh_as_desired() {
    let site = site();
    let counts = site.artifact("counts", guests::counts());
    let one_instance = serde_json::json!({ "min": 1, "max": 1 });
    let fresh = serde_json::json!({ "isolation": "fresh" });
    site.apply(1, |d| {
        d.serving(Function::of("reused", &counts).set("instances", one_instance))
            .serving(Function::of("fresh", &counts).set("instances", fresh))
    });
    let answers = |path: &str| [0; 3].map(|_| site.agent.get(path).body[0]);
    let reused = answers("/reused");
    assert_eq!([reused[1] - reused[0], reused[2] - reused[1]], [1, 1], "{reused:?}");
    assert_eq!(answers("/fresh"), [1, 1, 1]);
}
