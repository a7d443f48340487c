//! Requests whose framing has more than one reading. Each gets one answer and a closed connection, and nothing behind
//! it is taken for another request.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use twinlet_tests::{Site, guests};

use super::until_closed;
use crate::agent;

/// What must never be answered, and never reach a function.
const SECOND: &str = "GET /second HTTP/1.1\r\nhost: h\r\n\r\n";

/// A request for `/fn` up to its last header.
const HEAD: &str = "POST /fn HTTP/1.1\r\nhost: h\r\n";

/// How a shape is answered.
#[derive(Debug)]
enum Answer {
    /// By the door or the agent, with one of these.
    Refused(&'static [u16]),
    /// By the function, which saw this body.
    Seen(&'static str),
}

use Answer::{Refused, Seen};

const MALFORMED: Answer = Refused(&[400]);

/// Lines behind [`HEAD`], without the empty one, and what follows that.
const LINES: &[(&str, &str, Answer)] = &[
    ("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\ncontent-length: 5\r\n", "5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("content-length: 5\r\ncontent-length: 5\r\n", "hello", MALFORMED),
    ("content-length: 5\r\ncontent-length: 6\r\n", "hello", MALFORMED),
    ("content-length: 5, 5\r\n", "hello", MALFORMED),
    ("content-length: -1\r\n", "", MALFORMED),
    ("content-length: +5\r\n", "hello", MALFORMED),
    ("content-length: 0x5\r\n", "hello", MALFORMED),
    ("content-length: 5.0\r\n", "hello", MALFORMED),
    ("content-length: 5 5\r\n", "hello", MALFORMED),
    ("content-length:\r\n", "hello", MALFORMED),
    ("content-length: five\r\n", "hello", MALFORMED),
    ("content-length: 100000000000000\r\n", "hello", Refused(&[413])),
    ("content-length: 18446744073709551615\r\n", "hello", Refused(&[400, 413, 431])),
    ("content-length: 99999999999999999999\r\n", "hello", MALFORMED),
    ("content-length : 5\r\n", "hello", MALFORMED),
    ("content-length\t: 5\r\n", "hello", MALFORMED),
    (" content-length: 5\r\n", "hello", MALFORMED),
    ("content-length\u{b}: 5\r\n", "hello", MALFORMED),
    ("content-length: \u{b}5\r\n", "hello", MALFORMED),
    ("transfer-encoding: chunked, identity\r\n", "5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: identity, chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: gzip, chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: xchunked\r\n", "5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: identity\r\n", "hello", MALFORMED),
    ("transfer-encoding: \"chunked\"\r\n", "0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked;q=1\r\n", "0\r\n\r\n", MALFORMED),
    ("transfer-encoding:\r\n", "hello", MALFORMED),
    ("transfer-encoding : chunked\r\n", "0\r\n\r\n", MALFORMED),
    ("transfer-encoding\r\n: chunked\r\n", "0\r\n\r\n", MALFORMED),
    ("transfer-encoding: \u{b}chunked\r\n", "0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", "0\r\n\r\n", MALFORMED),
    ("x: a\r\n transfer-encoding: chunked\r\n", "", MALFORMED),
    ("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n", MALFORMED),
    ("x: a\r\n\tb\r\n", "", MALFORMED),
    ("x: a\ncontent-length: 5\r\n", "hello", MALFORMED),
    ("x: a\rcontent-length: 5\r\n", "hello", MALFORMED),
    ("x: a\r\r\n", "", MALFORMED),
    ("x: a\0b\r\n", "", MALFORMED),
    ("x: a\u{1}b\r\n", "", MALFORMED),
    ("x: a\u{7f}b\r\n", "", MALFORMED),
    ("x\0: a\r\n", "", MALFORMED),
    ("x(): a\r\n", "", MALFORMED),
    (": a\r\n", "", MALFORMED),
    ("no colon\r\n", "", MALFORMED),
    ("host: other\r\n", "", MALFORMED),
    ("host: h\r\n", "", MALFORMED),
    // These have one meaning; still nothing may follow them.
    ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n", Seen("hello")),
    ("Transfer-Encoding:\t CHUNKED \r\n", "5\r\nhello\r\n0\r\n\r\n", Seen("hello")),
    ("transfer-encoding: chunked\r\n", "005\r\nhello\r\n000\r\n\r\n", Seen("hello")),
    ("transfer-encoding: chunked\r\n", "5;a=b;\"c\"\r\nhello\r\n0;d\r\n\r\n", Seen("hello")),
    ("transfer-encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\nx-trailer: a\r\n\r\n", Seen("hello")),
    // These do not.
    ("transfer-encoding: chunked\r\n", "+5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", " 5\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "5_\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", ";a\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "5\nhello\n0\n\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "5;a\nb\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "5\r\nhelloXX0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "3\r\nhello\r\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "5\r\nhello\n0\r\n\r\n", MALFORMED),
    ("transfer-encoding: chunked\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n", MALFORMED),
    // What follows is taken for trailers, which go nowhere.
    ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\n", Seen("hello")),
    // What follows is taken for the body, which then does not end.
    ("transfer-encoding: chunked\r\n", "fffffffffffffff\r\nhello\r\n0\r\n\r\n", Refused(&[408, 413])),
    ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n", MALFORMED),
];

/// Whole heads.
const HEADS: &[(&str, Answer)] = &[
    ("POST /fn HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/1.1\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/1.1\r\nhost: a, b\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/1.1\r\nhost: a/fn\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/1.1\r\nhost: user@h\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/1.1\nhost: h\n\n", MALFORMED),
    ("GET /fn HTTP/1.1\r\nhost: h\r\n\n", MALFORMED),
    ("GET /fn HTTP/1.1\r\nhost: h\n\r\n", MALFORMED),
    ("GET /fn HTTP/1.1\rhost: h\r\r", MALFORMED),
    ("\n\nGET /fn HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn\r\n\r\n", MALFORMED),
    ("GET /fn \r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/0.9\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/1.2\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/2.0\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/11\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn http/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MALFORMED),
    ("GET  /fn HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET\t/fn\tHTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    (" GET /fn HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn HTTP/1.1 \r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn /second HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn\0 HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn\u{1}a HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn\u{7f} HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("G\0T /fn HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET /fn#a HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET fn HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET h:80 HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET * HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("GET ftp://h/fn HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("CONNECT h:80 HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("CONNECT /fn HTTP/1.1\r\nhost: h\r\n\r\n", MALFORMED),
    ("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", Refused(&[404])),
    ("GET http://h/fn HTTP/1.1\r\nhost: other\r\n\r\n", Seen("")),
    ("GET HTTP://h/fn HTTP/1.1\r\nhost: h\r\n\r\n", Seen("")),
    ("\r\n\r\nGET /fn HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", Seen("")),
    ("GET /fn HTTP/1.0\r\n\r\n", Seen("")),
];

/// Every shape as it is sent, with a second request behind it.
fn shapes() -> Vec<(String, &'static Answer)> {
    let lines =
        LINES.iter().map(|(lines, body, answer)| (format!("{HEAD}{lines}\r\n{body}{SECOND}"), answer));
    let heads = HEADS.iter().map(|(head, answer)| (format!("{head}{SECOND}"), answer));
    lines.chain(heads).collect()
}

fn site() -> Site {
    let agent = agent().env("HTTP_BODY_TIMEOUT_SECS", 1).env("HTTP_HEAD_TIMEOUT_SECS", 2);
    let site = Site::start(agent);
    let (mirror, second) = (guests::mirrors(200), guests::answers("smuggled"));
    let functions = [site.function("fn", mirror), site.function("second", second)];
    site.apply(1, |d| functions.into_iter().fold(d, twinlet_tests::Desired::serving));
    site
}

fn assert_answered_once(shape: &str, pieces: &[&[u8]], wanted: &Answer, site: &Site) {
    let mut stream = TcpStream::connect(site.agent.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    let (last, first) = pieces.split_last().unwrap();
    for piece in first {
        std::io::Write::write_all(&mut stream, piece).ok();
    }
    let answer = until_closed(&mut stream, last);
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("HTTP/1.").count(), 1, "{shape:?} got {text:?}");
    let status: u16 = text.split(' ').nth(1).unwrap().parse().unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    match wanted {
        Refused(statuses) => assert!(statuses.contains(&status), "{shape:?} got {text:?}"),
        Seen(seen) => assert_eq!((status, body), (200, *seen), "{shape:?} got {text:?}"),
    }
}

fn assert_nothing_was_smuggled(site: &Site, seen: usize) {
    let metrics = site.agent.metrics();
    let calls = |id: &str| metrics.sum("twinlet_invocations_total", &[&format!("function_id=\"{id}\"")]);
    assert_eq!((calls("fn"), calls("second")), (seen as f64, 0.0));
    assert_eq!(site.agent.get("/second").text(), "smuggled");
}

#[test]
fn each_shape_gets_one_answer_and_a_closed_connection() {
    let site = site();
    let mut seen = 0;
    for (shape, wanted) in shapes() {
        assert_answered_once(&shape, &[shape.as_bytes()], wanted, &site);
        seen += usize::from(matches!(wanted, Seen(_)));
    }
    assert_nothing_was_smuggled(&site, seen);
}

#[test]
fn it_does_not_matter_how_a_shape_is_cut_into_packets() {
    let site = site();
    let mut seen = 0;
    for (shape, wanted) in shapes() {
        let (begin, rest) = shape.as_bytes().split_at(shape.len() / 3);
        let (middle, end) = rest.split_at(rest.len() / 2);
        assert_answered_once(&shape, &[begin, middle, end], wanted, &site);
        seen += usize::from(matches!(wanted, Seen(_)));
    }
    assert_nothing_was_smuggled(&site, seen);
}

#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    let site = site();
    let length = SECOND.len();
    let request = format!("{HEAD}content-length: {length}\r\n\r\n{SECOND}");
    let last = format!("{HEAD}connection: close\r\ncontent-length: {length}\r\n\r\n{SECOND}");
    let answer = site.agent.raw(format!("{request}{request}{last}"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text().matches(SECOND).count(), 3, "{}", answer.text());
    assert_nothing_was_smuggled(&site, 3);
}

#[test]
fn the_local_door_outlives_every_shape() {
    let site = site();
    for (shape, _) in shapes() {
        let mut stream = UnixStream::connect(site.agent.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        std::io::Write::write_all(&mut stream, shape.as_bytes()).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        until_closed(&mut stream, b"");
        assert_eq!(site.agent.local("GET", "/healthz", b"").status, 200, "after {shape:?}");
    }
}
