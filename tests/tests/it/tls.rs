//! TLS at the public door: versions, certificates that change, and clients that are slow.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use twinlet_tests::certs::Pair;
use twinlet_tests::piecewise::Wire;
use twinlet_tests::tls::{TlsClient, TlsWire, shown};
use twinlet_tests::wait::EndOf;
use twinlet_tests::{AgentBuilder, Certs, DEADLINE, Site, eventually, guests};

use crate::agent;

/// An agent that serves with the pair in its state directory.
fn with_tls(pair: &Pair) -> AgentBuilder {
    let builder = agent();
    let (cert, key) = (builder.state_dir().join("door.pem"), builder.state_dir().join("door.key"));
    fs::copy(&pair.cert, &cert).unwrap();
    fs::copy(&pair.key, &key).unwrap();
    builder.env("HTTP_TLS_CERT_FILE", cert.display()).env("HTTP_TLS_KEY_FILE", key.display())
}

fn replace(site: &Site, pair: &Pair) {
    fs::copy(&pair.cert, site.agent.state_dir().join("door.pem")).unwrap();
    fs::copy(&pair.key, site.agent.state_dir().join("door.key")).unwrap();
    site.agent.sighup();
}

/// Asks over a connection that is kept, and returns the body.
fn ask(wire: &mut TlsWire, path: &str) -> String {
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    let head = wire.head();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    String::from_utf8(wire.read(length.parse().unwrap())).unwrap()
}

#[test]
fn both_versions_are_spoken_and_nothing_else() {
    let certs = Certs::generate();
    let site = Site::start(with_tls(&certs.server)).serving("fn", guests::answers("hello"));
    site.agent.log_line_where("the scheme", |line| line.contains("listening on https://127.0.0.1:"));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = TlsClient::new(&certs.ca, &[version], &["h2", "http/1.1"]);
        let mut wire = client.connect(site.agent.address()).unwrap();
        assert_eq!(wire.stream().conn.protocol_version(), Some(version.version));
        assert_eq!(wire.stream().conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
        assert_eq!((ask(&mut wire, "/fn"), ask(&mut wire, "/fn")), ("hello".into(), "hello".into()));
    }
    let without_alpn = TlsClient::new(&certs.ca, rustls::ALL_VERSIONS, &[]);
    assert_eq!(ask(&mut without_alpn.connect(site.agent.address()).unwrap(), "/fn"), "hello");
    let http2 = TlsClient::new(&certs.ca, rustls::ALL_VERSIONS, &["h2"]);
    assert!(http2.connect(site.agent.address()).is_err(), "there is no HTTP/2");
    assert!(TlsClient::trusting(&certs.other_ca).connect(site.agent.address()).is_err());
    // Who speaks no TLS gets no HTTP.
    let mut plain = Wire::to(site.agent.address()).asking("GET", "/fn", "");
    assert!(!plain.closed().starts_with(b"HTTP/"));
}

#[test]
fn a_body_of_any_size_passes_both_ways() {
    let certs = Certs::generate();
    let site = Site::start(with_tls(&certs.server)).serving("fn", guests::mirrors(200));
    let body = guests::noise(1 << 20);
    let mut wire = TlsClient::trusting(&certs.ca).connect(site.agent.address()).unwrap();
    for length in [0, 1, 16_384, 1 << 20] {
        wire.send(format!("POST /fn HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n"));
        wire.send(&body[..length]);
        wire.head();
        assert!(wire.read(length) == body[..length], "{length} bytes came back changed");
    }
}

#[test]
fn a_new_certificate_is_taken_over_while_requests_run() {
    let (first, second) = (Certs::generate(), Certs::generate());
    let site = Site::start(with_tls(&first.server)).serving("fn", guests::answers("hello"));
    let (of_first, of_second) = (TlsClient::trusting(&first.ca), TlsClient::trusting(&second.ca));
    let mut kept = of_first.connect(site.agent.address()).unwrap();
    let old = shown(&kept);
    assert_eq!(ask(&mut kept, "/fn"), "hello");
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        let _ends = EndOf(&stop);
        // New connections all the while, by who trusts either.
        let client = threads.spawn(|| {
            while !stop.load(Relaxed) {
                let connected = of_first.connect(site.agent.address());
                let connected = connected.or_else(|_| of_second.connect(site.agent.address()));
                assert_eq!(ask(&mut connected.unwrap(), "/fn"), "hello");
                asked.fetch_add(1, Relaxed);
            }
        });
        eventually("connections", || (asked.load(Relaxed) > 5 || client.is_finished()).then_some(()));
        replace(&site, &second.server);
        let new = eventually("the new certificate", || of_second.connect(site.agent.address()).ok());
        assert_ne!(shown(&new), old);
        let before = asked.load(Relaxed);
        eventually("more", || (asked.load(Relaxed) > before + 5 || client.is_finished()).then_some(()));
        stop.store(true, Relaxed);
        client.join().unwrap();
    });
    assert!(of_first.connect(site.agent.address()).is_err(), "the old certificate is still shown");
    assert_eq!(ask(&mut kept, "/fn"), "hello", "on the connection from before");
}

