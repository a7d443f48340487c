//! The good neighbour: a function that is asked again and again while something hostile goes on beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use twinlet_tests::desired::{Desired, Function};
use twinlet_tests::{Site, guests};

/// Within which every one of the neighbour's requests is answered. Generous, for a debug build on a busy machine: how
/// long they take is the benchmark's affair, that they are not held up is this one's.
const BOUND: Duration = Duration::from_secs(1);
/// What the agent may take beside a function's own memory while that does its worst: buffers, a queue, its log.
const ROOM: u64 = 16 << 20;

/// With a neighbour beside what is there.
pub(crate) fn with_neighbour(site: &Site, desired: Desired) -> Desired {
    desired.serving(site.function("hello", guests::prebuilt("hello-http")))
}

/// Deploys functions and the neighbour, each on the route of its name, and returns when they serve.
pub(crate) fn deploy(site: &Site, functions: impl IntoIterator<Item = Function>) {
    site.apply(1, |desired| with_neighbour(site, functions.into_iter().fold(desired, Desired::serving)));
    ask(site);
}

/// Asks the neighbour once, and says how long it took.
pub(crate) fn ask(site: &Site) -> Duration {
    let begun = Instant::now();
    let answer = site.agent.get("/hello");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!\n"));
    begun.elapsed()
}

/// Does something while the neighbour is asked all the time, and sees to it that each of those requests was answered
/// within [`BOUND`], that the agent never grew by more than `own_memory` bytes and [`ROOM`], and that it still serves.
pub(crate) fn beside<R>(site: &Site, own_memory: u64, work: impl FnOnce() -> R) -> R {
    let (before, done) = (site.agent.held_bytes(), AtomicBool::new(false));
    let (result, slowest, largest) = std::thread::scope(|threads| {
        let watch = threads.spawn(|| {
            let (mut slowest, mut largest) = (Duration::ZERO, 0);
            while !done.load(Ordering::SeqCst) {
                slowest = slowest.max(ask(site));
                largest = largest.max(site.agent.held_bytes());
            }
            (slowest, largest)
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::SeqCst);
        let (slowest, largest) = watch.join().unwrap();
        (result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), slowest, largest)
    });
    assert!(slowest.max(ask(site)) <= BOUND, "a neighbour's request took {slowest:?}");
    let grown = largest.saturating_sub(before);
    assert!(
        grown <= own_memory + ROOM,
        "the agent grew by {grown} bytes, {own_memory} of them the function's own"
    );
    result
}
