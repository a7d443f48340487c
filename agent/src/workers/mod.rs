//! The threads on which guests run, and the queue before them. Knows nothing of what the work is.
//!
//! As many workers compute at once as there are cores, and one more, so that a neighbour always has a place: a lane
//! (one function) never computes on more than there are cores. A worker whose guest waits in a host call gives its
//! place up, and another takes it, up to `max_workers` threads. A lane never holds all workers, nor more than half of
//! the queue, so that one slow function does not starve the others. A guest that calls another takes its worker along
//! to the other's lane, see [`Visit`]: a call from guest to guest needs no second worker.

mod lane;
mod places;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use twinlet_host::WorkerSlot;

use crate::thread::awaited;
pub use lane::Lane;
use places::Places;
pub use places::Visit;

/// Calls from guest to guest that may lie above one another on a worker's stack.
pub const MAX_DEPTH: u32 = 3;
/// Beside each guest's own stack, room for the host functions that it calls. Only what is touched costs memory.
const STACK: usize = (crate::engine::GUEST_STACK + (256 << 10)) * (MAX_DEPTH as usize + 1) + (512 << 10);
/// A worker beyond those that compute ends after so long without work.
const LINGER: Duration = Duration::from_secs(10);

/// What becomes of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It runs now, on a worker.
    Run,
    /// Its deadline passed while it waited.
    Expired,
    /// There was no room in the queue, or the workers stop; called by the one who submitted it.
    Refused,
}

/// Work, called once with what became of it.
pub type Work = Box<dyn FnOnce(Turn) + Send>;

/// The workers; stopped and joined by [`Workers::stop`].
pub struct Workers {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    runtime: Handle,
    state: Mutex<State>,
    /// Work came, a place to compute became free, or the workers stop.
    changed: Condvar,
    /// A place became free, for those that come back from a host call, or a lane, for those that wait to visit it.
    freed: Condvar,
    /// A worker ended while the workers stop.
    ended: Condvar,
}

struct Limits {
    cores: usize,
    max_threads: usize,
    queue: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Of the queue, what counts against its limit.
    bounded: usize,
    threads: Vec<JoinHandle<()>>,
    started: usize,
    alive: usize,
    idle: usize,
    computing: usize,
    /// Those that come back from a host call and have no place yet.
    returning: usize,
    /// The same, and those whose lane computes on every core already, and those that wait to visit a lane.
    coming: usize,
    stopping: bool,
}

struct Job {
    lane: Arc<Lane>,
    /// None for work that was posted.
    deadline: Option<Instant>,
    work: Work,
}

impl Workers {
    /// No thread yet; they start when work comes. Guests' host calls run on `runtime`.
    pub fn new(max_workers: usize, queue: usize, runtime: Handle) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let limits = Limits { cores, max_threads: max_workers.max(2), queue };
        let shared = Shared {
            limits,
            runtime,
            state: Mutex::default(),
            changed: Condvar::new(),
            freed: Condvar::new(),
            ended: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A share for a function of at most so many instances at once.
    pub fn lane(&self, max_instances: u32) -> Arc<Lane> {
        let all_but_one = self.shared.limits.max_threads - 1;
        let most = usize::try_from(max_instances).unwrap_or(usize::MAX).clamp(1, all_but_one);
        Arc::new(Lane::new(most, None))
    }

    /// A share for what goes before work on another lane, and waits for a place there.
    pub fn front(&self, lane: &Arc<Lane>) -> Arc<Lane> {
        let most = self.shared.limits.cores.clamp(1, self.shared.limits.max_threads - 1);
        Arc::new(Lane::new(most, Some(lane.clone())))
    }

    /// A share without a bound, for work that has had its place and begins nothing.
    pub fn aside(&self) -> Arc<Lane> {
        Arc::new(Lane::new(usize::MAX, None))
    }

    /// What a guest gives up while it waits in a host call.
    pub fn slot(&self) -> Arc<dyn WorkerSlot> {
        Arc::new(Places(self.shared.clone()))
    }

    /// Takes the calling worker to another lane for the rest of its work, once that has a place there; false where it
    /// has none until the deadline, or too many wait for one already.
    pub fn go_over(&self, lane: &Arc<Lane>, deadline: Instant) -> bool {
        Places(self.shared.clone()).go_over(lane, deadline)
    }

    /// Takes the calling worker to another lane, once that has a place; none where it has none until the deadline, or
    /// too many wait for one already.
    pub fn visit(&self, lane: &Arc<Lane>, deadline: Instant) -> Option<Visit> {
        Places(self.shared.clone()).visit(lane, deadline)
    }

    /// Queues work, or where there is no room refuses it on the spot.
    pub fn submit(&self, lane: &Arc<Lane>, deadline: Instant, work: Work) {
        let mut state = self.shared.lock();
        let full = state.bounded >= self.shared.limits.queue
            || lane.waiting.load(Relaxed) >= (self.shared.limits.queue / 2).max(1);
        if full || state.stopping {
            drop(state);
            work(Turn::Refused);
            return;
        }
        lane.waiting.fetch_add(1, Relaxed);
        state.bounded += 1;
        state.queue.push_back(Job { lane: lane.clone(), deadline: Some(deadline), work });
        self.shared.find_worker(state);
    }

    /// Queues work that has no deadline and always finds room; its sender bounds how much of it there is. It is refused
    /// only when the workers stop.
    pub fn post(&self, lane: &Arc<Lane>, work: Work) {
        let mut state = self.shared.lock();
        if state.stopping {
            drop(state);
            work(Turn::Refused);
            return;
        }
        state.queue.push_back(Job { lane: lane.clone(), deadline: None, work });
        self.shared.find_worker(state);
    }

    /// Runs work on a worker and waits for its result; none where there is no room or no time, or where `given_up`,
    /// which is asked again and again, says so. What runs then ends by itself.
    pub fn run<R: Send + 'static>(
        &self,
        lane: &Arc<Lane>,
        deadline: Instant,
        given_up: &dyn Fn() -> bool,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let work = Box::new(move |turn| {
            if turn == Turn::Run && sender.send(work()).is_err() {
                log::debug!("nobody waits for a worker's result any more");
            }
        });
        self.submit(lane, deadline, work);
        awaited(&receiver, given_up)
    }