#[test]
fn a_new_pair_that_is_wrong_changes_nothing() {
    let certs = Certs::generate();
    let site = Site::start(with_tls(&certs.server)).serving("fn", guests::answers("hello"));
    let client = TlsClient::trusting(&certs.ca);
    let mixed = Pair { cert: certs.server.cert.clone(), key: certs.client.key.clone() };
    let swapped = Pair { cert: certs.server.key.clone(), key: certs.server.cert.clone() };
    for (wrong, told) in [
        (mixed, "http_tls_cert_file and http_tls_key_file: "),
        (swapped, "http_tls_cert_file: no certificate"),
    ] {
        let mark = site.agent.mark();
        replace(&site, &wrong);
        site.agent.log_line_after(mark, told, |line| line.contains("ERROR") && line.contains(told));
        assert_eq!(ask(&mut client.connect(site.agent.address()).unwrap(), "/fn"), "hello");
    }
}

#[test]
fn a_pair_that_is_wrong_at_the_start_is_named_and_nothing_starts() {
    let certs = Certs::generate();
    for (pair, told) in [
        (
            Pair { cert: certs.server.cert.clone(), key: certs.client.key.clone() },
            "http_tls_cert_file and http_tls_key_file: ",
        ),
        (
            Pair { cert: certs.server.key.clone(), key: certs.server.key.clone() },
            "http_tls_cert_file: no certificate",
        ),
        (
            Pair { cert: certs.server.cert.clone(), key: certs.server.cert.clone() },
            "http_tls_key_file: no private key",
        ),
    ] {
        let mut agent = with_tls(&pair).spawn();
        assert_eq!(agent.wait_exit(DEADLINE), 78);
        agent.log_line_where(told, |line| line.contains(told));
    }
    let mut agent = agent().env("HTTP_TLS_CERT_FILE", certs.server.cert.display()).spawn();
    assert_eq!(agent.wait_exit(DEADLINE), 78);
    agent.log_line_where("the other key", |line| line.contains("needs http_tls_key_file"));
}

#[test]
fn a_handshake_and_a_head_have_the_time_for_a_head() {
    let certs = Certs::generate();
    let site = Site::start(
        with_tls(&certs.server).env("HTTP_HEAD_TIMEOUT_SECS", 1).env("HTTP_IDLE_TIMEOUT_SECS", 16),
    );
    let began = Instant::now();
    let mut hello = TcpStream::connect(site.agent.address()).unwrap();
    let mut silent = TcpStream::connect(site.agent.address()).unwrap();
    // A record of a handshake that says it has 512 bytes, and never ends.
    hello.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).unwrap();
    for stream in [&mut hello, &mut silent] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("closed by the agent before the deadline");
    }
    let mut wire = TlsClient::trusting(&certs.ca).connect(site.agent.address()).unwrap();
    wire.send("GET /healthz HTTP/1.1\r\nx-slow: ");
    assert!(!wire.closed().starts_with(b"HTTP/1.1 2"));
    // Two that wait side by side, and one after them; before the 16 s of idle connections.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    // A record of which nothing can be read yet is no head: its connection is an idle one.
    let began = Instant::now();
    let mut wire = TlsClient::trusting(&certs.ca).connect(site.agent.address()).unwrap();
    wire.stream().sock.try_clone().unwrap().write_all(&[23, 3, 3, 1, 0, 1, 2, 3]).unwrap();
    wire.closed();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_connection_that_rests_outlives_the_time_for_a_head() {
    let certs = Certs::generate();
    let site = Site::start(with_tls(&certs.server).env("HTTP_HEAD_TIMEOUT_SECS", 1));
    let mut wire = TlsClient::trusting(&certs.ca).connect(site.agent.address()).unwrap();
    for _ in 0..2 {
        wire.stream().sock.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        // Two seconds of rest, unless the agent closes the connection.
        match wire.read_some(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            other => panic!("the agent ended the connection: {other:?}"),
        }
        wire.stream().sock.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(ask(&mut wire, "/healthz"), "ok\n");
    }
}

#[test]
fn who_does_not_read_is_let_go() {
    let certs = Certs::generate();
    let builder =
        with_tls(&certs.server).env("HTTP_IDLE_TIMEOUT_SECS", 1).env("HTTP_MAX_CONNECTIONS_PER_PEER", 1);
    let site = Site::start(builder);
    // It writes until it can not, and nothing else ends it while this test runs.
    let flood = site.function("flood", guests::proxy::does(guests::proxy::Way::Flood));
    site.apply(1, |d| d.serving(flood.set("max_execution_ms", 3_600_000)));
    let client = TlsClient::trusting(&certs.ca);
    let wire = client.connect(site.agent.address()).unwrap();
    let mut wire = wire.asking("GET", "/flood", "");
    assert!(wire.head().starts_with("http/1.1 200"));
    // The one place that a peer has is free again once the agent has let go of who holds it.
    let mut next = eventually("the place of who does not read", || client.connect(site.agent.address()).ok());
    assert_eq!(ask(&mut next, "/healthz"), "ok\n");
}
