//! No file descriptor left: what still works, and how soon the rest does again.

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use twinlet_tests::http::over_unix;
use twinlet_tests::{Agent, AgentBuilder, Site, eventually, guests};

use super::{connect_from, entries};
use crate::agent;

/// Sets the agent's limit of open files from outside.
fn limit_files(agent: &Agent, most: usize) {
    let most = libc::rlim_t::try_from(most).unwrap();
    let limit = libc::rlimit { rlim_cur: most, rlim_max: 4096 };
    let pid = libc::pid_t::try_from(agent.pid()).unwrap();
    // SAFETY: the limit is read, and nothing is written back.
    let set = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

fn site(agent: AgentBuilder) -> Site {
    Site::start(agent.env("HTTP_MAX_CONNECTIONS", 4096).env("HTTP_IDLE_TIMEOUT_SECS", 300))
        .serving("good", guests::answers("fine"))
}

/// Opens connections to the public door from many addresses, until there are so many.
fn crowd(site: &Site, count: u8) -> Vec<TcpStream> {
    (0..count).map(|nth| connect_from(Ipv4Addr::new(127, 0, 2, nth + 1), &site.agent).unwrap()).collect()
}

fn served_within_a_second(what: &str, mut serves: impl FnMut() -> bool) {
    let begun = Instant::now();
    eventually(what, || serves().then_some(()));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{what} took {took:?}");
}

#[test]
fn both_doors_recover_within_a_second_once_there_are_descriptors_again() {
    let mut site = site(agent());
    let open = entries(&site.agent, "fd");
    // From here on the agent can open nothing.
    limit_files(&site.agent, open);
    let held = crowd(&site, 60);
    let local: Vec<_> = (0..4).map(|_| UnixStream::connect(site.agent.socket()).unwrap()).collect();
    site.agent
        .log_line_where("the public door to tell", |line| line.contains("public: accepting connections"));
    site.agent.log_line_where("the local door to tell", |line| line.contains("local: accepting connections"));
    assert!(site.agent.runs());
    limit_files(&site.agent, 4096);
    let public = || site.agent.request("GET", "/good").try_send().is_ok_and(|answer| answer.text() == "fine");
    served_within_a_second("the public door", public);
    let answered = || over_unix(&site.agent.socket(), "GET", "/good", b"").is_ok_and(|r| r.text() == "fine");
    served_within_a_second("the local door", answered);
    drop((held, local));
    assert!(site.agent.runs());
}

#[test]
fn whoever_crowds_the_public_door_leaves_descriptors_for_the_local_one() {
    let mut site = site(agent().files(256));
    let served =
        site.agent.log_line_where("how many there may be", |line| line.contains("http_max_connections is"));
    assert!(served.contains("the limit of 256 open files leaves 96"), "{served}");
    let held = crowd(&site, 250);
    for _ in 0..20 {
        assert_eq!(site.agent.local("GET", "/good", b"").text(), "fine");
        assert_eq!(site.agent.get("/good").text(), "fine");
    }
    drop(held);
    assert!(site.agent.runs());
}