    /// Work that waits in the queue.
    pub fn waiting(&self) -> usize {
        self.shared.lock().bounded
    }

    /// Cores on which no worker computes now.
    pub fn free_cores(&self) -> usize {
        self.shared.limits.cores.saturating_sub(self.shared.lock().computing)
    }

    /// Refuses what waits and what comes, lets the work that runs end, and joins the threads; those that still run at
    /// the deadline are left behind. Says whether all ended.
    pub fn stop(&self, deadline: Instant) -> bool {
        let mut state = self.shared.lock();
        state.stopping = true;
        state.bounded = 0;
        let refused = std::mem::take(&mut state.queue);
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.shared.changed.notify_all();
        for job in refused {
            (job.work)(Turn::Refused);
        }
        let mut state = self.shared.lock();
        while state.alive > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
        drop(state);
        for thread in threads {
            if thread.join().is_err() {
                log::error!("a worker had panicked");
            }
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes an idle worker for work that can run now, or starts one.
    fn find_worker(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        // An idle worker that was woken stays counted until it takes its job, which is then still in the queue.
        let enough = state.idle >= state.queue.len();
        if enough || state.alive >= self.limits.max_threads || state.next(&self.limits).is_none() {
            self.wake_idle(state);
            return;
        }
        state.started += 1;
        let of_thread = self.clone();
        let builder = thread::Builder::new().name(format!("guest-{}", state.started)).stack_size(STACK);
        match builder.spawn(move || work(&of_thread)) {
            Ok(thread) => {
                state.alive += 1;
                state.threads.retain(|thread| !thread.is_finished());
                state.threads.push(thread);
            }
            Err(error) => {
                report_spawn(&error, state.alive);
                self.wake_idle(state);
            }
        }
    }

    /// Waking costs a system call, even where nobody waits.
    fn wake_idle(&self, state: MutexGuard<'_, State>) {
        let anyone = state.idle > 0;
        drop(state);
        if anyone {
            self.changed.notify_one();
        }
    }
}

fn report_spawn(error: &io::Error, alive: usize) {
    log::warn!("starting a worker: {error}; going on with {alive}");
}

impl State {
    /// The first job in the queue that may run now.
    fn next(&self, limits: &Limits) -> Option<usize> {
        if self.computing + self.returning > limits.cores {
            return None;
        }
        self.queue.iter().position(|job| job.lane.has_place(limits) && job.lane.is_queues_turn())
    }

    fn take(&mut self, limits: &Limits) -> Option<Job> {
        let job = self.next(limits).and_then(|index| self.queue.remove(index))?;
        if job.deadline.is_some() {
            job.lane.waiting.fetch_sub(1, Relaxed);
            self.bounded = self.bounded.saturating_sub(1);
        }
        job.lane.visited_last.store(false, Relaxed);
        job.lane.held.fetch_add(1, Relaxed);
        job.lane.computing.fetch_add(1, Relaxed);
        self.computing += 1;
        Some(job)
    }
}

fn work(shared: &Arc<Shared>) {
    let _runtime = shared.runtime.enter();
    let mut state = shared.lock();
    loop {
        if let Some(job) = state.take(&shared.limits) {
            drop(state);
            let Job { lane, deadline, work } = job;
            let turn = if deadline.is_none_or(|at| Instant::now() < at) { Turn::Run } else { Turn::Expired };
            // It may end on another lane than it began on.
            let lane = places::on_lane(lane, || work(turn));
            state = shared.lock();
            lane.held.fetch_sub(1, Relaxed);
            lane.computing.fetch_sub(1, Relaxed);
            state.computing -= 1;
            if state.coming > 0 {
                shared.freed.notify_all();
            }
            if !state.queue.is_empty() && state.idle > 0 {
                // This worker takes the next job itself; another may fit the place beside it.
                shared.changed.notify_one();
            }
            continue;
        }
        if state.stopping {
            break;
        }
        state.idle += 1;
        let waited = shared.changed.wait_timeout(state, LINGER).unwrap_or_else(PoisonError::into_inner);
        state = waited.0;
        state.idle -= 1;
        if waited.1.timed_out() && state.alive > shared.limits.cores + 1 && state.queue.is_empty() {
            break;
        }
    }
    state.alive -= 1;
    if state.stopping {
        shared.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
