//! Makes one function ready to serve: fetched, verified, compiled, linked and started once. Knows nothing of routes or
//! of what served before; a failure here touches neither.

mod compiled;
mod room;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use twinlet_host::http_client::Gate;
use twinlet_host::logging::GuestLog;
use twinlet_host::rates::Rates;
use twinlet_host::{Environment, TelemetrySink};

use crate::actors::Actors;
use crate::artifacts::Artifacts;
use crate::board::Board;
use crate::compile::Compiler;
use crate::config::NodeId;
use crate::desired::{FunctionId, FunctionSpec};
use crate::engine::{Component, EngineError, Runtime};
use crate::fetch::{FetchError, Fetcher, Wanted};
use crate::keyvalue::KeyValues;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pool::{CallError, Function};
use crate::seal::Sealer;
use crate::status::Phase;
use crate::store::Store;
use crate::workers::Workers;
use Again::{AFewTimes, Always, Never};
pub use room::Take;

/// Everything that it takes to prepare functions.
pub struct Preparer {
    /// Gets artifacts.
    pub fetcher: Arc<Fetcher>,
    /// Keeps them.
    pub artifacts: Arc<Artifacts>,
    /// Compiles them.
    pub compiler: Compiler,
    /// Seals what was compiled.
    pub sealer: Sealer,
    /// Is told when a start got through.
    pub store: Arc<Store>,
    /// Links and instantiates.
    pub runtime: Arc<Runtime>,
    /// Where instances are started, and later called.
    pub workers: Arc<Workers>,
    /// The node's name, for guests.
    pub node: NodeId,
    /// Takes messages between guests.
    pub actors: Arc<Actors>,
    /// Keeps what guests keep.
    pub keyvalue: Arc<KeyValues>,
    /// Takes what guests report.
    pub board: Arc<Board>,
    /// Takes what guests send.
    pub outbox: Arc<Outbox>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Why a function is not ready.
#[derive(Debug)]
pub enum PrepareError {
    /// A newer desired state came meanwhile; nothing failed.
    Superseded,
    /// It failed in a phase.
    Failed {
        /// In which.
        phase: Phase,
        /// One line for people.
        why: String,
        /// Whether trying again can help.
        again: Again,
    },
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It may: what failed is outside.
    Always,
    /// It may be so, or the function's own fault.
    AFewTimes,
    /// It can not: the function is at fault.
    Never,
}

/// What a preparation tells while it goes on, and asks.
pub struct Progress<'a> {
    /// Called with each phase that begins.
    pub phase: &'a dyn Fn(Phase),
    /// Whether a newer desired state came.
    pub superseded: &'a dyn Fn() -> bool,
}

impl Preparer {
    /// Whether nothing needs to be fetched for a function.
    pub fn on_device(&self, spec: &FunctionSpec) -> bool {
        self.artifacts.has(&spec.sha256)
    }

    /// Forgets what functions have kept, but for these.
    pub fn forget_all_but(&self, known: impl Fn(&FunctionId) -> bool) {
        self.actors.keep_only(|id| id.parse().is_ok_and(|id| known(&id)));
        if let Err(error) = self.keyvalue.keep_only(known) {
            log::warn!("forgetting the values of functions that are gone: {error}");
        }
    }

    /// Prepares a function. Blocks for as long as its download, its compilation and its start take.
    pub fn prepare(
        &self,
        id: &FunctionId,
        spec: &FunctionSpec,
        progress: &Progress<'_>,
    ) -> Result<Arc<Function>, PrepareError> {
        self.metrics.cache_lookup(self.on_device(spec));
        let component = self.component(spec, progress, Take::Any)?;
        (progress.phase)(Phase::Starting);
        self.start(id, spec, &component, progress)
    }

    /// Gets a function's component, verified and compiled, and starts nothing.
    pub fn component(
        &self,
        spec: &FunctionSpec,
        progress: &Progress<'_>,
        take: Take<'_>,
    ) -> Result<Component, PrepareError> {
        let sha256 = &spec.sha256;
        let hit = self.on_device(spec);
        if !hit {
            (progress.phase)(Phase::Fetching);
            self.room_to_fetch(spec, take)?;
            self.fetch(spec, progress, take)?;
        }
        let component = match self.sealed(sha256) {
            Some(component) => component,
            None => {
                if hit {
                    (progress.phase)(Phase::Verifying);
                    self.verify(spec, progress, take)?;
                }
                (progress.phase)(Phase::Compiling);
                self.room_to_compile(sha256, take)?;
                self.compile(sha256, progress)?
            }
        };
        Ok(component)
    }

    /// Has an artifact fetched, unless that is given up meanwhile.
    fn fetch(
        &self,
        spec: &FunctionSpec,
        progress: &Progress<'_>,
        take: Take<'_>,
    ) -> Result<(), PrepareError> {
        let FunctionSpec { sha256, size, .. } = *spec;
        let room = self.room_while_fetching(sha256, take);
        let wanted = Wanted { url: &spec.artifact_url, sha256, size, room };
        let target = self.artifacts.wasm(&spec.sha256);
        self.fetcher.fetch(&wanted, &target, progress.superseded).map_err(|error| match *error {
            FetchError::Superseded => PrepareError::Superseded,
            FetchError::NoRoom(ref why) => take.refused(Phase::Fetching, why),
            // Half of a new artifact may be what a server had just then, so that it is asked again.
            _ if error.is_wrong_artifact() => failed(Phase::Verifying, error, Always),
            _ if error.retryable() => failed(Phase::Fetching, error, Always),
            _ => failed(Phase::Fetching, error, Never),
        })?;
        // The order in which artifacts go knows no clock, which a file's own time is.
        if let Err(error) = self.artifacts.used(&spec.sha256) {
            log::warn!("artifact {}: noting its use: {error}", spec.sha256);
        }
        Ok(())
    }

