//! The whole agent as one value: opens what it keeps, starts its threads, passes settings on, and ends them in the
//! reverse order. Knows who is connected to whom, and nothing of what they do.

mod circumstances;
mod disk;
mod doors;
mod net;
mod notify;
mod settings;
mod stop;
mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use circumstances::{Circumstances, Paced};
pub use doors::Unusable;
use doors::{Guard, Guarded, open_doors};
use net::Net;
pub use settings::Live;
pub use trust::trust;

use crate::actors::Actors;
use crate::artifacts::{Artifacts, Limits};
use crate::board::Board;
use crate::clock::Kept;
use crate::compile::Compiler;
use crate::config::{Config, NodeId};
use crate::desired::{Defaults, Instances, Isolation, Trust};
use crate::engine::Runtime;
use crate::fetch::Fetcher;
use crate::http::Service;
use crate::http::api::{Api, NodeInfo, Results};
use crate::http::local::LocalDoor;
use crate::hub::Connection;
use crate::keyvalue::KeyValues;
use crate::metrics::Metrics;
use crate::mqtt;
use crate::outbox::Outbox;
use crate::prepare::Preparer;
use crate::reconciler::Reconciler;
use crate::rehearsal::Rehearsals;
use crate::reporter::Reporter;
use crate::seal::Sealer;
use crate::serving::Serving;
use crate::state_dir::StateDir;
use crate::store::Store;
use crate::thread::Thread;
use crate::twin::{self, Twin};
use crate::workers::Workers;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Messages from the hub, and reports to it, that may wait between two threads.
const MESSAGES: usize = 16;

/// A running agent. Dropped without [`Agent::stop`], it ends without waiting for anyone.
pub struct Agent {
    node: NodeId,
    /// Holds the directory against other agents.
    _state: StateDir,
    live: Live,
    guarded: Guarded,
    trust: watch::Sender<Trust>,
    outbox: Arc<Outbox>,
    time: Arc<Kept>,
    store: Arc<Store>,
    shutdown_timeout: Duration,
    address: Option<SocketAddr>,
    board: Arc<Board>,
    connection: watch::Receiver<Connection>,
    service: Arc<Service>,
    workers: Arc<Workers>,
    actors: Arc<Actors>,
    timers: Thread,
    stop_doors: watch::Sender<bool>,
    stop_mqtt: watch::Sender<Option<tokio::time::Instant>>,
    public: Option<JoinHandle<()>>,
    local: Vec<LocalDoor>,
    mqtt: JoinHandle<()>,
    twin: Thread,
    rehearsals: JoinHandle<()>,
    reconciler: Thread,
    net: Net,
}

