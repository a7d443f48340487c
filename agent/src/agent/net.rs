//! The `net` thread with its tokio runtime: MQTT, the public door and the reporter run there.

use std::io;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::thread::{STACK, Thread};

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
