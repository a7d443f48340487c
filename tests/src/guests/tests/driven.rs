//! The fixtures that are called otherwise than by a request, or that call the agent: each event of theirs on its own, with
//! a host that only takes down what they ask for.

use std::collections::VecDeque;

use wasmtime::component::{Component, HasSelf, Instance, InstancePre, Linker};
use wasmtime::{Config, Engine, Store};

use super::super::actors::{self, Break, Event};
use super::super::middleware::{self, Modify, Point};
use super::super::{casts, fetches, forwards, hostile};

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit", world: "everything" });
}

use bindings::exports::twinlet::device::on_error::{Action, Failure};
use bindings::exports::twinlet::device::{actor, http_handler, on_error, on_request, on_response};
use bindings::twinlet::device::http_client::{self, Error as HttpError, OutgoingRequest};
use bindings::twinlet::device::messaging::{self, CallRet, Error, InstanceId};
use bindings::twinlet::device::types::{self, Request, Response};
use bindings::twinlet::device::{middleware_types, telemetry};

/// What a fixture asked for, and what it is to be told.
#[derive(Default)]
struct Host {
    sent: Vec<(&'static str, String, Vec<u8>)>,
    delays: Vec<u64>,
    states: Vec<Vec<u8>>,
    answers: VecDeque<CallRet>,
    /// Messages that are taken before it is full.
    room: usize,
}

impl Host {
    fn take(&mut self, how: &'static str, name: String, message: Vec<u8>) -> Result<(), Error> {
        if self.room == 0 {
            return Err(Error::Full);
        }
        self.room -= 1;
        self.sent.push((how, name, message));
        Ok(())
    }
}

impl messaging::Host for Host {
    fn cast(&mut self, name: String, message: Vec<u8>) -> Result<(), Error> {
        self.take("cast", name, message)
    }

    fn call(&mut self, name: String, message: Vec<u8>) -> CallRet {
        self.sent.push(("call", name, message));
        self.answers.pop_front().unwrap_or(CallRet::Err)
    }

    fn delayed_cast(&mut self, delay_ms: u64, name: String, message: Vec<u8>) -> Result<(), Error> {
        self.delays.push(delay_ms);
        self.take("delayed-cast", name, message)
    }

    fn sync(&mut self, state: Vec<u8>) -> Result<(), Error> {
        self.states.push(state);
        Ok(())
    }

    fn self_(&mut self) -> InstanceId {
        InstanceId { node_id: "n".into(), function_id: "f".into() }
    }
}

impl telemetry::Host for Host {
    fn send(&mut self, message: Vec<u8>) -> Result<u64, telemetry::Error> {
        self.sent.push(("telemetry", String::new(), message));
        Ok(1)
    }
}

impl http_client::Host for Host {
    fn send(&mut self, request: OutgoingRequest) -> Result<Response, HttpError> {
        assert_eq!((request.method.as_str(), request.timeout_ms), ("GET", None));
        if request.url.ends_with("/slow") {
            return Err(HttpError::Timeout);
        }
        Ok(Response { status: 418, headers: Vec::new(), body: Vec::new() })
    }
}

impl types::Host for Host {}
impl middleware_types::Host for Host {}

/// One instance of a fixture.
struct Running {
    store: Store<Host>,
    pre: InstancePre<Host>,
    instance: Instance,
}

impl Running {
    fn new(bytes: &[u8]) -> Self {
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, bytes).unwrap();
        let mut linker = Linker::new(&engine);
        types::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host).unwrap();
        middleware_types::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host).unwrap();
        messaging::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host).unwrap();
        telemetry::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host).unwrap();
        http_client::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host).unwrap();
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let pre = linker.instantiate_pre(&component).unwrap();
        let mut store = Store::new(&engine, Host { room: 1000, ..Host::default() });
        store.set_fuel(50_000_000).unwrap();
        let instance = pre.instantiate(&mut store).unwrap();
        Self { store, pre, instance }
    }

    fn actor(&mut self) -> actor::Guest {
        actor::GuestIndices::new(&self.pre).unwrap().load(&mut self.store, &self.instance).unwrap()
    }

    fn init(&mut self, state: Option<&[u8]>) -> wasmtime::Result<()> {
        self.actor().call_handle_init(&mut self.store, "{}", state)
    }

    fn cast(&mut self, message: &str) -> wasmtime::Result<()> {
        self.actor().call_handle_cast(&mut self.store, &source(), message.as_bytes())
    }

    fn call(&mut self, message: &str) -> wasmtime::Result<CallRet> {
        self.actor().call_handle_call(&mut self.store, &source(), message.as_bytes())
    }

    fn stop(&mut self) -> wasmtime::Result<()> {
        self.actor().call_handle_stop(&mut self.store)
    }

    fn replies(&mut self, message: &str) -> String {
        match self.call(message).unwrap() {
            CallRet::Reply(reply) => String::from_utf8(reply).unwrap(),
            CallRet::Noreply => "(noreply)".into(),
            CallRet::Err => "(err)".into(),
        }
    }

    fn handle(&mut self, body: &str) -> (u16, String) {
        let at = http_handler::GuestIndices::new(&self.pre).unwrap();
        let handler = at.load(&mut self.store, &self.instance).unwrap();
        let answer = handler.call_handle(&mut self.store, &request(body)).unwrap().unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    fn at(&mut self, point: Point) -> wasmtime::Result<Action> {
        let Self { store, pre, instance } = self;
        match point {
            Point::Request => {
                let guest = on_request::GuestIndices::new(pre).unwrap().load(&mut *store, instance).unwrap();
                guest.call_on_request(store, &request("body"))
            }
            Point::Response => {
                let guest = on_response::GuestIndices::new(pre).unwrap().load(&mut *store, instance).unwrap();
                let response =
                    Response { status: 201, headers: vec![("a".into(), vec![1])], body: vec![0; 12] };
                guest.call_on_response(store, &response)
            }
            Point::Error => {
                let guest = on_error::GuestIndices::new(pre).unwrap().load(&mut *store, instance).unwrap();
                guest.call_on_error(store, &failure())
            }
        }
    }
}

