//! Functions that take what they can get, each beside a good neighbour: each ends as it should, and the agent and the
//! neighbour go on.

use std::time::Instant;

use serde_json::json;
use twinlet_tests::desired::Function;
use twinlet_tests::guests::actors::{self, Break, Event};
use twinlet_tests::guests::hostile;
use twinlet_tests::{Desired, Site, eventually, guests};

use crate::neighbour::{ask, beside, deploy, with_neighbour};
use crate::site;

/// Linear memory of one instance of `bad`, in pages of 64 KiB. All but one fixture leave nearly all of it alone.
const PAGES: u32 = 512;

/// The function `bad`, which may do more than most: it is its limits that are tried, not its permissions.
fn bad(site: &Site, bytes: Vec<u8>) -> Function {
    site.function("bad", bytes)
        .set("memory_pages", PAGES)
        .set("max_execution_ms", 1_000)
        .set("instances", json!({ "min": 1, "max": 2 }))
        .set("permissions", json!({ "telemetry": true }))
}

/// A site where `bad` and its neighbour serve.
fn beside_neighbour(bytes: Vec<u8>, change: impl FnOnce(Function) -> Function) -> Site {
    let site = site();
    let function = change(bad(&site, bytes));
    deploy(&site, [function]);
    site
}

/// Calls `bad` twice at once, three times over.
fn statuses(site: &Site) -> Vec<u16> {
    let twice = || {
        std::thread::scope(|threads| {
            let calls = [0; 2].map(|_| threads.spawn(|| site.agent.get("/bad").status));
            calls.map(|call| call.join().unwrap())
        })
    };
    (0..3).flat_map(|_| twice()).collect()
}

/// That `bad`, which never ends by itself, is stopped at its deadline, again and again.
fn is_stopped(bytes: Vec<u8>) -> Site {
    let site = beside_neighbour(bytes, |function| function);
    let statuses = beside(&site, 0, || statuses(&site));
    assert_eq!(statuses, [504; 6]);
    let error = site.hub.last_error("bad");
    assert!(error.contains("1000 ms"), "{error}");
    site
}

/// That each call of `bad` ends as a trap of its own making, and that the reason is reported.
fn traps_for(bytes: Vec<u8>, reason: &str) {
    let site = beside_neighbour(bytes, |function| function.set("max_execution_ms", 10_000));
    let statuses = beside(&site, 0, || statuses(&site));
    assert_eq!(statuses, [500; 6]);
    let error = site.hub.last_error("bad");
    assert!(error.contains(reason), "{error}");
}

