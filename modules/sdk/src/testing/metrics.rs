//! The numbers of a function, as a test's agent counts them, within the agent's limits.

use std::collections::BTreeMap;

use super::{Host, with};
use crate::metrics::Error;

const MAX_SERIES: usize = 64;
const MAX_LABELS: usize = 4;
const MAX_VALUE_BYTES: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

type Series = (Kind, String, Vec<(String, String)>);

#[derive(Default)]
pub(super) struct Metrics {
    // What was told of each series, oldest first.
    series: BTreeMap<Series, Vec<f64>>,
    error: Option<Error>,
}

impl Host {
    /// A counter's value; zero if nothing was added.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        told(Kind::Counter, name, labels).iter().sum()
    }

    /// A gauge's value, if it was set.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        told(Kind::Gauge, name, labels).last().copied()
    }

    /// What a histogram observed, oldest first.
    pub fn observations(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        told(Kind::Histogram, name, labels)
    }

    /// Refuses every further number.
    pub fn refuse_metrics(&self, error: Error) {
        with(|state| state.metrics.error = Some(error));
    }
}

fn told(kind: Kind, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    with(|state| state.metrics.series.get(&series(kind, name, labels)).cloned()).unwrap_or_default()
}

fn series(kind: Kind, name: &str, labels: &[(&str, &str)]) -> Series {
    let mut labels: Vec<_> = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    labels.sort();
    (kind, name.to_owned(), labels)
}

fn check(kind: Kind, name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
    let invalid = |what: String| Err(Error::Invalid(what));
    if !is_name(name) {
        return invalid(format!("{name}: not a name of [a-z][a-z0-9_]{{0,47}}"));
    }
    if labels.len() > MAX_LABELS {
        return invalid(format!("{name}: more than 4 labels"));
    }
    for (n, (label, text)) in labels.iter().enumerate() {
        if !is_name(label) || matches!(*label, "function_id" | "le") {
            return invalid(format!("{label}: not a label of [a-z][a-z0-9_]{{0,47}}, or function_id or le"));
        }
        if text.len() > MAX_VALUE_BYTES || text.chars().any(char::is_control) {
            return invalid(format!("{label}: longer than 64 bytes, or has a control character"));
        }
        if labels.iter().skip(n + 1).any(|(other, _)| other == label) {
            return invalid(format!("{label}: stands twice"));
        }
    }
    if !value.is_finite() || (kind == Kind::Counter && value < 0.0) {
        return invalid(format!("{name}: {value} is not finite, or a counter was to go down"));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.len() <= 48
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

pub(crate) mod agent {
    use super::{Error, Kind, MAX_SERIES, check, series, with};

    pub(crate) fn add_metric(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
        take(Kind::Counter, name, labels, value)
    }

    pub(crate) fn set_metric(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
        take(Kind::Gauge, name, labels, value)
    }

    pub(crate) fn observe_metric(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
        take(Kind::Histogram, name, labels, value)
    }

    fn take(kind: Kind, name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), Error> {
        check(kind, name, labels, value)?;
        let series = series(kind, name, labels);
        with(|state| {
            let metrics = &mut state.metrics;
            if let Some(error) = &metrics.error {
                return Err(error.clone());
            }
            if metrics.series.len() >= MAX_SERIES && !metrics.series.contains_key(&series) {
                return Err(Error::TooMany);
            }
            metrics.series.entry(series).or_default().push(value);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Host;
    use crate::metrics::{Error, add, count, set};

    #[test]
    fn numbers_are_held_to_the_agents_limits() {
        let host = Host::new();
        for (name, labels, value) in [
            ("Requests", &[][..], 1.0),
            ("", &[], 1.0),
            ("a", &[("le", "1")], 1.0),
            ("a", &[("b", "1"), ("b", "2")], 1.0),
            ("a", &[("b", "a\nb")], 1.0),
            ("a", &[], f64::INFINITY),
            ("a", &[], -1.0),
        ] {
            assert!(matches!(add(name, labels, value), Err(Error::Invalid(_))), "{name} {labels:?} {value}");
        }
        for n in 0..64 {
            count("n", &[("n", &n.to_string())]).unwrap();
        }
        assert_eq!(set("n", &[], 1.0), Err(Error::TooMany));
        count("n", &[("n", "63")]).unwrap();
        assert_eq!(host.counter("n", &[("n", "63")]), 2.0);
    }

    #[test]
    fn labels_name_a_series_in_any_order() {
        let host = Host::new();
        set("level", &[("a", "1"), ("b", "2")], 3.0).unwrap();
        set("level", &[("b", "2"), ("a", "1")], -4.0).unwrap();
        assert_eq!(host.gauge("level", &[("b", "2"), ("a", "1")]), Some(-4.0));
        assert_eq!(host.gauge("level", &[]), None);
    }
}