impl Agent {
    /// Starts an agent; when this returns, its doors are open. It is ready once what is on the device is applied.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            log::debug!("a TLS provider is installed already");
        }
        let guard = Guard::read(config)?;
        let trust = trust(config)?;
        let state = StateDir::open(&config.cache_dir).context("cache_dir")?;
        let node = match &config.node_id {
            Some(node) => node.clone(),
            None => state.node_id()?,
        };
        log::info!(
            "twinlet {VERSION}, node {node} in {}, state in {}",
            config.pop_id,
            state.path().display()
        );
        let (store, aside) = Store::open_safely(state.path()).context("the database in cache_dir")?;
        let store = Arc::new(store);
        let time = Arc::new(Kept::restore(&store));
        if let Some(aside) = aside {
            log::error!("the database was damaged; it is kept as {}", aside.display());
        }
        if !doors::store_lost(&store) {
            log::error!(
                "used nonces may be lost, which can not be noted: signed requests are refused until it is"
            );
        }
        Self::assemble(config, (state, node), (store.clone(), time), (guard, trust)).inspect_err(|_| {
            // The database is not at fault.
            if let Err(error) = store.started() {
                log::warn!("noting that the start got through: {error}");
            }
        })
    }

    fn assemble(
        config: &Config,
        (state, node): (StateDir, NodeId),
        (store, time): (Arc<Store>, Arc<Kept>),
        (guard, trust): (Guard, Trust),
    ) -> anyhow::Result<Self> {
        let metrics = Metrics::new(VERSION)?;
        let board = Arc::new(Board::default());
        let net = Net::start()?;
        let handle = net.handle().clone();
        let workers = Arc::new(Workers::new(config.guests.max_workers, config.http.queue, handle.clone()));
        let serving = Arc::new(Serving::default());
        let outbox = Arc::new(Outbox::open(&store, config.outbox_bytes).context("the outbox in cache_dir")?);
        if store.gone_back() > 0 {
            log::error!(
                "the database has lost its last {} commits: {} telemetry messages are lost, and actors' state, timers \
                 and key-value pairs may have gone back to what they were before",
                store.gone_back(),
                outbox.counts().lost
            );
        }

        let actors = Actors::new(node.clone(), &store, workers.clone(), board.clone(), metrics.clone());
        let actors = Arc::new(actors.context("the timers in cache_dir")?);
        let timers = actors.start_timers()?;

        let (trust, of_twin) = watch::channel(trust);
        let twin = Twin::restore(defaults(config), of_twin, store.clone(), board.clone(), metrics.clone());
        let desired = twin.subscribe();
        let (desk, asks) = twin::desk();
        let limits = Limits { max_bytes: config.cache_bytes, min_free_bytes: config.min_free_bytes };
        let artifacts =
            Arc::new(Artifacts::open(state.path(), limits).context("the artifacts in cache_dir")?);
        let fetcher = Arc::new(Fetcher::new(config.fetch.clone()));
        fetcher.tidy(artifacts.dir());
        let of_artifacts = fetcher.clone();
        artifacts.spare(move |sha256| of_artifacts.is_under_way(sha256));
        if let Err(error) = store.forget_seals() {
            log::debug!("forgetting the seals of an earlier version: {error}");
        }
        let preparer = Arc::new(Preparer {
            fetcher,
            artifacts: artifacts.clone(),
            compiler: Compiler::new(&config.guests)?,
            sealer: Sealer::new(&state.device_key()?),
            keyvalue: Arc::new(KeyValues::new(&store)),
            store: store.clone(),
            node: node.clone(),
            actors: actors.clone(),
            runtime: Arc::new(Runtime::new(config.guests.max_memory_pages)?),
            workers: workers.clone(),
            board: board.clone(),
            outbox: outbox.clone(),
            metrics: metrics.clone(),
        });
        let rehearsals = Rehearsals {
            asked: twin.dry_runs(),
            preparer: preparer.clone(),
            serving: serving.clone(),
            board: board.clone(),
            cache_bytes: config.cache_bytes,
        };
        let rehearsals = handle.spawn(rehearsals.run());
        let (clock_steps, of_clock) = Paced::new();
        let (changes, of_circumstances) = Paced::new();
        let reconciler = Reconciler {
            preparer,
            defaults: defaults(config),
            version: VERSION,
            serving: serving.clone(),
            board: board.clone(),
            metrics: metrics.clone(),
            runtime: handle.clone(),
            progress: Arc::new(AtomicU64::new(0)),
            circumstances: of_circumstances,
        };
        let progress = reconciler.progress.clone();
        let of_reconciler = desired.clone();
        let reconciler = Thread::start("reconciler", move || reconciler.run(of_reconciler))?;

        let (connected, connection) = watch::channel(Connection::Down { error: None });
        let (stop_doors, doors_stop) = watch::channel(false);
        let api = Api {
            desk,
            desired: desired.clone(),
            artifacts,
            store: store.clone(),
            outbox: outbox.clone(),
            connection: connection.clone(),
            settings: config.api.clone(),
            node: NodeInfo {
                id: node.clone(),
                pop_id: config.pop_id.clone(),
                state: state.path().to_owned(),
                started: Instant::now(),
                scheme: if config.http.tls.is_some() { "https" } else { "http" },
                version: VERSION,
            },
            runtime: handle.clone(),
            stopping: doors_stop.clone(),
            at_work: watch::Sender::new(0),
            results: Results::default(),
        };
        let service = Service::new(
            serving.clone(),
            workers.clone(),
            actors.clone(),
            metrics.clone(),
            board.clone(),
            api,
        );
        let service = Arc::new(service);
        let doors = open_doors(config, &handle, &service, (guard, &store, &metrics), doors_stop)?;

        let (inbound, of_twin) = mpsc::channel(MESSAGES);
        let (publish, to_publish) = mpsc::channel(MESSAGES);
        let counters = Arc::new(mqtt::Counters::default());
        let (live, followed) = Live::new(config);
        let (stop_mqtt, mqtt_stop) = watch::channel(None);
        let links = mqtt::Links {
            node: node.clone(),
            inbound,
            publish: to_publish,
            outbox: outbox.clone(),
            connection: connected,
            clock_steps: of_clock,
            counters: counters.clone(),
        };
        let mqtt = handle.spawn(mqtt::run(links, followed.mqtt, mqtt_stop));
        let of_asks = handle.clone();
        let twin = Thread::start("twin", move || twin.run(of_twin, asks, &of_asks))?;
        let reporter = Reporter {
            node: node.clone(),
            pop_id: config.pop_id.clone(),
            board: board.clone(),
            metrics: metrics.clone(),
            desired: desired.clone(),
            interval: followed.heartbeat_interval,
            connection: connection.clone(),
            publish,
        };
        handle.spawn(reporter.run());
        handle.spawn(settings::follow_log_level(followed.log_level, desired));
        let circumstances = Circumstances {
            time: time.clone(),
            actors: actors.clone(),
            connection: connection.clone(),
            clock_steps,
            changes,
        };
        handle.spawn(circumstances.run());
        handle.spawn(disk::look_after(store.clone(), metrics.clone()));
        handle.spawn(settings::count_hub(
            connection.clone(),
            counters,
            outbox.clone(),
            actors.clone(),
            metrics,
        ));
        handle.spawn(notify::run(serving, board.clone(), connection.clone(), progress));
        Ok(Self {
            node,
            _state: state,
            live,
            guarded: doors.guarded,
            trust,
            outbox,
            time,
            store,
            shutdown_timeout: config.shutdown_timeout,
            address: doors.address,
            board,
            connection,
            service,
            workers,
            actors,
            timers,
            stop_doors,
            stop_mqtt,
            public: doors.public,
            local: doors.local,
            mqtt,
            twin,
            rehearsals,
            reconciler,
            net,
        })
    }

    /// The node's name, given or made.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Where the public door listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What is so.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// The state of the connection to the broker.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    /// The `net` runtime, for whoever must await something beside the agent.
    pub fn handle(&self) -> &Handle {
        self.net.handle()
    }

    /// Applies what can change while the agent runs.
    pub fn reload(&mut self, config: &Config) {
        self.live.reload(config);
        self.guarded.reload(config);
        match trust(config) {
            Ok(new) => {
                self.trust.send_if_modified(|old| settings::replace(old, new));
            }
            Err(error) => log::error!("the trusted keys of before stay: {error}"),
        }
        self.shutdown_timeout = config.shutdown_timeout;
    }
}

/// What a function gets that does not say, from the device's configuration; whom it trusts is read by [`trust`].
pub fn defaults(config: &Config) -> Defaults {
    Defaults {
        instances: Instances {
            min: config.instances.min,
            max: config.instances.max,
            idle_timeout: config.instances.idle_timeout,
            isolation: Isolation::Reused,
        },
        max_memory_pages: config.guests.max_memory_pages,
        trust: Trust::default(),
    }
}
