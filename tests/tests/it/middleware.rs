//! Middleware through the real doors: before requests, after responses, on errors, and when it fails itself.

use serde_json::{Value, json};
use twinlet_tests::guests::actors::Break;
use twinlet_tests::guests::middleware::{self, Modify, Point};
use twinlet_tests::{Desired, Function, Site, guests};

use crate::site;

/// A site that serves the mirror on `/api/x`, with middleware in front of it.
fn guarded(functions: impl FnOnce(&Site) -> Vec<Function>, middleware: Value) -> Site {
    guarding(guests::mirrors(200), functions, middleware)
}

fn guarding(target: Vec<u8>, functions: impl FnOnce(&Site) -> Vec<Function>, middleware: Value) -> Site {
    let site = site();
    let target = site.function("target", target).set("max_execution_ms", 1_000);
    let functions = functions(&site);
    let desired =
        Desired::version(1).function(target).route("/api/*", "target").set("middleware", middleware);
    site.hub.publish_desired(functions.into_iter().fold(desired, Desired::function));
    site.hub.applied(1);
    site
}

fn outcomes(site: &Site, attach: &str, outcome: &str) -> f64 {
    let labels = [format!("attach=\"{attach}\""), format!("outcome=\"{outcome}\"")];
    site.agent.metrics().sum("twinlet_middleware_total", &[&labels[0], &labels[1]])
}

#[test]
fn a_request_and_a_response_pass_by_what_says_continue() {
    let site = guarded(
        |site| vec![site.function("m", middleware::continues(&[Point::Request, Point::Response]))],
        json!({ "m": { "function_id": "m", "attach": ["on-request", "on-response"] } }),
    );
    let answer = site.agent.request("POST", "/api/x?q=1").body("body").send();
    assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
    assert_eq!(answer.header("seen-query"), "q=1");
    assert_eq!(outcomes(&site, "on-request", "continue"), 1.0);
    assert_eq!(outcomes(&site, "on-response", "continue"), 1.0);
}

#[test]
fn a_rejection_is_the_answer_and_nothing_behind_it_learns_of_the_request() {
    let site = guarded(
        |site| vec![site.function("m", middleware::rejects(&[Point::Request], 401))],
        json!({ "m": { "function_id": "m", "attach": ["on-request"], "paths": ["/api/*"] } }),
    );
    let answer = site.agent.get("/api/x");
    assert_eq!((answer.status, answer.body.len()), (401, 0));
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(site.agent.get("/api/%78").status, 401);
    assert_eq!(
        site.agent.raw("GET /x/../api/y HTTP/1.1\r\nhost: x\r\n\r\n").status,
        401,
        "spelled otherwise"
    );
    assert_eq!(site.agent.get("/elsewhere").status, 404, "outside its paths");
    assert_eq!(site.agent.get("/healthz").status, 200, "the agent's own pages meet no middleware");
    assert_eq!(site.agent.metrics().sum("twinlet_invocations_total", &["function_id=\"target\""]), 0.0);
    assert_eq!(outcomes(&site, "on-request", "reject"), 3.0);
}

