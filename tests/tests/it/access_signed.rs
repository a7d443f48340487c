//! Signed requests: good for what they say, within five minutes, and once.

use twinlet_tests::keys::{self, SignedRequest, Signer, entry, now};
use twinlet_tests::{Site, eventually, guests};

use crate::agent;

const SECRET: [u8; 32] = [7; 32];

fn signer() -> Signer {
    Signer::new("meter", &SECRET)
}

/// A site with `/fn` and the streaming `/proxy/*` behind a file of keys.
fn guarded() -> Site {
    let builder = agent();
    let file = builder.state_dir().join("keys.toml");
    let text =
        signer().entry("routes = [\"/fn\", \"/proxy/*\"]") + &entry("web", "a-key", "routes = [\"/fn\"]");
    keys::write(&file, &text);
    let site = Site::start(builder.env("API_KEYS_FILE", file.display()));
    let function = site.function("fn", guests::mirrors(200));
    let proxy = site.function("proxy", guests::prebuilt("hello-proxy"));
    site.apply(1, |d| d.serving(function).function(proxy).route("/proxy/*", "proxy").route("/other", "fn"));
    site
}

fn post() -> SignedRequest {
    SignedRequest::new("POST", "/fn", "a=1&b=%20", b"the body")
}

fn send(site: &Site, request: &SignedRequest) -> u16 {
    signer().send(&site.agent.url(""), request).status
}

#[test]
fn what_was_signed_is_answered_and_functions_see_nothing_of_the_signature() {
    let site = guarded();
    let answer = signer().send(&site.agent.url(""), &post());
    assert_eq!((answer.status, answer.text().as_str()), (200, "the body"));
    assert_eq!(answer.header("seen-query"), "a=1&b=%20");
    assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("x-twinlet")), "{:?}", answer.headers);
    assert_eq!(send(&site, &SignedRequest::new("GET", "/fn", "", b"")), 200);
    // Its key opens these, and not that.
    assert_eq!(send(&site, &SignedRequest::new("GET", "/other", "", b"")), 401);
    assert_eq!(send(&site, &SignedRequest::new("GET", "/twinlet/status", "", b"")), 401);
    assert_eq!(
        signer().send(&site.agent.url(""), &SignedRequest::new("POST", "/proxy/echo", "", b"whole")).text(),
        "whole"
    );
}

#[test]
fn what_was_signed_is_good_for_nothing_else() {
    let site = guarded();
    let url = site.agent.url("");
    let changed: [fn(&mut SignedRequest); 5] = [
        |r| r.body = b"another body".to_vec(),
        |r| r.method = "PUT".into(),
        |r| r.query = "a=2&b=%20".into(),
        |r| r.query.clear(),
        |r| r.path = "/%66n".into(),
    ];
    for change in changed {
        let signed = post();
        let mut sent = signed.clone();
        change(&mut sent);
        assert_eq!(signer().send_as(&url, &signed, &sent).status, 401, "{sent:?}");
        // What never held has used up nothing.
        assert_eq!(signer().send(&url, &signed).status, 200);
    }
    // A body that goes to its function piece by piece otherwise is held against its digest first.
    let signed = SignedRequest::new("POST", "/proxy/echo", "", b"signed");
    let sent = SignedRequest { body: b"Signed".to_vec(), ..signed.clone() };
    assert_eq!(signer().send_as(&url, &signed, &sent).status, 401);
    for other in [Signer::new("meter", &[8; 32]), Signer::new("nobody", &SECRET), Signer::new("web", &SECRET)]
    {
        assert_eq!(other.send(&url, &post()).status, 401, "{other:?}");
    }
}

#[test]
fn a_signature_is_good_for_five_minutes_by_both_clocks() {
    let site = guarded();
    // Some seconds pass until it arrives.
    for (timestamp, status) in
        [(now() - 285, 200), (now() + 299, 200), (now() - 301, 401), (now() + 330, 401), (0, 401)]
    {
        let request = SignedRequest { timestamp, ..post() };
        assert_eq!(send(&site, &request), status, "{} s from now", i128::from(timestamp) - i128::from(now()));
    }
    let metrics = site.agent.metrics();
    assert_eq!(metrics.sum("twinlet_auth_refused_total", &["reason=\"window\""]), 3.0);
}

