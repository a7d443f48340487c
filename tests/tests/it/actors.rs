//! Actors: one event at a time, calls that always end, and what they keep over crashes, redeployments and kill -9.

use serde_json::json;
use twinlet_tests::guests::actors::{self, Break, Event};
use twinlet_tests::{Desired, Site, eventually, guests};

use crate::{agent, site};

/// What an actor answers a POST to its route.
fn ask(site: &Site, route: &str, message: &str) -> (u16, String) {
    let answer = site.agent.post(&format!("/{route}"), message);
    (answer.status, answer.text())
}

fn answered(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

/// A desired state with the actor `actor`, and the function `send` that casts what it is posted to it.
fn with_sender(site: &Site, version: u64, actor: Vec<u8>) -> Desired {
    let actor = site.function("actor", actor).version(version);
    let send = site.function("send", guests::casts()).set("outputs", json!({ "to": "actor" }));
    Desired::version(version).serving(actor).serving(send)
}

fn publish(site: &Site, version: u64, desired: Desired) {
    site.hub.publish_desired(desired);
    site.hub.applied(version);
}

fn sending_to(actor: Vec<u8>) -> Site {
    let site = site();
    let desired = with_sender(&site, 1, actor);
    publish(&site, 1, desired);
    site
}

fn cast(site: &Site, message: &str) {
    assert_eq!(ask(site, "send", message).0, 202);
}

#[test]
fn a_route_brings_the_body_to_handle_call_and_its_answer_back() {
    let site = site();
    let functions = [
        ("echo", actors::echoes()),
        ("nothing", actors::says_nothing()),
        ("fails", actors::fails()),
        ("source", actors::tells_source()),
    ];
    let functions = functions.map(|(id, bytes)| site.function(id, bytes));
    site.apply(1, |d| functions.into_iter().fold(d, Desired::serving));
    let echo = site.agent.post("/echo", [0, 255, 128]);
    assert_eq!((echo.status, echo.body.as_slice()), (200, [0, 255, 128].as_slice()));
    assert_eq!(echo.header("content-type"), "application/octet-stream");
    assert_eq!(ask(&site, "nothing", "x").0, 204);
    let failed = site.agent.post("/fails", "x");
    assert_eq!((failed.status, failed.json()["type"].as_str()), (500, Some("ExecutionError")));
    assert_eq!(ask(&site, "source", "x"), answered("node-1/"), "nobody's function sent it");
}

#[test]
fn a_call_comes_after_all_that_was_cast_before() {
    let site = sending_to(actors::counts_casts());
    for n in 1..=50 {
        cast(&site, "x");
        assert_eq!(ask(&site, "actor", ""), answered(&n.to_string()));
    }
}

#[test]
fn a_call_from_a_guest_reaches_the_actor_its_output_names() {
    let site = site();
    let echo = site.function("echo", actors::echoes());
    let next = site.function("next", actors::calls("to")).set("outputs", json!({ "to": "echo" }));
    let door = site.function("door", guests::forwards()).set("outputs", json!({ "to": "next" }));
    let nobody = site.function("nobody", guests::forwards()).set("outputs", json!({ "to": "gone" }));
    let unnamed = site.function("unnamed", guests::forwards());
    site.apply(1, |d| [echo, next, door, nobody, unnamed].into_iter().fold(d, Desired::serving));
    assert_eq!(ask(&site, "door", "hello"), answered("hello"), "through two calls");
    assert_eq!(ask(&site, "nobody", "hello").0, 502, "a callee that is missing is `err`");
    assert_eq!(ask(&site, "unnamed", "hello").0, 502, "and so is a name that outputs does not have");
}

#[test]
fn a_ring_of_calls_is_an_error_and_not_a_hang() {
    let site = site();
    let itself = site.function("itself", actors::calls_itself());
    let a = site.function("a", actors::calls("b")).set("outputs", json!({ "b": "b" }));
    let b = site.function("b", actors::calls("a")).set("outputs", json!({ "a": "a" }));
    site.apply(1, |d| [itself, a, b].into_iter().fold(d, Desired::serving));
    let began = std::time::Instant::now();
    assert_eq!(ask(&site, "itself", "x"), answered("err"));
    assert_eq!(ask(&site, "a", "x"), answered("err"));
    // Both at once: whoever comes second closes the ring.
    std::thread::scope(|threads| {
        for n in 0..40 {
            let site = &site;
            threads.spawn(move || {
                let route = if n % 2 == 0 { "a" } else { "b" };
                assert_eq!(ask(site, route, "x"), answered("err"));
            });
        }
    });
    // Each event has five seconds; had anyone waited for the ring, it would have been that long.
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    for actor in ["itself", "a", "b"] {
        assert_eq!(site.hub.reported()["functions"][actor]["restartCount"], 0);
    }
}

#[test]
fn more_calls_above_one_another_than_a_stack_holds_are_an_error() {
    let site = site();
    let mut functions = vec![site.function("f9", actors::echoes())];
    for n in 1..9 {
        let next = format!("f{}", n + 1);
        let bytes = actors::calls("next");
        functions.push(site.function(&format!("f{n}"), bytes).set("outputs", json!({ "next": next })));
    }
    site.apply(1, |d| functions.into_iter().fold(d, Desired::serving));
    assert_eq!(ask(&site, "f7", "deep"), answered("deep"));
    assert_eq!(ask(&site, "f1", "deep"), answered("err"));
}

#[test]
fn a_crash_loses_its_event_alone_and_the_state_stays() {
    let site = sending_to(actors::traps_on("bad"));
    for message in ["a", "b", "bad", "c"] {
        cast(&site, message);
    }
    assert_eq!(ask(&site, "actor", ""), answered("3"), "the first restart is at once");
    assert_eq!(ask(&site, "actor", "bad").0, 500);
    let error = site.hub.last_error("actor");
    assert!(error.contains("unreachable"), "{error}");
    eventually("the actor to start again", || (ask(&site, "actor", "") == answered("3")).then_some(()));
    let metrics = site.agent.metrics();
    assert_eq!(metrics.sum("twinlet_actor_events_total", &["function_id=\"actor\"", "event=\"crash\""]), 2.0);
}

#[test]
fn an_actor_that_goes_on_crashing_waits_and_is_never_given_up() {
    let site = sending_to(actors::breaks_in(Event::Cast, Break::Trap));
    for _ in 0..6 {
        cast(&site, "x");
    }
    site.hub.phase("actor", 1, "backoff");
    let error = site.hub.last_error("actor");
    assert!(error.contains("unreachable"), "{error}");
    assert_eq!(ask(&site, "actor", "").0, 503, "what it would do is known: nothing yet");
    // Six crashes in a row are 0 + 100 + 200 + 400 + 800 ms of waiting at most, then it has had all of its mailbox.
    site.hub.reported_where("six crashes", |r| r["functions"]["actor"]["restartCount"] == 6);
    eventually("it to run again", || (ask(&site, "actor", "").0 == 200).then_some(()));
    eventually("that to be reported", || {
        (site.hub.reported()["functions"]["actor"]["phase"] == "running").then_some(())
    });
}

#[test]
fn an_actor_that_does_not_start_is_in_back_off_and_its_callers_get_an_error() {
    let site = site();
    let bad = site.function("bad", actors::breaks_in(Event::Init, Break::Trap));
    let door = site.function("door", guests::forwards()).set("outputs", json!({ "to": "bad" }));
    site.apply(1, |d| d.serving(bad).serving(door));
    site.hub.reported_where("several tries", |r| {
        r["functions"]["bad"]["restartCount"].as_u64() > Some(2)
            && r["functions"]["bad"]["phase"] == "backoff"
    });
    assert_eq!(ask(&site, "bad", "x").0, 503);
    assert_eq!(ask(&site, "door", "x").0, 502);
}

#[test]
fn a_callee_that_never_answers_is_an_error_after_its_time() {
    let site = site();
    let spins = site.function("spins", actors::spins_on("spin")).set("max_execution_ms", 300);
    let door = site.function("door", guests::forwards()).set("outputs", json!({ "to": "spins" }));
    site.apply(1, |d| d.serving(spins).serving(door));
    assert_eq!(ask(&site, "door", "spin").0, 502);
    assert_eq!(ask(&site, "spins", "spin").0, 504);
}

#[test]
fn a_mailbox_that_is_full_refuses_the_newest_and_loses_nothing() {
    // The first cast keeps the actor busy for as long as it may.
    let site = site();
    let actor = site.function("actor", actors::spins_on("spin")).set("max_execution_ms", 5_000);
    let send = site.function("send", guests::casts()).set("outputs", json!({ "to": "actor" }));
    site.apply(1, |d| d.serving(actor).serving(send));
    cast(&site, "spin");
    let large = "x".repeat(60 << 10);
    let taken = (0..30).take_while(|_| ask(&site, "send", &large).0 == 202).count();
    // A mebibyte, perhaps less what the spinning event had left room for.
    assert!((17..=18).contains(&taken), "{taken}");
    assert_eq!(ask(&site, "send", &large), (503, "1".to_owned()), "full");
    // After its time the spinning event is given up, and all the others are taken.
    eventually("all that was taken", || {
        (ask(&site, "actor", "") == answered(&taken.to_string())).then_some(())
    });
}

#[test]
fn state_mailbox_and_timers_survive_a_redeployment() {
    let site = sending_to(actors::casts_later(1_500, "self"));
    assert_eq!(ask(&site, "actor", "later"), answered("ok"));
    cast(&site, "x");
    assert_eq!(ask(&site, "actor", "count"), answered("1"));
    let mut other = actors::casts_later(1_500, "self");
    other.extend(custom_section("v2"));
    let desired = with_sender(&site, 2, other);
    publish(&site, 2, desired);
    assert_eq!(ask(&site, "actor", "count"), answered("1"), "the new version began with the synced state");
    eventually("the timer", || (ask(&site, "actor", "count") == answered("2")).then_some(()));
}

/// Makes other bytes, and so another artifact, of a component that does the same.
fn custom_section(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[0, length + 1, length], name.as_bytes()].concat()
}

