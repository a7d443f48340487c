//! The actor as the agent sees it: casts, calls and timers in; answers, casts and kept state out.

use std::time::Duration;

use twinlet_guest::testing::{Host, TestActor};

use super::Counter;

fn start() -> TestActor<Counter> {
    TestActor::start().unwrap()
}

fn state(actor: &mut TestActor<Counter>) -> String {
    String::from_utf8(actor.call("").unwrap().body().to_vec()).unwrap()
}

#[test]
fn casts_are_counted_and_outlive_a_crash() {
    let host = Host::new();
    let mut actor = start();
    assert_eq!(state(&mut actor), r#"{"count":0,"ticks":0}"#);
    for message in ["a", "", "tick 7"] {
        actor.cast(message).unwrap();
    }
    let mut actor = actor.restart().unwrap();
    assert_eq!(state(&mut actor), r#"{"count":3,"ticks":0}"#);
    assert_eq!(host.synced().unwrap(), br#"{"count":3,"ticks":0}"#);
    actor.stop();
    assert_eq!(host.logs().last().unwrap().message, "stopped at 3");
}

#[test]
fn over_http_it_counts_answers_and_resets() {
    let _host = Host::new();
    let mut actor = start();
    assert_eq!(actor.http("cast").status_code(), 204);
    let answer = actor.http("");
    assert_eq!((answer.status_code(), &*answer.body_text()), (200, r#"{"count":1,"ticks":0}"#));
    assert_eq!(actor.http("reset").body_text(), r#"{"count":0,"ticks":0}"#);
    assert_eq!(actor.http("nonsense").status_code(), 500);
}

#[test]
fn it_ticks_at_its_pace_and_tells_whom_config_names() {
    let host = Host::new();
    host.set_config_json(r#"{"tick_ms":1000,"tick_to":"listener"}"#);
    host.set_outputs(["listener"]);
    let mut actor = start();
    actor.cast("a").unwrap();
    actor.advance(Duration::from_millis(999));
    assert_eq!(state(&mut actor), r#"{"count":1,"ticks":0}"#);
    actor.advance(Duration::from_millis(2001));
    assert_eq!(state(&mut actor), r#"{"count":1,"ticks":3}"#);
    let told: Vec<_> = host.casts().into_iter().filter(|cast| cast.name == "listener").collect();
    assert_eq!(told.len(), 3);
    assert_eq!(told[2].message, br#"{"count":1,"ticks":3}"#);
}

#[test]
fn a_crash_neither_loses_nor_doubles_the_ticks() {
    let host = Host::new();
    host.set_config_json(r#"{"tick_ms":1000}"#);
    let mut actor = start();
    actor.advance(Duration::from_millis(1500));
    let mut actor = actor.restart().unwrap();
    assert_eq!(host.timers().len(), 2, "the old one and the new one");
    actor.advance(Duration::from_millis(10_000));
    assert_eq!(state(&mut actor), r#"{"count":0,"ticks":11}"#);
    assert_eq!(host.timers().len(), 1);
}

#[test]
fn ticks_end_when_config_no_longer_asks_for_them() {
    let host = Host::new();
    host.set_config_json(r#"{"tick_ms":1000}"#);
    start().stop();
    host.set_config_json("{}");
    let mut actor = start();
    actor.advance(Duration::from_secs(5));
    assert_eq!(state(&mut actor), r#"{"count":0,"ticks":0}"#);
    assert!(host.timers().is_empty());
}

#[test]
fn a_bad_config_names_the_key() {
    let host = Host::new();
    for (config, named) in [
        (r#"{"tick_ms":1}"#, "tick_ms"),
        (r#"{"tick_ms":"often"}"#, "tick_ms"),
        (r#"{"tick":1}"#, "unknown field `tick`"),
    ] {
        host.set_config_json(config);
        let error = TestActor::<Counter>::start().unwrap_err();
        assert!(error.contains(named), "{error} does not say {named}");
    }
}
