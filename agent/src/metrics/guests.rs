//! The numbers of guests. A family (a kind and a name) is shared by all functions that use it, each with labels of its
//! own choice, which the vectors of the `prometheus` crate do not allow: hence maps of our own, encoded by that crate.
//!
//! Bounded by the series of one function and by the functions of desired state; a function that uses none costs the
//! entry of its name.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use twinlet_host::MetricSink;
use twinlet_host::metrics::{Error, Kind, Sample};

use super::Metrics;

/// Series of one function.
const MAX_SERIES: usize = 64;
/// Upper bounds of a guest's histogram.
const BOUNDS: [f64; 21] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0,
    500.0, 1_000.0, 2_500.0, 5_000.0,
];
/// What Prometheus itself appends to the name of a histogram; a name that ends so would be two things at once.
const HISTOGRAM_SUFFIXES: [&str; 3] = ["_bucket", "_count", "_sum"];

/// The numbers of all guests.
#[derive(Default)]
pub(super) struct Guests(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// How many series each deployed function has.
    functions: BTreeMap<String, usize>,
    families: BTreeMap<(Kind, String), BTreeMap<Series, Number>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    function_id: String,
    labels: Vec<(String, String)>,
}

enum Number {
    /// A counter's total or a gauge's value; the family knows which.
    Plain(f64),
    Histogram(Box<Observed>),
}

/// What a histogram has seen: values by the first bound that is not below them, those past the last bound in `count`
/// alone.
#[derive(Default)]
struct Observed {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl MetricSink for Metrics {
    fn take(&self, function_id: &str, sample: Sample) -> Result<(), Error> {
        self.guests.take(function_id, sample)
    }
}

impl Guests {
    /// A function that may have series from now on.
    pub(super) fn expect(&self, function_id: &str) {
        self.lock().functions.entry(function_id.to_owned()).or_default();
    }

    /// Drops all series of a function, and takes no more of it.
    pub(super) fn forget(&self, function_id: &str) {
        let mut inner = self.lock();
        if inner.functions.remove(function_id).is_none_or(|series| series == 0) {
            return;
        }
        for series in inner.families.values_mut() {
            series.retain(|series, _| series.function_id != function_id);
        }
        inner.families.retain(|_, series| !series.is_empty());
    }

    fn take(&self, function_id: &str, sample: Sample) -> Result<(), Error> {
        let Sample { kind, name, labels, value } = sample;
        if kind == Kind::Histogram && HISTOGRAM_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            return Err(Error::Invalid("a histogram's name ends in _bucket, _count or _sum".into()));
        }
        let mut inner = self.lock();
        let Inner { functions, families } = &mut *inner;
        // An instance may outlive its function by the rest of a call; what it still counts is of no interest.
        let count = functions.get_mut(function_id).ok_or(Error::TooMany)?;
        let series = Series { function_id: function_id.to_owned(), labels };
        let family = (kind, name);
        if let Some(number) = families.get_mut(&family).and_then(|all| all.get_mut(&series)) {
            number.take(kind, value);
            return Ok(());
        }
        if *count >= MAX_SERIES {
            return Err(Error::TooMany);
        }
        *count += 1;
        let mut number = Number::zero(kind);
        number.take(kind, value);
        families.entry(family).or_default().insert(series, number);
        Ok(())
    }

    /// Appends all families to a page, one after the other.
    pub(super) fn render(&self, page: &mut Vec<u8>) -> Result<(), prometheus::Error> {
        let encoder = TextEncoder::new();
        for ((kind, name), series) in &self.lock().families {
            encoder.encode(&[shown(*kind, name, series)], page)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Number {
    fn zero(kind: Kind) -> Self {
        match kind {
            Kind::Counter | Kind::Gauge => Self::Plain(0.0),
            Kind::Histogram => Self::Histogram(Box::default()),
        }
    }

    fn take(&mut self, kind: Kind, value: f64) {
        match self {
            Self::Plain(total) if kind == Kind::Counter => *total = finite(*total + value),
            Self::Plain(present) => *present = value,
            Self::Histogram(observed) => observed.take(value),
        }
    }
}

impl Observed {
    fn take(&mut self, value: f64) {
        if let Some((bucket, _)) = self.buckets.iter_mut().zip(BOUNDS).find(|(_, bound)| value <= *bound) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = finite(self.sum + value);
    }

    fn shown(&self) -> Histogram {
        let mut below = 0;
        let bucket = |(count, bound): (&u64, f64)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(below);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(self.buckets.iter().zip(BOUNDS).map(bucket).collect());
        histogram.set_sample_count(self.count);
        histogram.set_sample_sum(self.sum);
        histogram
    }
}

/// Large numbers stay at the largest there is: an infinity could become no number at the next addition.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

fn shown(kind: Kind, name: &str, series: &BTreeMap<Series, Number>) -> MetricFamily {
    let (name, help, of_type) = match kind {
        Kind::Counter => {
            (format!("twinlet_guest_counter_{name}_total"), "A counter of functions", MetricType::COUNTER)
        }
        Kind::Gauge => (format!("twinlet_guest_gauge_{name}"), "A gauge of functions", MetricType::GAUGE),
        Kind::Histogram => {
            (format!("twinlet_guest_histogram_{name}"), "A histogram of functions", MetricType::HISTOGRAM)
        }
    };
    let mut family = MetricFamily::default();
    family.set_name(name);
    family.set_help(help.to_owned());
    family.set_field_type(of_type);
    family.set_metric(series.iter().map(|(series, number)| metric(kind, series, number)).collect());
    family
}

fn metric(kind: Kind, series: &Series, number: &Number) -> Metric {
    let own = ("function_id", series.function_id.as_str());
    let guests = series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut metric = Metric::from_label(std::iter::once(own).chain(guests).map(label).collect());
    match number {
        Number::Plain(value) if kind == Kind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        }
        Number::Plain(value) => {
            let mut gauge = Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        Number::Histogram(observed) => metric.set_histogram(observed.shown()),
    }
    metric
}

fn label((name, value): (&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

#[cfg(test)]
mod tests;
