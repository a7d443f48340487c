//! What a client gets when something is wrong: the contract's statuses, types and bodies.

use serde_json::{Value, json};
use twinlet_tests::{Response, Site, guests};

use crate::{agent, site};

/// The common fields of every JSON error.
fn assert_error(answer: &Response, status: u16, kind: &str, retryable: bool) -> Value {
    let body = answer.json();
    assert_eq!((answer.status, body["type"].as_str()), (status, Some(kind)), "{}", answer.text());
    assert!(answer.header("content-type").starts_with("application/json"));
    assert_eq!(body["retryable"], retryable);
    assert!(body["error"].as_str().is_some_and(|e| !e.is_empty()), "{body}");
    assert_eq!(body["request_id"], answer.header("x-request-id"));
    assert_ne!(body["request_id"], "");
    body
}

#[test]
fn no_route_is_404_as_the_contract_has_it() {
    let answer = site().agent.get("/nowhere");
    let body = assert_error(&answer, 404, "NotFoundError", false);
    assert_eq!(body["error"], "Route not found");
}

#[test]
fn a_path_without_this_method_is_405_and_names_those_it_has() {
    let site = site();
    let function = site.function("fn", guests::answers("posted"));
    let route = json!({ "path": "/fn", "function_id": "fn", "methods": ["POST"] });
    site.apply(1, |d| d.function(function).route_of("r", route));
    let answer = site.agent.get("/fn");
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), "POST");
    assert_eq!(site.agent.post("/fn", "x").text(), "posted");
}

#[test]
fn a_body_over_the_limit_is_413_whether_announced_or_not() {
    let site = Site::start(agent().env("HTTP_MAX_BODY_BYTES", 1000)).serving("fn", guests::mirrors(200));
    assert_eq!(site.agent.post("/fn", vec![b'x'; 1000]).status, 200);
    let announced = site.agent.raw("POST /fn HTTP/1.1\r\nhost: h\r\ncontent-length: 100000000000000\r\n\r\n");
    assert_eq!(announced.status, 413);
    let chunk = format!("3e9\r\n{}\r\n", "x".repeat(1001));
    let head = "POST /fn HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = site.agent.raw(format!("{head}{chunk}0\r\n\r\n"));
    assert_eq!(chunked.status, 413);
    assert_eq!(site.agent.post("/fn", "still there").status, 200);
}

#[test]
fn what_is_no_http_is_400() {
    let site = site();
    assert_eq!(site.agent.raw("this is no request\r\n\r\n").status, 400);
    assert_eq!(site.agent.get("/healthz").status, 200);
}

#[test]
fn a_head_over_the_limit_is_refused() {
    let site = site();
    let answer = site.agent.raw(format!("GET / HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(100_000)));
    assert!([400, 413, 431].contains(&answer.status), "{}", answer.status);
    assert_eq!(site.agent.get("/healthz").status, 200);
}

#[test]
fn more_requests_than_may_wait_are_503_with_a_time_to_come_back() {
    let site = Site::start(agent().env("HTTP_QUEUE", 1).env("MAX_WORKERS", 2));
    let one = json!({ "min": 1, "max": 1 });
    let function = site.function("slow", guests::dawdles(1500, "done")).set("instances", one);
    site.apply(1, |d| d.serving(function.set("max_execution_ms", 60_000)));
    let answers: Vec<Response> = std::thread::scope(|threads| {
        let calls: Vec<_> = (0..8).map(|_| threads.spawn(|| site.agent.get("/slow"))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(answers.iter().any(|a| a.status == 200 && a.text() == "done"));
    let refused = answers.iter().find(|a| a.status != 200).expect("eight at once were all served");
    assert_error(refused, 503, "ResourceError", true);
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
}

#[test]
fn a_trap_is_500_and_the_next_call_gets_a_fresh_instance() {
    let site = site();
    let (bad, good) = (site.function("bad", guests::traps()), site.function("good", guests::answers("fine")));
    site.apply(1, |d| d.serving(bad).serving(good));
    for _ in 0..3 {
        assert_error(&site.agent.get("/bad"), 500, "ExecutionError", true);
    }
    assert_eq!(site.agent.get("/good").text(), "fine");
}

#[test]
fn an_error_that_a_function_returns_is_500_without_its_text_and_is_reported() {
    let site = site().serving("bad", guests::returns_error("the secret is 42"));
    let answer = site.agent.get("/bad");
    assert_error(&answer, 500, "ExecutionError", true);
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    site.agent
        .log_line_where("the function's error", |l| l.contains("the secret is 42") && l.contains("bad"));
    assert!(site.hub.last_error("bad").contains("the secret is 42"));
}

#[test]
fn a_stack_overflow_is_500_and_nothing_more() {
    let mut site = site().serving("deep", guests::recurses());
    for _ in 0..3 {
        assert_error(&site.agent.get("/deep"), 500, "ExecutionError", true);
    }
    assert!(site.agent.runs());
}

#[test]
fn every_response_carries_a_request_id_of_its_own() {
    let site = site().serving("fn", guests::answers("x"));
    let ids: Vec<String> = ["/fn", "/fn", "/nowhere", "/metrics", "/healthz", "/readyz"]
        .iter()
        .map(|path| site.agent.get(path).header("x-request-id"))
        .collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(!id.is_empty() && !ids[..index].contains(id), "{ids:?}");
    }
}