#[test]
fn node_local_state_and_timers_survive_kill_9_and_transient_state_does_not() {
    let mut site = site();
    let kept = site.function("kept", actors::casts_later(200, "self"));
    let lost = site.function("lost", actors::casts_later(3_600_000, "self")).set("state", "transient");
    let send = |id: &str, to: &str| site.function(id, guests::casts()).set("outputs", json!({ "to": to }));
    let (to_kept, to_lost) = (send("to-kept", "kept"), send("to-lost", "lost"));
    site.apply(1, |d| [kept, lost, to_kept, to_lost].into_iter().fold(d, Desired::serving));
    for route in ["to-kept", "to-lost"] {
        assert_eq!(ask(&site, route, "x").0, 202);
    }
    for route in ["kept", "lost"] {
        assert_eq!(ask(&site, route, "count"), answered("1"));
    }
    for _ in 0..10 {
        assert_eq!(ask(&site, "kept", "later"), answered("ok"));
    }
    site.agent.kill9();
    site.agent = site.agent.again(|builder| builder);
    eventually("the kept state and ten timers", || {
        let (status, count) = ask(&site, "kept", "count");
        // A timer fires at least once; the kill may have come between an event and the note that it is over.
        (status == 200 && (11..=21).contains(&count.parse::<u32>().unwrap())).then_some(())
    });
    eventually("the other", || (ask(&site, "lost", "count") == answered("0")).then_some(()));
}

