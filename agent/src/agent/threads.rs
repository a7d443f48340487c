//! The threads of the agent as values: named, and joined by a deadline.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Enough for JSON of 128 levels, TLS and sled; most of it is never touched.
const STACK: usize = 1 << 20;

/// A thread that can be waited for with a deadline.
pub(super) struct Thread {
    name: &'static str,
    thread: thread::JoinHandle<()>,
    /// Disconnected when the thread ends.
    ended: mpsc::Receiver<()>,
}

impl Thread {
    pub(super) fn start(name: &'static str, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name(name.into()).stack_size(STACK).spawn(move || {
            body();
            drop(alive);
        })?;
        Ok(Self { name, thread, ended })
    }

    /// Joins the thread, or leaves it behind at the deadline.
    pub(super) fn join_by(self, deadline: Instant) {
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

/// The `net` thread with its tokio runtime.
pub(super) struct Net {
    handle: Handle,
    thread: Thread,
    stop: oneshot::Sender<()>,
}

impl Net {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .thread_name("net-blocking")
            .thread_stack_size(STACK)
            .thread_keep_alive(Duration::from_secs(1))
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = Thread::start("net", move || {
            // Stopped or dropped: either way the agent ends.
            runtime.block_on(async { stopped.await.unwrap_or_default() });
            // A name look-up that hangs must not hold up the end.
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?;
        Ok(Self { handle, thread, stop })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn stop(self) {
        if self.stop.send(()).is_err() {
            log::error!("the net thread had ended before");
        }
        self.thread.join_by(Instant::now() + Duration::from_secs(1));
    }
}
