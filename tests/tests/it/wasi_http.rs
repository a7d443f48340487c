//! Components of `wasi:http/proxy` that know nothing of twinlet, through the real doors: the sample `hello-proxy`, its
//! bodies piece by piece, and what stands around it.

mod fetching;
mod odd;
mod streams;

use serde_json::{Value, json};
use twinlet_tests::guests::middleware::{self, Modify, Point};
use twinlet_tests::guests::proxy::{self, Way};
use twinlet_tests::{AgentBuilder, Desired, Function, Site, guests};

use crate::agent;

/// A site where the sample serves everything below `/p`, with fields of its own; a call may take a minute.
fn proxy_with(agent: AgentBuilder, fields: Value) -> Site {
    let site = Site::start(agent);
    let function = site.function("p", guests::prebuilt("hello-proxy")).set("max_execution_ms", 60_000);
    let fields = fields.as_object().unwrap().iter();
    let function = fields.fold(function, |function, (key, value)| function.set(key, value.clone()));
    site.apply(1, |d| d.function(function).route("/p/*", "p"));
    site
}

fn proxy() -> Site {
    proxy_with(agent(), json!({}))
}

/// A site where a component that goes its own way serves `/p`, with one instance and little time.
fn odd(way: Way, max_execution_ms: u64) -> Site {
    let site = Site::start(agent());
    let function = site
        .function("p", proxy::does(way))
        .set("max_execution_ms", max_execution_ms)
        .set("instances", json!({ "min": 1, "max": 1 }));
    site.apply(1, |d| d.serving(function));
    site
}

fn invocations(site: &Site, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    site.agent.metrics().sum("twinlet_invocations_total", &["function_id=\"p\"", &outcome])
}

fn instances(site: &Site) -> f64 {
    site.agent.metrics().sum("twinlet_instances", &["function_id=\"p\""])
}

#[test]
fn it_says_hello_and_its_length_stays() {
    let site = proxy_with(agent(), json!({ "entrypoint": "incoming-handler" }));
    let answer = site.agent.get("/p/hello?name=Ann%20Bo");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, Ann Bo!\n"));
    assert_eq!(answer.header("content-length"), "15");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(site.agent.get("/p/elsewhere").status, 404);
    assert_eq!(site.agent.local("GET", "/p/hello", b"").text(), "Hello, world!\n");
}

#[test]
fn a_head_is_answered_without_a_body_and_the_guest_sees_no_fault() {
    let site = proxy();
    for _ in 0..50 {
        let answer = site.agent.request("HEAD", "/p/hello").send();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.header("content-length"), "14");
    }
    let local = site.agent.local("HEAD", "/p/hello", b"");
    assert_eq!((local.status, local.body.len(), local.header("content-length")), (200, 0, "14".into()));
    site.agent
        .metrics_where("51 good calls", |m| m.sum("twinlet_invocations_total", &["outcome=\"ok\""]) == 51.0);
}

#[test]
fn one_instance_answers_one_request_after_the_other() {
    let site = proxy_with(agent(), json!({ "instances": { "min": 1, "max": 1 } }));
    let client = twinlet_tests::http::client();
    // Of every resource that the host did not let go of, there would be more than one instance may have.
    for n in 0..1_500 {
        let request = match n % 2 {
            0 => site.agent.request("GET", "/p/hello"),
            _ => site.agent.request("POST", "/p/echo").body("Hello, world!\n"),
        };
        let answer = request.send_by(&client).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!\n"), "request {n}");
    }
    assert_eq!(instances(&site), 1.0);
    assert_eq!(invocations(&site, "error"), 0.0);
}

#[test]
fn what_a_guest_leaves_behind_never_fails_a_later_request() {
    let site = odd(Way::Keep, 60_000);
    let client = twinlet_tests::http::client();
    // At six resources a request, one instance could answer 170 of them.
    for n in 0..600 {
        let answer = site.agent.request("GET", "/p").send_by(&client).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "half"), "request {n}");
    }
    assert!(instances(&site) <= 1.0);
    assert_eq!(invocations(&site, "error"), 0.0);
}

#[test]
fn each_request_has_an_instance_of_its_own_where_that_is_asked_for() {
    let site = proxy_with(agent(), json!({ "instances": { "min": 0, "max": 2, "isolation": "fresh" } }));
    for _ in 0..20 {
        assert_eq!(site.agent.post("/p/echo", "abc").text(), "abc");
    }
    site.agent.metrics_where("no instance", |m| m.sum("twinlet_instances", &["function_id=\"p\""]) == 0.0);
}

/// A site where the sample stands behind and before middleware.
fn guarded(functions: impl FnOnce(&Site) -> Vec<Function>, middleware: Value) -> Site {
    let site = Site::start(agent());
    let target = site.function("p", guests::prebuilt("hello-proxy"));
    let functions = functions(&site);
    site.apply(1, |d: Desired| {
        let desired = d.function(target).route("/p/*", "p").set("middleware", middleware);
        functions.into_iter().fold(desired, Desired::function)
    });
    site
}

#[test]
fn middleware_before_it_changes_what_it_is_sent() {
    let changed = Modify::default().set("content-type", "x/y").body("other");
    let site = guarded(
        |site| vec![site.function("m", changed.at(&[Point::Request]))],
        json!({ "m": { "function_id": "m", "attach": ["on-request"] } }),
    );
    let answer = site.agent.post("/p/echo", "body");
    assert_eq!((answer.status, answer.text().as_str()), (200, "other"));
    assert_eq!(answer.header("content-type"), "x/y");
}

#[test]
fn middleware_after_it_sees_its_answer_whole() {
    let site = guarded(
        |site| {
            vec![
                site.function("shows", middleware::shows()),
                site.function("m", Modify::default().body("changed").at(&[Point::Response])),
            ]
        },
        json!({ "shows": { "function_id": "shows", "attach": ["on-response"], "order": 2, "paths": ["/p/count"] },
                "m": { "function_id": "m", "attach": ["on-response"], "order": 1, "paths": ["/p/hello"] } }),
    );
    let answer = site.agent.get("/p/count?to=12&every_ms=1");
    assert_eq!((answer.status, answer.text().lines().count()), (200, 12));
    assert_eq!((answer.header("seen-status").as_str(), answer.header("seen-bytes").as_str()), ("200", "27"));
    assert_eq!(answer.header("content-length"), "27");
    let answer = site.agent.get("/p/hello");
    assert_eq!((answer.text().as_str(), answer.header("content-length").as_str()), ("changed", "7"));
}

#[test]
fn middleware_after_it_never_sees_half_an_answer() {
    let site = Site::start(agent());
    let function = site.function("p", proxy::does(Way::HalfThenTrap));
    let shows = site.function("shows", middleware::shows());
    let middleware = json!({ "shows": { "function_id": "shows", "attach": ["on-response"] } });
    site.apply(1, |d| d.serving(function).function(shows).set("middleware", middleware));
    let answer = site.agent.get("/p");
    assert_eq!((answer.status, answer.header("seen-status").as_str()), (500, ""));
}