#[test]
fn a_signature_is_good_for_once_even_over_a_power_cut() {
    let mut site = guarded();
    let first = post();
    assert_eq!((send(&site, &first), send(&site, &first)), (200, 401));
    // The same nonce, signed anew for something else.
    assert_eq!(send(&site, &SignedRequest { body: b"more".to_vec(), ..first.clone() }), 401);
    let last = post();
    assert_eq!(send(&site, &last), 200);
    site.agent.kill9();
    site.agent = site.agent.again(|builder| builder);
    site.agent.answers("/readyz", 200);
    assert_eq!((send(&site, &first), send(&site, &last)), (401, 401));
    assert_eq!(send(&site, &post()), 200);
    let metrics = site.agent.metrics();
    assert_eq!(metrics.sum("twinlet_auth_refused_total", &["reason=\"replay\""]), 2.0);
}

#[test]
fn a_database_that_had_to_be_set_aside_makes_no_signature_good_again() {
    let mut site = guarded();
    let request = post();
    assert_eq!(send(&site, &request), 200);
    site.agent.kill9();
    for entry in std::fs::read_dir(site.agent.state_dir().join("db")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, guests::noise(4096)).unwrap();
        }
    }
    site.agent = site.agent.again(|builder| builder);
    site.agent.log_line_where("the loss", |line| line.contains("the database was damaged"));
    assert_eq!(send(&site, &request), 401);
    // Who signs after that is let in, as soon as the retained document is applied again.
    eventually("a new signature to be good", || (send(&site, &post()) == 200).then_some(()));
}

#[test]
fn a_database_that_opens_as_it_was_before_makes_no_signature_good_again() {
    let mut site = guarded();
    assert_eq!(send(&site, &post()), 200);
    let db = site.agent.state_dir().join("db/db");
    let before = std::fs::read(&db).unwrap();
    let request = post();
    assert_eq!(send(&site, &request), 200);
    site.agent.kill9();
    std::fs::write(&db, before).unwrap();
    site.agent = site.agent.again(|builder| builder);
    site.agent.log_line_where("the loss", |line| line.contains("the database has lost its last"));
    assert_eq!(send(&site, &request), 401);
    assert!(site.agent.metrics().sum("twinlet_store_damaged_total", &[]) >= 1.0);
    eventually("a new signature to be good", || (send(&site, &post()) == 200).then_some(()));
}

#[test]
fn of_many_that_send_the_same_at_once_one_is_answered() {
    let site = guarded();
    for _ in 0..5 {
        let request = post();
        let statuses: Vec<u16> = std::thread::scope(|threads| {
            let clients: Vec<_> = (0..8).map(|_| threads.spawn(|| send(&site, &request))).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 7, "{statuses:?}");
    }
}

#[test]
fn a_nonce_stays_used_when_keys_are_read_anew() {
    let site = guarded();
    let request = post();
    assert_eq!(send(&site, &request), 200);
    let text = signer().entry("routes = [\"/fn\"]") + &entry("new", "a-new-key", "routes = [\"/fn\"]");
    keys::write(&site.agent.state_dir().join("keys.toml"), &text);
    site.agent.sighup();
    let with_new = || site.agent.request("GET", "/fn").header("x-api-key", "a-new-key").send().status;
    eventually("the new file", || (with_new() == 200).then_some(()));
    assert_eq!(send(&site, &request), 401);
}

#[test]
fn a_signature_that_is_incomplete_or_doubled_is_none() {
    let site = guarded();
    let headers = signer().headers(&SignedRequest::new("GET", "/fn", "", b""));
    let lines = |headers: &[(&str, String)]| -> String {
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    };
    let asked = |lines: &str| {
        site.agent.raw(format!("GET /fn HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{lines}\r\n")).status
    };
    for index in 0..headers.len() {
        let mut without = headers.clone();
        without.remove(index);
        let mut twice = headers.clone();
        twice.push(headers[index].clone());
        assert_eq!((asked(&lines(&without)), asked(&lines(&twice))), (401, 401), "{}", headers[index].0);
    }
    assert_eq!(asked(&(lines(&headers) + "x-api-key: a-key\r\n")), 401);
    assert_eq!(asked(&lines(&headers)), 200);
}
