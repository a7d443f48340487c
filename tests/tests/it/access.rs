//! Who may do what at the public door: keys, what they open, and how they change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use twinlet_tests::keys::{self, entry};
use twinlet_tests::wait::EndOf;
use twinlet_tests::{Agent, DEADLINE, Site, eventually, guests};

use crate::{agent, site};

const ADMIN: &str = "the-key-of-ops";
const WEB: &str = "the-key-of-web";

/// A site with `/fn`, `/pub` and `/other` behind a file of keys.
fn guarded(text: &str) -> Site {
    let builder = agent();
    let file = builder.state_dir().join("keys.toml");
    keys::write(&file, text);
    let site = Site::start(builder.env("API_KEYS_FILE", file.display()));
    let function = site.function("fn", guests::mirrors(200));
    site.apply(1, |d| d.serving(function).route("/pub/*", "fn").route("/other/*", "fn"));
    site
}

fn file() -> String {
    let admin = entry("ops", ADMIN, "admin = true");
    let web = entry("web", WEB, "routes = [\"/fn\", \"/metrics\", \"/twinlet/*\"]");
    format!("public = [\"/healthz\", \"/pub/*\"]\n{admin}{web}")
}

fn rewrite(agent: &Agent, text: &str) {
    keys::write(&agent.state_dir().join("keys.toml"), text);
    agent.sighup();
}

/// The status of a request whose path is sent to the letter.
fn status(agent: &Agent, method: &str, path: &str, lines: &str) -> u16 {
    agent.raw(format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{lines}\r\n")).status
}

#[test]
fn without_a_file_routes_are_open_and_the_api_is_not_there() {
    let site = site().serving("fn", guests::mirrors(200));
    assert_eq!(site.agent.get("/fn").status, 200);
    for (method, path) in [("GET", "/status"), ("POST", "/create"), ("GET", "/twinlet/status")] {
        let answer = site.agent.request(method, path).header("x-api-key", ADMIN).send();
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (404, Some("Route not found")),
            "{path}"
        );
    }
}

#[test]
fn each_path_is_opened_by_whom_the_file_says_and_by_nobody_else() {
    let site = guarded(&file());
    let (admin, web) = (format!("x-api-key: {ADMIN}\r\n"), format!("authorization: Bearer {WEB}\r\n"));
    let wrong = "authorization: Bearer the-key-of-nobody\r\n";
    for (path, none, by_wrong, by_web, by_admin) in [
        ("/fn", 401, 401, 200, 200),
        ("/other/x", 401, 401, 401, 200),
        ("/pub/x", 200, 200, 200, 200),
        ("/healthz", 200, 200, 200, 200),
        ("/readyz", 401, 401, 401, 200),
        ("/metrics", 401, 401, 200, 200),
        ("/nowhere", 401, 401, 401, 404),
        ("/pub/../fn", 401, 401, 401, 200),
        ("/pub/%2e%2e/other/x", 401, 401, 401, 200),
        ("/pub/..%2fother", 401, 401, 401, 200),
        ("/%66n", 401, 401, 401, 404),
        ("//fn", 401, 401, 404, 404),
    ] {
        let asked = |lines: &str| status(&site.agent, "GET", path, lines);
        let found = [asked(""), asked(wrong), asked(&web), asked(&admin)];
        let wanted = [none, by_wrong, by_web, by_admin];
        assert_eq!(found, wanted, "{path}");
    }
    for path in [
        "/twinlet/status",
        "/status",
        "/functions",
        "/%73tatus",
        "/pub/../status",
        "/twinlet%2fstatus",
        "/wasm/",
    ] {
        assert_eq!(status(&site.agent, "GET", path, ""), 401, "{path}");
        assert_eq!(status(&site.agent, "GET", path, &web), 401, "{path}");
        assert_ne!(status(&site.agent, "GET", path, &admin), 401, "{path}");
    }
    for method in ["HEAD", "OPTIONS", "POST", "PURGE"] {
        assert_eq!(status(&site.agent, method, "/fn", ""), 401, "{method}");
        assert_eq!(status(&site.agent, method, "/fn", &web), 200, "{method}");
    }
}

