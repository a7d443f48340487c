//! What the public door knows of each of its connections while it is served: whether the agent waits for the peer and
//! since when, what it holds in memory for it, and whether another request may follow. Knows no sockets and no HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use tokio::sync::Notify;

/// Bytes of bodies that are not whole and of answers that are not read, of all connections together. Past it, some of
/// those whose peers are waited for are closed.
const MOST_HELD: usize = 16 << 20;
/// Of the agent, which works, and so waits for nobody.
const WORKING: u64 = 0;

/// What all connections share.
pub(super) struct Room {
    began: Instant,
    held: AtomicUsize,
    /// Told when more is held than may be.
    pub(super) heavy: Notify,
    /// Whether somebody wants a place and none can be made.
    pub(super) crowded: AtomicBool,
    /// Told of changes while it is crowded.
    pub(super) changed: Notify,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            held: AtomicUsize::new(0),
            heavy: Notify::new(),
            crowded: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }
}

impl Room {
    pub(super) fn holds_too_much(&self) -> bool {
        self.held.load(Relaxed) > MOST_HELD
    }

    /// Says that a connection may have become one that can be closed, or has ended.
    pub(super) fn changes(&self) {
        if self.crowded.load(Relaxed) {
            self.changed.notify_one();
        }
    }

    /// In milliseconds, never [`WORKING`].
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// One connection, as the door, its bytes and its body see it.
#[derive(Clone)]
pub(super) struct Exchange(Arc<State>);

struct State {
    room: Arc<Room>,
    /// Whether a request is being answered, and how many have been.
    answering: AtomicBool,
    heads: AtomicU32,
    /// The number of the last that is answered.
    last: AtomicU32,
    /// Since when the peer is to send something.
    waits: AtomicU64,
    /// Since when the peer is to read something.
    unread: AtomicU64,
    held: AtomicUsize,
    /// Whether the peer was let in by its key to send more than others: that is not held against it.
    trusted: AtomicBool,
}

impl Exchange {
    /// A connection from which nothing has come.
    pub(super) fn new(room: Arc<Room>) -> Self {
        let waits = AtomicU64::new(room.now());
        Self(Arc::new(State {
            room,
            answering: AtomicBool::new(false),
            heads: AtomicU32::new(0),
            last: AtomicU32::new(u32::MAX),
            waits,
            unread: AtomicU64::new(WORKING),
            held: AtomicUsize::new(0),
            trusted: AtomicBool::new(false),
        }))
    }

    /// A head is whole: the next one has a deadline of its own.
    pub(super) fn begins(&self) {
        self.0.answering.store(true, Relaxed);
        self.0.heads.fetch_add(1, Relaxed);
        // Its body has its own time.
        self.0.waits.store(self.0.room.now(), Relaxed);
        self.0.trusted.store(false, Relaxed);
    }

    /// The present request may be large, for its key says so.
    pub(super) fn trusts(&self) {
        self.0.trusted.store(true, Relaxed);
        self.0.lets_go(usize::MAX);
    }

    /// All of the request is there that the agent waits for. From now on the queue bounds what is held of it.
    pub(super) fn works(&self) {
        self.0.waits.store(WORKING, Relaxed);
        self.0.lets_go(usize::MAX);
    }

    /// The answer is made; what is read from now on is the next head.
    pub(super) fn ends(&self) {
        self.0.answering.store(false, Relaxed);
        self.0.waits.store(self.0.room.now(), Relaxed);
        self.0.room.changes();
    }

    /// In place of the request's body, so many bytes are held: those of the answer.
    pub(super) fn answers(&self, bytes: usize) {
        self.0.lets_go(usize::MAX);
        self.holds(bytes);
    }

    /// Bytes of a body have come. While the agent works they go on to a guest, and are not held.
    pub(super) fn gets(&self, bytes: usize) {
        if self.0.waits.load(Relaxed) != WORKING && !self.0.trusted.load(Relaxed) {
            self.holds(bytes);
        }
    }

    /// More bytes are held for the peer.
    fn holds(&self, bytes: usize) {
        self.0.held.fetch_add(bytes, Relaxed);
        let before = self.0.room.held.fetch_add(bytes, Relaxed);
        if before + bytes > MOST_HELD {
            self.0.room.heavy.notify_one();
        }
    }

    /// The peer has taken so many bytes.
    pub(super) fn has_read(&self, bytes: usize) {
        self.0.lets_go(bytes);
    }

    /// There is something to read, and the peer does not read it.
    pub(super) fn does_not_read(&self) {
        self.0.unread.store(self.0.room.now(), Relaxed);
        self.0.room.changes();
    }

    /// It does.
    pub(super) fn reads_again(&self) {
        self.0.unread.store(WORKING, Relaxed);
    }

    /// Whether another request may follow the present one.
    pub(super) fn lasts(&self) -> bool {
        self.heads() != self.0.last.load(Relaxed)
    }

    /// None may follow this one.
    pub(super) fn ends_with(&self, head: u32) {
        self.0.last.store(head, Relaxed);
    }

    pub(super) fn is_answering(&self) -> bool {
        self.0.answering.load(Relaxed)
    }

    pub(super) fn heads(&self) -> u32 {
        self.0.heads.load(Relaxed)
    }

    /// Since when the agent has waited for the peer, in milliseconds of its own; none where it does not.
    pub(super) fn waits_since(&self) -> Option<u64> {
        let since = [&self.0.waits, &self.0.unread].map(|at| at.load(Relaxed));
        since.into_iter().filter(|at| *at != WORKING).min()
    }

    /// Bytes that are held for the peer.
    pub(super) fn held(&self) -> usize {
        self.0.held.load(Relaxed)
    }
}

impl State {
    fn lets_go(&self, bytes: usize) {
        let held = self.held.load(Relaxed);
        let gone = held.min(bytes);
        if gone > 0 {
            self.held.store(held - gone, Relaxed);
            self.room.held.fetch_sub(gone, Relaxed);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.lets_go(usize::MAX);
    }
}
