//! What is asked for on the device and what the hub wants live in one desired state: who wins, what survives, what is
//! told of it.

use serde_json::{Value, json};
use twinlet_tests::guests;
use twinlet_tests::http::over_unix;
use twinlet_tests::{Agent, DEADLINE, Desired, eventually};

use crate::site;

/// Puts a component on the device under `/{id}`.
fn put(agent: &Agent, id: &str, component: &[u8]) -> (u16, Value) {
    let answer = agent.local("PUT", &format!("/twinlet/functions/{id}?route=/{id}"), component);
    (answer.status, answer.json())
}

fn origin(reported: &Value, id: &str) -> Value {
    reported["functions"][id]["origin"].clone()
}

#[test]
fn what_is_put_on_the_device_serves_at_once_and_after_a_restart() {
    let mut site = site();
    let (status, body) = put(&site.agent, "mine", &guests::answers("from here"));
    assert_eq!((status, &body["version"], &body["routes"]), (200, &json!(1), &json!(["/mine"])), "{body}");
    site.agent.says("/mine", "from here");
    site.hub.reported_where("the origin", |r| {
        origin(r, "mine") == "api" && r["functions"]["mine"]["phase"] == "running"
    });

    site.agent.kill9();
    site.agent = site.agent.again(|agent| agent);
    site.agent.says("/mine", "from here");

    let (status, body) = put(&site.agent, "mine", &guests::answers("and again"));
    assert_eq!((status, &body["version"]), (200, &json!(2)), "{body}");
    site.agent.says("/mine", "and again");

    let gone = site.agent.local("DELETE", "/twinlet/functions/mine", b"");
    assert_eq!(gone.status, 200);
    site.agent.answers("/mine", 404);
    assert_eq!(site.agent.local("DELETE", "/twinlet/functions/mine", b"").status, 404);
}

#[test]
fn the_hub_wins_on_the_same_id_and_gives_it_back_when_it_lets_go() {
    let mut site = site();
    assert_eq!(put(&site.agent, "f", &guests::answers("from here")).0, 200);
    let function = site.function("f", guests::answers("from the hub"));
    site.apply(1, |d| d.function(function.version(9)).route("/hub", "f"));
    site.agent.says("/hub", "from the hub");
    // The route of ours led to ours, not to whatever has its name.
    site.agent.answers("/f", 404);
    site.hub.reported_where("the hub's", |r| origin(r, "f") == "twin");

    let (status, body) = put(&site.agent, "f", &guests::answers("a try"));
    assert_eq!(status, 409, "{body}");
    assert!(body["error"].as_str().unwrap().contains("belongs to the hub"), "{body}");
    assert_eq!(site.agent.local("DELETE", "/twinlet/functions/f", b"").status, 409);

    site.agent.kill9();
    site.agent = site.agent.again(|agent| agent);
    site.agent.says("/hub", "from the hub");
    site.hub.publish_desired(Desired::version(2));
    site.hub.applied(2);
    site.agent.says("/f", "from here");
    site.hub.reported_where("ours again", |r| origin(r, "f") == "api");
}

#[test]
fn a_newer_document_leaves_alone_what_it_does_not_name() {
    let site = site();
    assert_eq!(put(&site.agent, "mine", &guests::answers("mine")).0, 200);
    let function = site.function("theirs", guests::answers("theirs"));
    site.hub.deploy(function.notification());
    site.hub.phase("theirs", 1, "running");
    let reported = site.hub.reported();
    assert_eq!((origin(&reported, "mine"), origin(&reported, "theirs")), (json!("api"), json!("deployment")));
    site.hub.publish_desired(Desired::version(3));
    site.hub.applied(3);
    site.hub.reported_where("only mine", |r| r["functions"].as_object().is_some_and(|f| f.len() == 1));
    site.agent.says("/mine", "mine");
}

#[test]
fn what_does_not_run_is_taken_back_and_what_ran_goes_on() {
    let site = site();
    let (status, body) = put(&site.agent, "f", b"\0asm\x01\0\0\0");
    assert_eq!((status, &body["retryable"]), (400, &json!(false)), "{body}");
    assert!(body["error"].as_str().unwrap().contains("compiling"), "{body}");
    let none = |body: Value| body["functions"].as_array().is_some_and(Vec::is_empty).then_some(());
    eventually("nothing is left of it", || none(site.agent.local("GET", "/twinlet/functions", b"").json()));

    assert_eq!(put(&site.agent, "f", &guests::answers("good")).0, 200);
    assert_eq!(put(&site.agent, "f", &guests::traps_at_start()).0, 503);
    site.agent.says("/f", "good");
    let why = site.agent.local("GET", "/twinlet/why/f", b"").json();
    assert!(why["conclusion"].as_str().unwrap().contains("runs"), "{why}");
}

