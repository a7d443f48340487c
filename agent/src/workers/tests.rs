//! The workers' promises to neighbours.

use super::*;
use std::sync::mpsc;

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn workers(max: usize, queue: usize) -> (tokio::runtime::Runtime, Arc<Workers>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|e| panic!("{e}"));
    let workers = Arc::new(Workers::new(max, queue, runtime.handle().clone()));
    (runtime, workers)
}

/// Submits work that says when it began and then waits to be released, in a host call or computing.
fn submit_blocked(
    w: &Workers,
    lane: &Arc<Lane>,
    in_host_call: bool,
) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (began, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let slot = w.slot();
    w.submit(
        lane,
        later(),
        Box::new(move |turn| {
            if turn == Turn::Refused {
                return;
            }
            if in_host_call {
                slot.leave();
            }
            // Those that begin only at the end of the test find nobody.
            began.send(()).ok();
            released.recv().unwrap_err();
            if in_host_call {
                slot.enter();
            }
        }),
    );
    (has_begun, release)
}

#[test]
fn a_lane_that_computes_on_every_core_leaves_a_place_for_its_neighbour() {
    let (_runtime, workers) = workers(16, 64);
    let (greedy, neighbour) = (workers.lane(100), workers.lane(1));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let blocked: Vec<_> = (0..cores + 4).map(|_| submit_blocked(&workers, &greedy, false)).collect();
    assert_eq!(workers.run(&neighbour, later(), &|| false, || 7), Some(7));
    drop(blocked);
    assert!(workers.stop(later()));
}

#[test]
fn workers_that_wait_in_host_calls_give_their_place_but_never_all() {
    let (_runtime, workers) = workers(4, 64);
    let (slow, neighbour) = (workers.lane(100), workers.lane(1));
    let blocked: Vec<_> = (0..10).map(|_| submit_blocked(&workers, &slow, true)).collect();
    let begun = blocked.iter().take(3).filter(|(b, _)| b.recv_timeout(Duration::from_secs(10)).is_ok());
    assert_eq!(begun.count(), 3, "all but one worker");
    assert_eq!(workers.run(&neighbour, later(), &|| false, || 7), Some(7));
    drop(blocked);
    assert!(workers.stop(later()));
}

#[test]
fn a_full_queue_refuses_and_late_work_is_told() {
    let (_runtime, workers) = workers(2, 2);
    let lane = workers.lane(1);
    let (begun, release) = submit_blocked(&workers, &lane, false);
    begun.recv().unwrap();
    let (turn, turns) = mpsc::channel();
    let refused = turn.clone();
    workers.submit(&lane, Instant::now(), Box::new(move |t| turn.send(t).unwrap()));
    workers.submit(&lane, later(), Box::new(move |t| refused.send(t).unwrap()));
    assert_eq!(turns.recv().unwrap(), Turn::Refused, "only half of the queue is one lane's");
    drop(release);
    assert_eq!(turns.recv().unwrap(), Turn::Expired);
    assert!(workers.stop(later()));
}

#[test]
fn a_visit_needs_no_second_worker_and_takes_turns_with_the_queue() {
    let (_runtime, workers) = workers(2, 64);
    let (caller, callee) = (workers.lane(1), workers.lane(1));
    let (begun, release) = submit_blocked(&workers, &callee, false);
    begun.recv().unwrap();
    let (order, orders) = mpsc::channel();
    let (visiting, behind) = (order.clone(), order);
    let (of_worker, lane) = (workers.clone(), callee.clone());
    let caller_is = caller.clone();
    workers.submit(
        &caller,
        later(),
        Box::new(move |_| {
            let visit = of_worker.visit(&lane, later());
            visiting.send(if visit.is_some() { "visit" } else { "no place" }).unwrap();
        }),
    );
    // The visitor waits on one worker, the callee's work is on the other; nothing else can run.
    while callee.visitors.load(Relaxed) == 0 {
        thread::yield_now();
    }
    workers.post(&callee, Box::new(move |_| behind.send("posted").unwrap()));
    drop(release);
    assert_eq!(orders.recv().unwrap(), "visit");
    assert_eq!(orders.recv().unwrap(), "posted");
    assert!(workers.stop(later()));
    let counts =
        |lane: &Lane| (lane.held.load(Relaxed), lane.computing.load(Relaxed), lane.waiting.load(Relaxed));
    assert_eq!((counts(&caller_is), counts(&callee)), ((0, 0, 0), (0, 0, 0)));
}

#[test]
fn who_goes_over_gives_up_the_lane_that_it_came_from() {
    let (_runtime, workers) = workers(4, 64);
    let target = workers.lane(1);
    let front = workers.front(&target);
    let (of_worker, lane) = (workers.clone(), target.clone());
    let (sender, held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let front_is = front.clone();
    workers.submit(
        &front,
        later(),
        Box::new(move |_| {
            assert!(of_worker.go_over(&lane, later()));
            sender.send((front_is.held.load(Relaxed), lane.held.load(Relaxed))).unwrap();
            released.recv().unwrap_err();
        }),
    );
    assert_eq!(held.recv().unwrap(), (0, 1));
    drop(release);
    assert_eq!(workers.run(&target, later(), &|| false, || 7), Some(7));
    assert!(workers.stop(later()));
    let counts =
        |lane: &Lane| (lane.held.load(Relaxed), lane.computing.load(Relaxed), lane.waiting.load(Relaxed));
    assert_eq!((counts(&front), counts(&target)), ((0, 0, 0), (0, 0, 0)));
}

#[test]
fn a_visit_to_a_lane_that_stays_busy_ends_at_its_deadline() {
    let (_runtime, workers) = workers(4, 64);
    let (caller, callee) = (workers.lane(1), workers.lane(1));
    let (begun, release) = submit_blocked(&workers, &callee, false);
    begun.recv().unwrap();
    let (of_worker, lane) = (workers.clone(), callee.clone());
    let soon = Instant::now() + Duration::from_millis(20);
    let visited = workers.run(&caller, later(), &|| false, move || of_worker.visit(&lane, soon).is_some());
    assert_eq!(visited, Some(false));
    drop(release);
    assert_eq!(workers.run(&callee, later(), &|| false, || 7), Some(7));
    assert!(workers.stop(later()));
}
