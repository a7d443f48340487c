//! Actors, and the functions that send to them.

use super::super::actors::{self, Break, Event};
use super::super::{calls_often, casts, casts_often, forwards};
use super::*;

#[test]
fn an_actor_counts_keeps_and_goes_on_from_what_it_kept() {
    let mut actor = Running::new(&actors::counts_casts());
    actor.init(None).unwrap();
    for _ in 0..12 {
        actor.cast("x").unwrap();
    }
    assert_eq!(actor.replies("?"), "12");
    assert_eq!(actor.store.data().states.last().unwrap(), b"12");
    let mut next = Running::new(&actors::counts_casts());
    next.init(Some(b"12")).unwrap();
    next.cast("x").unwrap();
    assert_eq!(next.replies("?"), "13");
    next.stop().unwrap();
}

#[test]
fn actors_answer_each_in_its_way() {
    for (bytes, answer) in [
        (actors::echoes(), "hello"),
        (actors::says_nothing(), "(noreply)"),
        (actors::fails(), "(err)"),
        (actors::tells_source(), "node-1/sender"),
    ] {
        let mut actor = Running::new(&bytes);
        actor.init(None).unwrap();
        for _ in 0..3 {
            assert_eq!(actor.replies("hello"), answer);
        }
    }
}

#[test]
fn actors_break_where_they_are_to_and_nowhere_else() {
    let mut traps = Running::new(&actors::traps_on("boom"));
    traps.cast("boo").unwrap();
    assert_eq!(traps.replies("booms"), "1");
    assert!(format!("{:?}", traps.call("boom").unwrap_err()).contains("unreachable"));
    let mut spins = Running::new(&actors::spins_on("boom"));
    spins.cast("fine").unwrap();
    assert!(format!("{:?}", spins.cast("boom").unwrap_err()).contains("all fuel consumed"));
    for event in [Event::Init, Event::Cast, Event::Call, Event::Stop] {
        for (how, reason) in [(Break::Trap, "unreachable"), (Break::Spin, "all fuel consumed")] {
            let mut actor = Running::new(&actors::breaks_in(event, how));
            for now in [Event::Init, Event::Cast, Event::Call, Event::Stop] {
                let ended = match now {
                    Event::Init => actor.init(None),
                    Event::Cast => actor.cast("x"),
                    Event::Call => actor.call("x").map(drop),
                    Event::Stop => actor.stop(),
                };
                assert_eq!(ended.is_err(), now == event, "{event:?} {now:?}");
                if let Err(error) = ended {
                    assert!(format!("{error:?}").contains(reason), "{error:?}");
                    break;
                }
            }
        }
    }
}

#[test]
fn what_is_called_and_cast_goes_to_the_named_output() {
    let mut actor = Running::new(&actors::calls("next"));
    actor.store.data_mut().answers = [CallRet::Reply(b"from there".to_vec()), CallRet::Noreply].into();
    assert_eq!(["a", "b", "c"].map(|m| actor.replies(m)), ["from there", "(noreply)", "err"]);
    assert_eq!(actor.store.data().sent[0], ("call", "next".into(), b"a".to_vec()));
    let mut itself = Running::new(&actors::calls_itself());
    assert_eq!(itself.replies("x"), "err");
    assert_eq!(itself.store.data().sent[0].1, "self");
    let mut http = Running::new(&forwards());
    http.store.data_mut().answers = [CallRet::Reply(b"yes".to_vec()), CallRet::Noreply].into();
    assert_eq!(http.handle("q"), (200, "yes".into()));
    assert_eq!(http.handle("q"), (204, String::new()));
    assert_eq!(http.handle("q"), (502, String::new()));
    assert_eq!(http.store.data().sent[2], ("call", "to".into(), b"q".to_vec()));
    let mut http = Running::new(&casts());
    http.store.data_mut().room = 1;
    assert_eq!(http.handle("m"), (202, String::new()));
    assert_eq!(http.handle("m"), (503, "1".into()));
    assert_eq!(http.store.data().sent, [("cast", "to".into(), b"m".to_vec())]);
}

#[test]
fn a_timer_is_made_at_each_call_and_told_of() {
    let mut actor = Running::new(&actors::casts_later(5_000_000_000, "self"));
    actor.store.data_mut().room = 1;
    assert_eq!(["hi", "hi", "count"].map(|m| actor.replies(m)), ["ok", "1", "0"]);
    actor.cast("hi").unwrap();
    assert_eq!(actor.replies("count"), "1");
    assert_eq!(actor.store.data().sent, [("delayed-cast", "self".into(), b"hi".to_vec())]);
    assert_eq!(actor.store.data().delays[0], 5_000_000_000);
}

#[test]
fn a_timer_s_message_goes_to_the_hub_when_it_fires() {
    let mut actor = Running::new(&actors::sends_later(7));
    actor.store.data_mut().room = 1;
    assert_eq!(["hi", "hi"].map(|m| actor.replies(m)), ["ok", "1"]);
    actor.cast("hi").unwrap();
    let Host { sent, delays, .. } = actor.store.data();
    let expected = [("delayed-cast", "self", "hi"), ("telemetry", "", "hi")];
    assert_eq!(*sent, expected.map(|(how, to, m)| (how, to.to_owned(), m.as_bytes().to_vec())));
    assert_eq!(delays, &[7, 7]);
}

#[test]
fn those_that_send_often_count_what_was_taken() {
    let mut http = Running::new(&casts_often(5));
    http.store.data_mut().room = 3;
    assert_eq!(http.handle(""), (200, "3".into()));
    assert_eq!(http.store.data().sent[2..].iter().map(|s| s.0).collect::<Vec<_>>(), ["cast", "call"]);
    let mut http = Running::new(&calls_often(5));
    http.store.data_mut().answers = [CallRet::Reply(b"yes".to_vec()), CallRet::Noreply].into();
    assert_eq!(http.handle(""), (200, "1".into()));
    assert_eq!(http.store.data().sent.len(), 5);
    let mut actor = Running::new(&actors::counts_in_memory());
    actor.init(None).unwrap();
    actor.cast("x").unwrap();
    assert_eq!((actor.replies(""), actor.store.data().states.len()), ("1".into(), 0));
}

#[test]
fn a_stop_is_seen_in_the_state_and_in_telemetry() {
    let mut actor = Running::new(&actors::reports_stop());
    actor.init(None).unwrap();
    assert_eq!(actor.replies("?"), "none");
    actor.stop().unwrap();
    assert_eq!(actor.store.data().states, [b"stopped"]);
    assert_eq!(actor.store.data().sent, [("telemetry", String::new(), b"stopped".to_vec())]);
    let mut next = Running::new(&actors::reports_stop());
    next.init(Some(b"stopped")).unwrap();
    assert_eq!(next.replies("?"), "stopped");
}
