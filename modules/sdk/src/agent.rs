//! The calls into the agent, in the SDK's own types; only wasm32 has them, elsewhere `testing` plays the agent.

use std::time::Duration;

use crate::bindings::imports::twinlet::device;
use crate::bindings::imports::wasi::logging::logging;
use crate::clock::{Trust, WallTime};
use crate::http_client::OutgoingRequest;
use crate::log::Level;
use crate::{Response, http_client, telemetry, twin};

pub(crate) fn send_telemetry(message: &[u8]) -> Result<u64, telemetry::Error> {
    device::telemetry::send(message).map_err(|error| match error {
        device::telemetry::Error::NotPermitted => telemetry::Error::NotPermitted,
        device::telemetry::Error::TooLarge(limit) => telemetry::Error::TooLarge(limit),
        device::telemetry::Error::Full => telemetry::Error::Full,
    })
}

pub(crate) fn config() -> String {
    device::twin::config()
}

pub(crate) fn config_key(key: &str) -> Option<String> {
    device::twin::get(key)
}

pub(crate) fn report(key: &str, value: &str) -> Result<(), twin::ReportError> {
    device::twin::report(key, value).map_err(|error| match error {
        device::twin::Error::Invalid(what) => twin::ReportError::Invalid(what),
        device::twin::Error::TooLarge(what) => twin::ReportError::TooLarge(what),
    })
}

pub(crate) fn now() -> WallTime {
    let now = device::clock::now();
    let trust = match now.trust {
        device::clock::Trust::Unknown => Trust::Unknown,
        device::clock::Trust::Floor => Trust::Floor,
        device::clock::Trust::Synced => Trust::Synced,
    };
    WallTime { unix_ms: now.unix_ms, trust }
}

pub(crate) fn monotonic() -> Duration {
    Duration::from_nanos(device::clock::monotonic_ns())
}

pub(crate) fn send_http(request: OutgoingRequest) -> Result<Response, http_client::Error> {
    use device::http_client::Error as Raw;
    let answer = device::http_client::send(&request.into());
    answer.map(Response::from).map_err(|error| match error {
        Raw::NotPermitted(what) => http_client::Error::NotPermitted(what),
        Raw::InvalidRequest(what) => http_client::Error::InvalidRequest(what),
        Raw::Unreachable(what) => http_client::Error::Unreachable(what),
        Raw::Tls(what) => http_client::Error::Tls(what),
        Raw::Timeout => http_client::Error::Timeout,
        Raw::TooLarge(limit) => http_client::Error::TooLarge(limit),
    })
}

pub(crate) fn log(level: Level, context: &str, message: &str) {
    let level = match level {
        Level::Trace => logging::Level::Trace,
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
        Level::Critical => logging::Level::Critical,
    };
    logging::log(level, context, message);
}
