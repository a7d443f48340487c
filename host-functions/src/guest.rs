//! The data behind one instance: what its function may do, until when its present call may run, and what it holds.
//! Knows nothing of the component's code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::http_client::Gate;
use crate::limits::Limits;
use crate::logging::GuestLog;
use crate::rates::Rates;
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
}

impl Guest {
    /// An instance's data; `deadline` is that of its initialisation.
    pub fn new(environment: Arc<Environment>, deadline: Instant) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(crate::limits::MAX_RESOURCES);
        let limits = Limits::new(environment.max_memory_bytes);
        Self { environment, limits, in_event: false, depth: 0, deadline, table, wasi: None }
    }

    /// Sets until when the next call may run; host calls wait no longer than that.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Says that the calls to come are an actor's events, and how many calls from guest to guest lie below them.
    pub fn set_event(&mut self, depth: u32) {
        (self.in_event, self.depth) = (true, depth);
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
        struct Away(Arc<dyn WorkerSlot>);
        impl Drop for Away {
            fn drop(&mut self) {
                self.0.enter();
            }
        }
        self.environment.slot.leave();
        let _away = Away(self.environment.slot.clone());
        wait(self)
    }

    /// Most guests never touch WASI, and its context costs system calls: it is made on first use.
    fn wasi(&mut self) -> &mut WasiCtx {
        let environment = &self.environment;
        self.wasi.get_or_insert_with(|| {
            let mut builder = WasiCtxBuilder::new();
            builder.stdout(environment.log.stream(log::Level::Info));
            builder.stderr(environment.log.stream(log::Level::Warn));
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
