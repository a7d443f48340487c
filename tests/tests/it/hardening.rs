//! What the two doors withstand: peers that are slow, peers that vanish, requests that may be read in two ways, and
//! having no file descriptor left.

mod descriptors;
mod framing;
mod resets;
mod slow_peers;

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use twinlet_tests::Agent;

/// Sends bytes and returns all that came back until the other side closed, which it must within this time.
fn until_closed(stream: &mut (impl Read + Write), bytes: &[u8]) -> Vec<u8> {
    // The other side may have answered and closed before it read everything.
    stream.write_all(bytes).ok();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => {
            panic!("not closed after {:?}: {error}", String::from_utf8_lossy(&answer))
        }
        _ => answer,
    }
}

/// A connection to a public door from another address of this host.
fn connect_from(from: Ipv4Addr, agent: &Agent) -> std::io::Result<TcpStream> {
    let to: SocketAddrV4 = agent.address().parse().unwrap();
    let address = |ip: Ipv4Addr, port: u16| libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap(),
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
        sin_zero: [0; 8],
    };
    let done = |outcome: i32| if outcome < 0 { Err(Error::last_os_error()) } else { Ok(outcome) };
    // SAFETY: socket() touches no memory, and what it returns is nobody else's.
    let socket = unsafe {
        OwnedFd::from_raw_fd(done(libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?)
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap();
    let (own, other) = (address(from, 0), address(*to.ip(), to.port()));
    // SAFETY: both addresses live through the calls, and are as long as is said.
    unsafe {
        done(libc::bind(socket.as_raw_fd(), (&raw const own).cast(), length))?;
        done(libc::connect(socket.as_raw_fd(), (&raw const other).cast(), length))?;
    }
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Lets this process have many sockets.
fn raise_own_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both read or fill in the structure, and touch nothing else.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

/// How many entries a folder of the agent's in `/proc` has: `fd`, `task`.
fn entries(agent: &Agent, folder: &str) -> usize {
    std::fs::read_dir(format!("/proc/{}/{folder}", agent.pid())).unwrap().count()
}
