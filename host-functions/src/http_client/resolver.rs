//! Resolves names for the gate: on threads that can be given up, and to public addresses only, unless a pattern names
//! the address outright.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use http::Uri;
use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::Pattern;

/// Name look-ups under way, over all functions. The system's resolver knows no deadline: a look-up lives on when
/// nobody waits for it any more.
static LOOK_UPS: AtomicUsize = AtomicUsize::new(0);
/// How many there may be.
const MAX_LOOK_UPS: usize = 8;

/// Resolves once, and lets ureq connect only to addresses that the patterns open.
#[derive(Debug)]
pub(super) struct CheckedResolver {
    pub(super) patterns: Arc<[Pattern]>,
}

/// A host that is not what it seems.
#[derive(Debug, thiserror::Error)]
#[error("{host} resolves to {address}, an address that permissions.http does not name outright")]
pub(super) struct RefusedAddress {
    host: String,
    address: IpAddr,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?.trim_matches(['[', ']']).to_owned();
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let found = look_up(host.clone(), uri.port_u16().unwrap_or(default), *timeout.after)?;
        let named = self.patterns.iter().any(|p| p.names_address() && p.covers(uri));
        if let Some(socket) = found.iter().find(|socket| !named && !is_public(socket.ip())) {
            return Err(ureq::Error::Other(Box::new(RefusedAddress { host, address: socket.ip() })));
        }
        let mut addresses = self.empty();
        found.into_iter().take(MAX_ADDRESSES).for_each(|socket| addresses.push(socket));
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// What ureq's list of addresses holds.
const MAX_ADDRESSES: usize = 16;

/// One look-up on a thread of its own, so that it can be given up.
fn look_up(host: String, port: u16, patience: Duration) -> Result<Vec<SocketAddr>, ureq::Error> {
    struct Place;
    impl Drop for Place {
        fn drop(&mut self) {
            LOOK_UPS.fetch_sub(1, Ordering::AcqRel);
        }
    }
    if LOOK_UPS.fetch_add(1, Ordering::AcqRel) >= MAX_LOOK_UPS {
        drop(Place);
        return Err(std::io::Error::other("too many name look-ups are under way").into());
    }
    let place = Place;
    let (sender, found) = mpsc::sync_channel(1);
    thread::Builder::new().name("look-up".into()).stack_size(256 << 10).spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        drop(place);
        if sender.send(addresses).is_err() {
            log::debug!("nobody waits for the address of {host} any more");
        }
    })?;
    match found.recv_timeout(patience) {
        Ok(addresses) => Ok(addresses?),
        Err(_) => Err(ureq::Error::Timeout(ureq::Timeout::Resolve)),
    }
}

/// False for loopback, private, link-local (which holds the clouds' metadata services), multicast and other addresses
/// that a name on the internet has no business resolving to; mapped addresses count as what they map to.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_unspecified()
                || shared
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => match v6.to_ipv4() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            None => {
                let first = v6.segments().first().copied().unwrap_or(0);
                let nat64 = v6.segments().starts_with(&[0x64, 0xff9b]);
                !(v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    || nat64
                    || first == 0x2002)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass_by_name() {
        for refused in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "100.64.0.1",
        ] {
            assert!(!refused.parse().is_ok_and(is_public), "{refused}");
        }
        assert!("93.184.216.34".parse().is_ok_and(is_public));
        assert!("2606:2800:220:1::1".parse().is_ok_and(is_public));
    }
}
