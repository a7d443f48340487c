//! Components that end too early, too late or not at all, and clients that do not read.

use serde_json::json;
use twinlet_tests::guests::proxy::{self, Way};
use twinlet_tests::piecewise::{Broken, Wire};
use twinlet_tests::{Site, eventually, guests};

use super::{invocations, odd};
use crate::agent;

#[test]
fn without_a_response_the_agent_answers() {
    for (way, why) in
        [(Way::Trap, "unreachable"), (Way::SayNothing, "without a response"), (Way::Refuse, "LoopDetected")]
    {
        let site = odd(way, 60_000);
        let answer = site.agent.get("/p");
        assert_eq!((answer.status, answer.json()["type"].as_str()), (500, Some("ExecutionError")), "{way:?}");
        assert_eq!(site.agent.local("GET", "/p", b"").status, 500);
        assert_eq!(invocations(&site, "error"), 2.0);
        site.agent.log_line_where(why, |line| line.contains("request") && line.contains(why));
    }
}

#[test]
fn one_that_neither_reads_nor_answers_is_504_in_time() {
    for way in [Way::Spin, Way::Sleep] {
        let site = odd(way, 300);
        let answer = site.agent.post("/p", "not read");
        assert_eq!((answer.status, answer.text().as_str()), (504, "Gateway Timeout"), "{way:?}");
        // There is one instance: the second call waits for nothing that the first has left.
        assert_eq!(site.agent.post("/p", "not read").status, 504);
        let labels = ["function_id=\"p\"", "outcome=\"timeout\""];
        site.agent.metrics_where("two timeouts", |m| m.sum("twinlet_invocations_total", &labels) == 2.0);
    }
}

#[test]
fn half_a_response_is_seen_to_be_broken() {
    for (way, outcome) in
        [(Way::HalfThenTrap, "error"), (Way::HalfThenLeave, "ok"), (Way::HalfThenSleep, "timeout")]
    {
        let site = odd(way, 500);
        let seen = Wire::to(site.agent.address()).asking("GET", "/p", "").closed();
        let seen = String::from_utf8(seen).unwrap();
        // What the guest breaks off at once may end before its head or its piece is on the way.
        let body = seen.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let half = body == "4\r\nhalf\r\n";
        assert!(half || (body.is_empty() && way != Way::HalfThenSleep), "{way:?}: {seen:?}");
        assert!(seen.is_empty() || seen.contains("transfer-encoding: chunked"), "{way:?}: {seen:?}");
        let mut wire = Wire::to_local(&site.agent.socket()).asking("GET", "/p", "");
        assert!(wire.head().starts_with("http/1.1 200"), "{way:?}");
        assert_eq!(wire.rest(), Err(Broken(b"half".to_vec())), "{way:?}");
        let mut old = Wire::to_local(&site.agent.socket());
        old.send("GET /p HTTP/1.0\r\nhost: localhost\r\n\r\n");
        assert!(old.head().starts_with("http/1.1 500"), "{way:?}");
        eventually(&format!("three times {outcome}"), || (invocations(&site, outcome) == 3.0).then_some(()));
    }
}

#[test]
fn a_whole_response_is_whole_whatever_the_guest_does_next() {
    let site = odd(Way::AnswerThenSpin, 500);
    let mut wire = Wire::to(site.agent.address()).asking("GET", "/p", "");
    assert!(wire.head().starts_with("http/1.1 200"));
    assert_eq!(wire.rest(), Ok(b"half".to_vec()));
    assert_eq!(invocations(&site, "timeout"), 0.0, "it goes on");
    eventually("its end", || (invocations(&site, "timeout") == 1.0).then_some(()));
}

#[test]
fn a_guest_whose_body_nobody_wants_sees_no_fault() {
    let site = odd(Way::Slow, 60_000);
    assert_eq!(site.agent.get("/p").text(), "half".repeat(10));
    let head = site.agent.request("HEAD", "/p").send();
    assert_eq!((head.status, head.body.len()), (200, 0));
    let local = site.agent.local("HEAD", "/p", b"");
    assert_eq!((local.status, local.body.len()), (200, 0));
    eventually("three good calls", || (invocations(&site, "ok") == 3.0).then_some(()));
}

#[test]
fn more_requests_than_may_wait_are_503_with_a_time_to_come_back() {
    let site = Site::start(agent().env("HTTP_QUEUE", 1).env("MAX_WORKERS", 2));
    let slow = site.function("p", proxy::does(Way::Sleep)).set("max_execution_ms", 1_500);
    site.apply(1, |d| d.serving(slow.set("instances", json!({ "min": 1, "max": 1 }))));
    let answers: Vec<_> = std::thread::scope(|threads| {
        let calls: Vec<_> = (0..8).map(|_| threads.spawn(|| site.agent.get("/p"))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(answers.iter().any(|answer| answer.status == 504));
    let refused = answers.iter().find(|answer| answer.status == 503).expect("eight at once all waited");
    assert_eq!(refused.json()["type"], "ResourceError");
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
}

#[test]
fn a_body_that_the_guest_holds_on_to_does_not_hold_its_client() {
    let site = odd(Way::Keep, 60_000);
    let mut wire = Wire::to(site.agent.address()).asking("POST", "/p", "content-length: 100\r\n");
    wire.send("only a part of it");
    assert!(wire.head().starts_with("http/1.1 200"));
    assert_eq!(wire.rest(), Ok(b"half".to_vec()));
    // Nobody will read the rest, and so nothing can follow it.
    assert_eq!(wire.closed(), b"");
}

#[test]
fn a_client_that_does_not_read_holds_nobody_else() {
    let site = Site::start(agent().env("MAX_WORKERS", 2));
    let floods = site
        .function("p", proxy::does(Way::Flood))
        .set("max_execution_ms", 3_000)
        .set("instances", json!({ "min": 1, "max": 1 }));
    let hello = site.function("hello", guests::prebuilt("hello-http"));
    site.apply(1, |d| d.serving(floods).serving(hello));
    let before = site.agent.held_bytes();
    let mut deaf: Vec<_> = (0..2).map(|_| Wire::to(site.agent.address()).asking("GET", "/p", "")).collect();
    assert!(deaf[0].head().starts_with("http/1.1 200"));
    // The guest writes, and soon waits for the client. Meanwhile everyone else is served.
    for _ in 0..20 {
        assert_eq!(site.agent.get("/hello").status, 200);
        assert_eq!(site.agent.get("/healthz").status, 200);
    }
    assert_eq!(invocations(&site, "timeout") + invocations(&site, "ok"), 0.0, "it still writes");
    // The second was waiting for the one instance; it is answered in its own time, or told that this is over.
    assert!(deaf[1].head().starts_with("http/1.1 "));
    eventually("both to end", || (invocations(&site, "timeout") == 2.0).then_some(()));
    assert!(deaf[0].rest().is_err(), "it was not finished");
    let grown = site.agent.held_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "the agent holds {grown} bytes for clients that do not read");
}
