//! The data behind one instance: what its function may do, until when its present call may run, and what it holds.
//! Knows nothing of the component's code.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::runtime::Handle;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::runtime::poll_noop;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::http_client::Gate;
use crate::limits::Limits;
use crate::logging::GuestLog;
use crate::printed::Printed;
use crate::rates::Rates;
use crate::wasi_http::HttpState;
use crate::{KeyValue, Messages, MetricSink, ReportSink, TelemetrySink};

/// What all instances of one function version share.
pub struct Environment {
    /// The node's name.
    pub node_id: String,
    /// The function's id, as in desired state.
    pub function_id: String,
    /// The function's `config` from desired state.
    pub config: Map<String, Value>,
    /// The same as JSON text.
    pub config_text: String,
    /// Where telemetry goes; none where `permissions.telemetry` is not set.
    pub telemetry: Option<Arc<dyn TelemetrySink>>,
    /// The functions behind the names that it may send to, from `outputs`.
    pub outputs: BTreeMap<String, String>,
    /// Where messages to actors go.
    pub messages: Arc<dyn Messages>,
    /// Where its numbers go.
    pub metrics: Arc<dyn MetricSink>,
    /// Where its values are kept.
    pub keyvalue: Arc<dyn KeyValue>,
    /// How often it may call what.
    pub rates: Rates,
    /// Where reported values go.
    pub reports: Arc<dyn ReportSink>,
    /// Which URLs may be called, from `permissions.http`.
    pub http: Gate,
    /// Linear memory one instance may hold, in bytes, over all of its memories.
    pub max_memory_bytes: usize,
    /// The worker's place among the running ones, given up while a host call waits.
    pub slot: Arc<dyn WorkerSlot>,
    /// The function's lines in the agent's log.
    pub log: Arc<GuestLog>,
}

/// A running worker's place. While a guest waits in a host call its worker computes nothing, so another may run.
pub trait WorkerSlot: Send + Sync {
    /// The calling worker begins to wait.
    fn leave(&self);
    /// The calling worker goes on; blocks until there is a place for it again.
    fn enter(&self);
}

/// A worker that waits; it goes on when this is dropped.
struct Away<'a>(&'a Arc<dyn WorkerSlot>);

impl<'a> From<&'a Arc<dyn WorkerSlot>> for Away<'a> {
    fn from(slot: &'a Arc<dyn WorkerSlot>) -> Self {
        slot.leave();
        Self(slot)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.enter();
    }
}

/// The data of one instance's store.
pub struct Guest {
    pub(crate) environment: Arc<Environment>,
    pub(crate) limits: Limits,
    /// Whether the present call is an actor's event.
    pub(crate) in_event: bool,
    /// Calls from guest to guest that lie below the present one on this thread.
    pub(crate) depth: u32,
    deadline: Instant,
    table: ResourceTable,
    wasi: Option<WasiCtx>,
    /// What it prints, once someone asked for it or it has streams to print to.
    printed: Option<Printed>,
    http: Option<Box<HttpState>>,
}

impl Guest {
    /// An instance's data; `deadline` is that of its initialisation.
    pub fn new(environment: Arc<Environment>, deadline: Instant) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(crate::limits::MAX_RESOURCES);
        let limits = Limits::new(environment.max_memory_bytes);
        Self {
            environment,
            limits,
            in_event: false,
            depth: 0,
            deadline,
            table,
            wasi: None,
            printed: None,
            http: None,
        }
    }

    /// Sets until when the next call may run; host calls wait no longer than that.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Says that the calls to come are an actor's events, and how many calls from guest to guest lie below them.
    pub fn set_event(&mut self, depth: u32) {
        (self.in_event, self.depth) = (true, depth);
    }

    /// Collects what it prints from now on.
    pub fn begin_printing(&mut self) {
        self.printed.get_or_insert_default().begin();
    }

    /// What it has printed since then, at most [`crate::printed::MAX_BYTES`] of it; nothing more is collected.
    pub fn printed(&mut self) -> String {
        self.printed.as_ref().map_or_else(String::new, Printed::end)
    }

    /// Whether what earlier calls have left behind takes so many of the resources that the next call may want for them.
    pub fn is_worn(&mut self) -> bool {
        self.table.iter_mut().count() > crate::limits::MAX_RESOURCES / 2
    }

    /// Until when the present call may run.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The limits, as the store's resource limiter.
    pub fn limits(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// What is left until the deadline; zero when it has passed.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Runs a host call that waits, with the worker's place given up meanwhile.
    pub(crate) fn waiting<R>(&mut self, wait: impl FnOnce(&mut Self) -> R) -> R {
        let slot = self.environment.slot.clone();
        let _away = Away::from(&slot);
        wait(self)
    }

    /// Runs a host call that may wait, with the worker's place given up when it does, and no longer than the guest may
    /// run: past that it traps.
    pub(crate) fn within<R>(
        &mut self,
        call: impl AsyncFnOnce(&mut ResourceTable) -> R,
    ) -> wasmtime::Result<R> {
        let (left, slot) = (self.time_left(), self.environment.slot.clone());
        let mut call = pin!(call(&mut self.table));
        if let Some(done) = poll_noop(call.as_mut()) {
            return Ok(done);
        }
        let _away = Away::from(&slot);
        let waited = Handle::current().block_on(async { tokio::time::timeout(left, call).await });
        waited.map_err(|_| wasmtime::Trap::Interrupt.into())
    }

    /// What `wasi:http` keeps for this instance, made on first use, and the table of its resources.
    pub(crate) fn http_state(&mut self) -> (&mut HttpState, &mut ResourceTable) {
        let Self { environment, deadline, table, http, .. } = self;
        let state = http.get_or_insert_with(|| Box::new(HttpState::new(environment.clone())));
        state.set_deadline(*deadline);
        (state, table)
    }

    /// The same, where it was used.
    pub(crate) fn used_http_state(&mut self) -> Option<&mut HttpState> {
        self.http.as_deref_mut()
    }

    /// Most guests never touch WASI, and its context costs system calls: it is made on first use.
    fn wasi(&mut self) -> &mut WasiCtx {
        let environment = &self.environment;
        let printed = &mut self.printed;
        self.wasi.get_or_insert_with(|| {
            let printed = printed.get_or_insert_default();
            let mut builder = WasiCtxBuilder::new();
            builder.wall_clock(crate::clock::WallClock);
            builder.stdout(environment.log.stream(log::Level::Info, printed.clone()));
            builder.stderr(environment.log.stream(log::Level::Warn, printed.clone()));
            builder.arg(&environment.function_id);
            builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
            builder.max_random_size(crate::limits::MAX_RANDOM_BYTES);
            for (key, value) in &environment.config {
                builder.env(key, crate::config::text(value));
            }
            builder.build()
        })
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi();
        let Self { wasi, table, .. } = self;
        WasiCtxView { ctx: wasi.get_or_insert_with(WasiCtx::default), table }
    }
}

impl crate::bindings::twinlet::device::types::Host for Guest {}
impl crate::bindings::twinlet::device::middleware_types::Host for Guest {}
