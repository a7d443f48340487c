//! What passes between client and function: everything, unchanged, both ways.

use serde_json::json;
use twinlet_tests::{Desired, Site, guests};

use crate::site;

fn mirror(status: u16) -> Site {
    let site = site();
    let function = site.function("mirror", guests::mirrors(status));
    let desired = Desired::version(1)
        .function(function)
        .route_of("m", json!({ "host": "*", "path": "/m/{name}", "function_id": "mirror", "priority": 0 }))
        .route_of("rest", json!({ "path": "/rest/*", "function_id": "mirror" }));
    site.hub.publish_desired(desired);
    site.hub.applied(1);
    site
}

#[test]
fn body_query_headers_method_and_status_pass_both_ways() {
    let site = mirror(207);
    let body = guests::noise(300_000);
    let answer = site
        .agent
        .request("POST", "/m/a%20b?x=%20&y")
        .header("host", "Gateway.local:8080")
        .header("x-blob", [0x80, 0xff, b'!'])
        .header("x-twice", "1")
        .header("x-twice", "2")
        .body(body.clone())
        .send();
    assert_eq!(answer.status, 207);
    assert!(answer.body == body, "the body came back changed");
    for (name, value) in [
        ("seen-method", "POST"),
        ("seen-path", "/m/a%20b"),
        ("seen-query", "x=%20&y"),
        ("seen-host", "gateway.local"),
        ("seen-param", "a b"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert_eq!(answer.header("seen-id"), answer.header("x-request-id"));
    let of = |name: &str| {
        let all = answer.headers.iter().filter(|(n, _)| n == name);
        all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("x-blob"), [[0x80, 0xff, b'!']]);
    assert_eq!(of("x-twice"), [b"1", b"2"]);
}

#[test]
fn every_method_reaches_the_function() {
    let site = mirror(200);
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
        assert_eq!(site.agent.request(method, "/m/x").send().header("seen-method"), method);
    }
    let head = site.agent.request("HEAD", "/m/x").send();
    assert_eq!((head.status, head.header("seen-method").as_str(), head.body.len()), (200, "HEAD", 0));
}

#[test]
fn an_open_path_takes_what_follows() {
    let site = mirror(200);
    assert_eq!(site.agent.get("/rest/of/it?").header("seen-path"), "/rest/of/it");
    assert_eq!(site.agent.get("/restless").status, 404);
}

#[test]
fn headers_of_the_connection_do_not_reach_the_function() {
    let site = mirror(200);
    let answer = site.agent.raw(
        "POST /m/x HTTP/1.1\r\nhost: h\r\nconnection: close\r\nkeep-alive: timeout=5\r\nte: trailers\r\n\
         transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!((answer.status, answer.text().as_str()), (200, "abc"));
    // The mirror would send them back.
    assert_eq!((answer.header("keep-alive").as_str(), answer.header("te").as_str()), ("", ""));
}

#[test]
fn a_status_that_http_does_not_know_is_the_functions_fault() {
    let site = mirror(999);
    let answer = site.agent.get("/m/x");
    assert_eq!((answer.status, answer.json()["type"].as_str()), (500, Some("ExecutionError")));
}
