//! Config, clocks, outbound HTTP, telemetry, reported values and the log, as a test's agent has them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Host, with};
use crate::clock::{Trust, WallTime};
use crate::http_client::OutgoingRequest;
use crate::log::Level;
use crate::{Response, http_client, telemetry};

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The module it comes from.
    pub context: String,
    /// What it says.
    pub message: String,
}

impl Host {
    /// Sets the function's `config` to a JSON object.
    ///
    /// # Panics
    /// With the feature `json`, if it is no JSON object.
    pub fn set_config_json(&self, json: &str) {
        #[cfg(feature = "json")]
        assert!(
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).is_ok(),
            "not a JSON object: {json}"
        );
        with(|state| state.node.config = Some(json.to_owned()));
    }

    /// Sets the wall clock.
    pub fn set_clock(&self, unix_ms: u64, trust: Trust) {
        with(|state| state.node.now = WallTime { unix_ms, trust });
    }

    /// Lets time pass, on both clocks. Timers fire by [`TestActor::advance`](super::TestActor::advance), which does this
    /// too.
    pub fn advance(&self, by: Duration) {
        with(|state| state.node.advance(by));
    }

    /// Answers outbound requests.
    pub fn set_http(
        &self,
        answer: impl FnMut(&OutgoingRequest) -> Result<Response, http_client::Error> + 'static,
    ) {
        with(|state| state.node.http = Some(Box::new(answer)));
    }

    /// Refuses every further telemetry message.
    pub fn refuse_telemetry(&self, error: telemetry::Error) {
        with(|state| state.node.telemetry_error = Some(error));
    }

    /// The telemetry messages so far, oldest first.
    pub fn telemetry(&self) -> Vec<Vec<u8>> {
        with(|state| state.node.telemetry.clone())
    }

    /// What reported state shows under the function: JSON texts by key.
    pub fn reported(&self) -> BTreeMap<String, String> {
        with(|state| state.node.reported.clone())
    }

    /// The lines of the log so far, oldest first.
    pub fn logs(&self) -> Vec<LogLine> {
        with(|state| state.node.logs.clone())
    }
}

type Answer = Box<dyn FnMut(&OutgoingRequest) -> Result<Response, http_client::Error>>;

pub(super) struct Node {
    config: Option<String>,
    now: WallTime,
    pub(super) monotonic: Duration,
    http: Option<Answer>,
    telemetry: Vec<Vec<u8>>,
    telemetry_error: Option<telemetry::Error>,
    reported: BTreeMap<String, String>,
    logs: Vec<LogLine>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            config: None,
            now: WallTime { unix_ms: 0, trust: Trust::Unknown },
            monotonic: Duration::ZERO,
            http: None,
            telemetry: Vec::new(),
            telemetry_error: None,
            reported: BTreeMap::new(),
            logs: Vec::new(),
        }
    }
}

impl Node {
    pub(super) fn advance(&mut self, by: Duration) {
        // Through the monotonic clock, so that parts of a millisecond add up.
        let whole_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let before = whole_ms(self.monotonic);
        self.monotonic = self.monotonic.saturating_add(by);
        self.now.unix_ms = self.now.unix_ms.saturating_add(whole_ms(self.monotonic) - before);
    }
}

pub(crate) mod agent {
    use std::time::Duration;

    use super::{LogLine, with};
    use crate::clock::WallTime;
    use crate::http_client::OutgoingRequest;
    use crate::log::Level;
    use crate::twin::ReportError;
    use crate::{Response, http_client, telemetry};

    pub(crate) fn send_telemetry(message: &[u8]) -> Result<u64, telemetry::Error> {
        with(|state| match &state.node.telemetry_error {
            Some(error) => Err(error.clone()),
            None => {
                state.node.telemetry.push(message.to_vec());
                Ok(state.node.telemetry.len() as u64)
            }
        })
    }

    pub(crate) fn config() -> String {
        with(|state| state.node.config.clone()).unwrap_or_else(|| "{}".to_owned())
    }

    #[cfg(feature = "json")]
    pub(crate) fn config_key(key: &str) -> Option<String> {
        let config: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&config()).ok()?;
        config.get(key).map(ToString::to_string)
    }

    #[cfg(not(feature = "json"))]
    pub(crate) fn config_key(_key: &str) -> Option<String> {
        panic!("to be tested natively, `twin::get_json` needs the feature `json`")
    }

    pub(crate) fn report(key: &str, value: &str) -> Result<(), ReportError> {
        let is_key_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !(1..=64).contains(&key.len()) || !key.bytes().all(is_key_byte) {
            return Err(ReportError::Invalid(format!("{key}: not a key of [a-zA-Z0-9_-]{{1,64}}")));
        }
        if value.len() > 1024 {
            return Err(ReportError::TooLarge(format!("{key}: more than 1024 bytes")));
        }
        #[cfg(feature = "json")]
        if let Err(error) = serde_json::from_str::<serde_json::Value>(value) {
            return Err(ReportError::Invalid(format!("{key}: not JSON: {error}")));
        }
        with(|state| {
            let reported = &mut state.node.reported;
            if value == "null" {
                reported.remove(key);
            } else if reported.len() >= 16 && !reported.contains_key(key) {
                return Err(ReportError::TooLarge(format!("{key}: more than 16 keys")));
            } else {
                reported.insert(key.to_owned(), value.to_owned());
            }
            Ok(())
        })
    }

    pub(crate) fn now() -> WallTime {
        with(|state| state.node.now)
    }

    pub(crate) fn monotonic() -> Duration {
        with(|state| state.node.monotonic)
    }

    pub(crate) fn send_http(request: OutgoingRequest) -> Result<Response, http_client::Error> {
        // Taken out for the call, since the answer may itself log or look at the clock.
        let Some(mut answer) = with(|state| state.node.http.take()) else {
            return Err(http_client::Error::NotPermitted(request.url().to_owned()));
        };
        let response = answer(&request);
        with(|state| state.node.http = Some(answer));
        response
    }

    pub(crate) fn log(level: Level, context: &str, message: &str) {
        let line = LogLine { level, context: context.to_owned(), message: message.to_owned() };
        with(|state| state.node.logs.push(line));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Host;
    use crate::clock::{self, Trust};
    use crate::twin::{ReportError, report_json};

    #[test]
    fn reports_are_held_to_the_agents_limits() {
        let host = Host::new();
        for n in 0..16 {
            report_json(&format!("k{n}"), "1").unwrap();
        }
        assert!(matches!(report_json("k16", "1"), Err(ReportError::TooLarge(_))));
        report_json("k3", "2").unwrap();
        report_json("k4", "null").unwrap();
        report_json("k16", "1").unwrap();
        assert_eq!(host.reported().len(), 16);
        assert!(matches!(report_json("a.b", "1"), Err(ReportError::Invalid(_))));
        assert!(matches!(report_json("a", &"1".repeat(1025)), Err(ReportError::TooLarge(_))));
    }

    #[test]
    fn time_passes_on_both_clocks_and_only_when_told() {
        let host = Host::new();
        host.set_clock(1_000, Trust::Floor);
        for _ in 0..4 {
            host.advance(Duration::from_micros(500));
        }
        assert_eq!(clock::now().unix_ms, 1_002);
        assert_eq!(clock::monotonic(), Duration::from_millis(2));
        assert_eq!(clock::monotonic(), Duration::from_millis(2));
    }
}
