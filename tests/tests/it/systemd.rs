//! What systemd sees: the notifications of the agent, and the unit file.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use twinlet_tests::guests;
use twinlet_tests::guests::repository;
use twinlet_tests::wait::DEADLINE;

use crate::agent;

/// Takes notifications until one of their lines is wanted.
fn told(socket: &UnixDatagram, what: &str, wanted: impl Fn(&str) -> bool) -> String {
    let mut buffer = [0; 4096];
    for _ in 0..1_000 {
        let n = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{what}: {e}"));
        let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
        if let Some(line) = text.lines().find(|line| wanted(line)) {
            return line.to_owned();
        }
    }
    panic!("{what} was not among 1000 notifications");
}

#[test]
fn it_says_that_it_is_ready_what_it_does_that_it_gets_on_and_that_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let started = agent().env("NOTIFY_SOCKET", path.display()).env("WATCHDOG_USEC", 300_000);
    let mut agent = started.start();
    told(&socket, "a status", |line| {
        line.starts_with("STATUS=") && line.contains("0 of 0 functions running")
    });
    told(&socket, "ready", |line| line == "READY=1");
    for _ in 0..3 {
        told(&socket, "the watchdog", |line| line == "WATCHDOG=1");
    }
    agent.sigterm();
    told(&socket, "the end", |line| line == "STOPPING=1");
    assert_eq!(agent.wait_exit(Duration::from_secs(20)), 0);
}

#[test]
fn its_status_line_counts_the_functions_that_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let site = twinlet_tests::site::Site::start(agent().env("NOTIFY_SOCKET", path.display()));
    let _site = site.serving("fn", guests::answers("x"));
    let line = told(&socket, "one function", |line| line.contains("1 of 1 functions running"));
    assert_eq!(line, "STATUS=version 1: 1 of 1 functions running; broker connected");
}

#[test]
fn the_unit_is_what_systemd_understands() {
    let unit = std::fs::read_to_string(repository().join("systemd/twinlet.service")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("twinlet.service");
    // The unit names where the binary will be installed; the check wants one that is there.
    std::fs::write(&path, unit.replace("ExecStart=/usr/bin/twinlet", "ExecStart=/bin/true")).unwrap();
    let Ok(checked) = Command::new("systemd-analyze").arg("verify").arg(&path).output() else {
        eprintln!("*** LEFT OUT: systemd-analyze is not installed ***");
        return;
    };
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");
}
