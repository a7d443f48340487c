//! One deployed version of a function, and its instances: hot ones wait for the next event. Knows nothing of routes or
//! of who calls.
//!
//! Whoever holds a [`Function`] may call it; when a newer version has taken its place in the routes, it ends with the
//! last call that holds it.

mod health;
mod instance;
mod trace;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use twinlet_host::Environment;
use twinlet_host::bindings::exports::twinlet::device::{on_error, on_request};
use twinlet_host::bindings::twinlet::device::types::{Request, Response};
use twinlet_host::bucket::Bucket;
use twinlet_host::logging::escaped;
use twinlet_host::wasi_http::{ErrorCode, HyperOutgoingBody};
use wasmtime::Trap;

pub use instance::Instance;
pub use on_error::Failure;
pub use on_request::Action;
pub use trace::Trace;

use crate::desired::{FunctionId, FunctionSpec, Isolation};
use crate::engine::{Exports, Linked, Runtime};
use crate::metrics::FunctionMetrics;
use crate::workers::Lane;
use instance::Counted;

/// Why a call brought no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Its deadline passed.
    #[error("it did not end within its {} ms (max_execution_ms)", .0.as_millis())]
    Timeout(Duration),
    /// The time that its caller gave it passed, which was less than it has.
    #[error("it did not end within the {} ms that were asked for", .0.as_millis())]
    Late(Duration),
    /// No instance could be started.
    #[error("it does not start: {0}")]
    Start(String),
    /// The guest trapped, and its instance is gone.
    #[error("{0}")]
    Trap(String),
    /// The guest answered with an error.
    #[error("it returned an error: {0}")]
    Guest(String),
    /// No memory or address space for another instance.
    #[error("no room for another instance: {0}")]
    Exhausted(String),
}

/// The body of a request, as it comes.
pub type Streamed = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What became of a call into an instance.
pub type Called<R> = wasmtime::Result<R>;

/// A deployed version of a function.
pub struct Function {
    /// Its id.
    pub id: FunctionId,
    /// What it was deployed as.
    pub spec: FunctionSpec,
    /// Its share of the workers.
    pub lane: Arc<Lane>,
    /// The share of what goes before it.
    pub front: Arc<Lane>,
    /// Its series.
    pub metrics: FunctionMetrics,
    runtime: Arc<Runtime>,
    environment: Arc<Environment>,
    linked: Linked,
    hot: Mutex<Vec<Instance>>,
    /// Instances of this version, hot or working; the metric counts those of all versions.
    alive: Arc<AtomicU32>,
    retired: AtomicBool,
    complaints: Mutex<Bucket>,
}

/// Failed invocations of one function that are logged at once, and then a second.
const COMPLAINTS: (u32, u32) = (10, 1);

impl Function {
    /// A function without an instance yet.
    pub fn new(
        (id, spec): (FunctionId, FunctionSpec),
        runtime: Arc<Runtime>,
        linked: Linked,
        environment: Environment,
        (lane, front): (Arc<Lane>, Arc<Lane>),
        metrics: FunctionMetrics,
    ) -> Self {
        let environment = Arc::new(environment);
        let (hot, alive, retired) = (Mutex::default(), Arc::default(), AtomicBool::new(false));
        let complaints = Mutex::new(Bucket::new(COMPLAINTS.0, COMPLAINTS.1, Instant::now()));
        Self { id, spec, lane, front, metrics, runtime, environment, linked, hot, alive, retired, complaints }
    }

    /// What it exports of what the agent calls.
    pub fn exports(&self) -> &Exports {
        &self.linked.exports
    }

    /// Has its http-handler answer a request, on this thread, which must be a worker's.
    pub fn handle(
        &self,
        request: &Request,
        deadline: Instant,
        trace: Option<&mut Trace>,
    ) -> Result<Response, CallError> {
        let answer = self.invoke(deadline, trace, |instance| instance.handle(request))?;
        answer.map_err(|text| CallError::Guest(escaped(&text)))
    }