#[test]
fn bad_input_names_its_field_and_changes_nothing() {
    let site = site();
    let component = guests::answers("x");
    let put = |path: &str, body: &[u8]| site.agent.local("PUT", &format!("/twinlet/functions/{path}"), body);
    for (path, body, field) in [
        ("UPPER", &component[..], "id:"),
        ("%2e%2e", &component, "id:"),
        (&"x".repeat(65), &component, "id:"),
        ("f?route=no-slash", &component, "routes.f.path:"),
        ("f?route=/metrics", &component, "routes.f.path:"),
        ("f?route=/a&method=G%20T", &component, "routes.f.methods:"),
        ("f?memory_pages=0", &component, "memory_pages:"),
        ("f?memory_pages=many", &component, "memory_pages:"),
        ("f?max_execution_ms=-1", &component, "max_execution_ms:"),
        ("f?config=%7B", &component, "config:"),
        ("f?config=1", &component, "config:"),
        ("f?config=%7B%22a.b%22:1%7D", &component, "config.a.b:"),
        ("f?http=nonsense", &component, "permissions.http:"),
        ("f?telemetry=perhaps", &component, "telemetry:"),
        ("f?entrypoint=rear", &component, "entrypoint:"),
        ("f?colour=red", &component, "colour:"),
        ("f", b"not a component", "body"),
        ("f", b"", "body"),
    ] {
        let answer = put(path, body);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert_eq!(answer.json()["type"], "ValidationError");
        assert!(answer.json()["error"].as_str().unwrap().contains(field), "{path}: {}", answer.text());
    }
    let listed = site.agent.local("GET", "/twinlet/functions", b"").json();
    assert_eq!(listed, json!({ "functions": [] }));
    for path in ["/twinlet/logs?limit=x", "/twinlet/logs?level=loud", "/twinlet/logs?function=A"] {
        assert_eq!(site.agent.local("GET", path, b"").status, 400, "{path}");
    }
    assert_eq!(site.agent.local("GET", "/twinlet/why/nobody", b"").status, 404);
    assert_eq!(site.agent.local("POST", "/twinlet/status", b"").status, 405);
}

#[test]
fn the_api_is_not_at_the_public_door_of_a_node_without_keys() {
    let site = site();
    for path in ["/twinlet/status", "/functions", "/status", "/wasm", "/openapi.json"] {
        assert_eq!(site.agent.get(path).status, 404, "{path}");
    }
    // Its paths are routes like any other there.
    let function = site.function("status", guests::answers("a page of ours"));
    site.apply(1, |d| d.serving(function));
    site.agent.says("/status", "a page of ours");
}

#[test]
fn an_agent_that_is_stopped_takes_back_what_was_not_ready_yet() {
    let mut site = site();
    let socket = site.agent.socket();
    let put = std::thread::spawn(move || {
        let path = "/twinlet/functions/f?max_execution_ms=60000";
        over_unix(&socket, "PUT", path, &guests::spins_at_start()).unwrap()
    });
    site.hub.phase("f", 1, "starting");
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(DEADLINE), 0);
    let answer = put.join().unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    site.agent = site.agent.again(|agent| agent);
    assert_eq!(site.agent.local("GET", "/twinlet/functions", b"").json(), json!({ "functions": [] }));
}

#[test]
fn who_is_overtaken_takes_nothing_away_from_who_came_later() {
    let site = site();
    let overtaken = {
        let socket = site.agent.socket();
        std::thread::spawn(move || {
            let path = "/twinlet/functions/f?route=/f&max_execution_ms=20000";
            over_unix(&socket, "PUT", path, &guests::spins_at_start()).unwrap()
        })
    };
    eventually("the first one's start", || {
        let told = site.agent.local("GET", "/twinlet/functions", b"").json();
        (told["functions"][0]["phase"] == "starting").then_some(())
    });
    let (status, body) = put(&site.agent, "f", &guests::answers("the second"));
    assert_eq!((status, &body["version"]), (200, &json!(2)), "{body}");
    let overtaken = overtaken.join().unwrap();
    assert_eq!(overtaken.status, 503, "{}", overtaken.text());
    assert!(overtaken.text().contains("another change came in between"), "{}", overtaken.text());
    site.agent.says("/f", "the second");
    assert_eq!(site.agent.local("GET", "/functions", b"").json(), json!(["f"]));
}
