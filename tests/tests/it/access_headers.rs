//! What functions see of a client's credentials: nothing, unless their desired state asks; and never the agent's own.

use serde_json::json;
use twinlet_tests::keys::{self, entry};
use twinlet_tests::piecewise::Wire;
use twinlet_tests::{Desired, Site, artifacts, guests};

use crate::{agent, site};

/// `/shy` asks for nothing, `/asks` for all that it may.
fn serve(site: &Site) {
    let shy = site.function("shy", guests::mirrors(200));
    let asks = site
        .function("asks", guests::mirrors(200))
        .set("permissions", json!({ "headers": ["authorization", "cookie", "x-api-key"] }));
    site.apply(1, |d| d.serving(shy).serving(asks));
}

/// Which of its own headers a mirror saw.
fn seen(head: &str) -> Vec<&'static str> {
    let names = [
        "authorization",
        "cookie",
        "x-api-key",
        "x-twinlet-key",
        "x-twinlet-new",
        "proxy-authorization",
        "x-own",
    ];
    names.into_iter().filter(|name| head.contains(&format!("\r\n{name}: "))).collect()
}

const LINES: &str = "Authorization: Basic eA==\r\nCookie: a=b\r\nX-Api-Key: theirs\r\nX-Twinlet-Key: k\r\n\
                     X-Twinlet-New: n\r\nProxy-Authorization: Basic eA==\r\nX-Own: 1\r\n";

#[test]
fn a_function_sees_what_it_asks_for_at_both_doors() {
    let site = site();
    serve(&site);
    for (path, wanted) in
        [("/shy", &["x-own"][..]), ("/asks", &["authorization", "cookie", "x-api-key", "x-own"])]
    {
        let public = Wire::to(site.agent.address()).asking("GET", path, LINES).head();
        assert_eq!(seen(&public), wanted, "{path}");
        let local = Wire::to_local(&site.agent.socket()).asking("GET", path, LINES).head();
        assert_eq!(seen(&local), wanted, "{path}, at the local door");
    }
}

#[test]
fn so_does_a_component_of_wasi_http_behind_middleware_and_without() {
    let site = site();
    let bytes = guests::proxy::does(guests::proxy::Way::Mirror);
    let shy = site.function("shy", bytes.clone());
    let asks = site.function("asks", bytes).set("permissions", json!({ "headers": ["cookie", "x-api-key"] }));
    let passes = guests::middleware::continues(&[guests::middleware::Point::Request]);
    let passes = site.function("passes", passes);
    let middleware =
        json!({ "m": { "function_id": "passes", "attach": ["on-request"], "paths": ["/guarded/*"] } });
    site.apply(1, |d| {
        let desired = d.serving(shy).serving(asks).function(passes).set("middleware", middleware);
        desired.route("/guarded/shy", "shy").route("/guarded/asks", "asks")
    });
    for (path, wanted) in [
        ("/shy", &["x-own"][..]),
        ("/guarded/shy", &["x-own"]),
        ("/asks", &["cookie", "x-api-key", "x-own"]),
        ("/guarded/asks", &["cookie", "x-api-key", "x-own"]),
    ] {
        let head = Wire::to(site.agent.address()).asking("GET", path, LINES).head();
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert_eq!(seen(&head), wanted, "{path}");
    }
}

#[test]
fn a_key_of_the_agents_is_never_passed_on() {
    let builder = agent();
    let file = builder.state_dir().join("keys.toml");
    let text = entry("web", "agents-key", "routes = [\"/asks\"]");
    keys::write(&file, &format!("public = [\"/asks/*\"]\n{text}"));
    let site = Site::start(builder.env("API_KEYS_FILE", file.display()));
    let asks = site
        .function("asks", guests::mirrors(200))
        .set("permissions", json!({ "headers": ["authorization", "x-api-key"] }));
    site.apply(1, |d| d.serving(asks).route("/asks/*", "asks"));
    for path in ["/asks", "/asks/open"] {
        for (lines, wanted) in [
            ("x-api-key: agents-key\r\nauthorization: Basic eA==\r\n", &["authorization"][..]),
            ("authorization: Bearer agents-key\r\nx-own: 1\r\n", &["x-own"]),
        ] {
            let head = Wire::to(site.agent.address()).asking("GET", path, lines).head();
            assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
            assert_eq!(seen(&head), wanted, "{path}");
        }
    }
}

#[test]
fn each_middleware_sees_what_it_asks_for_and_hands_on_the_rest() {
    let site = site();
    let digest = artifacts::sha256(b"theirs");
    let auth =
        |id: &str| site.function(id, guests::prebuilt("auth")).set("config", json!({ "sha256": [digest] }));
    let asks = json!({ "headers": ["x-api-key"] });
    let function = |desired: Desired| {
        let mirror =
            site.function("fn", guests::mirrors(200)).set("permissions", json!({ "headers": ["cookie"] }));
        desired.serving(mirror)
    };
    let attached = |id: &str| json!({ "m": { "function_id": id, "attach": ["on-request"] } });
    let sees = auth("sees").set("permissions", asks.clone());
    site.apply(1, |d| function(d).function(sees).set("middleware", attached("sees")));
    let ask = || Wire::to(site.agent.address()).asking("GET", "/fn", LINES).head();
    let head = ask();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(seen(&head), ["cookie", "x-own"]);
    // One that does not ask sees no key; one behind it that does sees it still.
    let (blind, behind) = (auth("blind"), auth("behind").set("permissions", asks));
    let both = json!({ "b": { "function_id": "blind", "attach": ["on-request"], "order": 1 } });
    site.apply(2, |d| function(d).function(blind.clone()).set("middleware", both));
    assert!(ask().starts_with("http/1.1 401"));
    let both = json!({ "a": { "function_id": "says", "attach": ["on-request"], "order": 1 },
                       "b": { "function_id": "behind", "attach": ["on-request"], "order": 2 } });
    let says = guests::middleware::Modify::default().set("x-own", "2").remove("cookie");
    let says = site.function("says", says.at(&[guests::middleware::Point::Request]));
    site.apply(3, |d| function(d).function(says).function(behind).set("middleware", both));
    let head = ask();
    assert!(head.starts_with("http/1.1 200") && head.contains("x-own: 2"), "{head}");
    // What a change takes away is gone from the whole request, seen or not.
    assert_eq!(seen(&head), ["x-own"]);
}

#[test]
fn what_can_not_be_asked_for_is_refused_with_its_path() {
    let site = site();
    let function = site
        .function("fn", guests::mirrors(200))
        .set("permissions", json!({ "headers": ["Cookie", "x-twinlet-key"] }));
    site.hub.publish_desired(Desired::version(1).serving(function));
    let reported = site.hub.reported_where("the refusal", |r| r["lastDesiredStatus"]["code"] == 400);
    let told = reported["lastDesiredStatus"]["description"].as_str().unwrap().to_owned();
    assert!(told.contains("functions.fn.permissions.headers: "), "{told}");
}
