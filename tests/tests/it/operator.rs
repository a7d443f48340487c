//! `twinlet twin`: an operator's side of the twin, against real brokers and nodes.

use serde_json::{Value, json};
use twinlet_tests::broker::LOGIN;
use twinlet_tests::cli::Said;
use twinlet_tests::site::NODE;
use twinlet_tests::{Broker, Certs, Cli, Desired, Hub, Site, eventually, guests, needs_mosquitto};

use crate::site;

/// The command line at a broker, for the node of the tests.
fn operator(broker: &Broker) -> Cli {
    Cli::new(env!("CARGO_BIN_EXE_twinlet-agent")).env("MQTT_BROKER", broker.url()).env("NODE_ID", NODE)
}

/// A desired state without a version, with one function on `/fn`.
fn document(site: &Site) -> Value {
    let route = json!({ "path": "/fn", "function_id": "fn" });
    let function = site.function("fn", guests::answers("hello"));
    let mut document = Value::from(Desired::version(1).function(function).route_of("fn", route));
    document.as_object_mut().unwrap().remove("$version");
    document
}

fn refused(said: &Said, why: &str) {
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains(why), "{why}: {said:?}");
}

#[test]
fn a_document_is_set_then_patched_and_the_node_says_when_it_has_it() {
    let site = site();
    let cli = operator(&site.broker);
    let set = cli.run_with(&["twin", "set", "-"], &document(&site).to_string()).done();
    assert_eq!(set.out, "version 1: applied\n");
    assert!(set.err.contains("version 1: "), "progress is shown: {set:?}");
    assert_eq!(site.agent.get("/fn").text(), "hello");

    let patched =
        cli.run(&["twin", "patch", r#"{"routes":{"fn":{"path":"/other"}}}"#, "--json"]).done().json();
    assert_eq!((&patched["version"], &patched["code"]), (&2.into(), &200.into()));
    assert_eq!(patched["functions"]["fn"]["phase"], "running");
    site.agent.answers("/other", 200);

    let got = cli.run(&["twin", "get"]).done().json();
    assert_eq!((&got["desired"]["$version"], &got["status"]), (&2.into(), &"online".into()));
    assert_eq!(got["reported"]["lastDesiredVersion"], 2);
    let desired = cli.run(&["twin", "get", "--desired"]).done().json();
    assert_eq!(desired, got["desired"]);
    assert_eq!(desired["routes"]["fn"], json!({ "path": "/other", "function_id": "fn" }));
}

#[test]
fn what_is_not_valid_is_not_sent_unless_forced_and_then_the_node_refuses_it() {
    let site = site();
    let cli = operator(&site.broker);
    let bad = r#"{"functions":{"fn":{"version":1,"colour":1}}}"#;
    let said = cli.run_with(&["twin", "set", "-"], bad);
    refused(&said, "functions.fn.colour");
    refused(&said, "functions.fn.sha256");
    assert!(site.hub.received(&site.hub.topic("twin", "/desired")).is_empty());

    let forced = cli.run_with(&["twin", "set", "-", "--force"], bad);
    assert_eq!(forced.code, 1, "{forced:?}");
    assert!(forced.out.starts_with("version 1: refused (400): "), "{forced:?}");
    assert!(forced.out.contains("functions.fn.colour"), "{forced:?}");
}

#[test]
fn a_function_that_fails_on_the_node_fails_the_command() {
    let site = site();
    let mut bad = document(&site);
    bad["functions"]["fn"]["sha256"] = "ab".repeat(32).into();
    let said = operator(&site.broker).run_with(&["twin", "set", "-"], &bad.to_string());
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("version 1: failed (500)") && said.out.contains("sha256"), "{said:?}");
}

#[test]
fn an_older_version_is_not_sent() {
    let site = site();
    let cli = operator(&site.broker);
    cli.run_with(&["twin", "set", "-"], r#"{"$version":5}"#).done();
    refused(&cli.run_with(&["twin", "set", "-"], r#"{"$version":4}"#), "5 is known already");
    refused(&cli.run(&["twin", "patch", r#"{"$version":9}"#]), "leave `$version` out");
    cli.run_with(&["twin", "set", "-"], r#"{"$version":5}"#).done();
    let next = cli.run_with(&["twin", "set", "-"], "{}").done();
    assert_eq!(next.out, "version 6: applied\n");
}

#[test]
fn a_node_that_is_away_finds_it_when_it_is_back() {
    let mut site = site();
    let cli = operator(&site.broker);
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(twinlet_tests::DEADLINE), 0);
    let said = cli.run_with(&["twin", "set", "-", "--wait", "1"], &document(&site).to_string());
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("the node is offline; the broker keeps it"), "{said:?}");
    let unwaited = cli.run(&["twin", "patch", r#"{"settings":{"log_level":"debug"}}"#, "--wait", "0"]).done();
    assert_eq!(unwaited.out, "version 2: published\n");
    site.agent = site.agent.again(|builder| builder);
    site.hub.applied(2);
    assert_eq!(site.agent.get("/fn").text(), "hello");
}

#[test]
fn operators_at_the_same_moment_lose_nothing_of_each_other() {
    let site = site();
    let cli = operator(&site.broker);
    cli.run_with(&["twin", "set", "-"], &document(&site).to_string()).done();
    let routes: Vec<String> = (0..4).map(|n| format!("r{n}")).collect();
    let patch = |id: &String| {
        let patch = json!({ "routes": { id: { "path": format!("/{id}"), "function_id": "fn" } } });
        cli.run(&["twin", "patch", &patch.to_string(), "--wait", "0"]).done()
    };
    std::thread::scope(|threads| {
        let patching: Vec<_> = routes.iter().map(|id| threads.spawn(move || patch(id))).collect();
        patching.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    });
    for id in &routes {
        site.agent.answers(&format!("/{id}"), 200);
    }
    let desired = cli.run(&["twin", "get", "--desired"]).done().json();
    assert_eq!(desired["routes"].as_object().unwrap().len(), 5, "{desired}");
    site.hub.applied(desired["$version"].as_u64().unwrap());
}

#[test]
fn watch_shows_what_a_node_says_as_it_comes_and_over_a_lost_broker() {
    if !needs_mosquitto() {
        return;
    }
    let mut site = site();
    let cli = operator(&site.broker);
    let (watch, lines) = (cli.start(&["twin", "watch"]), cli.start(&["twin", "watch", "--json"]));
    watch.says("status     online");
    lines.says(r#""kind":"status""#);
    let function = site.function("fn", guests::sends()).set("permissions", json!({ "telemetry": true }));
    site.apply(1, |d| d.serving(function));
    watch.says("desired    version 1: 1 functions, 1 routes, 0 middleware");
    watch.says("reported   version 1: 200 applied");
    watch.says("fn v1 running");
    site.agent.post("/fn", r#"{"t":21}"#);
    watch.says(r#"telemetry  fn {"t":21}"#);
    watch.says("heartbeat  healthy, 1 functions");
    let line: Value = serde_json::from_str(&lines.says(r#""kind":"telemetry""#)).unwrap();
    assert_eq!((&line["function_id"], &line["payload"]), (&"fn".into(), &json!({ "t": 21 })));
    let mark = watch.mark();
    site.broker.restart();
    watch.says_after(mark, "the connection to the broker was lost");
    watch.says_after(mark, "connected again");
    watch.says_after(mark, "status     online");
}

#[test]
fn a_wrong_name_a_wrong_broker_and_a_wrong_flag_are_told_apart() {
    let broker = Broker::plain();
    let cli = operator(&broker);
    refused(&cli.run(&["twin", "get", "--node", "nobody"]), "keeps nothing of a node nobody");
    refused(&cli.run(&["twin", "patch", "{}", "--node", "nobody"]), "nothing to patch");
    refused(&cli.run(&["twin", "get", "--broker", "mqtt://127.0.0.1:1"]), "Connection refused");
    let wrong = cli.run(&["twin", "get", "--broker", "http://x", "--node", "a/b"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("--broker: `http://x` does not begin with mqtt://"), "{wrong:?}");
    assert!(wrong.err.contains("--node: `a/b`"), "every problem is told: {wrong:?}");
    refused(&cli.run(&["twin", "set", "/no/such/file"]), "/no/such/file");
    refused(&cli.run_with(&["twin", "set", "-"], "[1"), "standard input is not JSON");
    refused(&cli.run_with(&["twin", "set", "-"], "[1]"), "not an object");
}

#[test]
fn certificates_and_passwords_get_an_operator_in_and_their_absence_is_told() {
    if !needs_mosquitto() {
        return;
    }
    let certs = Certs::generate();
    let broker = Broker::mutual_tls(&certs);
    Hub::at(&broker, NODE).publish_desired(json!({ "$version": 3 }));
    let cli = operator(&broker);
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (ca, other) = (path(&certs.ca), path(&certs.other_ca));
    let (cert, key) = (path(&certs.client.cert), path(&certs.client.key));
    let get = ["twin", "get", "--desired", "--cert-file", &cert, "--key-file", &key];
    let got = eventually("the retained document", || {
        let said = cli.run(&[&get[..], &["--ca-file", &ca]].concat());
        (said.code == 0).then_some(said)
    });
    assert_eq!(got.json(), json!({ "$version": 3 }));
    refused(&cli.run(&[&get[..], &["--ca-file", &other]].concat()), "authority that is not trusted");
    refused(&cli.run(&["twin", "get", "--ca-file", &ca]), "the broker wants a client certificate");
    let broker = Broker::with_password();
    let cli = operator(&broker).env("MQTT_USERNAME", LOGIN.0);
    refused(&cli.clone().env("MQTT_PASSWORD", "wrong").run(&["twin", "get"]), "the broker refused: ");
    refused(&cli.env("MQTT_PASSWORD", LOGIN.1).run(&["twin", "get"]), "keeps nothing of a node");
}
