//! How a new version of a function proves itself: the request that it answers before it serves, and how long it may
//! be taken back after that.

use std::time::Duration;

use super::problems::{Object, Problems};

/// The request that a function must answer with a status of 2xx before it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its path, with a query if need be.
    pub path: String,
    /// Its method, in upper case; it has no body.
    pub method: String,
    /// How long the answer may take; never longer than `max_execution_ms`.
    pub timeout: Duration,
}

/// For how long, and by which rate of errors, a new version is taken back by the agent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// How long, from when it serves; zero for no trial.
    pub window: Duration,
    /// Errors of a hundred invocations; more of them take it back.
    pub max_error_percent: u32,
    /// Fewer invocations say nothing.
    pub min_invocations: u32,
}

/// The longest path of a health request, in bytes.
const MAX_PATH: usize = 1_024;

impl Default for Trial {
    fn default() -> Self {
        Self { window: Duration::from_secs(60), max_error_percent: 50, min_invocations: 10 }
    }
}

impl Health {
    pub(super) fn read(mut fields: Object<'_>, problems: &mut Problems) -> Option<Self> {
        let path = fields.required("path", problems);
        let path = path.and_then(|_| fields.text("path", problems));
        if let Some(path) = path
            && (!path.starts_with('/')
                || path.len() > MAX_PATH
                || !path.bytes().all(|b| b.is_ascii_graphic()))
        {
            problems.add(&fields.path("path"), "begins with `/` and holds visible ASCII alone");
        }
        let method = fields.text("method", problems).unwrap_or("GET").to_ascii_uppercase();
        if method.is_empty() || method.len() > 32 || !method.bytes().all(|b| b.is_ascii_alphabetic()) {
            problems.add(&fields.path("method"), "is not an HTTP method");
        }
        let timeout = fields.number("timeout_ms", 1..=3_600_000, Some(5_000), problems);
        fields.end(problems);
        Some(Self { path: path?.to_owned(), method, timeout: Duration::from_millis(timeout?) })
    }
}

impl Trial {
    pub(super) fn read(mut fields: Object<'_>, problems: &mut Problems) -> Option<Self> {
        let default = Self::default();
        let window = fields.number("window_secs", 0..=86_400, Some(default.window.as_secs()), problems);
        let percent = fields.number("max_error_percent", 0..=100, Some(default.max_error_percent), problems);
        let least = fields.number("min_invocations", 1..=1_000_000, Some(default.min_invocations), problems);
        fields.end(problems);
        Some(Self {
            window: Duration::from_secs(window?),
            max_error_percent: percent?,
            min_invocations: least?,
        })
    }

    /// Whether so many errors of so many invocations are too many.
    pub fn is_failed(&self, invocations: u64, errors: u64) -> bool {
        invocations >= u64::from(self.min_invocations)
            && errors.saturating_mul(100) > invocations.saturating_mul(u64::from(self.max_error_percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_fails_by_rate_and_never_on_little_evidence() {
        let trial = Trial::default();
        assert!(!trial.is_failed(9, 9));
        assert!(!trial.is_failed(10, 5));
        assert!(trial.is_failed(10, 6));
        let strict = Trial { max_error_percent: 0, min_invocations: 1, ..Trial::default() };
        assert!(strict.is_failed(1, 1));
        assert!(!strict.is_failed(1_000, 0));
        let tolerant = Trial { max_error_percent: 100, ..Trial::default() };
        assert!(!tolerant.is_failed(u64::MAX, u64::MAX));
    }
}
