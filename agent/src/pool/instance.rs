//! One instance, alone in its store, and the calls into it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use twinlet_host::bindings::twinlet::device::types::{Request, Response};
use twinlet_host::messaging::{CallRet, InstanceId};
use twinlet_host::wasi_http::{self, ErrorCode, HyperOutgoingBody, Scheme};
use twinlet_host::{Environment, Guest};
use wasmtime::{Engine, Store};

use super::{Action, Failure, Streamed};
use crate::engine::{Handlers, Linked, ticks_until};
use crate::metrics::FunctionMetrics;

/// One instance of a function.
pub struct Instance {
    store: Store<Guest>,
    handlers: Handlers,
    pub(super) idle_since: Instant,
    _counted: Counted,
}

/// Counts an instance for as long as it lives.
pub(super) struct Counted {
    alive: Arc<AtomicU32>,
    metrics: FunctionMetrics,
}

impl Counted {
    pub(super) fn new(alive: &Arc<AtomicU32>, metrics: &FunctionMetrics) -> Self {
        alive.fetch_add(1, Ordering::Relaxed);
        metrics.instances.inc();
        Self { alive: alive.clone(), metrics: metrics.clone() }
    }

    /// The same, unless `most` are there already.
    pub(super) fn below(most: u32, alive: &Arc<AtomicU32>, metrics: &FunctionMetrics) -> Option<Self> {
        let one_more = |alive| (alive < most).then_some(alive + 1);
        alive.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        metrics.instances.inc();
        Some(Self { alive: alive.clone(), metrics: metrics.clone() })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
        self.metrics.instances.dec();
    }
}

impl Instance {
    pub(super) fn start(
        engine: &Engine,
        linked: &Linked,
        environment: Arc<Environment>,
        deadline: Instant,
        counted: Counted,
    ) -> wasmtime::Result<Self> {
        let mut store = Store::new(engine, Guest::new(environment, deadline));
        store.limiter(|guest| guest.limits());
        store.set_hostcall_fuel(twinlet_host::limits::HOST_CALL_BYTES);
        store.set_epoch_deadline(ticks_until(deadline));
        let instance = linked.pre.instantiate(&mut store)?;
        let handlers = linked.exports.load(&mut store, &instance)?;
        Ok(Self { store, handlers, idle_since: Instant::now(), _counted: counted })
    }

    /// Sets until when the call to come may run.
    pub(super) fn begin(&mut self, deadline: Instant) {
        self.store.data_mut().set_deadline(deadline);
        self.store.set_epoch_deadline(ticks_until(deadline));
    }

    /// Whether it holds on to so much that another call is not to be expected of it.
    pub(super) fn is_worn(&mut self) -> bool {
        self.store.data_mut().is_worn()
    }

    pub(super) fn begin_printing(&mut self) {
        self.store.data_mut().begin_printing();
    }

    /// What it has printed since then.
    pub(super) fn printed(&mut self) -> String {
        self.store.data_mut().printed()
    }

    pub(super) fn handle(&mut self, request: &Request) -> wasmtime::Result<Result<Response, String>> {
        exported(self.handlers.http.as_ref())?.call_handle(&mut self.store, request)
    }

    /// Has a component of `wasi:http` answer; false where it did not.
    pub(super) fn serve(
        &mut self,
        request: http::Request<Streamed>,
        on_response: impl FnOnce(Result<http::Response<HyperOutgoingBody>, ErrorCode>) + Send + Sync + 'static,
    ) -> wasmtime::Result<bool> {
        let handler = exported(self.handlers.wasi_http.as_ref())?;
        let secure = request.extensions().get::<http::uri::Scheme>() == Some(&http::uri::Scheme::HTTPS);
        let scheme = if secure { Scheme::Https } else { Scheme::Http };
        let (request, answer) = wasi_http::incoming(&mut self.store, request, scheme, on_response)?;
        let called = handler.call_handle(&mut self.store, request, answer);
        let answered = wasi_http::end(&mut self.store);
        called.map(|()| answered)
    }

    pub(super) fn on_request(&mut self, request: &Request) -> wasmtime::Result<Action> {
        exported(self.handlers.on_request.as_ref())?.call_on_request(&mut self.store, request)
    }

    pub(super) fn on_response(&mut self, response: &Response) -> wasmtime::Result<Action> {
        exported(self.handlers.on_response.as_ref())?.call_on_response(&mut self.store, response)
    }

    pub(super) fn on_error(&mut self, failure: &Failure) -> wasmtime::Result<Action> {
        exported(self.handlers.on_error.as_ref())?.call_on_error(&mut self.store, failure)
    }

    /// Says that it is an actor's, and how many calls from guest to guest lie below its next event.
    pub fn is_event(&mut self, depth: u32) -> &mut Self {
        self.store.data_mut().set_event(depth);
        self
    }

    /// An actor's first event.
    pub fn init(&mut self, config: &str, state: Option<&[u8]>) -> wasmtime::Result<()> {
        exported(self.handlers.actor.as_ref())?.call_handle_init(&mut self.store, config, state)
    }

    /// A message that nobody waits for.
    pub fn cast(&mut self, src: &InstanceId, message: &[u8]) -> wasmtime::Result<()> {
        exported(self.handlers.actor.as_ref())?.call_handle_cast(&mut self.store, src, message)
    }

    /// A message whose sender waits.
    pub fn call(&mut self, src: &InstanceId, message: &[u8]) -> wasmtime::Result<CallRet> {
        exported(self.handlers.actor.as_ref())?.call_handle_call(&mut self.store, src, message)
    }

    /// An actor's last event.
    pub fn stop(&mut self) -> wasmtime::Result<()> {
        exported(self.handlers.actor.as_ref())?.call_handle_stop(&mut self.store)
    }
}

/// What the caller has made sure of when the function was deployed.
fn exported<T>(handler: Option<&T>) -> wasmtime::Result<&T> {
    handler.ok_or_else(|| wasmtime::Error::msg("the component does not export what was called"))
}
