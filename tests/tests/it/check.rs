//! `twinlet check`, `config show` and `version`: what they find, and that an agent beside them notices nothing.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use twinlet_tests::broker::LOGIN;
use twinlet_tests::cli::Said;
use twinlet_tests::{Broker, Certs, Cli, guests, needs_mosquitto};

use crate::{agent, site};

/// The command line with settings of its own, none of which is wrong: the state is under the build's own folder, since
/// `/tmp` does not survive a restart.
struct Node {
    state: TempDir,
    cli: Cli,
}

impl Node {
    fn new() -> Self {
        let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::set_permissions(state.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { cli: cli(state.path()), state }
    }

    fn with(&self, key: &str, value: impl ToString) -> Cli {
        self.cli.clone().env(key, value)
    }
}

fn cli(state: &Path) -> Cli {
    Cli::new(env!("CARGO_BIN_EXE_twinlet-agent"))
        .env("CACHE_DIR", state.display())
        .env("LISTEN_ADDR", "127.0.0.1")
        .env("LISTEN_PORT", 0)
}

fn check(cli: &Cli, more: &[&str]) -> (i32, Value) {
    let said: Said = cli.run(&[&["check", "--json"], more].concat());
    (said.code, said.json())
}

/// The results of a check, and its texts.
fn results(report: &Value, name: &str) -> (Vec<String>, String) {
    let of = report["findings"].as_array().unwrap().iter().filter(|f| f["check"] == name);
    let (marks, texts): (Vec<_>, Vec<_>) = of
        .map(|f| (f["result"].as_str().unwrap().to_owned(), f["text"].as_str().unwrap().to_owned()))
        .unzip();
    (marks, texts.join("\n"))
}

/// A check that is wrong, for this reason, and so the exit code.
fn wrong(cli: &Cli, more: &[&str], name: &str, why: &str) {
    let (code, report) = check(cli, more);
    let (marks, text) = results(&report, name);
    assert_eq!(code, 1, "{report:#}");
    assert!(marks.contains(&"wrong".to_owned()) && text.contains(why), "{why}: {report:#}");
}

const OFFLINE: &[&str] = &["--no-network"];

#[test]
fn settings_that_will_work_are_good_and_nothing_is_made() {
    let (node, broker) = (Node::new(), Broker::plain());
    let state = node.state.path().join("not/yet");
    let cli = cli(&state).env("MQTT_BROKER", broker.url());
    let (code, report) = check(&cli, &[]);
    assert_eq!((code, &report["wrong"]), (0, &0.into()), "{report:#}");
    for name in
        ["cache_dir", "desired state", "address space", "compiler", "listen address", "broker CONNECT"]
    {
        assert!(results(&report, name).0.contains(&"ok".to_owned()), "{name}: {report:#}");
    }
    assert!(!state.exists(), "a check changes nothing");
    let lines = cli.run(&["check", "--no-network"]).done().out;
    assert!(lines.contains("ok       compiler ") && !lines.contains("broker"), "{lines}");
}

#[test]
fn a_configuration_that_can_not_be_used_is_78_with_every_problem() {
    let said = Node::new().cli.run(&["check", "--listen-port", "70000", "--max-workers", "x"]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.out.contains("--listen-port") && said.out.contains("--max-workers"), "{said:?}");
    let show = Node::new().cli.run(&["config", "show", "--listen-port", "70000"]);
    assert_eq!((show.code, show.out.as_str()), (78, ""), "{show:?}");
    assert_eq!(Node::new().cli.run(&["check", "--no-such-flag"]).code, 2);
}

#[test]
fn each_place_that_can_not_be_used_is_named() {
    let node = Node::new();
    let file = node.state.path().join("file");
    std::fs::write(&file, "x").unwrap();
    wrong(&node.with("CACHE_DIR", file.display()), OFFLINE, "cache_dir", "is no directory");
    wrong(&node.with("LOCAL_SOCKET", file.display()), OFFLINE, "local_socket", "is no socket");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    wrong(&node.with("LISTEN_PORT", port), OFFLINE, "listen address", "in use by another program");
    wrong(&node.with("COMPILE_MEMORY_MB", 64), OFFLINE, "compiler", "compile_memory_mb 64");
    wrong(&node.with("WASM_ROOTS", "/no/such/root"), OFFLINE, "wasm_roots", "/no/such/root");
    let (_, report) = check(&node.with("CACHE_DIR", "/tmp/twinlet-check-volatile"), OFFLINE);
    let (marks, text) = results(&report, "cache_dir");
    assert!(
        marks.contains(&"warning".to_owned()) && text.contains("does not survive a restart"),
        "{report:#}"
    );
}

#[test]
fn files_of_certificates_and_keys_are_read() {
    let (node, certs) = (Node::new(), Certs::generate());
    let tls = |cert: &Path, key: &Path| {
        node.with("HTTP_TLS_CERT_FILE", cert.display()).env("HTTP_TLS_KEY_FILE", key.display())
    };
    let (code, report) = check(&tls(&certs.server.cert, &certs.server.key), OFFLINE);
    assert_eq!(code, 0, "{report:#}");
    assert!(results(&report, "http_tls").1.contains("1 certificates"), "{report:#}");
    wrong(&tls(&certs.server.cert, &certs.client.key), OFFLINE, "http_tls", "client.key");
    wrong(&tls(&certs.server.key, &certs.server.key), OFFLINE, "http_tls", "holds no certificate");
    wrong(&node.with("API_KEYS_FILE", "/no/such/keys"), OFFLINE, "api_keys_file", "/no/such/keys");
    wrong(
        &node.with("ARTIFACT_CA_FILE", certs.server.key.display()),
        OFFLINE,
        "artifact_ca_file",
        "server.key",
    );
    let broker = node.with("MQTT_BROKER", "mqtts://localhost").env("MQTT_CA_FILE", "/no/such/ca");
    wrong(&broker, OFFLINE, "mqtt_ca_file", "/no/such/ca");
}

#[test]
fn the_first_step_to_the_broker_that_fails_says_why() {
    let node = Node::new();
    let to = |url: &str| node.with("MQTT_BROKER", url);
    wrong(&to("mqtt://no-such-host.invalid"), &[], "broker name", "is not known");
    wrong(&to("mqtt://127.0.0.1:1"), &[], "broker TCP", "refused");
    // Takes connections, by its backlog, and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    wrong(&to(&format!("mqtts://127.0.0.1:{port}")), &[], "broker TLS", "did not answer in time");
    wrong(&to(&format!("mqtt://127.0.0.1:{port}")), &[], "broker CONNECT", "did not answer in time");
    if !needs_mosquitto() {
        return;
    }
    let certs = Certs::generate();
    let trusting = |broker: &Broker, ca: &Path| to(&broker.url()).env("MQTT_CA_FILE", ca.display());
    let tls = Broker::tls(&certs);
    let (code, report) = check(&trusting(&tls, &certs.ca), &[]);
    assert_eq!(code, 0, "{report:#}");
    assert!(results(&report, "broker TLS").1.contains("TLS 1.3"), "{report:#}");
    wrong(&trusting(&tls, &certs.other_ca), &[], "broker TLS", "authority that is not trusted");
    let by_address = tls.url().replace("localhost", "127.0.0.2");
    let by_address = to(&by_address).env("MQTT_CA_FILE", certs.ca.display());
    let (_, report) = check(&by_address, &[]);
    // Where it listens on 127.0.0.1 alone, TCP fails before.
    assert!(report["wrong"].as_u64().unwrap() >= 1, "{report:#}");
    wrong(&trusting(&Broker::expired(&certs), &certs.ca), &[], "broker TLS", "has expired");
    wrong(
        &trusting(&Broker::mutual_tls(&certs), &certs.ca),
        &[],
        "broker CONNECT",
        "wants a client certificate",
    );
    let guarded = Broker::with_password();
    let as_user =
        |password: &str| to(&guarded.url()).env("MQTT_USERNAME", LOGIN.0).env("MQTT_PASSWORD", password);
    assert_eq!(check(&as_user(LOGIN.1), &[]).0, 0);
    wrong(&as_user("wrong"), &[], "broker CONNECT", "the broker refused");
}

#[test]
fn beside_a_running_agent_it_is_good_and_disturbs_nothing() {
    let site = site().serving("fn", guests::answers("still here"));
    let address = site.agent.address().rsplit_once(':').unwrap().1.to_owned();
    let cli = cli(site.agent.state_dir())
        .env("LOCAL_SOCKET", site.agent.socket().display())
        .env("LISTEN_PORT", address)
        .env("MQTT_BROKER", site.broker.url())
        .env("NODE_ID", twinlet_tests::site::NODE);
    let log = site.agent.mark();
    let statuses = || site.hub.received(&site.hub.topic("status", "")).len();
    let before = statuses();
    let (code, report) = check(&cli, &[]);
    assert_eq!(code, 0, "{report:#}");
    assert!(results(&report, "listen address").1.contains("while the agent runs"), "{report:#}");
    assert_eq!(results(&report, "desired state").0, ["skipped"]);
    assert!(results(&report, "local_socket").1.contains("the running agent answers"), "{report:#}");
    assert_eq!(site.agent.get("/fn").text(), "still here");
    assert!(!site.broker.log().contains("already connected"), "{}", site.broker.log());
    let lost = |line: &String| line.contains("WARN") || line.contains("ERROR");
    assert!(!site.agent.log_since(log).iter().any(lost), "{:?}", site.agent.log_since(log));
    assert_eq!((statuses(), site.hub.status().as_str()), (before, "online"));
}

#[test]
fn of_what_is_stored_it_says_what_this_configuration_refuses() {
    let mut site = site();
    let function = site.function("fn", guests::answers("x")).set("memory_pages", 200);
    site.apply(1, |d| d.serving(function));
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(twinlet_tests::DEADLINE), 0);
    let node = cli(site.agent.state_dir());
    let before = listing(site.agent.state_dir());
    let (code, report) = check(&node, OFFLINE);
    assert_eq!(code, 0, "{report:#}");
    assert!(results(&report, "desired state").1.contains("version 1, 1 functions, 1 routes"), "{report:#}");
    wrong(&node.clone().env("MAX_MEMORY_PAGES", 100), OFFLINE, "desired state", "functions.fn.memory_pages");
    assert_eq!(listing(site.agent.state_dir()), before, "it changes nothing");
    site.agent = site.agent.again(|builder| builder);
    site.agent.answers("/fn", 200);
}