#[test]
fn changes_reach_the_function_and_the_client_in_the_order_of_the_chain() {
    let first = Modify::default().set("x-who", "first").remove("x-secret").body("first");
    let second = Modify::default().add("x-who", "second").set("Content-Length", "7");
    let after = Modify::default().status(299).set("x-after", "inner").set("x-twice", "inner");
    let outer = Modify::default().set("x-twice", "outer").remove("seen-host").body("changed");
    let site = guarded(
        |site| {
            vec![
                site.function("m1", first.at(&[Point::Request])),
                site.function("m2", second.at(&[Point::Request])),
                site.function("m3", after.at(&[Point::Response])),
                site.function("m4", outer.at(&[Point::Response])),
            ]
        },
        json!({
            "z": { "function_id": "m1", "attach": ["on-request"], "order": 1 },
            "a": { "function_id": "m2", "attach": ["on-request"], "order": 2 },
            "inner": { "function_id": "m3", "attach": ["on-response"], "order": 9 },
            "outer": { "function_id": "m4", "attach": ["on-response"], "order": 3 } }),
    );
    let answer = site
        .agent
        .request("POST", "/api/x")
        .header("x-secret", "s")
        .header("x-who", "client")
        .body("b")
        .send();
    assert_eq!((answer.status, answer.text().as_str()), (299, "changed"));
    let all = |name: &str| {
        let of_name = answer.headers.iter().filter(|(n, _)| n == name);
        of_name.map(|(_, v)| String::from_utf8_lossy(v).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(all("x-who"), ["first", "second"], "the mirror sent back what it was given");
    assert_eq!(all("x-secret"), Vec::<String>::new());
    assert_eq!((answer.header("x-after"), answer.header("x-twice")), ("inner".into(), "outer".into()));
    assert_eq!(all("seen-host"), Vec::<String>::new());
}

#[test]
fn what_fails_before_a_request_closes_the_door_unless_it_is_to_stay_open() {
    for (how, status, on_failure) in [
        (Break::Trap, 500, "closed"),
        (Break::Spin, 504, "closed"),
        (Break::Trap, 200, "open"),
        (Break::Spin, 200, "open"),
    ] {
        let site = guarded(
            |site| {
                vec![
                    site.function("m", middleware::breaks(&[Point::Request], how))
                        .set("max_execution_ms", 200),
                ]
            },
            json!({ "m": { "function_id": "m", "attach": ["on-request"], "on_failure": on_failure } }),
        );
        let answer = site.agent.get("/api/x");
        assert_eq!(answer.status, status, "{how:?} {on_failure}");
        assert_eq!(outcomes(&site, "on-request", &format!("failed_{on_failure}")), 1.0);
        let error = site.hub.last_error("m");
        assert!(error.starts_with("on-request:"), "{error}");
    }
}

#[test]
fn what_is_not_there_or_of_another_kind_closes_the_door_as_well() {
    let site = guarded(
        |site| vec![site.function("m", middleware::continues(&[Point::Response]))],
        json!({ "m": { "function_id": "m", "attach": ["on-request"] } }),
    );
    assert_eq!(site.agent.get("/api/x").status, 500, "it does not export on-request");
    let site =
        guarded(|_| Vec::new(), json!({ "m": { "function_id": "nowhere", "attach": ["on-request"] } }));
    assert_eq!(site.agent.get("/api/x").status, 503);
}

#[test]
fn a_response_whose_middleware_fails_does_not_get_out() {
    for (on_failure, status) in [("closed", 500), ("open", 207)] {
        let site = guarding(
            guests::mirrors(207),
            |site| vec![site.function("m", middleware::breaks(&[Point::Response], Break::Trap))],
            json!({ "m": { "function_id": "m", "attach": ["on-response"], "on_failure": on_failure } }),
        );
        assert_eq!(site.agent.get("/api/x").status, status);
    }
}

#[test]
fn on_error_sees_what_the_agent_answers_in_a_functions_place_and_may_change_it() {
    let site = guarding(
        guests::traps(),
        |site| vec![site.function("m", middleware::shows())],
        json!({ "m": { "function_id": "m", "attach": ["on-error"] } }),
    );
    let answer = site.agent.request("POST", "/api/x").header("x-request-id", "id-7").body("b").send();
    assert_eq!(answer.status, 500);
    for (name, value) in [
        ("seen-id", "id-7"),
        ("seen-method", "POST"),
        ("seen-path", "/api/x"),
        ("seen-status", "500"),
        ("seen-kind", "ExecutionError"),
        ("seen-message", "Function execution failed"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert_eq!(answer.json()["type"], "ExecutionError", "the body is the agent's own");
    let missing = site.agent.get("/nowhere");
    assert_eq!((missing.status, missing.header("seen-kind").as_str()), (404, "NotFoundError"));
}

#[test]
fn on_error_may_answer_otherwise_and_one_that_fails_is_passed_over() {
    let page = Modify::default().status(503).set("content-type", "text/html").body("<p>later</p>");
    let site = guarding(
        guests::spins(),
        |site| {
            vec![
                site.function("page", page.at(&[Point::Error])),
                site.function("bad", middleware::breaks(&[Point::Error], Break::Trap)),
            ]
        },
        json!({ "page": { "function_id": "page", "attach": ["on-error"], "order": 1 },
                "bad": { "function_id": "bad", "attach": ["on-error"], "order": 2 } }),
    );
    let answer = site.agent.get("/api/x");
    assert_eq!((answer.status, answer.text().as_str()), (503, "<p>later</p>"));
    assert_eq!(answer.header("content-type"), "text/html");
    assert_eq!(outcomes(&site, "on-error", "failed_open"), 1.0);
    assert_eq!(outcomes(&site, "on-error", "modify"), 1.0);
}

#[test]
fn a_change_of_the_chain_holds_from_the_next_request_on() {
    let site =
        guarded(|site| vec![site.function("m", middleware::rejects(&[Point::Request], 403))], json!({}));
    assert_eq!(site.agent.get("/api/x").status, 200);
    site.hub.publish_patch(json!({ "$version": 2, "middleware": {
        "m": { "function_id": "m", "attach": ["on-request"] } } }));
    site.hub.applied(2);
    assert_eq!(site.agent.get("/api/x").status, 403);
    site.hub.publish_patch(json!({ "$version": 3, "middleware": { "m": null } }));
    site.hub.applied(3);
    assert_eq!(site.agent.get("/api/x").status, 200);
}
