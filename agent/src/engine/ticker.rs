//! The deadline clock: a thread that advances the engine's epoch while guests run, and sleeps while none does, so
//! that an idle gateway stays asleep.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wasmtime::Engine;

/// Time between two ticks: how late a guest may be stopped.
pub const TICK: Duration = Duration::from_millis(5);
/// Ticks without a guest after which the clock stops. Waking it costs a system call, so not at once.
const LINGER: u32 = 200;

/// The clock's thread; it ends with this.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    guests: AtomicUsize,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// While this lives, the clock ticks.
pub struct Running<'t>(&'t Shared);

impl Ticker {
    pub(super) fn start(engine: Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        let builder = thread::Builder::new().name("epoch".into()).stack_size(64 << 10);
        let thread = builder.spawn(move || tick(&engine, &of_thread))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn running(&self) -> Running<'_> {
        self.shared.guests.fetch_add(1, SeqCst);
        // The clock looks for guests once more after it said that it parks, so one of the two sees the other.
        if self.shared.parked.load(SeqCst) {
            self.wake();
        }
        Running(&self.shared)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.wake();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the epoch thread had panicked");
        }
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut idle = 0;
    let mut next = Instant::now() + TICK;
    while !shared.stop.load(SeqCst) {
        idle = if shared.guests.load(SeqCst) == 0 { idle + 1 } else { 0 };
        if idle < LINGER {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            // On a busy device a sleep ends late; the ticks that it missed are made up for.
            while next <= Instant::now() {
                engine.increment_epoch();
                next += TICK;
            }
            continue;
        }
        shared.parked.store(true, SeqCst);
        while shared.guests.load(SeqCst) == 0 && !shared.stop.load(SeqCst) {
            thread::park();
        }
        shared.parked.store(false, SeqCst);
        idle = 0;
        next = Instant::now() + TICK;
    }
}
