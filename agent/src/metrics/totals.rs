//! The contract's seven metrics, over all functions.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{Counter, Gauge, Registry};

use super::register;

/// The contract's counters, and what its gauges are computed from.
pub(super) struct Totals {
    pub(super) invocations: Counter,
    pub(super) errors: Counter,
    pub(super) average_ms: Gauge,
    pub(super) error_rate: Gauge,
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) hit_rate: Gauge,
    pub(super) nanoseconds: AtomicU64,
}

impl Totals {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| register(registry, Counter::new(name, help)?);
        let gauge = |name: &str, help: &str| register(registry, Gauge::new(name, help)?);
        Ok(Self {
            invocations: counter("edge_runner_total_invocations", "Total number of function invocations")?,
            errors: counter("edge_runner_total_errors", "Total number of errors")?,
            average_ms: gauge(
                "edge_runner_average_execution_time_ms",
                "Average execution time in milliseconds",
            )?,
            error_rate: gauge("edge_runner_error_rate", "Error rate percentage")?,
            hits: counter("edge_runner_cache_hits", "Total cache hits")?,
            misses: counter("edge_runner_cache_misses", "Total cache misses")?,
            hit_rate: gauge("edge_runner_cache_hit_rate", "Cache hit rate percentage")?,
            nanoseconds: AtomicU64::new(0),
        })
    }

    pub(super) fn compute(&self) {
        let invocations = self.invocations.get();
        let (hits, misses) = (self.hits.get(), self.misses.get());
        let milliseconds = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64() * 1e3;
        self.average_ms.set(two_places(ratio(milliseconds, invocations)));
        self.error_rate.set(two_places(100.0 * ratio(self.errors.get(), invocations)));
        self.hit_rate.set(two_places(100.0 * ratio(hits, hits + misses)));
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn two_places(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
