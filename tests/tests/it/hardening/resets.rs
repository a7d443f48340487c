//! Ten thousand peers that vanish.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use twinlet_tests::{Site, eventually, guests};

use super::entries;
use crate::site;

const TIMES: usize = 10_000;
/// What is sent before the end, by turns: nothing, half a head, a request, and a request with half a body.
const SENT: &[&str] = &[
    "",
    "GET /good HTTP/1.1\r\nhost",
    "GET /good HTTP/1.1\r\nhost: h\r\n\r\n",
    "POST /good HTTP/1.1\r\nhost: h\r\ncontent-length: 2000\r\n\r\nhalf",
];

/// Has the connection end by a reset, as of a peer that is gone.
fn resets_at_the_end(stream: &TcpStream) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap();
    let (level, option) = (libc::SOL_SOCKET, libc::SO_LINGER);
    // SAFETY: the structure lives through the call, and is as long as is said.
    let set =
        unsafe { libc::setsockopt(stream.as_raw_fd(), level, option, (&raw const at_once).cast(), length) };
    assert_eq!(set, 0);
}

/// The agent lives, at both doors, and has no more files and threads than before.
fn assert_nothing_is_left(site: &mut Site, before: (usize, usize)) {
    assert!(site.agent.runs());
    let now = || (entries(&site.agent, "fd"), entries(&site.agent, "task"));
    eventually("files and threads to be given back", || {
        let now = now();
        // Tiny_http keeps some threads, and workers are kept as well.
        (now.0 <= before.0 + 8 && now.1 <= before.1 + 24).then_some(())
    });
    assert_eq!(site.agent.get("/good").text(), "fine");
    assert_eq!(site.agent.local("GET", "/good", b"").text(), "fine");
}

#[test]
fn ten_thousand_resets_at_the_public_door_leave_nothing_behind() {
    let mut site = site().serving("good", guests::answers("fine"));
    let before = (entries(&site.agent, "fd"), entries(&site.agent, "task"));
    for nth in 0..TIMES {
        let mut stream = TcpStream::connect(site.agent.address()).unwrap();
        resets_at_the_end(&stream);
        stream.write_all(SENT[nth % SENT.len()].as_bytes()).ok();
    }
    assert_nothing_is_left(&mut site, before);
}

#[test]
fn ten_thousand_clients_that_go_without_their_answer_leave_nothing_behind_at_the_local_door() {
    let mut site = site().serving("good", guests::answers("fine"));
    let before = (entries(&site.agent, "fd"), entries(&site.agent, "task"));
    for nth in 0..TIMES {
        // The queue of a Unix socket is short, and whoever finds it full waits.
        let mut stream = UnixStream::connect(site.agent.socket()).unwrap();
        stream.write_all(SENT[nth % SENT.len()].as_bytes()).ok();
    }
    assert_nothing_is_left(&mut site, before);
}
