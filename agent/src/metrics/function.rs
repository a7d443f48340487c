//! One function's series, and how its invocations end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::{Executions, Metrics, Tally};

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function answered, whatever its status.
    Ok,
    /// It trapped, returned an error or could not be started.
    Error,
    /// Its deadline passed.
    Timeout,
    /// It was not begun, for want of a free place.
    Rejected,
}

/// One function's series, looked up once.
#[derive(Clone)]
pub struct FunctionMetrics {
    pub(super) all: Arc<Metrics>,
    pub(super) ok: IntCounter,
    pub(super) error: IntCounter,
    pub(super) timeout: IntCounter,
    pub(super) rejected: IntCounter,
    pub(super) duration: Histogram,
    /// Instances that exist.
    pub instances: IntGauge,
    /// Calls of it as middleware, since this version was prepared.
    pub executions: Arc<Executions>,
    /// How this version does.
    pub tally: Arc<Tally>,
}

/// Invocations of one function, all its versions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that ended, however they did.
    pub invocations: u64,
    /// Those that brought no answer of the function.
    pub errors: u64,
}

impl FunctionMetrics {
    /// How many invocations there were.
    pub fn counts(&self) -> Counts {
        let errors = self.error.get() + self.timeout.get() + self.rejected.get();
        Counts { invocations: self.ok.get() + errors, errors }
    }

    /// Counts one invocation and how long it took.
    pub fn invoked(&self, outcome: Outcome, took: Duration) {
        let counter = match outcome {
            Outcome::Ok => &self.ok,
            Outcome::Error => &self.error,
            Outcome::Timeout => &self.timeout,
            Outcome::Rejected => &self.rejected,
        };
        counter.inc();
        self.duration.observe(took.as_secs_f64());
        let totals = &self.all.totals;
        totals.invocations.inc();
        if outcome != Outcome::Ok {
            totals.errors.inc();
        }
        totals.hits.inc();
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        totals.nanoseconds.fetch_add(took, Ordering::Relaxed);
    }
}
