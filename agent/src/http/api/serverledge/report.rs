//! One invocation on a worker, and what is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use twinlet_host::bindings::twinlet::device::types::Request;
use twinlet_host::logging::escaped;

use super::super::super::Service;
use super::super::super::exchange::{Exchange, Target};
use crate::pool::{CallError, Trace};
use crate::serving::Snapshot;
use crate::workers::Turn;

/// Why an invocation was not begun.
pub(super) const WAITED: &str = "its time passed while it waited in the queue";
/// Characters of a function's answer that are told where it is an error.
const MAX_TOLD: usize = 1_024;

/// An invocation that is about to be made.
pub(super) struct Invocation {
    pub(super) service: Arc<Service>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) target: Target,
    pub(super) request: Request,
    /// Whether what the guest prints is wanted.
    pub(super) prints: bool,
    /// When it was accepted.
    pub(super) began: Instant,
    /// When it must have ended.
    pub(super) deadline: Instant,
}

/// How an invocation ended.
pub(super) enum Ended {
    /// It was not begun, for want of room or time.
    Saturated(String),
    /// It failed; why is the result.
    Failed(Report),
    /// It was answered.
    Served(Report),
}

/// What is told of an invocation.
pub(super) struct Report {
    pub(super) success: bool,
    pub(super) result: String,
    /// From its acceptance to its answer.
    pub(super) response: Duration,
    pub(super) warm: bool,
    /// How long a new instance took to start.
    pub(super) init: Duration,
    /// How long the guest ran.
    pub(super) duration: Duration,
    /// What it printed, where that was wanted.
    pub(super) output: Option<String>,
}

impl Invocation {
    /// Makes it, on a worker.
    pub(super) fn run(&self, turn: Turn) -> Ended {
        let Self { service, snapshot, began, deadline, .. } = self;
        let exchange = Exchange { service, snapshot, began: *began, deadline: *deadline, secure: false };
        let mut trace = Trace { prints: self.prints, ..Trace::default() };
        let answered = exchange.traced(turn, &self.target, &self.request, &mut trace);
        match (turn, answered) {
            (Turn::Refused, _) => Ended::Saturated("the queue is full".to_owned()),
            (Turn::Expired, _) => Ended::Saturated(WAITED.to_owned()),
            (Turn::Run, Err(CallError::Exhausted(why))) => Ended::Saturated(why),
            (Turn::Run, Err(error)) => Ended::Failed(self.report(false, error.to_string(), trace)),
            (Turn::Run, Ok(answer)) if answer.status >= 400 => {
                let said = String::from_utf8_lossy(&answer.body);
                let said = escaped(said.get(..said.floor_char_boundary(MAX_TOLD)).unwrap_or_default());
                let why = format!("it answered with the status {}: {said}", answer.status);
                Ended::Failed(self.report(false, why, trace))
            }
            (Turn::Run, Ok(answer)) => {
                let result = String::from_utf8(answer.body)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
                Ended::Served(self.report(true, result, trace))
            }
        }
    }

    /// What is told of one that was not begun.
    pub(super) fn unserved(&self, why: String) -> Report {
        self.report(false, why, Trace::default())
    }

    /// After the answer: what whoever comes next would wait for.
    pub(super) fn refill(&self) {
        self.target.function.refill();
    }

    fn report(&self, success: bool, result: String, trace: Trace) -> Report {
        Report {
            success,
            result,
            response: self.began.elapsed(),
            warm: trace.warm,
            init: trace.init,
            duration: trace.duration,
            output: self.prints.then_some(trace.output),
        }
    }
}

impl Report {
    /// One that ended before it could be measured.
    pub(super) fn unmeasured(why: &str) -> Self {
        Self {
            success: false,
            result: why.to_owned(),
            response: Duration::ZERO,
            warm: false,
            init: Duration::ZERO,
            duration: Duration::ZERO,
            output: None,
        }
    }

    /// All of it in Serverledge's fields; times in seconds.
    pub(super) fn json(&self) -> Value {
        let mut told = self.measured();
        told.insert("Result".to_owned(), self.result.as_str().into());
        if let Some(output) = &self.output {
            told.insert("Output".to_owned(), output.as_str().into());
        }
        Value::Object(told)
    }

    /// The same without texts.
    pub(super) fn measured(&self) -> Map<String, Value> {
        let fields = [
            ("Success", self.success.into()),
            ("ResponseTime", self.response.as_secs_f64().into()),
            ("IsWarmStart", self.warm.into()),
            ("InitTime", self.init.as_secs_f64().into()),
            ("OffloadLatency", 0.into()),
            ("Duration", self.duration.as_secs_f64().into()),
            ("SchedAction", "local".into()),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
