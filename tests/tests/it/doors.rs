//! The two doors: what each serves, and to whom.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use twinlet_tests::piecewise::Wire;
use twinlet_tests::{Site, guests};

use crate::{agent, site};

#[test]
fn the_local_door_is_the_owners_alone_and_serves_everything() {
    let site = site().serving("fn", guests::mirrors(200));
    let mode = std::fs::metadata(site.agent.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let body = guests::noise(10_000);
    let answer = site.agent.local("POST", "/fn?a=b", &body);
    assert_eq!((answer.status, answer.header("seen-query").as_str()), (200, "a=b"));
    assert!(answer.body == body, "the body came back changed");
    assert_eq!(site.agent.local("GET", "/nowhere", b"").json()["error"], "Route not found");
    assert_eq!(site.agent.local("GET", "/healthz", b"").status, 200);
}

#[test]
fn the_node_is_alive_at_once_and_ready_when_routes_are_applied() {
    let site = site().serving("fn", guests::answers("x"));
    assert_eq!(site.agent.get("/healthz").status, 200);
    site.agent.answers("/readyz", 200);
}

#[test]
fn one_connection_serves_many_requests() {
    let site = site().serving("fn", guests::answers("x"));
    let answer = site.agent.raw(
        "GET /fn HTTP/1.1\r\nhost: h\r\n\r\nGET /fn HTTP/1.1\r\nhost: h\r\n\r\n\
         GET /nowhere HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    );
    // All three came back over the one connection: the second and third stand in what follows the first.
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("HTTP/1.1 404"), "{}", answer.text());
}

#[test]
fn a_client_that_sends_no_head_is_let_go() {
    let site = Site::start(agent().env("HTTP_HEAD_TIMEOUT_SECS", 1));
    let mut stream = std::net::TcpStream::connect(site.agent.address()).unwrap();
    stream.set_read_timeout(Some(twinlet_tests::DEADLINE)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /fn HTTP/1.1\r\nx-slow: ").unwrap();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut rest).expect("closed by the agent before the deadline");
    assert_eq!(site.agent.get("/healthz").status, 200);
}

#[test]
fn one_peer_can_not_take_all_connections_and_the_idlest_of_its_own_gives_way() {
    let site =
        Site::start(agent().env("HTTP_MAX_CONNECTIONS_PER_PEER", 4).env("HTTP_IDLE_TIMEOUT_SECS", 300));
    let mut first = std::net::TcpStream::connect(site.agent.address()).unwrap();
    first.set_read_timeout(Some(twinlet_tests::DEADLINE)).unwrap();
    let held: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(site.agent.address()).unwrap()).collect();
    // The fifth gets the place of the one that has been idle longest.
    assert_eq!(site.agent.get("/healthz").status, 200);
    assert_eq!(first.read(&mut [0]).unwrap_or(0), 0, "the first is still open");
    drop(held);
}

#[test]
fn a_connection_that_rests_between_two_requests_outlives_the_time_for_a_head() {
    let site = Site::start(agent().env("HTTP_HEAD_TIMEOUT_SECS", 1));
    let mut stream = std::net::TcpStream::connect(site.agent.address()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
    let mut answer = [0; 1024];
    for _ in 0..2 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let n = stream.read(&mut answer).unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 200"));
        // Two seconds of rest, unless the agent closes the connection.
        assert!(stream.read(&mut answer).is_err(), "the agent ended the connection");
    }
}

#[test]
fn one_client_of_the_local_door_holds_up_no_other() {
    let site = site();
    let slow = site.function("slow", guests::dawdles(3_000, "late")).set("max_execution_ms", 10_000);
    site.apply(1, |d| d.serving(slow));
    let connect = || Wire::to_local(&site.agent.socket());
    let held = [
        // An answer that is made before the one that must go first.
        connect().asking("GET", "/slow", "").asking("GET", "/healthz", ""),
        // What curl --http2 asks for first: its body would have no end.
        connect().asking("GET", "/healthz", "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"),
        // A body that comes once somebody says that it may, and this client never sends it.
        connect().asking("POST", "/healthz", "expect: 100-continue\r\ncontent-length: 5\r\n"),
    ];
    let began = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(site.agent.local("GET", "/healthz", b"").status, 200);
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(3), "{:?}", began.elapsed());
    drop(held);
}