    /// Has its `wasi:http` handler answer a request, on this thread, which must be a worker's. `on_response` is called in
    /// the middle of it, with the response or the guest's error; the guest may go on to write the body. False where the
    /// guest ended without a response.
    pub fn serve(
        &self,
        request: http::Request<Streamed>,
        deadline: Instant,
        trace: Option<&mut Trace>,
        on_response: impl FnOnce(Result<http::Response<HyperOutgoingBody>, ErrorCode>) + Send + Sync + 'static,
    ) -> Result<bool, CallError> {
        self.invoke(deadline, trace, |instance| instance.serve(request, on_response))
    }

    /// Has it look at a request, on this thread, which must be a worker's.
    pub fn on_request(&self, request: &Request, deadline: Instant) -> Result<Action, CallError> {
        self.invoke(deadline, None, |instance| instance.on_request(request))
    }

    /// Has it look at a response, on this thread, which must be a worker's.
    pub fn on_response(&self, response: &Response, deadline: Instant) -> Result<Action, CallError> {
        self.invoke(deadline, None, |instance| instance.on_response(response))
    }

    /// Has it look at a failure, on this thread, which must be a worker's.
    pub fn on_error(&self, failure: &Failure, deadline: Instant) -> Result<Action, CallError> {
        self.invoke(deadline, None, |instance| instance.on_error(failure))
    }

    /// Takes an instance out of the pool, or starts one, for an actor: it is the caller's for as long as it lives.
    pub fn take(&self, deadline: Instant) -> Result<Instance, CallError> {
        match self.take_hot() {
            Some(instance) => Ok(instance),
            None => self.start(deadline),
        }
    }

    fn take_hot(&self) -> Option<Instance> {
        self.hot().pop()
    }

    fn start(&self, deadline: Instant) -> Result<Instance, CallError> {
        let _ticking = self.runtime.running();
        self.instantiate(deadline, Counted::new(&self.alive, &self.metrics))
    }

    /// The same as [`Function::take`], measured.
    fn take_traced(&self, deadline: Instant, trace: &mut Trace) -> Result<Instance, CallError> {
        if let Some(instance) = self.take_hot() {
            trace.warm = true;
            return Ok(instance);
        }
        let began = Instant::now();
        let instance = self.start(deadline)?;
        trace.init = began.elapsed();
        Ok(instance)
    }

    /// Has an actor's instance take one event, on this thread, which must be a worker's; after an error the instance is
    /// in no state to take another.
    pub fn event<R>(
        &self,
        instance: &mut Instance,
        deadline: Instant,
        call: impl FnOnce(&mut Instance) -> Called<R>,
    ) -> Result<R, CallError> {
        let _ticking = self.runtime.running();
        instance.begin(deadline);
        call(instance).map_err(|error| self.trapped(&error))
    }

    fn invoke<R>(
        &self,
        deadline: Instant,
        trace: Option<&mut Trace>,
        call: impl FnOnce(&mut Instance) -> Called<R>,
    ) -> Result<R, CallError> {
        // A guest that trapped is in no state to be called again; its instance ends here.
        let (instance, answer) = match trace {
            Some(trace) => {
                let mut instance = self.take_traced(deadline, trace)?;
                let answer = self.event(&mut instance, deadline, |i| trace.around(i, call))?;
                (instance, answer)
            }
            None => {
                let mut instance = self.take(deadline)?;
                let answer = self.event(&mut instance, deadline, call)?;
                (instance, answer)
            }
        };
        self.keep(instance);
        Ok(answer)
    }

    /// Starts instances on this thread, which must be a worker's, until `min` are there; one at least, to see that it
    /// starts at all.
    pub fn warm_up(&self) -> Result<(), CallError> {
        let _ticking = self.runtime.running();
        let wanted = self.spec.instances.min.max(1);
        while let Some(counted) = Counted::below(wanted, &self.alive, &self.metrics) {
            let instance = self.instantiate(Instant::now() + self.spec.max_execution, counted)?;
            self.keep_any(instance);
        }
        Ok(())
    }

