//! How one version of a function does, from when it was prepared: what its trial goes by.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Counts of one version.
#[derive(Debug, Default)]
pub struct Tally {
    invocations: AtomicU64,
    errors: AtomicU64,
    breakdowns: AtomicU64,
}

impl Tally {
    /// An invocation ended that was begun, well or by its own fault.
    pub fn invoked(&self, failed: bool) {
        self.invocations.fetch_add(1, Relaxed);
        if failed {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// An invocation that ended well was one in which the function itself answered with this status.
    pub fn answered(&self, status: u16) {
        if status >= 500 {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// It crashed as an actor, or did not answer its health request.
    pub fn broke_down(&self) {
        self.breakdowns.fetch_add(1, Relaxed);
    }

    /// Invocations that were begun.
    pub fn invocations(&self) -> u64 {
        self.invocations.load(Relaxed)
    }

    /// Those of them that trapped, took too long, or were answered with 5xx.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Crashes and health requests without a good answer.
    pub fn breakdowns(&self) -> u64 {
        self.breakdowns.load(Relaxed)
    }
}