#[test]
fn two_keys_are_none() {
    let site = guarded(&file());
    let (header, bearer) = (format!("x-api-key: {WEB}\r\n"), format!("authorization: Bearer {WEB}\r\n"));
    let asked = |lines: &str| status(&site.agent, "GET", "/fn", lines);
    assert_eq!((asked(&header), asked(&bearer)), (200, 200));
    for two in [
        header.clone() + &bearer,
        header.repeat(2),
        bearer.repeat(2),
        format!("{header}x-api-key: {ADMIN}\r\n"),
        format!("{bearer}authorization: Basic eA==\r\n"),
        format!("x-api-key: {WEB}, {WEB}\r\n"),
        format!("{header}x-twinlet-signature: 00\r\n"),
    ] {
        assert_eq!(asked(&two), 401, "{two}");
    }
}

#[test]
fn whoever_is_refused_gets_the_same_answer_and_the_log_has_the_reason_and_no_key() {
    let site = guarded(&file());
    let mut answers = Vec::new();
    for (reason, method, path, lines) in [
        ("no_key", "GET", "/fn", ""),
        ("no_key", "GET", "/nowhere", ""),
        ("no_key", "GET", "/create", ""),
        ("wrong_key", "GET", "/fn", "x-api-key: the-key-of-nobody\r\n"),
        ("not_opened", "GET", "/other/x", "x-api-key: the-key-of-web\r\n"),
        ("not_opened", "POST", "/create", "x-api-key: the-key-of-web\r\n"),
        ("ambiguous", "GET", "/fn", "x-api-key: the-key-of-web\r\nx-api-key: the-key-of-web\r\n"),
        ("malformed", "GET", "/fn", "x-twinlet-key: web\r\n"),
    ] {
        let mark = site.agent.mark();
        let answer = site.agent.raw(format!(
            "{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx-request-id: the-id\r\n{lines}\r\n"
        ));
        site.agent.log_line_after(mark, reason, |line| line.contains("request the-id is refused: "));
        let headers: Vec<_> = answer.headers.into_iter().filter(|(name, _)| name != "date").collect();
        answers.push((answer.status, headers, answer.body));
        let counted = |m: &twinlet_tests::metrics::Metrics| {
            m.sum("twinlet_auth_refused_total", &[&format!("reason=\"{reason}\"")]) >= 1.0
        };
        site.agent.metrics_where(reason, counted);
    }
    assert_eq!(answers[0].0, 401);
    assert!(answers[0].1.contains(&("www-authenticate".to_owned(), b"Bearer".to_vec())));
    let body: serde_json::Value = serde_json::from_slice(&answers[0].2).unwrap();
    assert_eq!((body["error"].as_str(), body["type"].as_str()), (Some("Unauthorized"), Some("AuthError")));
    for other in &answers[1..] {
        assert_eq!(other, &answers[0]);
    }
    let log = site.agent.log_since(0).concat();
    assert!(!log.contains("the-key-of"), "a key stands in the log");
}

#[test]
fn a_body_is_not_read_before_its_sender_is_let_in() {
    let site = guarded(&file());
    let answer = site.agent.raw(
        "POST /create HTTP/1.1\r\nhost: h\r\ncontent-length: 20000000\r\nconnection: close\r\n\r\nonly this",
    );
    assert_eq!(answer.status, 401);
    let answer = site.agent.raw(format!(
        "POST /create HTTP/1.1\r\nhost: h\r\nx-api-key: {ADMIN}\r\ncontent-length: 90000000\r\nconnection: close\r\n\r\n"
    ));
    assert_eq!(answer.status, 413);
}

#[test]
fn with_admin_keys_alone_routes_are_open_and_the_api_is_theirs() {
    let site = guarded(&entry("ops", ADMIN, "admin = true"));
    assert_eq!(site.agent.get("/fn").status, 200);
    assert_eq!(site.agent.get("/metrics").status, 200);
    assert_eq!(site.agent.get("/twinlet/status").status, 401);
    let answer = site.agent.request("GET", "/twinlet/status").header("x-api-key", ADMIN).send();
    assert_ne!(answer.status, 401);
}