    /// Hashes an artifact that was on the device, and fetches it again where it has changed.
    fn verify(
        &self,
        spec: &FunctionSpec,
        progress: &Progress<'_>,
        take: Take<'_>,
    ) -> Result<(), PrepareError> {
        let disk = |e: io::Error| failed(Phase::Verifying, e, Always);
        if self.artifacts.verify(&spec.sha256).map_err(disk)? {
            return Ok(());
        }
        log::warn!("artifact {}: the file on the device is damaged; fetching it again", spec.sha256);
        self.artifacts.remove(&spec.sha256).map_err(disk)?;
        (progress.phase)(Phase::Fetching);
        self.fetch(spec, progress, take)
    }

    fn start(
        &self,
        id: &FunctionId,
        spec: &FunctionSpec,
        component: &Component,
        progress: &Progress<'_>,
    ) -> Result<Arc<Function>, PrepareError> {
        let linked = self.runtime.link(component, spec.entrypoint).map_err(|error: EngineError| {
            let again = if matches!(error, EngineError::Setup(_)) { Always } else { Never };
            failed(Phase::Starting, error, again)
        })?;
        let lane = self.workers.lane(spec.instances.max);
        let lanes = (lane.clone(), self.workers.front(&lane));
        let http = if spec.permissions.http.is_empty() {
            Gate::closed()
        } else {
            let tls = self.fetcher.tls().map_err(|error| failed(Phase::Starting, error, Always))?;
            Gate::new(spec.permissions.http.clone(), tls)
        };
        let environment = Environment {
            node_id: self.node.as_str().to_owned(),
            outputs: spec.outputs.iter().map(|(name, to)| (name.clone(), to.as_str().to_owned())).collect(),
            messages: self.actors.clone(),
            metrics: self.metrics.clone(),
            keyvalue: self.keyvalue.clone(),
            rates: Rates::default(),
            function_id: id.as_str().to_owned(),
            config_text: serde_json::Value::Object(spec.config.clone()).to_string(),
            config: spec.config.clone(),
            telemetry: spec.permissions.telemetry.then(|| self.outbox.clone() as Arc<dyn TelemetrySink>),
            reports: self.board.clone(),
            http,
            max_memory_bytes: usize::try_from(u64::from(spec.memory_pages) << 16).unwrap_or(usize::MAX),
            slot: self.workers.slot(),
            log: GuestLog::new(id.as_str()),
        };
        let metrics = self.metrics.function(id);
        let function = Arc::new(Function::new(
            (id.clone(), spec.clone()),
            self.runtime.clone(),
            linked,
            environment,
            lanes,
            metrics,
        ));
        let started = self.begin(&function, progress.superseded);
        if (progress.superseded)() {
            function.retire();
            return Err(PrepareError::Superseded);
        }
        started.inspect_err(|_| {
            // Its instances go before anything counts them.
            function.retire();
        })?;
        Ok(function)
    }

    /// Starts the first instances, and has one answer the health request where there is one.
    fn begin(&self, function: &Arc<Function>, given_up: &dyn Fn() -> bool) -> Result<(), PrepareError> {
        if function.spec.health.is_some() && !function.can_be_checked() {
            let why = "`health` is named, but the component answers no HTTP requests";
            return Err(failed(Phase::Starting, why, Never));
        }
        let begun = self.warm_up(function, given_up).and_then(|()| self.check_health(function, given_up));
        begun.map_err(|error| {
            // For want of room it is not the function that fails.
            let again = if matches!(error, CallError::Exhausted(_)) { Always } else { AFewTimes };
            failed(Phase::Starting, error, again)
        })
    }

    /// Has a function answer its health request on a worker, if it has one.
    pub fn check_health(
        &self,
        function: &Arc<Function>,
        given_up: &dyn Fn() -> bool,
    ) -> Result<(), CallError> {
        let Some(health) = function.spec.health.clone() else { return Ok(()) };
        let deadline = Instant::now() + health.timeout;
        let on_worker = function.clone();
        self.workers
            .run(&function.lane, deadline, given_up, move || on_worker.check_health(&health))
            .unwrap_or_else(|| Err(CallError::Exhausted("all workers are busy".into())))
    }

    /// Starts a function's instances on a worker, unless that is given up meanwhile.
    pub fn warm_up(&self, function: &Arc<Function>, given_up: &dyn Fn() -> bool) -> Result<(), CallError> {
        let deadline = Instant::now() + function.spec.max_execution;
        let on_worker = function.clone();
        self.workers
            .run(&function.lane, deadline, given_up, move || on_worker.warm_up())
            .unwrap_or_else(|| Err(CallError::Exhausted("all workers are busy".into())))
    }
}

fn failed(phase: Phase, why: impl ToString, again: Again) -> PrepareError {
    PrepareError::Failed { phase, why: why.to_string(), again }
}
