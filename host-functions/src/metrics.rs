//! `twinlet:device/metrics`: numbers of guests for `/metrics`. Checks names, labels and values; knows nothing of how they
//! are shown.

pub use crate::bindings::twinlet::device::metrics::Error;

use crate::Guest;
use crate::bindings::twinlet::device::metrics::Host;
use crate::rates::Kind as Rate;

/// Bytes of a name or a label's name.
const MAX_NAME_BYTES: usize = 48;
/// Bytes of a label's value.
const MAX_VALUE_BYTES: usize = 64;
/// Labels of one series.
const MAX_LABELS: usize = 4;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes where it likes.
    Gauge,
    /// Is counted by size.
    Histogram,
}

/// A number that was checked: names are plain, labels sorted and unlike, the value finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What it is.
    pub kind: Kind,
    /// Its name, `[a-z][a-z0-9_]{0,47}`.
    pub name: String,
    /// Its labels, by name.
    pub labels: Vec<(String, String)>,
    /// How much.
    pub value: f64,
}

/// Takes the numbers of guests.
pub trait MetricSink: Send + Sync {
    /// Takes one; an error where the function has too many series.
    fn take(&self, function_id: &str, sample: Sample) -> Result<(), Error>;
}

impl Guest {
    fn sample(
        &mut self,
        kind: Kind,
        name: String,
        labels: Vec<(String, String)>,
        value: f64,
    ) -> Result<(), Error> {
        let bytes = labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + name.len();
        if !self.may(Rate::Metric, bytes) {
            return Err(Error::RateLimited);
        }
        let sample = checked(kind, name, labels, value)?;
        self.environment.metrics.take(&self.environment.function_id, sample)
    }
}

impl Host for Guest {
    fn add(&mut self, name: String, labels: Vec<(String, String)>, value: f64) -> Result<(), Error> {
        self.sample(Kind::Counter, name, labels, value)
    }

    fn set(&mut self, name: String, labels: Vec<(String, String)>, value: f64) -> Result<(), Error> {
        self.sample(Kind::Gauge, name, labels, value)
    }

    fn observe(&mut self, name: String, labels: Vec<(String, String)>, value: f64) -> Result<(), Error> {
        self.sample(Kind::Histogram, name, labels, value)
    }
}

fn checked(kind: Kind, name: String, mut labels: Vec<(String, String)>, value: f64) -> Result<Sample, Error> {
    let invalid = |what: &str| Err(Error::Invalid(what.to_owned()));
    if !is_name(&name) {
        return invalid("the name is not [a-z][a-z0-9_]{0,47}");
    }
    if labels.len() > MAX_LABELS {
        return invalid("more than 4 labels");
    }
    if labels.iter().any(|(name, _)| !is_name(name) || matches!(name.as_str(), "function_id" | "le")) {
        return invalid("a label's name is not [a-z][a-z0-9_]{0,47}, or is function_id or le");
    }
    if labels.iter().any(|(_, value)| value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control)) {
        return invalid("a label's value is longer than 64 bytes or has a control character");
    }
    labels.sort();
    if labels.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        return invalid("the same label stands twice");
    }
    if !value.is_finite() || (kind == Kind::Counter && value < 0.0) {
        return invalid("the value is not finite, or a counter was to go down");
    }
    Ok(Sample { kind, name, labels, value })
}

fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_few_labels_and_finite_values_pass() {
        let label = |name: &str| (name.to_owned(), "x".to_owned());
        assert!(checked(Kind::Gauge, "level".into(), vec![label("tank"), label("b")], -1.0).is_ok());
        for (name, labels, value) in [
            ("", vec![], 0.0),
            ("Level", vec![], 0.0),
            ("a", vec![label("le")], 0.0),
            ("a", vec![label("x"), label("x")], 0.0),
            ("a", (0..5).map(|n| label(&format!("l{n}"))).collect(), 0.0),
            ("a", vec![], f64::NAN),
        ] {
            assert!(checked(Kind::Gauge, name.into(), labels, value).is_err(), "{name} {value}");
        }
        assert!(checked(Kind::Counter, "a".into(), vec![], -1.0).is_err());
    }
}
