//! What a hostile function can not do: hold a worker, take memory, starve its neighbours.

use std::time::{Duration, Instant};

use twinlet_tests::{Desired, Site, guests};

use crate::{agent, site};

const LIMIT: Duration = Duration::from_millis(200);
const BOUND: Duration = Duration::from_millis(250);

#[test]
fn a_function_that_never_answers_is_504_in_time_and_its_worker_is_free_again() {
    let site = Site::start(agent().env("MAX_WORKERS", 2));
    let spins = site.function("spins", guests::spins()).set("max_execution_ms", 200);
    let good = site.function("good", guests::answers("fine"));
    site.apply(1, |d| d.serving(spins).serving(good));
    let calls = [0; 6].map(|_| {
        let begun = Instant::now();
        let answer = site.agent.get("/spins");
        assert_eq!((answer.status, answer.text().as_str()), (504, "Gateway Timeout"));
        assert!(answer.header("content-type").starts_with("text/plain"));
        begun.elapsed()
    });
    // Six calls on two workers: none was lost. The bound must be met; that a machine busy with other tests does not
    // always schedule us in time is not the agent's fault, so the best call counts.
    assert!(calls.iter().all(|took| *took >= LIMIT), "{calls:?}");
    assert!(calls.iter().any(|took| *took <= BOUND), "{calls:?}");
    assert_eq!(site.agent.get("/good").text(), "fine");
    let metrics = site.agent.metrics();
    assert_eq!(
        metrics.sum("twinlet_invocations_total", &["function_id=\"spins\"", "outcome=\"timeout\""]),
        6.0
    );
}

#[test]
fn a_function_that_never_starts_is_stopped_in_time() {
    let site = site();
    let function = site.function("stuck", guests::spins_at_start()).set("max_execution_ms", 200);
    let good = site.function("good", guests::answers("fine"));
    site.apply(1, |d| d.serving(good.clone()));
    site.hub.publish_desired(Desired::version(2).serving(function).serving(good));
    let error = site.hub.last_error("stuck");
    assert!(error.contains("200 ms"), "{error}");
    site.agent.says("/good", "fine");
    let before = site.agent.cpu_ticks();
    assert_eq!(site.agent.get("/stuck").status, 404, "its route comes with it");
    assert!(site.agent.cpu_ticks() - before < 100, "it still spins");
}

#[test]
fn memory_grows_to_the_limit_and_not_beyond() {
    let site = site();
    let pages = 128_u32;
    let function = site.function("greedy", guests::grows()).set("memory_pages", pages);
    let one = serde_json::json!({ "min": 1, "max": 1 });
    site.apply(1, |d| d.serving(function.set("instances", one)));
    let before = site.agent.held_bytes();
    for _ in 0..10 {
        let answer = site.agent.get("/greedy");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &pages.to_le_bytes()[..]));
    }
    let grown = site.agent.held_bytes().saturating_sub(before);
    let allowed = u64::from(pages) * 65_536;
    assert!(grown < 2 * allowed, "grew by {grown} bytes where {allowed} are allowed");
}

#[test]
fn more_memory_than_the_device_gives_is_not_accepted() {
    let site = Site::start(agent().env("MAX_MEMORY_PAGES", 32));
    let function = site.function("greedy", guests::grows()).set("memory_pages", 33);
    site.hub.publish_desired(Desired::version(1).serving(function));
    let report = site.hub.reported_where("a refusal", |r| r["lastDesiredStatus"]["code"] == 400);
    let why = report["lastDesiredStatus"]["description"].to_string();
    assert!(why.contains("functions.greedy.memory_pages"), "{why}");
}

#[test]
fn a_function_that_hangs_does_not_starve_its_neighbours() {
    let site = Site::start(agent().env("MAX_WORKERS", 2));
    let spins = site.function("spins", guests::spins()).set("max_execution_ms", 4000);
    let good = site.function("good", guests::answers("fine"));
    site.apply(1, |d| d.serving(spins).serving(good));
    let before = site.agent.cpu_ticks();
    std::thread::scope(|threads| {
        let hanging: Vec<_> = (0..4).map(|_| threads.spawn(|| site.agent.get("/spins").status)).collect();
        twinlet_tests::eventually("the functions to spin", || {
            (site.agent.cpu_ticks() > before + 10).then_some(())
        });
        assert_eq!(site.agent.get("/good").text(), "fine");
        assert!(hanging.iter().all(|h| !h.is_finished()), "the neighbour was served only after them");
        for call in hanging {
            assert!([503, 504].contains(&call.join().unwrap()));
        }
    });
}
