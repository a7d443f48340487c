//! A thread as a value: named, and joined by a deadline. Knows nothing of what runs on it.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// A thread's stack: enough for JSON of 128 levels, TLS and sled; most of it is never touched.
pub const STACK: usize = 1 << 20;

/// How long [`awaited`] waits before it asks whether its result is still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// Waits for another thread's result; none where that thread has dropped its sender, or where `given_up`, which is
/// asked again and again, says so.
pub fn awaited<T>(result: &mpsc::Receiver<T>, given_up: &dyn Fn() -> bool) -> Option<T> {
    loop {
        match result.recv_timeout(GLANCE) {
            Ok(result) => return Some(result),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) if given_up() => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// A thread that can be waited for with a deadline.
pub struct Thread {
    name: &'static str,
    thread: thread::JoinHandle<()>,
    /// Disconnected when the thread ends.
    ended: mpsc::Receiver<()>,
}

impl Thread {
    /// Starts a thread.
    pub fn start(name: &'static str, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
            body();
            drop(alive);
        })?;
        Ok(Self { name, thread, ended })
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Joins the thread, or leaves it behind at the deadline.
    pub fn join_by(self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.ended.recv_timeout(left) {
            Err(RecvTimeoutError::Timeout) => log::warn!("the {} thread did not end in time", self.name),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if self.thread.join().is_err() {
                    log::error!("the {} thread had panicked", self.name);
                }
            }
        }
    }
}