fn source() -> InstanceId {
    InstanceId { node_id: "node-1".into(), function_id: "sender".into() }
}

fn request(body: &str) -> Request {
    Request {
        method: "PUT".into(),
        path: "/p".into(),
        query: Some("q=1".into()),
        host: "gw".into(),
        headers: vec![("x".into(), b"y".to_vec())],
        params: Vec::new(),
        body: body.into(),
        request_id: "id-1".into(),
    }
}

fn failure() -> Failure {
    Failure {
        request_id: "id-2".into(),
        method: "GET".into(),
        path: "/broken".into(),
        status: 504,
        kind: "TimeoutError".into(),
        message: "too slow".into(),
    }
}

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

#[test]
fn middleware_says_what_it_was_made_to_say_at_each_point() {
    let all = [Point::Request, Point::Response, Point::Error];
    let full = Modify::default()
        .status(418)
        .set("a", "1")
        .set("b", "")
        .add("c", "22")
        .remove("d")
        .remove("e")
        .body("B");
    let modification = |action| match action {
        Action::Modify(modification) => modification,
        other => panic!("{other:?}"),
    };
    for point in all {
        assert!(matches!(Running::new(&middleware::continues(&all)).at(point).unwrap(), Action::Continue));
        let rejects = Running::new(&middleware::rejects(&[point], 401)).at(point).unwrap();
        assert!(matches!(rejects, Action::Reject(401)));
        let made = modification(Running::new(&full.at(&all)).at(point).unwrap());
        assert_eq!((made.status, made.body_replace.as_deref()), (Some(418), Some(&b"B"[..])));
        assert_eq!(made.headers_set, [("a".to_owned(), b"1".to_vec()), ("b".into(), Vec::new())]);
        assert_eq!(made.headers_add, [("c".to_owned(), b"22".to_vec())]);
        assert_eq!(made.headers_remove, ["d", "e"]);
        let nothing = modification(Running::new(&Modify::default().at(&[point])).at(point).unwrap());
        assert!(nothing.status.is_none() && nothing.headers_set.is_empty() && nothing.body_replace.is_none());
        assert!(Running::new(&middleware::breaks(&all, Break::Trap)).at(point).is_err());
        assert!(Running::new(&middleware::breaks(&all, Break::Spin)).at(point).is_err());
    }
}

#[test]
fn middleware_shows_what_it_was_shown() {
    let mut shows = Running::new(&middleware::shows());
    for _ in 0..2 {
        for (point, headers) in [
            (
                Point::Request,
                "seen-method=PUT seen-path=/p seen-query=q=1 seen-host=gw seen-id=id-1 seen-params=0 seen-bytes=4",
            ),
            (Point::Response, "seen-status=201 seen-bytes=12"),
            (
                Point::Error,
                "seen-id=id-2 seen-method=GET seen-path=/broken seen-status=504 seen-kind=TimeoutError seen-message=too slow",
            ),
        ] {
            let Action::Modify(made) = shows.at(point).unwrap() else { panic!("{point:?}") };
            let seen: Vec<String> = made
                .headers_set
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                .collect();
            assert_eq!(seen.join(" "), headers);
        }
    }
}

#[test]
fn what_is_fetched_is_told_by_its_status_or_its_error() {
    assert_eq!(Running::new(&fetches("http://127.0.0.1:1/")).handle(""), (200, "418".into()));
    assert_eq!(Running::new(&fetches("http://127.0.0.1:1/slow")).handle(""), (502, "4".into()));
}

#[test]
fn the_hostile_ones_link_and_take_what_they_are_given() {
    for bytes in [
        hostile::floods_log(),
        hostile::floods_telemetry(),
        hostile::floods_metrics(),
        hostile::reports_for_ever(),
        hostile::floods_keys(65_536),
        hostile::ten_thousand_handles(),
        hostile::huge_log(),
        hostile::huge_telemetry(),
        hostile::huge_answer(),
        hostile::delays_a_million(),
    ] {
        Running::new(&bytes);
    }
    let mut floods = Running::new(&hostile::floods_itself(61_440));
    floods.store.data_mut().room = 7;
    assert_eq!(floods.replies("go"), "7");
    assert_eq!(floods.store.data().sent[6].2.len(), 61_440);
}
