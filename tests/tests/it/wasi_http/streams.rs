//! Bodies piece by piece: a piece is there before the next is made, and what breaks off never looks whole.

use std::time::{Duration, Instant};

use serde_json::json;
use twinlet_tests::guests;
use twinlet_tests::piecewise::Wire;

use super::{invocations, proxy, proxy_with};
use crate::agent;

#[test]
fn a_large_body_comes_back_whole() {
    let site = proxy_with(agent().env("HTTP_MAX_BODY_BYTES", 16 << 20), json!({}));
    let body = guests::noise(9 << 20);
    let head = format!("content-length: {}\r\n", body.len());
    let mut wire = Wire::to(site.agent.address()).asking("POST", "/p/echo", &head);
    let mut sending = wire.other_end();
    std::thread::scope(|threads| {
        // Beside the reading: where nobody reads what comes back, the guest reads no more either.
        threads.spawn(|| sending.send(&body));
        assert!(wire.head().starts_with("http/1.1 200"));
        assert!(wire.rest().unwrap() == body, "it came back changed");
    });
}

#[test]
fn each_piece_comes_back_before_the_next_is_sent() {
    // A body may take longer than a head.
    let site = proxy_with(agent().env("HTTP_HEAD_TIMEOUT_SECS", 1), json!({}));
    let mut wire = Wire::to(site.agent.address()).asking("POST", "/p/echo", "transfer-encoding: chunked\r\n");
    wire.send_chunk("one");
    let head = wire.head();
    assert!(head.starts_with("http/1.1 200") && head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(wire.chunk().unwrap().unwrap(), b"one");
    let begun = Instant::now();
    // Not a wait for anything: it is a client that takes its time.
    while begun.elapsed() < Duration::from_millis(1_600) {
        std::thread::sleep(Duration::from_millis(400));
        wire.send_chunk("and on");
        assert_eq!(wire.chunk().unwrap().unwrap(), b"and on");
    }
    wire.send_chunk("");
    assert_eq!(wire.chunk(), Ok(None));
    // No other request may stand where the chunks' end is read in another way.
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(wire.closed(), b"");
}

#[test]
fn the_first_line_is_there_long_before_the_last() {
    let site = proxy();
    let mut wire = Wire::to(site.agent.address()).asking("GET", "/p/count?to=2&every_ms=3600000", "");
    assert!(wire.head().starts_with("http/1.1 200"));
    assert_eq!(wire.chunk().unwrap().unwrap(), b"1\n");
    assert_eq!(invocations(&site, "ok"), 0.0, "the guest has not ended");

    let site = proxy();
    let mut wire = Wire::to_local(&site.agent.socket()).asking("GET", "/p/count?to=2&every_ms=3600000", "");
    assert!(wire.head().starts_with("http/1.1 200"));
    assert_eq!(wire.chunk().unwrap().unwrap(), b"1\n");
    assert_eq!(invocations(&site, "ok"), 0.0, "the guest has not ended");
}

#[test]
fn the_local_door_frames_what_it_streams() {
    let site = proxy();
    let body = guests::noise(300_000);
    assert!(site.agent.local("POST", "/p/echo", &body).body == body, "it came back changed");
    let mut wire = Wire::to_local(&site.agent.socket()).asking("GET", "/p/count?to=3&every_ms=1", "");
    wire.head();
    assert_eq!(wire.rest().unwrap(), b"1\n2\n3\n");
    // The same connection again, and then one whose client knows no chunks.
    let mut wire = wire.asking("GET", "/p/hello", "");
    wire.head();
    assert_eq!(wire.rest().unwrap(), b"Hello, world!\n");
    let mut old = Wire::to_local(&site.agent.socket());
    old.send("GET /p/count?to=3&every_ms=1 HTTP/1.0\r\nhost: localhost\r\n\r\n");
    assert!(old.head().contains("content-length: 6\r\n"));
    assert_eq!(old.closed(), b"1\n2\n3\n");
}

#[test]
fn what_runs_past_its_time_while_it_streams_is_broken_and_not_short() {
    let site = proxy_with(agent(), json!({ "max_execution_ms": 500 }));
    let path = "/p/count?to=100000&every_ms=10";
    let mut wire = Wire::to(site.agent.address()).asking("GET", path, "");
    assert!(wire.head().starts_with("http/1.1 200"));
    let broken = wire.rest().unwrap_err().0;
    assert!(broken.starts_with(b"1\n2\n"), "{broken:?}");
    let mut wire = Wire::to_local(&site.agent.socket()).asking("GET", path, "");
    assert!(wire.head().starts_with("http/1.1 200"));
    assert!(wire.rest().unwrap_err().0.starts_with(b"1\n2\n"));
    let labels = ["function_id=\"p\"", "outcome=\"timeout\""];
    site.agent.metrics_where("two timeouts", |m| m.sum("twinlet_invocations_total", &labels) == 2.0);
}

#[test]
fn a_guest_whose_client_is_gone_ends_and_the_next_one_is_served() {
    let site =
        proxy_with(agent(), json!({ "max_execution_ms": 3_600_000, "instances": { "min": 1, "max": 1 } }));
    let path = "/p/count?to=1000000000&every_ms=10";
    let mut wire = Wire::to(site.agent.address()).asking("GET", path, "");
    wire.chunk_after_head();
    drop(wire);
    // There is one instance, and it is free again an hour before its time.
    assert_eq!(site.agent.get("/p/hello").status, 200);
    let mut wire = Wire::to_local(&site.agent.socket()).asking("GET", path, "");
    wire.chunk_after_head();
    drop(wire);
    assert_eq!(site.agent.get("/p/hello").status, 200);
    let mut wire = Wire::to(site.agent.address()).asking("POST", "/p/echo", "transfer-encoding: chunked\r\n");
    wire.send_chunk("one");
    wire.chunk_after_head();
    drop(wire);
    assert_eq!(site.agent.get("/p/hello").status, 200);
}

#[test]
fn a_body_over_the_limit_is_refused_by_the_door_or_broken_off_for_the_guest() {
    let site = proxy_with(agent().env("HTTP_MAX_BODY_BYTES", 1_000), json!({}));
    assert_eq!(site.agent.post("/p/echo", vec![b'x'; 1_000]).body.len(), 1_000);
    let told = site.agent.post("/p/echo", vec![b'x'; 1_001]);
    assert_eq!((told.status, told.json()["type"].as_str()), (413, Some("ValidationError")));
    assert_eq!(invocations(&site, "ok"), 1.0, "the guest never learned of it");

    let chunked = |lines: &str| {
        Wire::to(site.agent.address()).asking(
            "POST",
            "/p/echo",
            &format!("transfer-encoding: chunked\r\n{lines}"),
        )
    };
    let mut wire = chunked("");
    wire.send_chunk(vec![b'x'; 1_001]);
    let head = wire.head();
    assert!(head.starts_with("http/1.1 413"), "the guest says so itself: {head} {:?}", wire.closed());
    let mut wire = chunked("");
    wire.send_chunk(vec![b'x'; 600]);
    wire.head();
    assert_eq!(wire.chunk().unwrap().unwrap().len(), 600);
    wire.send_chunk(vec![b'x'; 600]);
    assert_eq!(wire.rest().unwrap_err().0.len(), 0);
}