#[test]
fn a_timer_never_fires_into_a_function_that_is_gone_nor_into_its_successor() {
    let site = sending_to(actors::casts_later(400, "self"));
    cast(&site, "x");
    assert_eq!(ask(&site, "actor", "later"), answered("ok"));
    site.apply(2, |d| d);
    let desired = with_sender(&site, 3, actors::casts_later(400, "self"));
    publish(&site, 3, desired);
    assert_eq!(ask(&site, "actor", "count"), answered("0"), "state and timers went with the function");
    assert_eq!(ask(&site, "actor", "later"), answered("ok"));
    eventually("a timer of its own", || (ask(&site, "actor", "count") == answered("1")).then_some(()));
    let metrics = site.agent.metrics();
    assert_eq!(metrics.sum("twinlet_actor_events_total", &["event=\"timer\""]), 1.0);
}

#[test]
fn handle_stop_is_the_last_event_before_a_new_version_and_at_the_end_of_the_agent() {
    let mut site = site();
    let first =
        site.function("actor", actors::reports_stop()).set("permissions", json!({ "telemetry": true }));
    let again = first.clone().version(2).set("config", json!({ "any": "change" }));
    site.apply(1, |d| d.serving(first));
    assert_eq!(ask(&site, "actor", ""), answered("none"));
    site.apply(2, |d| d.serving(again));
    eventually("the new version", || (ask(&site, "actor", "") == answered("stopped")).then_some(()));
    assert_eq!(site.hub.telemetry("actor", 1)[0].text(), "stopped");
    site.agent.sigterm();
    assert_eq!(site.agent.wait_exit(std::time::Duration::from_secs(20)), 0);
    site.agent = site.agent.again(|builder| builder);
    assert_eq!(site.hub.telemetry("actor", 2)[1].text(), "stopped", "it was on the disk");
    eventually("the actor", || (ask(&site, "actor", "") == answered("stopped")).then_some(()));
}

#[test]
fn what_only_actors_can_do_is_refused_to_others() {
    let site = Site::start(agent());
    let send = site.function("send", guests::casts()).set("outputs", json!({ "to": "send" }));
    site.apply(1, |d| d.serving(send));
    assert_eq!(
        ask(&site, "send", "x"),
        (503, "0".to_owned()),
        "it is no actor, so nobody it could be cast to"
    );
}
