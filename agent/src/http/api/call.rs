//! One call of the management API: who asked is trusted, what was asked is not.

use serde_json::Value;
use twinlet_host::twin::depth;

use super::super::answer::{Answer, Failure};
use super::super::{Body, Incoming};
use crate::desired::{FunctionId, Object, Problems};
use crate::routes::percent_decoded;

/// Levels of a body.
const MAX_DEPTH: usize = 32;

/// A call and what it brought.
pub(in crate::http) struct Call {
    /// The segment of the path that stands for `{}`, as it came.
    pub(super) name: Option<String>,
    /// The query, undecoded.
    pub(super) query: Option<String>,
    /// The host that was asked for.
    pub(super) host: String,
    /// The body, to be taken by whoever reads it.
    pub(super) body: Vec<u8>,
    pub(super) request_id: String,
}

impl Call {
    pub(super) fn new(incoming: Incoming, name: Option<String>) -> Self {
        let Incoming { query, host, body, request_id, .. } = incoming;
        let body = match body {
            Body::Whole(body) => body,
            // Doors read these bodies whole.
            Body::Streamed(_) => Vec::new(),
        };
        Self { name, query, host, body, request_id }
    }

    /// The body as JSON; the bytes are gone afterwards.
    pub(super) fn json(&mut self) -> Result<Value, Failure> {
        let body = std::mem::take(&mut self.body);
        let value = serde_json::from_slice(&body)
            .map_err(|error| Failure::Invalid(format!("the body is not JSON: {error}")))?;
        if depth(&value) > MAX_DEPTH {
            return Err(Failure::Invalid(format!("the body is nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(value)
    }

    /// Reads the body's fields; every problem is told at once, unknown fields included.
    pub(super) fn fields<T>(
        &mut self,
        read: impl FnOnce(&mut Object<'_>, &mut Problems) -> Option<T>,
    ) -> Result<T, Failure> {
        let value = self.json()?;
        let mut problems = Problems::default();
        let read = Object::of("", &value, &mut problems).and_then(|mut fields| {
            let read = read(&mut fields, &mut problems);
            fields.end(&mut problems);
            read
        });
        problems.or(read).map_err(|problems| Failure::Invalid(problems.to_string()))
    }

    /// The function that the path names; `None` where that is no name that a function can have.
    pub(super) fn function(&self) -> Option<FunctionId> {
        self.name.as_deref().and_then(|name| name.parse().ok())
    }

    /// A parameter of the query, decoded; the first of its name.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.pairs().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
    }

    /// All parameters of a name, decoded.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        self.pairs().filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).collect()
    }

    /// The names of all parameters.
    pub(super) fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.pairs().map(|(key, _)| key)
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.query.as_deref().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

fn decoded(value: &str) -> String {
    percent_decoded(&value.replace('+', " "))
}

/// JSON, as an answer.
pub(super) fn json(status: u16, value: &Value) -> Answer {
    Answer::new(status, "application/json", value.to_string())
}
