//! What the fixtures do, seen without an agent: each event of theirs on its own, with a host that only takes down what
//! they ask for.

use std::collections::VecDeque;
use std::time::Instant;

use wasmtime::component::{Component, HasSelf, Instance, InstancePre, Linker};
use wasmtime::{Config, Engine, Store, StoreLimits, StoreLimitsBuilder};

use super::middleware::Point;

mod actors;
mod answering;
mod middleware;

mod bindings {
    wasmtime::component::bindgen!({ path: "../wit", world: "everything" });
}

use bindings::exports::twinlet::device::on_error::{Action, Failure};
use bindings::exports::twinlet::device::{actor, http_handler, on_error, on_request, on_response};
use bindings::twinlet::device::http_client::{self, Error as HttpError, OutgoingRequest};
use bindings::twinlet::device::messaging::{self, CallRet, Error, InstanceId};
use bindings::twinlet::device::types::{self, Request, Response};
use bindings::twinlet::device::{clock, middleware_types, telemetry};

/// Linear memory of a fixture, in bytes.
const MEMORY: usize = 16 << 16;

/// What a fixture asked for, and what it is to be told.
#[derive(Default)]
struct Host {
    limits: StoreLimits,
    begun: Option<Instant>,
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

impl clock::Host for Host {
    fn now(&mut self) -> clock::WallTime {
        clock::WallTime { unix_ms: 0, trust: clock::Trust::Unknown }
    }

    fn monotonic_ns(&mut self) -> u64 {
        u64::try_from(self.begun.get_or_insert_with(Instant::now).elapsed().as_nanos()).unwrap()
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
    /// An instance that is offered everything that it imports, some of it only to look at.
    fn new(bytes: &[u8]) -> Self {
        Self::linked(bytes, true).unwrap()
    }

    /// An instance; where `all` is not set, of what is offered only what does something.
    fn linked(bytes: &[u8], all: bool) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config)?;
        let component = Component::new(&engine, bytes)?;
        let mut linker = Linker::new(&engine);
        types::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        middleware_types::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        messaging::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        telemetry::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        http_client::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        clock::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)?;
        if all {
            linker.define_unknown_imports_as_traps(&component)?;
        }
        let pre = linker.instantiate_pre(&component)?;
        let limits = StoreLimitsBuilder::new().memory_size(MEMORY).build();
        let mut store = Store::new(&engine, Host { limits, room: 1000, ..Host::default() });
        store.limiter(|host| &mut host.limits);
        store.set_fuel(50_000_000)?;
        let instance = pre.instantiate(&mut store)?;
        Ok(Self { store, pre, instance })
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

    fn answer(&mut self, request: &Request) -> wasmtime::Result<Result<Response, String>> {
        let at = http_handler::GuestIndices::new(&self.pre)?;
        at.load(&mut self.store, &self.instance)?.call_handle(&mut self.store, request)
    }

    fn handle(&mut self, body: &str) -> (u16, String) {
        let answer = self.answer(&request(body)).unwrap().unwrap();
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
