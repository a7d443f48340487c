//! What is so: the phase of every function and what became of the last desired state. Pure data; the reconciler
//! writes it, the reporter publishes it.

mod dry_run;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use dry_run::{Action, Changes, DryRun, FunctionDryRun, MAX_NAMED, cut};

use crate::desired::{FunctionId, Origin};

/// The whole reported state, as it is published.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The twin version that was last accepted; 0 for none.
    pub last_desired_version: u64,
    /// What became of the last message that asked for something.
    pub last_desired_status: DesiredStatus,
    /// Every function that is wanted or still here.
    pub functions: BTreeMap<FunctionId, FunctionStatus>,
    /// What became of the last dry run, until desired state changes.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    pub dry_run: Option<Arc<DryRun>>,
}

fn shared<S: Serializer>(dry_run: &Option<Arc<DryRun>>, serializer: S) -> Result<S::Ok, S::Error> {
    dry_run.as_deref().serialize(serializer)
}

/// What became of the last message that asked for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DesiredStatus {
    /// 200 applied, 202 in progress, 400 not valid, 409 stale or in conflict, 500 failed.
    pub code: u16,
    /// The same in words.
    pub description: String,
}

impl DesiredStatus {
    /// A status with its words.
    pub fn new(code: u16, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }
}

/// One function's state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    /// Who asked for it; none once it is no longer wanted.
    pub origin: Option<Origin>,
    /// The version that is wanted.
    pub version: u64,
    /// The version that serves, if any does; another one than wanted while a new one is prepared or has failed.
    pub serving_version: Option<u64>,
    /// How far the wanted version has come.
    pub phase: Phase,
    /// The last thing that went wrong, cleared when a version runs.
    pub last_error: Option<String>,
    /// Preparations of the wanted version that failed before the present one, or crashes of an actor in a row.
    pub restart_count: u32,
    /// When the phase began, in seconds since 1970, by this device's clock.
    pub since: u64,
    /// What the function itself reports.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub reported: Map<String, Value>,
    /// An actor that waits to be started again after a crash.
    #[serde(skip)]
    pub crashed: bool,
    /// Held back until somebody does something; `last_error` says what.
    #[serde(skip)]
    pub held: bool,
    /// When it is tried again, where it failed and will be.
    #[serde(skip)]
    pub again: Option<Instant>,
}

/// How far a function has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Wanted, and not begun.
    Pending,
    /// Its artifact is being downloaded.
    Fetching,
    /// Its artifact is being checked.
    Verifying,
    /// Its artifact is being compiled.
    Compiling,
    /// Its first instance starts.
    Starting,
    /// It serves.
    Running,
    /// It failed and will be tried again.
    Backoff,
    /// It failed and will not be tried again until it changes.
    Failed,
}

impl Phase {
    /// The phase in lower case, as in reported state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fetching => "fetching",
            Self::Verifying => "verifying",
            Self::Compiling => "compiling",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
        }
    }
}
