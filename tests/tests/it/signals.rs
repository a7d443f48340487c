//! Ending and reloading: SIGTERM, SIGINT, SIGHUP, and starts that must fail.

use std::fs;
use std::time::Duration;

use twinlet_tests::{DEADLINE, Desired, Fault, Function, Site, eventually, guests};

use crate::{agent, site};

#[test]
fn sigterm_lets_running_requests_finish_says_offline_and_exits_0() {
    let mut site = site();
    let function = site.function("slow", guests::dawdles(1000, "finished")).set("max_execution_ms", 60_000);
    site.apply(1, |d| d.serving(function));
    let (mark, before) = (site.hub.mark(), site.agent.cpu_ticks());
    std::thread::scope(|threads| {
        let call = threads.spawn(|| site.agent.get("/slow"));
        eventually("the function to run", || (site.agent.cpu_ticks() > before + 10).then_some(()));
        site.agent.sigterm();
        let answer = call.join().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "finished"));
    });
    assert_eq!(site.agent.wait_exit(DEADLINE), 0);
    site.hub.status_after(mark, "offline");
}

#[test]
fn a_request_that_does_not_end_does_not_hold_the_exit() {
    let mut site = Site::start(agent().env("SHUTDOWN_TIMEOUT_SECS", 1));
    let function = site.function("stuck", guests::spins()).set("max_execution_ms", 600_000);
    site.apply(1, |d| d.serving(function));
    let before = site.agent.cpu_ticks();
    let url = site.agent.url("/stuck");
    let call = std::thread::spawn(move || {
        twinlet_tests::http::Request::new("GET", &url).try_send().map(|r| r.status)
    });
    eventually("the function to run", || (site.agent.cpu_ticks() > before + 10).then_some(()));
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(Duration::from_secs(10)), 0);
    assert_ne!(call.join().unwrap().ok(), Some(200));
}

#[test]
fn a_download_that_stands_still_does_not_hold_the_exit() {
    let mut site = Site::start(agent().env("FETCH_STALL_TIMEOUT_SECS", 600));
    let stalls = site.faulty("slow", guests::answers("never"), Fault::Stall);
    site.hub.publish_desired(Desired::version(1).serving(Function::of("slow", &stalls)));
    site.artifacts.requested("slow.wasm", 1);
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(DEADLINE), 0);
    let log = site.agent.log_since(0);
    assert!(!log.iter().any(|line| line.contains("did not end in time")), "a thread was left behind");
}

#[test]
fn sigint_ends_it_as_well() {
    let mut site = site();
    let mark = site.hub.mark();
    site.agent.sigint();
    assert_eq!(site.agent.wait_exit(DEADLINE), 0);
    site.hub.status_after(mark, "offline");
    assert!(!site.agent.socket().exists(), "the local socket was left behind");
}

#[test]
fn sighup_reads_the_log_level_again() {
    let builder = agent().unset("LOG_LEVEL");
    let file = builder.state_dir().join("twinlet.toml");
    fs::write(&file, "log_level = \"info\"\n").unwrap();
    let site = Site::start(builder.env("TWINLET_CONFIG", file.display())).serving("fn", guests::answers("x"));
    assert!(site.agent.log_since(0).iter().all(|l| !l.contains("DEBUG")), "debug lines at info");
    fs::write(&file, "log_level = \"debug\"\n").unwrap();
    site.agent.sighup();
    site.agent.log_line_where("the reload", |l| l.contains("reloaded") && l.contains("log_level"));
    let next = site.function("next", guests::answers("x"));
    site.apply(2, |d| d.serving(next));
    site.agent.log_line_where("a line at debug", |l| l.contains("DEBUG"));
}

#[test]
fn a_reload_that_is_not_valid_changes_nothing() {
    let builder = agent().unset("LOG_LEVEL");
    let file = builder.state_dir().join("twinlet.toml");
    fs::write(&file, "log_level = \"info\"\n").unwrap();
    let mut site =
        Site::start(builder.env("TWINLET_CONFIG", file.display())).serving("fn", guests::answers("x"));
    fs::write(&file, "log_level = \"loud\"\n").unwrap();
    site.agent.sighup();
    site.agent.log_line_where("the bad value", |l| l.contains("log_level") && l.contains("loud"));
    assert_eq!(site.agent.get("/fn").text(), "x");
    assert!(site.agent.runs());
}

#[test]
fn a_configuration_that_is_wrong_is_told_whole_and_nothing_starts() {
    let mut agent = agent()
        .env("LISTEN_PORT", "eighty")
        .env("HEARTBEAT_INTERVAL_SECS", 0)
        .env("MQTT_BROKER", "ftp://x")
        .spawn();
    assert_ne!(agent.wait_exit(DEADLINE), 0);
    for key in ["LISTEN_PORT", "HEARTBEAT_INTERVAL_SECS", "MQTT_BROKER"] {
        agent.log_line_where(key, |l| l.contains(key) || l.contains(&key.to_lowercase()));
    }
}

#[test]
fn a_port_that_is_taken_is_said_and_nothing_starts() {
    let first = agent().start();
    let port = first.address().rsplit(':').next().unwrap();
    let mut second = agent().env("LISTEN_PORT", port).spawn();
    assert_ne!(second.wait_exit(DEADLINE), 0);
    second.log_line_where("the address", |l| l.contains(first.address()));
    assert_eq!(first.get("/healthz").status, 200);
}

#[test]
fn a_second_agent_on_the_same_state_is_refused_and_the_first_goes_on() {
    let builder = agent();
    let first = builder.start();
    let mut second =
        builder.clone().env("LOCAL_SOCKET", first.state_dir().join("second.sock").display()).spawn();
    assert_ne!(second.wait_exit(DEADLINE), 0);
    second.log_line_where("who is there already", |line| line.contains("another twinlet runs"));
    assert_eq!(first.get("/healthz").status, 200);
}
