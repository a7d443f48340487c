//! The door's places. Where all are taken, a newcomer gets that of the connection that has kept the agent waiting
//! longest: for a head, for the rest of a body, for its answer to be read, or for another request; never that of a
//! request which the agent is working on. The address with the most connections gives first. So those who hold places
//! without using them lock nobody out. Among the connections of one address, which has as many as it may, it is the
//! same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::http::patience::{Exchange, Room};

/// Connections by address.
pub(super) struct Peers {
    places: usize,
    most: usize,
    open: Mutex<Open>,
    pub(super) room: Arc<Room>,
}

type Open = HashMap<IpAddr, Vec<Connection>>;

struct Connection {
    exchange: Exchange,
    /// None until it is served.
    task: Option<AbortHandle>,
    id: u64,
}

/// One of an address' connections; dropped with it.
pub(super) struct Seat {
    peers: Arc<Peers>,
    address: IpAddr,
    id: u64,
}

impl Peers {
    /// So many places, and as many at most for one address.
    pub(super) fn new(places: usize, most: usize) -> Arc<Self> {
        Arc::new(Self { places, most, open: Mutex::default(), room: Arc::default() })
    }

    /// A place for a connection that was accepted, by closing another where that must be. Waits where none can be
    /// closed; none where the address has as many as it may, and each of them is being worked on.
    pub(super) async fn admit(self: &Arc<Self>, address: IpAddr, id: u64) -> Option<(Seat, Exchange)> {
        loop {
            if let Some((exchange, by_closing)) = self.take(address, id)? {
                let seat = Seat { peers: self.clone(), address, id };
                if by_closing {
                    // What was closed gives its descriptor back when its task has ended.
                    tokio::task::yield_now().await;
                }
                return Some((seat, exchange));
            }
            // Whatever changes once this is set leaves word.
            if self.room.crowded.swap(true, Relaxed) {
                self.room.changed.notified().await;
            }
        }
    }

    /// None where the address may have no more; an inner none where there is no place now.
    fn take(&self, address: IpAddr, id: u64) -> Option<Option<(Exchange, bool)>> {
        let mut open = self.open();
        let mut by_closing = false;
        if open.get(&address).map_or(0, Vec::len) >= self.most {
            by_closing = close_one(&mut open, |other, _| usize::from(*other == address));
            if !by_closing {
                return None;
            }
        }
        if open.values().map(Vec::len).sum::<usize>() >= self.places {
            by_closing = close_one(&mut open, |_, _| 1);
            if !by_closing {
                return Some(None);
            }
        }
        self.room.crowded.store(false, Relaxed);
        let exchange = Exchange::new(self.room.clone());
        let connection = Connection { exchange: exchange.clone(), task: None, id };
        open.entry(address).or_default().push(connection);
        Some(Some((exchange, by_closing)))
    }

    /// Says which task serves a connection.
    pub(super) fn served_by(&self, address: IpAddr, id: u64, task: AbortHandle) {
        let mut open = self.open();
        let of_address = open.get_mut(&address);
        if let Some(connection) = of_address.and_then(|all| all.iter_mut().find(|c| c.id == id)) {
            connection.task = Some(task);
        }
    }

    /// Closes connections whose peers are waited for until no more is held for all of them than may be.
    pub(super) async fn lighten(&self) {
        while self.room.holds_too_much() && close_one(&mut self.open(), |_, c| c.exchange.held()) {
            // What is closed lets go when its task has ended.
            tokio::task::yield_now().await;
        }
    }

    /// Closes the connection that gives its place first, if there is one.
    pub(super) fn relieve(&self) {
        close_one(&mut self.open(), |_, _| 1);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the address that weighs most, closes what has kept the agent waiting longest; what weighs nothing is left alone.
fn close_one(open: &mut Open, weight: impl Fn(&IpAddr, &Connection) -> usize) -> bool {
    let longest = |(address, all): (&IpAddr, &Vec<Connection>)| {
        let waits = |(at, connection): (usize, &Connection)| {
            let known = connection.task.is_some() && weight(address, connection) > 0;
            connection.exchange.waits_since().filter(|_| known).map(|since| (since, at))
        };
        let (since, at) = all.iter().enumerate().filter_map(waits).min()?;
        let weight: usize = all.iter().map(|connection| weight(address, connection)).sum();
        Some((weight, u64::MAX - since, *address, at))
    };
    let Some((.., address, at)) = open.iter().filter_map(longest).max() else { return false };
    let Some(all) = open.get_mut(&address) else { return false };
    let gone = all.swap_remove(at);
    if all.is_empty() {
        open.remove(&address);
    }
    log::debug!("public: a connection of {address} that kept the agent waiting gives way");
    if let Some(task) = gone.task {
        task.abort();
    }
    true
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        if let Some(all) = open.get_mut(&self.address) {
            all.retain(|connection| connection.id != self.id);
            if all.is_empty() {
                open.remove(&self.address);
            }
        }
        drop(open);
        self.peers.room.changes();
    }
}
