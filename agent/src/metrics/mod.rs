//! The numbers on `/metrics`: first the contract's seven, then ours, then those of guests. Knows what is counted, not
//! where.
//!
//! Labels are bounded: `function_id` has as many values as desired state has functions, and a function's series go
//! when it does; every other label of ours has a fixed set of values, and a function has at most 64 series of its own.

pub mod disk;
mod executions;
mod function;
mod guests;
mod tally;
mod totals;

use std::sync::Arc;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::desired::FunctionId;
use disk::Disk;
pub use executions::{Executed, Executions};
pub use function::{Counts, FunctionMetrics, Outcome};
use guests::Guests;
pub use tally::Tally;
use totals::Totals;

/// Upper bounds of the duration histograms, in seconds: 50 µs to 10 s.
const BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Which messages from the hub, and what became of them; the labels of `twinlet_messages_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It changed desired state.
    Accepted,
    /// It said what already stood, or asked only what would happen.
    Unchanged,
    /// It was malformed, not valid, stale or in conflict.
    Refused,
}

/// Every metric; cheap to update from any thread.
pub struct Metrics {
    contract: Registry,
    ours: Registry,
    guests: Guests,
    totals: Totals,
    invocations: IntCounterVec,
    durations: HistogramVec,
    instances: IntGaugeVec,
    /// Requests that wait for a worker.
    pub queue_depth: IntGauge,
    /// 1 while the broker is connected.
    pub mqtt_connected: IntGauge,
    /// Bytes of artifacts on the disk, compiled ones included.
    pub artifact_bytes: IntGauge,
    /// Delayed casts that are to come.
    pub timers: IntGauge,
    /// Telemetry that waits for the broker.
    pub outbox_messages: IntGauge,
    /// The same in bytes.
    pub outbox_bytes: IntGauge,
    /// Telemetry that was kept and will not arrive, as far as [`Metrics::set_outbox_lost`] was told.
    outbox_lost: IntCounterVec,
    /// What the connection to the broker has counted, as far as [`Metrics::set_mqtt`] was told.
    mqtt: IntCounterVec,
    messages: IntCounterVec,
    failures: IntCounterVec,
    rollouts: IntCounterVec,
    requests: IntCounterVec,
    refusals: IntCounterVec,
    actors: IntCounterVec,
    middleware: IntCounterVec,
    resident_bytes: IntGauge,
    /// Calls of middleware since the start, of all functions.
    pub executions: Executions,
    /// The disk and the database.
    pub disk: Disk,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new(version: &str) -> Result<Arc<Self>, prometheus::Error> {
        let contract = Registry::new();
        let ours = Registry::new();
        let info =
            IntGaugeVec::new(Opts::new("twinlet_build_info", "1, with the agent's version"), &["version"])?;
        info.with_label_values(&[version]).set(1);
        ours.register(Box::new(info))?;
        let gauge = |name: &str, help: &str| register(&ours, IntGauge::new(name, help)?);
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&ours, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Arc::new(Self {
            totals: Totals::new(&contract)?,
            invocations: counters(
                "twinlet_invocations_total",
                "Invocations of a function by how they ended: ok, error, timeout or rejected",
                &["function_id", "outcome"],
            )?,
            durations: register(
                &ours,
                HistogramVec::new(
                    HistogramOpts::new(
                        "twinlet_invocation_duration_seconds",
                        "Time from a request's arrival at the workers' queue to its answer",
                    )
                    .buckets(BUCKETS.to_vec()),
                    &["function_id"],
                )?,
            )?,
            instances: register(
                &ours,
                IntGaugeVec::new(
                    Opts::new("twinlet_instances", "Instances of a function that exist, hot or working"),
                    &["function_id"],
                )?,
            )?,
            queue_depth: gauge("twinlet_queue_depth", "Requests that wait for a worker")?,
            mqtt_connected: gauge("twinlet_mqtt_connected", "1 while the broker is connected, else 0")?,
            artifact_bytes: gauge(
                "twinlet_artifact_cache_bytes",
                "Bytes of artifacts on the disk, compiled ones included",
            )?,
            timers: gauge("twinlet_timers", "Delayed casts of actors that are to come")?,
            outbox_messages: gauge("twinlet_outbox_messages", "Telemetry messages that wait for the broker")?,
            outbox_bytes: gauge(
                "twinlet_outbox_bytes",
                "Bytes of OUTBOX_BYTES that telemetry takes which waits for the broker",
            )?,
            outbox_lost: counters(
                "twinlet_outbox_lost_total",
                "Telemetry messages that will not arrive: full where they made room for new ones, else damaged",
                &["reason"],
            )?,
            mqtt: counters(
                "twinlet_mqtt_events_total",
                "What the MQTT connection counted, by event",
                &["event"],
            )?,
            messages: counters(
                "twinlet_messages_total",
                "Messages from the hub by topic and by what became of them: accepted, unchanged or refused",
                &["topic", "result"],
            )?,
            failures: counters(
                "twinlet_function_failures_total",
                "Preparations of a function that failed, by the phase they failed in",
                &["function_id", "phase"],
            )?,
            rollouts: counters(
                "twinlet_rollouts_total",
                "Changes of what serves by how they ended: applied, proved, rolled_back or refused",
                &["result"],
            )?,
            requests: counters(
                "twinlet_http_responses_total",
                "Responses by door and class of status",
                &["door", "class"],
            )?,
            refusals: counters(
                "twinlet_auth_refused_total",
                "Requests that the public door answered with 401, by the reason",
                &["reason"],
            )?,
            actors: counters(
                "twinlet_actor_events_total",
                "What befell an actor: crash, refused (a message for a full mailbox) or timer (one that fired)",
                &["function_id", "event"],
            )?,
            middleware: counters(
                "twinlet_middleware_total",
                "Calls of middleware by attach point and outcome: continue, reject, modify, failed_closed or failed_open",
                &["function_id", "attach", "outcome"],
            )?,
            resident_bytes: gauge("twinlet_resident_memory_bytes", "Resident set size of the agent")?,
            contract,
            ours,
            guests: Guests::default(),
            executions: Executions::default(),
            disk: Disk::default(),
        }))
    }

    /// The series of one function. From now on it may have some of its own.
    pub fn function(self: &Arc<Self>, id: &FunctionId) -> FunctionMetrics {
        let id = id.as_str();
        self.guests.expect(id);
        let outcome = |outcome| self.invocations.with_label_values(&[id, outcome]);
        FunctionMetrics {
            all: self.clone(),
            ok: outcome("ok"),
            error: outcome("error"),
            timeout: outcome("timeout"),
            rejected: outcome("rejected"),
            duration: self.durations.with_label_values(&[id]),
            instances: self.instances.with_label_values(&[id]),
            executions: Arc::default(),
            tally: Arc::default(),
        }
    }

    /// Drops the series of a function that is gone. That one of them was never made is no error.
    pub fn forget_function(&self, id: &FunctionId) {
        let id = id.as_str();
        for outcome in ["ok", "error", "timeout", "rejected"] {
            self.invocations.remove_label_values(&[id, outcome]).ok();
        }
        for phase in ["fetching", "verifying", "compiling", "starting"] {
            self.failures.remove_label_values(&[id, phase]).ok();
        }
        for event in ["crash", "refused", "timer"] {
            self.actors.remove_label_values(&[id, event]).ok();
        }
        for attach in ["on-request", "on-response", "on-error"] {
            for outcome in ["continue", "reject", "modify", "failed_closed", "failed_open"] {
                self.middleware.remove_label_values(&[id, attach, outcome]).ok();
            }
        }
        self.durations.remove_label_values(&[id]).ok();
        self.instances.remove_label_values(&[id]).ok();
        self.guests.forget(id);
    }

    /// An artifact was needed, by a deployment or by an invocation, and was on the device or not.
    pub fn cache_lookup(&self, hit: bool) {
        if hit { self.totals.hits.inc() } else { self.totals.misses.inc() }
    }

    /// A message came on a topic.
    pub fn message(&self, topic: &str, taken: Taken) {
        let result = match taken {
            Taken::Accepted => "accepted",
            Taken::Unchanged => "unchanged",
            Taken::Refused => "refused",
        };
        self.messages.with_label_values(&[topic, result]).inc();
    }

    /// A function's preparation failed in a phase.
    pub fn failure(&self, id: &FunctionId, phase: &str) {
        self.failures.with_label_values(&[id.as_str(), phase]).inc();
    }

    /// A change of what serves was made, or ended otherwise.
    pub fn rollout(&self, result: &str) {
        self.rollouts.with_label_values(&[result]).inc();
    }

    /// Something befell an actor.
    pub fn actor_event(&self, id: &FunctionId, event: &str) {
        self.actors.with_label_values(&[id.as_str(), event]).inc();
    }

    /// A middleware was called, or should have been.
    pub fn middleware(&self, id: &FunctionId, attach: &str, outcome: &str) {
        self.middleware.with_label_values(&[id.as_str(), attach, outcome]).inc();
    }

    /// A door answered.
    pub fn response(&self, door: &str, status: u16) {
        let class = match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[door, class]).inc();
    }

    /// The public door let a request in no further.
    pub fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// Sets what the MQTT connection has counted under a name.
    pub fn set_mqtt(&self, event: &str, total: u64) {
        let counter = self.mqtt.with_label_values(&[event]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Sets how much telemetry was lost for a reason.
    pub fn set_outbox_lost(&self, reason: &str, total: u64) {
        let counter = self.outbox_lost.with_label_values(&[reason]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Invocations and errors since the start.
    pub fn invocation_totals(&self) -> (u64, u64) {
        (whole(self.totals.invocations.get()), whole(self.totals.errors.get()))
    }

    /// Instances that exist, over all functions.
    pub fn instances_total(&self, functions: &[FunctionId]) -> i64 {
        functions.iter().map(|id| self.instances.with_label_values(&[id.as_str()]).get()).sum()
    }

    /// The whole page, in Prometheus' text format. `resident_bytes` is the agent's present size, `written_bytes` what
    /// the kernel wrote for it, where it says.
    pub fn render(
        &self,
        resident_bytes: u64,
        written_bytes: Option<u64>,
    ) -> Result<Vec<u8>, prometheus::Error> {
        self.resident_bytes.set(i64::try_from(resident_bytes).unwrap_or(i64::MAX));
        self.totals.compute();
        let mut page = Vec::with_capacity(8 << 10);
        for registry in [&self.contract, &self.ours] {
            TextEncoder::new().encode(&registry.gather(), &mut page)?;
        }
        self.disk.render(written_bytes, &mut page);
        self.guests.render(&mut page)?;
        Ok(page)
    }
}

fn register<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: M,
) -> Result<M, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// A counter's value; counters never go below zero and stay far below 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests;
