//! Waits for what a node says to a desired state. Knows the reported state as it stands on its topic, and nothing of who
//! published.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::document::version;
use crate::cli::output::Progress;
use crate::mqtt::{Heard, Operator, OperatorError, Retained, Said};

/// What became of it, as far as the node has said.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The version that was published.
    pub(super) version: u64,
    /// 200, 400, 409 or 500; none where the node has not come to an end with it, or has said nothing.
    pub(super) code: Option<u64>,
    /// The same in words.
    pub(super) description: String,
    /// The functions of the last reported state.
    pub(super) functions: Map<String, Value>,
    /// `online` or `offline`.
    pub(super) online: Option<String>,
}

/// Waits until the node has applied or refused a document. `later` is what it said since it was published.
pub(super) fn wait(
    operator: &mut Operator,
    document: &Value,
    kept: &Retained,
    later: Vec<Heard>,
    patience: Duration,
) -> Result<Outcome, OperatorError> {
    let until = Instant::now() + patience;
    let before = kept.reported.as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let mut outcome = Outcome::unknown(version(document));
    outcome.online = kept.status.as_deref().map(text);
    // The same document again is no news to the node: then what it has said already is its answer.
    let same = kept.desired.as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    if same.as_ref() == Some(document)
        && let Some(before) = &before
    {
        outcome.take(before, None);
    }
    let mut progress = Progress::new();
    let mut heard = later.into_iter();
    while outcome.code.is_none() {
        progress.show(&outcome.progress());
        let next = match heard.next() {
            Some(heard) => Some(heard),
            None => operator.next(Some(until))?,
        };
        let Some(Heard { said, payload, .. }) = next else { break };
        match said {
            Said::Status => outcome.online = Some(text(&payload)),
            Said::Reported => {
                if let Ok(reported) = serde_json::from_slice(&payload) {
                    outcome.take(&reported, before.as_ref());
                }
            }
            Said::Desired | Said::Heartbeat | Said::Telemetry(_) => {}
        }
    }
    Ok(outcome)
}

impl Outcome {
    /// Nothing was heard of it.
    pub(super) fn unknown(version: u64) -> Self {
        Self { version, ..Self::default() }
    }

    /// Takes in a reported state. A refusal that the node had reported `before` was of something else.
    fn take(&mut self, reported: &Value, before: Option<&Value>) {
        let status = |of: &Value| of.get("lastDesiredStatus").cloned().unwrap_or_default();
        let told = status(reported);
        let code = told.get("code").and_then(Value::as_u64);
        let description = told.get("description").and_then(Value::as_str).unwrap_or_default();
        let current = reported.get("lastDesiredVersion").and_then(Value::as_u64).unwrap_or(0);
        if let Some(Value::Object(functions)) = reported.get("functions") {
            functions.clone_into(&mut self.functions);
        }
        let (code, description) = match code {
            _ if current > self.version => {
                (Some(409), format!("version {current} has taken its place: {description}"))
            }
            Some(200 | 500) if current == self.version => (code, description.to_owned()),
            Some(400 | 409) if before.map(status) != Some(told.clone()) => (code, description.to_owned()),
            Some(202) if current == self.version => (None, description.to_owned()),
            _ => return,
        };
        (self.code, self.description) = (code, description);
    }

    /// The result, as the rest of a sentence.
    pub(super) fn in_words(&self, wait: u64) -> String {
        let away = match self.online.as_deref() {
            Some("online") => "the node is online",
            Some(_) => "the node is offline",
            None => "no node of this name has been at this broker",
        };
        match self.code {
            Some(200) => "applied".to_owned(),
            Some(code @ (400 | 409)) => format!("refused ({code}): {}", self.description),
            Some(code) => format!("failed ({code}): {}", self.description),
            None if wait == 0 => "published".to_owned(),
            None if self.description.is_empty() => {
                format!("published, and nothing said to it within {wait} s: {away}; the broker keeps it")
            }
            None => format!("not done within {wait} s: {}", self.description),
        }
    }

    /// One line for each function that is not running, and none for those that are.
    pub(super) fn functions_in_words(&self) -> Vec<String> {
        let text = |function: &Value, key: &str| {
            function.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let told = |(id, function): (&String, &Value)| {
            let (phase, error) = (text(function, "phase"), text(function, "lastError"));
            (phase != "running").then(|| match error.as_str() {
                "" => format!("{id}: {phase}"),
                error => format!("{id}: {phase}: {error}"),
            })
        };
        self.functions.iter().filter_map(told).collect()
    }

    fn progress(&self) -> String {
        let waiting = match (self.online.as_deref(), self.description.as_str()) {
            (Some("online"), "") => "waiting for the node".to_owned(),
            (_, "") => "waiting for the node, which is offline".to_owned(),
            (_, description) => description.to_owned(),
        };
        let functions = self.functions_in_words();
        match functions.is_empty() {
            true => format!("version {}: {waiting}", self.version),
            false => format!("version {}: {waiting}; {}", self.version, functions.join(", ")),
        }
    }
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reported(version: u64, code: u64) -> Value {
        json!({ "lastDesiredVersion": version, "lastDesiredStatus": { "code": code, "description": "x" },
                "functions": {} })
    }

    fn code_after(reports: &[Value], before: Option<&Value>) -> Option<u64> {
        let mut outcome = Outcome::unknown(7);
        for report in reports {
            outcome.take(report, before);
        }
        outcome.code
    }

    #[test]
    fn only_what_is_said_to_this_version_counts() {
        assert_eq!(code_after(&[reported(6, 200)], None), None);
        assert_eq!(code_after(&[reported(6, 200), reported(7, 202)], None), None);
        assert_eq!(code_after(&[reported(7, 202), reported(7, 200)], None), Some(200));
        assert_eq!(code_after(&[reported(7, 500)], None), Some(500));
        assert_eq!(code_after(&[reported(8, 200)], None), Some(409), "a newer one has taken its place");
    }

    #[test]
    fn a_refusal_from_before_is_not_one_of_this_document() {
        assert_eq!(code_after(&[reported(6, 400)], Some(&reported(6, 400))), None);
        assert_eq!(code_after(&[reported(6, 400)], Some(&reported(6, 200))), Some(400));
    }
}
