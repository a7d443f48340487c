//! Each committed sample, deployed as its README says and tried through the real doors.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use twinlet_tests::{Desired, Function, Site, artifacts, eventually, guests};

use crate::site;

fn sample(site: &Site, id: &str, name: &str) -> Function {
    site.function(id, guests::prebuilt(name))
}

/// A site where `hello` answers on `/hello`, with a sample attached by `middleware`.
fn before_hello(function: impl FnOnce(&Site) -> Function, middleware: Value) -> Site {
    let site = site();
    let (hello, function) = (sample(&site, "hello", "hello-http"), function(&site));
    site.apply(1, |d| d.serving(hello).function(function).set("middleware", middleware));
    site
}

#[test]
fn hello_http_says_hello() {
    let site = site();
    let hello = sample(&site, "hello", "hello-http");
    site.apply(1, |d| d.serving(hello));
    assert_eq!(site.agent.get("/hello?name=Ann").text(), "Hello, Ann!\n");
}

#[test]
fn counter_actor_counts_keeps_its_count_and_ticks() {
    let mut site = site();
    let listener = sample(&site, "listener", "counter-actor");
    let counter = sample(&site, "counter", "counter-actor")
        .set("config", json!({ "tick_ms": 20, "tick_to": "listener" }))
        .set("outputs", json!({ "listener": "listener" }));
    site.apply(1, |d| d.serving(listener).serving(counter));
    let state = |site: &Site, id: &str| site.agent.answers(&format!("/{id}"), 200).json();
    assert_eq!(site.agent.post("/counter", "cast").status, 204);
    assert_eq!(state(&site, "counter")["count"], 1);
    eventually("ticks, and casts of them", || {
        (state(&site, "listener")["count"].as_u64()? >= 3 && state(&site, "counter")["ticks"].as_u64()? >= 3)
            .then_some(())
    });
    let before = state(&site, "counter");
    site.agent.kill9();
    site.agent = site.agent.again(|builder| builder);
    site.agent.answers("/counter", 200);
    let after = state(&site, "counter");
    assert_eq!(after["count"], 1);
    assert!(after["ticks"].as_u64() >= before["ticks"].as_u64(), "{before} {after}");
    eventually("further ticks", || {
        (state(&site, "counter")["ticks"].as_u64()? > after["ticks"].as_u64()?).then_some(())
    });
}

#[test]
fn auth_lets_through_who_has_the_key() {
    let digest = artifacts::sha256(b"a long secret");
    let site = before_hello(
        |site| {
            sample(site, "auth", "auth")
                .set("config", json!({ "sha256": [digest] }))
                .set("permissions", json!({ "headers": ["x-api-key"] }))
        },
        json!({ "auth": { "function_id": "auth", "attach": ["on-request"], "order": 10, "paths": ["/hello"] } }),
    );
    let with = |key: &str| site.agent.request("GET", "/hello").header("x-api-key", key).send().status;
    assert_eq!((with("a long secret"), with("another")), (200, 401));
    assert_eq!(site.agent.get("/hello").status, 401);
}

#[test]
fn request_log_logs_counts_and_converts() {
    let site = before_hello(
        |site| {
            sample(site, "log", "request-log")
                .set("config", json!({ "headers": { "x-served-by": "tokyo" }, "statuses": { "404": 410 } }))
        },
        json!({ "log": { "function_id": "log", "attach": ["on-request", "on-response", "on-error"],
                         "on_failure": "open" } }),
    );
    let mark = site.agent.mark();
    let answer = site.agent.request("GET", "/hello").header("x-request-id", "id-1").send();
    assert_eq!((answer.status, answer.header("x-served-by").as_str()), (200, "tokyo"));
    site.agent.log_line_after(mark, "the request", |line| line.contains("id-1 GET /hello"));
    site.agent.log_line_after(mark, "the response", |line| line.contains("id-1 answered 200"));
    assert_eq!(site.agent.get("/nowhere").status, 410);
    let metrics = site.agent.metrics();
    for (name, label, count) in [
        ("requests", "method=\"GET\"", 2.0),
        ("responses", "status=\"2xx\"", 1.0),
        ("failures", "kind=\"NotFoundError\"", 1.0),
    ] {
        let name = format!("twinlet_guest_counter_{name}_total");
        assert_eq!(metrics.sum(&name, &["function_id=\"log\"", label]), count, "{name}");
    }
}

#[test]
fn rate_limit_lets_through_so_many() {
    let site = before_hello(
        |site| {
            sample(site, "limit", "rate-limit")
                .set("instances", json!({ "min": 1, "max": 1 }))
                // One in an hour, so that none comes back while the test runs.
                .set("config", json!({ "per_second": 0.000_3, "burst": 3 }))
        },
        json!({ "limit": { "function_id": "limit", "attach": ["on-request"] } }),
    );
    let statuses: Vec<u16> = (0..5).map(|_| site.agent.get("/hello").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[test]
fn cloud_post_passes_on_what_it_is_sent_and_says_why_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let cloud = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        while !request.ends_with(b"{\"level\":0.7}") {
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "the request ended early");
            request.extend_from_slice(&piece[..read]);
        }
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\n\r\ndone").unwrap();
        String::from_utf8(request).unwrap()
    });
    let site = site();
    let config = json!({ "url": url, "headers": { "authorization": "Bearer x" } });
    let up = sample(&site, "up", "cloud-post")
        .set("permissions", json!({ "http": [url] }))
        .set("config", config.clone());
    let barred = sample(&site, "barred", "cloud-post").set("config", config);
    site.apply(1, |d: Desired| d.serving(up).serving(barred));
    let answer = site.agent.post("/up", r#"{"level":0.7}"#);
    assert_eq!((answer.status, answer.text().as_str()), (201, "done"));
    let request = cloud.join().unwrap();
    assert!(request.starts_with("POST /in HTTP/1.1") && request.contains("Bearer x"), "{request}");
    for (path, retryable) in [("/up", true), ("/barred", false)] {
        let answer = site.agent.post(path, "x");
        assert_eq!((answer.status, answer.json()["retryable"].as_bool()), (502, Some(retryable)), "{path}");
    }
}