#[test]
fn a_key_is_rotated_without_a_gap() {
    const NEW: &str = "the-new-key-of-web";
    let site = guarded(&entry("web-1", WEB, "routes = [\"/fn\"]"));
    let with = |key: &str| site.agent.request("GET", "/fn").header("x-api-key", key).send().status;
    let (stop, moved, asked) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        let _ends = EndOf(&stop);
        let client = threads.spawn(|| {
            while !stop.load(Relaxed) {
                let key = if moved.load(Relaxed) { NEW } else { WEB };
                assert_eq!(with(key), 200, "{key}");
                asked.fetch_add(1, Relaxed);
            }
        });
        let asked_on = |what: &str| {
            let before = asked.load(Relaxed);
            eventually(what, || (asked.load(Relaxed) > before + 20 || client.is_finished()).then_some(()));
        };
        asked_on("requests with the first key");
        let both = entry("web-1", WEB, "routes = [\"/fn\"]") + &entry("web-2", NEW, "routes = [\"/fn\"]");
        rewrite(&site.agent, &both);
        eventually("the second key to open", || (with(NEW) == 200).then_some(()));
        moved.store(true, Relaxed);
        asked_on("requests with the second key");
        rewrite(&site.agent, &entry("web-2", NEW, "routes = [\"/fn\"]"));
        eventually("the first key to be refused", || (with(WEB) == 401).then_some(()));
        asked_on("requests after the first key is gone");
        stop.store(true, Relaxed);
        client.join().unwrap();
    });
}

#[test]
fn a_file_that_is_wrong_at_a_reload_changes_nothing() {
    let site = guarded(&file());
    let web = || site.agent.request("GET", "/fn").header("x-api-key", WEB).send().status;
    for (wrong, told) in [
        ("", "key: is missing"),
        ("[[key]]\nname = \"ops\"\n", "has neither"),
        ("[[key]\n", "line 1: is not TOML"),
    ] {
        let mark = site.agent.mark();
        rewrite(&site.agent, wrong);
        site.agent.log_line_after(mark, told, |line| line.contains("ERROR") && line.contains(told));
        assert_eq!((web(), site.agent.get("/fn").status), (200, 401));
    }
    let mark = site.agent.mark();
    let path = site.agent.state_dir().join("keys.toml");
    keys::write(&path, &file());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    site.agent.sighup();
    site.agent.log_line_after(mark, "the mode", |line| line.contains("its mode is 0604"));
    assert_eq!((web(), site.agent.get("/fn").status), (200, 401));
}

#[test]
fn a_file_that_is_wrong_at_the_start_is_told_whole_and_nothing_starts() {
    let builder = agent();
    let path = builder.state_dir().join("keys.toml");
    let starting = builder.env("API_KEYS_FILE", path.display());
    let fails = |told: &[&str]| {
        let mut agent = starting.spawn();
        assert_eq!(agent.wait_exit(DEADLINE), 78);
        for text in told {
            agent.log_line_where(text, |line| line.contains(text));
        }
    };
    fails(&["api_keys_file", "No such file"]);
    keys::write(&path, "colour = 1\n[[key]]\nname = \"Ops\"\nsha256 = \"hunter2\"\nadmin = true\n");
    fails(&["colour: is not a key", "key[0].name: `Ops` is not an id", "key[0].sha256: 64 hex"]);
    keys::write(&path, &file());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fails(&["its mode is 0644"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let agent = starting.start();
    assert_eq!(agent.get("/fn").status, 401);
}

/// What has the form of a component, is as large as it is said, and is none.
fn no_component(bytes: usize) -> Vec<u8> {
    let mut body = b"\0asm\x0d\0\x01\0".to_vec();
    body.resize(bytes, 0xff);
    body
}

#[test]
fn an_administrator_may_send_more_than_the_door_holds_for_strangers() {
    let site = guarded(&file());
    let request = site.agent.request("PUT", "/twinlet/functions/large").header("x-api-key", ADMIN);
    let answer = request.body(no_component(20 << 20)).send();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("compiling"), "{}", answer.text());
    let lines = format!("x-api-key: {ADMIN}\r\ncontent-length: {}\r\n", (32 << 20) + 1);
    assert_eq!(status(&site.agent, "PUT", "/twinlet/functions/large", &lines), 413);
}

#[test]
fn what_is_asked_of_the_api_is_whole_behind_a_route_that_takes_bodies_as_they_come() {
    let site = guarded(&file());
    let proxy = site.function("p", guests::prebuilt("hello-proxy"));
    site.apply(2, |d| d.function(proxy).route("/*", "p"));
    site.agent.request("GET", "/any").header("x-api-key", ADMIN).send();
    let delete = site.agent.request("POST", "/delete").header("x-api-key", ADMIN);
    let answer = delete.body(r#"{"Name":"nobody"}"#).send();
    assert_eq!((answer.status, answer.text().as_str()), (404, "Unknown function."));
}
