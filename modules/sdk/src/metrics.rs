//! Numbers for the node's `/metrics`, each with the label `function_id`; knows nothing of how they are shown.
//!
//! ```
//! use twinlet_guest::{metrics, testing::Host};
//!
//! let host = Host::new();
//! metrics::add("readings", &[("sensor", "t1")], 3.0).unwrap();
//! metrics::set("level", &[], 0.5).unwrap();
//! metrics::observe("seconds", &[], 0.012).unwrap();
//!
//! assert_eq!(host.counter("readings", &[("sensor", "t1")]), 3.0);
//! assert_eq!(host.gauge("level", &[]), Some(0.5));
//! assert_eq!(host.observations("seconds", &[]), [0.012]);
//! ```
//!
//! Numbers begin at zero when the agent starts, and go when the function does. A function may have 64 series: a label
//! is for what has few values, such as a method, and never for what a client chooses, such as a path.

use crate::agent;

/// Why a number was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name or a label is not `[a-z][a-z0-9_]{0,47}`, a label's value is longer than 64 bytes, there are more than
    /// 4 labels, or the number is not finite (or, for a counter, below zero). Says which.
    #[error("metric: {0}")]
    Invalid(String),
    /// The function has as many series (64) as it may.
    #[error("metric: the function has as many series as it may")]
    TooMany,
    /// The function has used up its share for this moment. Try again later.
    #[error("metric: rate-limited")]
    RateLimited,
}

/// Adds to a counter, shown as `twinlet_guest_counter_{name}_total`.
///
/// # Errors
/// [`Error`] says why the number was not taken.
pub fn add(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
    agent::add_metric(name, labels, value)
}

/// Adds one to a counter; see [`add`].
///
/// # Errors
/// [`Error`] says why the number was not taken.
pub fn count(name: &str, labels: &[(&str, &str)]) -> Result<(), Error> {
    add(name, labels, 1.0)
}

/// Sets a gauge, shown as `twinlet_guest_gauge_{name}`.
///
/// # Errors
/// [`Error`] says why the number was not taken.
pub fn set(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
    agent::set_metric(name, labels, value)
}

/// Counts one observation in a histogram, shown as `twinlet_guest_histogram_{name}`, with bounds at 1, 2.5 and 5 of
/// each power of ten from 0.001 to 1,000.
///
/// # Errors
/// [`Error`] says why the number was not taken.
pub fn observe(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
    agent::observe_metric(name, labels, value)
}
