//! Tells the hub what is so: the reported state when it changed, a heartbeat every interval and on change, and both
//! anew on every connection. Knows what is said, not how it travels.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use twinlet_host::bucket::Bucket;

use crate::board::{Board, unix_seconds};
use crate::config::NodeId;
use crate::desired::{Desired, FunctionId};
use crate::hub::{Connection, Publish};
use crate::metrics::Metrics;
use crate::process::{CpuMeter, resident_bytes};
use crate::status::{Phase, Status};

/// What changes within this time is reported together.
const REPORT_GAP: Duration = Duration::from_millis(100);
/// Reports of changes in quick succession, and then a second: a function that reports or fails all the time must not
/// fill the link.
const REPORTS: (u32, u32) = (10, 1);
/// Between two heartbeats on change.
const HEARTBEAT_GAP: Duration = Duration::from_secs(1);

/// What the reporter reads, and where it speaks.
pub struct Reporter {
    /// Names the node in heartbeats.
    pub node: NodeId,
    /// Its point of presence.
    pub pop_id: String,
    /// What is so.
    pub board: Arc<Board>,
    /// Totals for the heartbeat.
    pub metrics: Arc<Metrics>,
    /// The hub's own settings may change the interval.
    pub desired: watch::Receiver<Arc<Desired>>,
    /// The interval where the hub says nothing.
    pub interval: watch::Receiver<Duration>,
    /// Up with a new session: say everything again.
    pub connection: watch::Receiver<Connection>,
    /// To the carrier.
    pub publish: mpsc::Sender<Publish>,
}

/// The heartbeat, exactly as the contract has it.
#[derive(Debug, Serialize)]
struct Heartbeat<'a> {
    node_id: &'a str,
    pop_id: &'a str,
    /// Seconds since 1970.
    timestamp: u64,
    /// `healthy`, or `degraded` while a wanted function does not run.
    status: &'static str,
    function_count: usize,
    cached_functions: Vec<CachedFunction<'a>>,
    metrics: HeartbeatMetrics,
}

#[derive(Debug, Serialize)]
struct CachedFunction<'a> {
    function_id: &'a FunctionId,
    version: u64,
    /// `cached` once the function runs; before that its phase.
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct HeartbeatMetrics {
    /// Resident memory in MiB, rounded up.
    memory_usage_mb: u64,
    /// Of one processor, since the last heartbeat.
    cpu_usage_percent: f64,
    active_instances: i64,
    total_invocations: u64,
    error_count: u64,
}

impl Reporter {
    /// Runs until the board, the carrier or the settings are gone, which is when the agent stops.
    pub async fn run(mut self) {
        let mut status = self.board.subscribe();
        let mut cpu = CpuMeter::start();
        let mut said = Vec::new();
        let mut reports = Bucket::new(REPORTS.0, REPORTS.1, std::time::Instant::now());
        let mut ticks = self.ticks();
        let mut report_due: Option<Instant> = None;
        let mut heartbeat_due: Option<Instant> = None;
        loop {
            let due = report_due.into_iter().chain(heartbeat_due).min();
            tokio::select! {
                changed = status.changed() => {
                    if changed.is_err() { return }
                    let now = Instant::now();
                    if report_due.is_none() {
                        let at_once = reports.take(now.into_std());
                        report_due = Some(now + if at_once { REPORT_GAP } else { Duration::from_secs(1) });
                    }
                    heartbeat_due.get_or_insert(now + HEARTBEAT_GAP);
                }
                changed = self.connection.changed() => {
                    if changed.is_err() { return }
                    if matches!(*self.connection.borrow_and_update(), Connection::Up { .. }) {
                        said.clear();
                        report_due = Some(Instant::now());
                        heartbeat_due = report_due;
                    }
                }
                changed = self.desired.changed() => {
                    if changed.is_err() { return }
                    ticks = self.ticks();
                }
                changed = self.interval.changed() => {
                    if changed.is_err() { return }
                    ticks = self.ticks();
                }
                _ = ticks.tick() => heartbeat_due = Some(Instant::now()),
                () = sleep_until(due), if due.is_some() => {}
            }
            let now = Instant::now();
            let is_up = matches!(*self.connection.borrow(), Connection::Up { .. });
            if report_due.is_some_and(|due| due <= now) {
                report_due = None;
                let reported = to_json(&*status.borrow_and_update());
                if is_up && reported != said {
                    said.clone_from(&reported);
                    self.say(Publish::Reported(reported)).await;
                }
            }
            if heartbeat_due.is_some_and(|due| due <= now) {
                heartbeat_due = None;
                if is_up {
                    let heartbeat = self.heartbeat(&mut cpu);
                    self.say(Publish::Heartbeat(heartbeat)).await;
                }
            }
        }
    }

    async fn say(&self, publish: Publish) {
        if self.publish.send(publish).await.is_err() {
            log::debug!("nothing is reported any more: the agent stops");
        }
    }

    /// The beats between connections and changes; the first is due at once only after a whole interval.
    fn ticks(&mut self) -> tokio::time::Interval {
        let hub = self.desired.borrow_and_update().settings.heartbeat_interval;
        let every = hub.unwrap_or(*self.interval.borrow_and_update()).max(Duration::from_secs(1));
        let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    fn heartbeat(&self, cpu: &mut CpuMeter) -> Vec<u8> {
        let status = self.board.now();
        let (total_invocations, error_count) = self.metrics.invocation_totals();
        let ids: Vec<_> = status.functions.keys().cloned().collect();
        let metrics = HeartbeatMetrics {
            memory_usage_mb: resident_bytes().div_ceil(1 << 20),
            cpu_usage_percent: cpu.percent(),
            active_instances: self.metrics.instances_total(&ids),
            total_invocations,
            error_count,
        };
        to_json(&Heartbeat {
            node_id: self.node.as_str(),
            pop_id: &self.pop_id,
            timestamp: unix_seconds(),
            status: health(&status),
            function_count: status.functions.len(),
            cached_functions: cached(&status),
            metrics,
        })
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

fn health(status: &Status) -> &'static str {
    let all_run = status.functions.values().all(|function| function.phase == Phase::Running);
    if all_run { "healthy" } else { "degraded" }
}

fn cached(status: &Status) -> Vec<CachedFunction<'_>> {
    let functions = status.functions.iter().map(|(function_id, function)| CachedFunction {
        function_id,
        version: function.version,
        status: if function.phase == Phase::Running { "cached" } else { function.phase.as_str() },
    });
    functions.collect()
}

/// The types above always serialise: their keys are texts and their numbers finite.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        log::error!("writing a report: {error}");
        Vec::new()
    })
}
