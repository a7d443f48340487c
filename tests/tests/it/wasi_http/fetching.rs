//! What it asks of others, by `wasi:http/outgoing-handler`: where it may, and as the answer comes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};

use serde_json::json;
use twinlet_tests::piecewise::Wire;
use twinlet_tests::{DEADLINE, Site};

use super::proxy_with;
use crate::agent;

fn permitted(pattern: &str) -> Site {
    proxy_with(agent(), json!({ "permissions": { "http": [pattern] } }))
}

/// A server on loopback; each of its connections comes with the head of its request.
fn server() -> (String, Receiver<(TcpStream, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (sender, connections) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut head, mut byte) = (String::new(), [0]);
            while !head.ends_with("\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(char::from(byte[0]));
            }
            sender.send((stream, head)).unwrap();
        }
    });
    (base, connections)
}

#[test]
fn what_it_may_ask_for_passes_through_as_it_comes() {
    let (base, asked) = server();
    let site = permitted(&format!("{base}/open/*"));
    let target = format!("/p/fetch?url={base}/open/x%3Fa=b");
    let mut wire = Wire::to(site.agent.address()).asking("GET", &target, "");
    let (mut server, head) = asked.recv_timeout(DEADLINE).unwrap();
    assert!(head.starts_with("GET /open/x?a=b HTTP/1.1\r\n"), "{head}");
    server
        .write_all(
            b"HTTP/1.1 203 Odd\r\ncontent-type: x/y\r\ncontent-length: 6\r\nconnection: close\r\n\r\none",
        )
        .unwrap();
    let head = wire.head();
    assert!(head.starts_with("http/1.1 203") && head.contains("content-type: x/y"), "{head}");
    assert_eq!(wire.chunk().unwrap().unwrap(), b"one");
    server.write_all(b"two").unwrap();
    assert_eq!(wire.rest().unwrap(), b"two");

    let mut wire = Wire::to(site.agent.address()).asking("GET", &target, "");
    let (mut server, _) = asked.recv_timeout(DEADLINE).unwrap();
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none").unwrap();
    wire.head();
    assert_eq!(wire.chunk().unwrap().unwrap(), b"one");
    drop(server);
    assert!(wire.rest().is_err(), "half an answer is none");
}

#[test]
fn what_it_may_not_ask_for_is_refused_by_name() {
    let (base, asked) = server();
    let code = |site: &Site, url: &str| {
        let answer = site.agent.get(&format!("/p/fetch?url={url}"));
        assert_eq!(answer.status, 502);
        answer.text().trim().trim_start_matches("ErrorCode::").to_owned()
    };
    let nothing = proxy_with(agent(), json!({}));
    assert_eq!(code(&nothing, &format!("{base}/x")), "HttpRequestDenied");
    let other = permitted(&format!("{base}/open/*"));
    assert_eq!(code(&other, &format!("{base}/closed")), "HttpRequestDenied");
    // Permitted by a name that is no address, which then leads to one that is the device's own.
    let name = permitted("http://127.1/*");
    assert_eq!(code(&name, "http://127.1/"), "DestinationIpProhibited");
    assert_eq!(code(&nothing, "nonsense"), "HttpRequestUriInvalid");
    assert!(asked.try_recv().is_err(), "something was asked all the same");
}