    /// Starts so many more instances on this thread, which must be a worker's, but no more than there may be, only while
    /// there is room, which is asked before each, and none past the deadline. Returns how many it started; why none
    /// more, where that is an error.
    pub fn prewarm(
        &self,
        more: u32,
        deadline: Instant,
        room: impl Fn() -> bool,
    ) -> (u32, Result<(), CallError>) {
        let _ticking = self.runtime.running();
        let mut started = 0;
        let may_go_on = || Instant::now() < deadline && !self.retired.load(Ordering::Acquire) && room();
        while started < more && may_go_on() {
            let Some(counted) = Counted::below(self.spec.instances.max, &self.alive, &self.metrics) else {
                break;
            };
            match self.instantiate(deadline, counted) {
                Ok(instance) => self.keep_any(instance),
                Err(error) => return (started, Err(error)),
            }
            started += 1;
        }
        (started, Ok(()))
    }

    /// How many instances wait for the next event.
    pub fn hot_instances(&self) -> usize {
        self.hot().len()
    }

    /// How many instances of this version there are, hot or working.
    pub fn instances(&self) -> u32 {
        self.alive.load(Ordering::Relaxed)
    }

    /// Whether another failed invocation may be logged; a function that fails always must not fill the log.
    pub fn may_complain(&self) -> bool {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }

    /// Whether fewer instances than `min` are there, as after a trap.
    pub fn is_short(&self) -> bool {
        !self.retired.load(Ordering::Acquire) && self.alive.load(Ordering::Relaxed) < self.spec.instances.min
    }

    /// Drops the instances above `min` that have waited for longer than `idle_timeout`.
    pub fn drop_idle(&self, now: Instant) {
        let min = usize::try_from(self.spec.instances.min).unwrap_or(usize::MAX);
        let mut dropped = Vec::new();
        let mut hot = self.hot();
        // The last in the list was used last; the first has waited longest.
        while hot.len() > min
            && hot
                .first()
                .is_some_and(|i| now.duration_since(i.idle_since) >= self.spec.instances.idle_timeout)
        {
            dropped.push(hot.remove(0));
        }
        drop(hot);
        drop(dropped);
    }

    /// Drops the hot instances; those at work end with their call.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        let hot = std::mem::take(&mut *self.hot());
        drop(hot);
    }

    fn instantiate(&self, deadline: Instant, counted: Counted) -> Result<Instance, CallError> {
        Instance::start(self.runtime.engine(), &self.linked, self.environment.clone(), deadline, counted)
            .map_err(|error| match self.trapped(&error) {
                CallError::Trap(why) => CallError::Start(why),
                other => other,
            })
    }

    fn keep(&self, mut instance: Instance) {
        if self.spec.instances.isolation == Isolation::Reused && !instance.is_worn() {
            self.keep_any(instance);
        }
    }

    /// After a call that was answered: where each event gets an instance of its own, makes the next one now, when
    /// nobody waits for it.
    pub fn refill(&self) {
        if self.spec.instances.isolation == Isolation::Fresh && self.is_short() {
            match self.start(Instant::now() + self.spec.max_execution) {
                Ok(fresh) => self.keep_any(fresh),
                Err(error) => log::warn!("function {}: {error}", self.id),
            }
        }
    }

    fn keep_any(&self, mut instance: Instance) {
        instance.idle_since = Instant::now();
        let mut hot = self.hot();
        // Under the lock, so that none is added behind `retire`.
        if !self.retired.load(Ordering::Acquire) {
            hot.push(instance);
        }
    }

    fn hot(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trapped(&self, error: &wasmtime::Error) -> CallError {
        if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
            return CallError::Timeout(self.spec.max_execution);
        }
        let why = error.root_cause().to_string();
        if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            return CallError::Exhausted(why);
        }
        CallError::Trap(why)
    }
}
