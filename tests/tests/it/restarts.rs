//! What survives: the broker's restart, the agent's, and the loss of everything around it.

use std::fs;
use std::time::{Duration, Instant};

use twinlet_tests::{DEADLINE, Site, guests, needs_mosquitto};

use crate::site;

/// A generous bound on a start from the disk; the goal itself is measured by the benchmark.
const START: Duration = Duration::from_secs(5);

fn two_functions() -> Site {
    let site = site();
    let (one, two) = (site.function("one", guests::answers("1")), site.function("two", guests::answers("2")));
    site.apply(1, |d| d.serving(one).serving(two));
    site
}

#[test]
fn after_the_broker_restarts_everything_is_still_applied_and_reported_again() {
    if !needs_mosquitto() {
        return;
    }
    let mut site = two_functions();
    let (mark, subscriptions) = (site.hub.mark(), site.hub.subscriptions());
    site.broker.stop();
    site.agent.metrics_where("the lost connection", |m| m.sum("twinlet_mqtt_connected", &[]) == 0.0);
    assert_eq!(site.agent.get("/one").text(), "1");
    site.broker.restart();
    site.hub.subscribed_since(subscriptions);
    // The broker kept nothing: what comes now comes from the agent.
    site.hub.status_after(mark, "online");
    site.hub.reported_after(mark, "all of it again", |r| {
        r["lastDesiredVersion"] == 1
            && r["functions"]["one"]["phase"] == "running"
            && r["functions"]["two"]["phase"] == "running"
    });
    let three = site.function("three", guests::answers("3"));
    site.apply(2, |d| d.serving(three));
    assert_eq!(site.agent.get("/three").text(), "3");
}

#[test]
fn an_agent_without_broker_and_artifact_server_serves_from_its_disk() {
    let Site { mut agent, hub, artifacts, broker } = two_functions();
    agent.sigterm();
    assert_eq!(agent.wait_exit(DEADLINE), 0);
    drop((hub, artifacts, broker));
    let begun = Instant::now();
    let again = agent.again(|b| b.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
    // Who asks earlier finds some of it missing, and that is counted.
    again.log_line_where("all of it", |line| line.contains("ready: what is on the device is served"));
    again.says("/one", "1");
    again.says("/two", "2");
    assert!(begun.elapsed() < START, "{:?}", begun.elapsed());
    assert_eq!(again.metrics().sum("edge_runner_cache_misses", &[]), 0.0);
}

#[test]
fn an_agent_that_lost_power_serves_what_it_had_accepted() {
    let mut site = two_functions();
    site.agent.kill9();
    let again = site.agent.again(|b| b.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
    again.says("/one", "1");
    again.says("/two", "2");
}

#[test]
fn an_agent_that_comes_back_reports_the_version_it_has() {
    let mut site = two_functions();
    site.agent.kill9();
    let mark = site.hub.mark();
    let _again = site.agent.again(|b| b);
    site.hub.status_after(mark, "online");
    site.hub.reported_after(mark, "version 1 applied", |r| {
        r["lastDesiredVersion"] == 1 && r["lastDesiredStatus"]["code"] == 200
    });
    assert_eq!(site.artifacts.requests("one.wasm"), 1, "it was on the disk");
}

/// Changes a byte in the middle of every artifact with this ending, and returns how many there were.
fn damage(state: &std::path::Path, ending: &str) -> usize {
    let files = fs::read_dir(state.join("artifacts")).unwrap().map(|entry| entry.unwrap().path());
    let damaged = files.filter(|path| path.extension().is_some_and(|e| e == ending)).map(|path| {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        fs::write(&path, bytes).unwrap();
    });
    damaged.count()
}

#[test]
fn compiled_code_that_was_damaged_is_compiled_again_and_never_run() {
    let mut site = two_functions();
    site.agent.kill9();
    assert_eq!(damage(site.agent.state_dir(), "cwasm"), 2);
    let again = site.agent.again(|b| b.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
    again.says("/one", "1");
    again.says("/two", "2");
    assert_eq!(site.artifacts.requests("one.wasm"), 1, "the artifact itself was whole");
}

#[test]
fn an_artifact_that_was_damaged_on_the_disk_is_fetched_again() {
    let mut site = two_functions();
    site.agent.kill9();
    assert_eq!(damage(site.agent.state_dir(), "wasm"), 2);
    damage(site.agent.state_dir(), "cwasm");
    let again = site.agent.again(|b| b);
    again.says("/one", "1");
    assert_eq!(site.artifacts.requests("one.wasm"), 2);
}

#[test]
fn a_database_that_can_not_be_read_is_set_aside() {
    let mut site = two_functions();
    site.agent.kill9();
    let db = site.agent.state_dir().join("db");
    for entry in fs::read_dir(&db).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, guests::noise(4096)).unwrap();
        }
    }
    let again = site.agent.again(|b| b);
    // The document is retained at the broker, the artifacts are files: all is rebuilt, and nothing is fetched.
    again.says("/one", "1");
    again.says("/two", "2");
}
