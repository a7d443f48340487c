//! Time on a device that may have no battery-backed clock.

use std::time::Duration;

use crate::agent;

/// How far the wall clock can be trusted. As JSON (feature `json`): `"unknown"`, `"floor"`, `"synced"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Trust {
    /// The device's clock is certainly wrong, often in 1970; what is shown is the last time that was known.
    Unknown,
    /// Plausible, but nothing has set it by a time source since the device started.
    Floor,
    /// The kernel says that a time source keeps it.
    Synced,
}

/// A reading of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    /// Milliseconds since 1970-01-01 00:00 UTC.
    pub unix_ms: u64,
    /// How far to trust it.
    pub trust: Trust,
}

/// The wall clock, which may step.
///
/// ```
/// use twinlet_guest::clock::{self, Trust};
///
/// let host = twinlet_guest::testing::Host::new();
/// host.set_clock(1_700_000_000_000, Trust::Synced);
/// assert_eq!(clock::now().unix_ms, 1_700_000_000_000);
/// ```
pub fn now() -> WallTime {
    agent::now()
}

/// A clock that never goes back; zero is no particular moment. For measuring how long something took.
pub fn monotonic() -> Duration {
    agent::monotonic()
}
