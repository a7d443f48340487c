//! The agent's part, played in-process, so that a function can be tested natively; not there on wasm32.
//!
//! ```
//! use twinlet_guest::prelude::*;
//! use twinlet_guest::{telemetry, testing::{Host, call}};
//!
//! fn handle(request: Request) -> Result<Response, Error> {
//!     telemetry::send(request.body())?;
//!     Ok(Response::status(202))
//! }
//!
//! let host = Host::new();
//! assert_eq!(call(handle, Request::post("/", "21.5")).unwrap().status_code(), 202);
//! assert_eq!(host.telemetry(), [b"21.5"]);
//!
//! host.refuse_telemetry(telemetry::Error::Full);
//! assert_eq!(call(handle, Request::post("/", "21.6")).unwrap_err(), "the agent's telemetry outbox is full");
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use crate::clock::{Trust, WallTime};
use crate::http_client::OutgoingRequest;
use crate::log::Level;
use crate::{Error, Request, Response, http_client, telemetry};

/// Calls a function as the agent would: a [`BadRequest`](crate::BadRequest) comes back as a 400.
///
/// # Errors
/// What the operator would see: the text of the function's error.
pub fn call(
    handler: impl FnOnce(Request) -> Result<Response, Error>,
    request: Request,
) -> Result<Response, String> {
    crate::answer(handler, request)
}

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

/// An agent for the functions that this thread calls. A new one starts from nothing: an empty config, a clock at 1970
/// that nobody trusts, telemetry permitted and outbound HTTP not. Tests that run at once do not see each other's.
#[derive(Debug)]
pub struct Host {
    // What it stands for belongs to the thread, so it must not leave it.
    _not_send: PhantomData<*const ()>,
}

impl Host {
    /// A fresh agent in place of what this thread had.
    #[expect(clippy::new_without_default, reason = "it changes the thread's state, which no default should")]
    pub fn new() -> Self {
        STATE.replace(State::default());
        Self { _not_send: PhantomData }
    }

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
        with(|state| state.config = Some(json.to_owned()));
    }

    /// Sets the wall clock.
    pub fn set_clock(&self, unix_ms: u64, trust: Trust) {
        with(|state| state.now = WallTime { unix_ms, trust });
    }

    /// Answers outbound requests.
    pub fn set_http(
        &self,
        answer: impl FnMut(&OutgoingRequest) -> Result<Response, http_client::Error> + 'static,
    ) {
        with(|state| state.http = Some(Box::new(answer)));
    }

    /// Refuses every further telemetry message.
    pub fn refuse_telemetry(&self, error: telemetry::Error) {
        with(|state| state.telemetry_error = Some(error));
    }

    /// The telemetry messages so far, oldest first.
    pub fn telemetry(&self) -> Vec<Vec<u8>> {
        with(|state| state.telemetry.clone())
    }

    /// What reported state shows under the function: JSON texts by key.
    pub fn reported(&self) -> BTreeMap<String, String> {
        with(|state| state.reported.clone())
    }

    /// The lines of the log so far, oldest first.
    pub fn logs(&self) -> Vec<LogLine> {
        with(|state| state.logs.clone())
    }
}

type Answer = Box<dyn FnMut(&OutgoingRequest) -> Result<Response, http_client::Error>>;

struct State {
    config: Option<String>,
    now: WallTime,
    http: Option<Answer>,
    telemetry: Vec<Vec<u8>>,
    telemetry_error: Option<telemetry::Error>,
    reported: BTreeMap<String, String>,
    logs: Vec<LogLine>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            config: None,
            now: WallTime { unix_ms: 0, trust: Trust::Unknown },
            http: None,
            telemetry: Vec::new(),
            telemetry_error: None,
            reported: BTreeMap::new(),
            logs: Vec::new(),
        }
    }
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(f)
}

/// The same calls that `agent.rs` makes on wasm32.
pub(crate) mod agent {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    use super::{LogLine, with};
    use crate::clock::WallTime;
    use crate::http_client::OutgoingRequest;
    use crate::log::Level;
    use crate::twin::ReportError;
    use crate::{Response, http_client, telemetry};

    pub(crate) fn send_telemetry(message: &[u8]) -> Result<u64, telemetry::Error> {
        with(|state| match &state.telemetry_error {
            Some(error) => Err(error.clone()),
            None => {
                state.telemetry.push(message.to_vec());
                Ok(state.telemetry.len() as u64)
            }
        })
    }

    pub(crate) fn config() -> String {
        with(|state| state.config.clone()).unwrap_or_else(|| "{}".to_owned())
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
            if value == "null" {
                state.reported.remove(key);
            } else if state.reported.len() >= 16 && !state.reported.contains_key(key) {
                return Err(ReportError::TooLarge(format!("{key}: more than 16 keys")));
            } else {
                state.reported.insert(key.to_owned(), value.to_owned());
            }
            Ok(())
        })
    }

    pub(crate) fn now() -> WallTime {
        with(|state| state.now)
    }

    pub(crate) fn monotonic() -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    pub(crate) fn send_http(request: OutgoingRequest) -> Result<Response, http_client::Error> {
        // Taken out for the call, since the answer may itself log or look at the clock.
        let Some(mut answer) = with(|state| state.http.take()) else {
            return Err(http_client::Error::NotPermitted(request.url().to_owned()));
        };
        let response = answer(&request);
        with(|state| state.http = Some(answer));
        response
    }

    pub(crate) fn log(level: Level, context: &str, message: &str) {
        let line = LogLine { level, context: context.to_owned(), message: message.to_owned() };
        with(|state| state.logs.push(line));
    }
}

#[cfg(test)]
mod tests {
    use super::Host;
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
}
