//! Functions that answer requests, well, badly or not at all.

use super::super::*;
use super::{Request, Response, Running, request};

/// So many answers of one instance to the same request.
fn calls(bytes: &[u8], times: usize) -> wasmtime::Result<Vec<Result<Response, String>>> {
    let mut running = Running::linked(bytes, false)?;
    (0..times).map(|_| running.answer(&full_request())).collect()
}

fn full_request() -> Request {
    Request {
        headers: vec![("x-blob".into(), vec![0, 255, 128])],
        params: vec![("name".into(), "value".into())],
        body: noise(100_000),
        ..request("")
    }
}

#[test]
fn the_fixtures_that_answer_do_so_again_and_again() {
    for (bytes, body) in [
        (answers("v1"), b"v1".to_vec()),
        (dawdles(1, "late"), b"late".to_vec()),
        (grows(), 16_u32.to_le_bytes().to_vec()),
    ] {
        let answers = calls(&bytes, 3).unwrap();
        assert!(answers.iter().all(|a| a.as_ref().is_ok_and(|r| r.status == 200 && r.body == body)));
    }
    let third = calls(&counts(), 3).unwrap().pop().unwrap().unwrap();
    assert_eq!(third.body, [3]);
    assert_eq!(calls(&returns_error("no luck"), 1).unwrap().pop().unwrap().err().unwrap(), "no luck");
}

#[test]
fn the_mirror_sends_everything_back() {
    let answer = calls(&mirrors(207), 2).unwrap().pop().unwrap().unwrap();
    assert_eq!((answer.status, &answer.body), (207, &noise(100_000)));
    let seen = |name: &str| answer.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap();
    for (name, value) in [
        ("seen-method", &b"PUT"[..]),
        ("seen-path", b"/p"),
        ("seen-query", b"q=1"),
        ("seen-host", b"gw"),
        ("seen-id", b"id-1"),
        ("seen-param", b"value"),
        ("x-blob", &[0, 255, 128]),
    ] {
        assert_eq!(seen(name), value, "{name}");
    }
}

#[test]
fn the_hostile_fixtures_fail_each_in_its_way() {
    for (bytes, reason) in [
        (spins(), "all fuel consumed"),
        (spins_at_start(), "all fuel consumed"),
        (traps(), "unreachable"),
        (traps_at_start(), "unreachable"),
        (recurses(), "call stack exhausted"),
        (imports_unknown(), "acme:unknown/thing"),
        (not_a_component(), "component"),
        (noise(1000), "magic"),
    ] {
        let error = calls(&bytes, 1).map(|_| ()).expect_err(reason);
        assert!(format!("{error:?}").contains(reason), "{reason}: {error:?}");
    }
}

#[test]
fn what_is_fetched_is_told_by_its_status_or_its_error() {
    assert_eq!(Running::new(&fetches("http://127.0.0.1:1/")).handle(""), (200, "418".into()));
    assert_eq!(Running::new(&fetches("http://127.0.0.1:1/slow")).handle(""), (502, "4".into()));
}

#[test]
fn what_is_sent_to_the_hub_is_answered_with_its_number() {
    let mut sends = Running::new(&super::super::sends());
    assert_eq!(sends.handle("reading"), (200, "1".into()));
    assert_eq!(sends.store.data().sent, [("telemetry", String::new(), b"reading".to_vec())]);
}

#[test]
fn the_hostile_ones_link_and_take_what_they_are_given() {
    for bytes in [
        hostile::floods_log(),
        hostile::floods_telemetry(),
        hostile::floods_metrics(),
        hostile::reports_for_ever(),
        hostile::floods_keys(65_536),
        hostile::ten_thousand_handles(),
        hostile::huge_log(),
        hostile::huge_telemetry(),
        hostile::huge_answer(),
        hostile::delays_a_million(),
    ] {
        Running::new(&bytes);
    }
    let mut floods = Running::new(&hostile::floods_itself(61_440));
    floods.store.data_mut().room = 7;
    assert_eq!(floods.replies("go"), "7");
    assert_eq!(floods.store.data().sent[6].2.len(), 61_440);
}
