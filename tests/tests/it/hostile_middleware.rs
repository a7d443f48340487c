//! Middleware that breaks: what it guards fails or goes on as its `on_failure` says, and what it does not guard never
//! notices.

use serde_json::json;
use twinlet_tests::desired::Desired;
use twinlet_tests::guests::actors::Break;
use twinlet_tests::guests::middleware::{self, Point};
use twinlet_tests::{Site, guests};

use crate::neighbour::{beside, with_neighbour};
use crate::site;

/// A function on `/guarded/fn`, with a middleware on `/guarded/*` that breaks at a point, and the neighbour at large.
fn guarded(point: Point, how: Break, on_failure: &str) -> Site {
    let site = site();
    let attach = match point {
        Point::Request => "on-request",
        Point::Response => "on-response",
        Point::Error => "on-error",
    };
    let guard = site.function("guard", middleware::breaks(&[point], how)).set("max_execution_ms", 500);
    let function = site.function("fn", guests::answers("fine"));
    let attached = json!({
        "function_id": "guard", "attach": [attach], "paths": ["/guarded/*"], "on_failure": on_failure,
    });
    let desired = Desired::version(1).function(guard).function(function).route("/guarded/fn", "fn");
    site.hub.publish_desired(with_neighbour(&site, desired).set("middleware", json!({ "m": attached })));
    site.hub.applied(1);
    site
}

/// What three requests for a guarded path get while the neighbour is asked, and why, as it is reported.
fn answers(site: &Site, path: &str) -> ([(u16, String); 3], String) {
    let answers = beside(site, 0, || {
        [0; 3].map(|_| {
            let answer = site.agent.get(path);
            (answer.status, answer.text())
        })
    });
    (answers, site.hub.last_error("guard"))
}

#[test]
fn a_guard_that_breaks_closes_what_it_guards_and_nothing_else() {
    for point in [Point::Request, Point::Response] {
        for (how, status, reason) in [(Break::Trap, 500, "unreachable"), (Break::Spin, 504, "500 ms")] {
            let (answers, error) = answers(&guarded(point, how, "closed"), "/guarded/fn");
            assert!(answers.iter().all(|answer| answer.0 == status), "{point:?} {how:?}: {answers:?}");
            assert!(!answers.iter().any(|answer| answer.1.contains("fine")), "{answers:?}");
            assert!(error.contains(reason), "{error}");
        }
    }
}

#[test]
fn one_that_may_fail_is_passed_over_when_it_breaks() {
    for point in [Point::Request, Point::Response] {
        for (how, reason) in [(Break::Trap, "unreachable"), (Break::Spin, "500 ms")] {
            let (answers, error) = answers(&guarded(point, how, "open"), "/guarded/fn");
            assert!(answers.iter().all(|answer| *answer == (200, "fine".into())), "{answers:?}");
            assert!(error.contains(reason), "{error}");
        }
    }
}

#[test]
fn one_for_errors_that_breaks_leaves_the_error_as_it_was() {
    for (how, reason) in [(Break::Trap, "unreachable"), (Break::Spin, "500 ms")] {
        let (answers, error) = answers(&guarded(Point::Error, how, "closed"), "/guarded/nowhere");
        for (status, body) in answers {
            assert_eq!(status, 404, "{body}");
            assert!(body.contains("Route not found"), "{body}");
        }
        assert!(error.contains(reason), "{error}");
    }
}
