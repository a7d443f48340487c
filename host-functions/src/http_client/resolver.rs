//! Resolves names for the gate: once for each request, on threads that can be given up, and to public addresses only,
//! unless a pattern names the address outright. What was checked here is what ureq connects to.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use http::Uri;
use tokio::sync::Semaphore;
use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::Pattern;
use super::address::is_public;

/// Name look-ups under way, over all functions. The system's resolver knows no deadline: a look-up lives on when
/// nobody waits for it any more.
static LOOK_UPS: Semaphore = Semaphore::const_new(8);
/// How many of them may be one function's: a name server that is silent for one must not be so for all.
const LOOK_UPS_OF_ONE: usize = 2;
/// What ureq's list of addresses holds.
const MAX_ADDRESSES: usize = 16;

/// The system's resolver, or a test's.
pub(super) type LookUp = fn(&str, u16) -> std::io::Result<Vec<SocketAddr>>;

/// Asks the system.
pub(super) fn system(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Vec::from_iter)
}

/// Resolves once, and lets ureq connect only to addresses that the patterns open.
#[derive(Debug)]
pub(super) struct CheckedResolver {
    patterns: Arc<[Pattern]>,
    look_up: LookUp,
    places: Arc<Places>,
}

impl CheckedResolver {
    pub(super) fn new(patterns: Arc<[Pattern]>, look_up: LookUp) -> Self {
        Self { patterns, look_up, places: Arc::new(Places::new(LOOK_UPS_OF_ONE)) }
    }
}

/// Why a name came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unresolved {
    /// A host that is not what it seems.
    #[error("{host} resolves to {address}, an address that permissions.http does not name outright")]
    Refused {
        /// The name.
        host: String,
        /// What it stands for.
        address: IpAddr,
    },
    /// The system knows no such host.
    #[error("{host}: {error}")]
    Unknown {
        /// The name.
        host: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// All places are taken.
    #[error("too many name look-ups are under way")]
    Busy,
}

impl From<Unresolved> for ureq::Error {
    fn from(why: Unresolved) -> Self {
        ureq::Error::Other(Box::new(why))
    }
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?.trim_matches(['[', ']']).to_owned();
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let found = match host.parse() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self.look_up(host.clone(), port, *timeout.after)?,
        };
        // A request that goes by a proxy resolves nothing but the proxy's own name.
        let trusted =
            config.proxy().is_some() || self.patterns.iter().any(|p| p.names_address() && p.covers(uri));
        if let Some(socket) = found.iter().find(|socket| !trusted && !is_public(socket.ip())) {
            return Err(Unresolved::Refused { host, address: socket.ip() }.into());
        }
        let mut addresses = self.empty();
        found.into_iter().take(MAX_ADDRESSES).for_each(|socket| addresses.push(socket));
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

impl CheckedResolver {
    /// One look-up on a thread of its own, so that it can be given up. Waits while others have taken the places.
    fn look_up(&self, host: String, port: u16, patience: Duration) -> Result<Vec<SocketAddr>, ureq::Error> {
        let late = || ureq::Error::Timeout(ureq::Timeout::Resolve);
        let began = Instant::now();
        let own = self.places.take(patience).ok_or_else(late)?;
        let place = LOOK_UPS.try_acquire().map_err(|_| Unresolved::Busy)?;
        let (sender, found) = mpsc::sync_channel(1);
        let (how, name) = (self.look_up, host.clone());
        thread::Builder::new().name("look-up".into()).stack_size(256 << 10).spawn(move || {
            let addresses = how(&host, port);
            drop((place, own));
            if sender.send(addresses).is_err() {
                log::debug!("nobody waits for the address of {host} any more");
            }
        })?;
        match found.recv_timeout(patience.saturating_sub(began.elapsed())) {
            Ok(addresses) => Ok(addresses.map_err(|error| Unresolved::Unknown { host: name, error })?),
            Err(_) => Err(late()),
        }
    }
}

/// Places that can be waited for.
#[derive(Debug)]
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One of them, until it is dropped.
struct Place(Arc<Places>);

impl Places {
    fn new(free: usize) -> Self {
        Self { free: Mutex::new(free), freed: Condvar::new() }
    }

    fn take(self: &Arc<Self>, patience: Duration) -> Option<Place> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_timeout_while(free, patience, |free| *free == 0);
        let (mut free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Place(self.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