/// Every file below a directory, with its contents.
fn listing(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(listing(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn settings_are_shown_with_their_source_and_without_secrets() {
    let cli = agent_less().env("MQTT_USERNAME", "ann").env("MQTT_PASSWORD", "hunter2");
    let shown = cli.run(&["config", "show", "--pop-id", "tokyo"]).done().out;
    assert!(!shown.contains("hunter2"), "{shown}");
    let row = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("mqtt_password"), ["mqtt_password", "***", "environment"]);
    assert_eq!(row("pop_id"), ["pop_id", "tokyo", "flag"]);
    assert_eq!(row("listen_port"), ["listen_port", "3000", "default"]);
    let json = cli.run(&["config", "show", "--json"]).done().json();
    assert_eq!(json["mqtt_password"]["value"], "***");
    assert_eq!(json["node_id"]["value"], Value::Null);
}

fn agent_less() -> Cli {
    Cli::new(env!("CARGO_BIN_EXE_twinlet-agent"))
}

#[test]
fn a_build_says_what_it_is_made_of() {
    let json = agent_less().run(&["version", "--json"]).done().json();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["features"].as_array().unwrap().contains(&"compiler".into()), "{json}");
    assert!(json["wasmtime"].as_str().unwrap().starts_with("48."), "{json}");
    let agent = agent().start();
    let of_agent = agent.log_line_where("its version", |line| line.contains("twinlet "));
    assert!(of_agent.contains(&format!("twinlet {}", json["version"].as_str().unwrap())), "{of_agent}");
}