/// What `bad` answers to one request, made while the neighbour is asked.
fn answer(site: &Site) -> String {
    let answer = beside(site, 0, || site.agent.get("/bad"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[test]
fn computing_without_end_is_stopped() {
    is_stopped(guests::spins());
}

#[test]
fn logging_without_end_is_stopped_and_leaves_a_hundred_lines_a_second() {
    let begun = Instant::now();
    let site = is_stopped(hostile::floods_log());
    let lines = site.agent.log_since(0).iter().filter(|line| line.contains("bad: xxx")).count();
    let allowed = 100 + 100 * usize::try_from(begun.elapsed().as_secs() + 1).unwrap();
    assert!((100..=allowed).contains(&lines), "{lines} lines where {allowed} are allowed");
    site.agent.log_line_where("what was dropped", |line| line.contains("lines dropped"));
}

#[test]
fn telemetry_without_end_is_stopped_and_held_to_its_rate() {
    let begun = Instant::now();
    let site = is_stopped(hostile::floods_telemetry());
    site.hub.telemetry("bad", 1);
    let topic = "edge/telemetry/node-1/bad";
    let taken = site.hub.received(topic).len();
    // 4 MiB at once and 1 MiB a second, in messages of 1 KiB.
    let allowed = 4_096 + 1_024 * usize::try_from(begun.elapsed().as_secs() + 1).unwrap();
    assert!(taken <= allowed, "{taken} messages where {allowed} are allowed");
}

#[test]
fn series_without_end_are_stopped_and_only_64_are_shown_until_the_function_goes() {
    let site = is_stopped(hostile::floods_metrics());
    let of_bad = |m: &twinlet_tests::metrics::Metrics| {
        m.sum("twinlet_guest_gauge_g", &["function_id=\"bad\""]) // each of them is 1
    };
    let page = site.agent.metrics();
    assert_eq!(of_bad(&page), 64.0, "{}", page.text);
    assert_eq!(page.kind("twinlet_guest_gauge_g"), Some("gauge"));
    site.apply(2, |desired| with_neighbour(&site, desired));
    site.agent.metrics_where("no series of what is gone", |m| of_bad(m) == 0.0);
}

#[test]
fn reports_without_end_are_stopped_and_do_not_fill_the_link() {
    let begun = Instant::now();
    let site = is_stopped(hostile::reports_for_ever());
    site.hub.reported_where("a value", |r| r["functions"]["bad"]["reported"]["n"].is_u64());
    let reports = site.hub.received("edge/twin/node-1/reported").len();
    // Ten in quick succession and one a second, and some for the deployment itself.
    let allowed = 20 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(reports <= allowed, "{reports} reports where {allowed} are allowed");
}

#[test]
fn a_table_grows_to_its_limit_and_no_further() {
    let site = beside_neighbour(hostile::table_bomb(), |function| function);
    // By the thousand from one on, to at most 20,000.
    assert_eq!(answer(&site), "19001");
}

#[test]
fn memory_grows_to_its_limit_beside_a_neighbour() {
    let site = beside_neighbour(hostile::memory_bomb(), |function| function.set("max_execution_ms", 10_000));
    let answer = beside(&site, u64::from(PAGES) << 16, || site.agent.get("/bad"));
    assert_eq!((answer.status, answer.body.as_slice()), (200, &PAGES.to_le_bytes()[..]));
}

#[test]
fn more_host_resources_than_an_instance_may_hold_are_a_trap() {
    traps_for(hostile::ten_thousand_handles(), "resource table has no free keys");
}

#[test]
fn a_huge_log_message_is_a_trap() {
    traps_for(hostile::huge_log(), "fuel");
}

#[test]
fn a_huge_telemetry_message_is_a_trap() {
    traps_for(hostile::huge_telemetry(), "fuel");
}

#[test]
fn a_huge_answer_is_a_trap() {
    traps_for(hostile::huge_answer(), "fuel");
}

#[test]
fn a_function_keeps_1024_keys_or_1_mib_of_them() {
    let patient = |function: Function| function.set("max_execution_ms", 60_000);
    assert_eq!(answer(&beside_neighbour(hostile::floods_keys(1), patient)), "1024");
    assert_eq!(answer(&beside_neighbour(hostile::floods_keys(65_536), patient)), "15");
}

#[test]
fn an_actor_has_1024_timers_however_many_it_wants() {
    let patient = |function: Function| function.set("max_execution_ms", 60_000);
    let site = beside_neighbour(hostile::delays_a_million(), patient);
    assert_eq!(answer(&site), "1024");
}

#[test]
fn an_actor_fills_its_own_mailbox_and_nothing_else() {
    for (bytes, taken) in [(64, "1024"), (61_440, "17")] {
        let site = beside_neighbour(hostile::floods_itself(bytes), |function| function);
        assert_eq!(answer(&site), taken, "messages of {bytes} bytes");
        // Taken, they are worked off, and there is room again.
        eventually("room in the mailbox", || {
            let answer = site.agent.get("/bad");
            (answer.status == 200 && answer.text() == taken).then_some(())
        });
    }
}

#[test]
fn an_actor_that_calls_itself_is_told_so_at_once() {
    let site = beside_neighbour(actors::calls_itself(), |function| function.set("max_execution_ms", 60_000));
    let begun = Instant::now();
    assert_eq!(answer(&site), "err");
    assert!(begun.elapsed().as_secs() < 10, "it waited for itself");
}

#[test]
fn an_actor_that_breaks_at_its_init_fails_alone() {
    for (how, reason) in [(Break::Trap, "unreachable"), (Break::Spin, "1000 ms")] {
        let site = site();
        let function = bad(&site, actors::breaks_in(Event::Init, how));
        site.hub.publish_desired(with_neighbour(&site, Desired::version(1).serving(function)));
        let error = site.hub.last_error("bad");
        assert!(error.contains(reason), "{error}");
        site.agent.answers("/hello", 200);
        let status = beside(&site, 0, || site.agent.get("/bad").status);
        assert!([500, 503, 504].contains(&status), "{how:?} {status}");
    }
}

#[test]
fn an_actor_that_spins_loses_the_event_and_keeps_its_state() {
    let site = site();
    let to = json!({ "to": "bad" });
    let casts = site.function("casts", guests::casts()).set("outputs", to);
    let function = bad(&site, actors::spins_on("spin"));
    deploy(&site, [function, casts]);
    for message in ["a", "b", "spin", "c"] {
        assert_eq!(site.agent.post("/casts", message).status, 202);
    }
    beside(&site, 0, || {
        eventually("a restart from the kept state, and the casts behind the spin", || {
            let answer = site.agent.post("/bad", "count");
            (answer.status == 200 && answer.text() == "3").then_some(())
        });
    });
    let error = site.hub.last_error("bad");
    assert!(error.contains("1000 ms"), "{error}");
}

#[test]
fn an_actor_that_never_stops_goes_all_the_same() {
    let site = beside_neighbour(actors::breaks_in(Event::Stop, Break::Spin), |function| function);
    beside(&site, 0, || {
        site.hub.publish_desired(with_neighbour(&site, Desired::version(2)));
        site.hub.reported_where("version 2, without the function", |r| {
            r["lastDesiredVersion"] == 2
                && r["lastDesiredStatus"]["code"] == 200
                && r["functions"]["bad"].is_null()
        });
        site.agent.answers("/bad", 404);
        site.agent.log_line_where("the stop that was cut short", |line| {
            line.contains("actor bad: handle-stop") && line.contains("1000 ms")
        });
    });
    ask(&site);
}
