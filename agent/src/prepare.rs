//! Makes one function ready to serve: fetched, verified, compiled, linked and started once. Knows nothing of routes or
//! of what served before; a failure here touches neither.

mod room;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use twinlet_host::http_client::Gate;
use twinlet_host::logging::GuestLog;
use twinlet_host::rates::Rates;
use twinlet_host::{Environment, TelemetrySink};

use crate::actors::Actors;
use crate::artifacts::Artifacts;
use crate::board::Board;
use crate::compile::{CompileError, Compiler, looks_like_component};
use crate::config::NodeId;
use crate::desired::{FunctionId, FunctionSpec, Sha256};
use crate::engine::{Component, EngineError, Runtime};
use crate::fetch::{FetchError, Fetcher, Wanted};
use crate::keyvalue::KeyValues;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pool::{CallError, Function};
use crate::seal::Sealer;
use crate::status::Phase;
use crate::store::Store;
use crate::thread::{STACK, awaited};
use crate::workers::Workers;

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
    /// Keeps the seals.
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
        retry: bool,
    },
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
        let sha256 = &spec.sha256;
        let hit = self.on_device(spec);
        self.metrics.cache_lookup(hit);
        if !hit {
            (progress.phase)(Phase::Fetching);
            self.room_to_fetch(spec)?;
            self.fetch(spec, progress)?;
        }
        let component = match self.sealed(sha256) {
            Some(component) => component,
            None => {
                if hit {
                    (progress.phase)(Phase::Verifying);
                    self.verify(spec, progress)?;
                }
                (progress.phase)(Phase::Compiling);
                self.room_to_compile(sha256)?;
                self.compile(sha256, progress)?
            }
        };
        (progress.phase)(Phase::Starting);
        self.start(id, spec, &component, progress)
    }

    /// Fetches on a thread of its own: one that stands still can be left behind at once when something newer comes, and
    /// ends by its own time-outs.
    fn fetch(&self, spec: &FunctionSpec, progress: &Progress<'_>) -> Result<(), PrepareError> {
        let disk = |e: io::Error| failed(Phase::Fetching, e, true);
        let mut partial = self.artifacts.begin(self.artifacts.wasm(&spec.sha256)).map_err(disk)?;
        let (fetcher, url) = (self.fetcher.clone(), spec.artifact_url.clone());
        let (sha256, size) = (spec.sha256, spec.size);
        let left_behind = Arc::new(AtomicBool::new(false));
        let of_thread = left_behind.clone();
        let (sender, fetched) = mpsc::sync_channel(1);
        let fetch = move || {
            let wanted = Wanted { url: &url, sha256, size };
            let result = fetcher.fetch(&wanted, partial.file(), &|| of_thread.load(Relaxed));
            if sender.send(result.map(|()| partial)).is_err() {
                log::debug!("{url}: nobody waits for it any more");
            }
        };
        thread::Builder::new().name("fetch".into()).stack_size(STACK).spawn(fetch).map_err(disk)?;
        let Some(result) = awaited(&fetched, progress.superseded) else {
            left_behind.store(true, Relaxed);
            return Err(PrepareError::Superseded);
        };
        let partial = result.map_err(|error| match error {
            FetchError::Superseded => PrepareError::Superseded,
            FetchError::TooLarge { .. } | FetchError::Uploaded => failed(Phase::Fetching, error, false),
            FetchError::Digest { .. } | FetchError::Size { .. } => failed(Phase::Verifying, error, true),
            _ => failed(Phase::Fetching, error, true),
        })?;
        partial.finish().map_err(disk)
    }

    /// Hashes an artifact that was on the device, and fetches it again where it has changed.
    fn verify(&self, spec: &FunctionSpec, progress: &Progress<'_>) -> Result<(), PrepareError> {
        let disk = |e: io::Error| failed(Phase::Verifying, e, true);
        if self.artifacts.verify(&spec.sha256).map_err(disk)? {
            return Ok(());
        }
        log::warn!("artifact {}: the file on the device is damaged; fetching it again", spec.sha256);
        self.artifacts.remove(&spec.sha256).map_err(disk)?;
        (progress.phase)(Phase::Fetching);
        self.fetch(spec, progress)
    }

    /// The compiled form, if this device made it and nothing has touched it since.
    fn sealed(&self, sha256: &Sha256) -> Option<Component> {
        let compiled = self.artifacts.compiled(sha256);
        let seal = self.store.seal(sha256)?;
        match self.sealer.holds(sha256, &compiled, &seal) {
            Ok(true) => {}
            Ok(false) => {
                log::warn!("artifact {sha256}: its compiled form has changed; compiling it again");
                return None;
            }
            Err(error) => {
                log::info!(
                    "artifact {sha256}: its compiled form can not be read ({error}); compiling it again"
                );
                return None;
            }
        }
        // SAFETY: the seal holds, so this device's compiler wrote the file, and it is unchanged. The directory is
        // open to this user alone.
        match unsafe { self.runtime.map(&compiled) } {
            Ok(component) => Some(component),
            Err(error) => {
                log::info!("artifact {sha256}: {error}; compiling it again");
                None
            }
        }
    }

    fn compile(&self, sha256: &Sha256, progress: &Progress<'_>) -> Result<Component, PrepareError> {
        let wasm = self.artifacts.wasm(sha256);
        let compiled = self.artifacts.compiled(sha256);
        let refused = |error: CompileError| match error {
            CompileError::Superseded => PrepareError::Superseded,
            CompileError::Timeout(_) | CompileError::Io(_) => failed(Phase::Compiling, error, true),
            _ => failed(Phase::Compiling, error, false),
        };
        looks_like_component(&wasm).map_err(refused)?;
        let disk = |why: String| failed(Phase::Compiling, why, true);
        let partial = self.artifacts.begin(compiled.clone()).map_err(|e| disk(e.to_string()))?;
        self.compiler.compile(&wasm, partial.temporary(), progress.superseded).map_err(refused)?;
        partial.finish().map_err(|e| disk(e.to_string()))?;
        let seal = self.sealer.seal(sha256, &compiled).map_err(|e| disk(e.to_string()))?;
        self.store.keep_seal(sha256, &seal).map_err(|e| disk(e.to_string()))?;
        // SAFETY: our own compiler has just written the file into a directory that is open to this user alone.
        unsafe { self.runtime.map(&compiled) }.map_err(|error| failed(Phase::Compiling, error, false))
    }

    fn start(
        &self,
        id: &FunctionId,
        spec: &FunctionSpec,
        component: &Component,
        progress: &Progress<'_>,
    ) -> Result<Arc<Function>, PrepareError> {
        let linked = self.runtime.link(component, spec.entrypoint).map_err(|error: EngineError| {
            let retry = matches!(error, EngineError::Setup(_));
            failed(Phase::Starting, error, retry)
        })?;
        let lane = self.workers.lane(spec.instances.max);
        let lanes = (lane.clone(), self.workers.front(&lane));
        let http = if spec.permissions.http.is_empty() {
            Gate::closed()
        } else {
            let tls = self.fetcher.tls().map_err(|error| failed(Phase::Starting, error, true))?;
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
        let started = self.warm_up(&function, progress.superseded);
        if (progress.superseded)() {
            function.retire();
            return Err(PrepareError::Superseded);
        }
        started.map_err(|error| {
            // Its instances go before anything counts them.
            function.retire();
            failed(Phase::Starting, error, true)
        })?;
        Ok(function)
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

fn failed(phase: Phase, why: impl ToString, retry: bool) -> PrepareError {
    PrepareError::Failed { phase, why: why.to_string(), retry }
}
