//! The calls into the agent, in the SDK's own types; only wasm32 has them, elsewhere `testing` plays the agent.

use std::time::Duration;

use crate::bindings::imports::twinlet::device;
use crate::bindings::imports::wasi::keyvalue::store as keyvalue;
use crate::bindings::imports::wasi::logging::logging;
use crate::clock::{Trust, WallTime};
use crate::http_client::OutgoingRequest;
use crate::log::Level;
use crate::messaging::{CallFailed, InstanceId, Reply};
use crate::{Response, http_client, messaging, metrics, store, telemetry, twin};

pub(crate) fn send_telemetry(message: &[u8]) -> Result<u64, telemetry::Error> {
    device::telemetry::send(message).map_err(|error| match error {
        device::telemetry::Error::NotPermitted => telemetry::Error::NotPermitted,
        device::telemetry::Error::TooLarge(limit) => telemetry::Error::TooLarge(limit),
        device::telemetry::Error::RateLimited => telemetry::Error::RateLimited,
        device::telemetry::Error::Storage(why) => telemetry::Error::Storage(why),
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
        device::twin::Error::RateLimited => twin::ReportError::RateLimited,
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
        Raw::RateLimited => http_client::Error::RateLimited,
    })
}

pub(crate) fn cast(name: &str, message: &[u8]) -> Result<(), messaging::Error> {
    device::messaging::cast(name, message).map_err(message_error)
}

pub(crate) fn call(name: &str, message: &[u8]) -> Result<Reply, CallFailed> {
    match device::messaging::call(name, message) {
        device::types::CallRet::Noreply => Ok(Reply::none()),
        device::types::CallRet::Reply(answer) => Ok(Reply::bytes(answer)),
        device::types::CallRet::Err => Err(CallFailed),
    }
}

pub(crate) fn delayed_cast(delay_ms: u64, name: &str, message: &[u8]) -> Result<(), messaging::Error> {
    device::messaging::delayed_cast(delay_ms, name, message).map_err(message_error)
}

pub(crate) fn sync(state: &[u8]) -> Result<(), messaging::Error> {
    device::messaging::sync(state).map_err(message_error)
}

pub(crate) fn me() -> InstanceId {
    device::messaging::self_().into()
}

fn message_error(error: device::messaging::Error) -> messaging::Error {
    use device::messaging::Error as Raw;
    match error {
        Raw::Unknown(what) => messaging::Error::Unknown(what),
        Raw::Full => messaging::Error::Full,
        Raw::TooLarge(limit) => messaging::Error::TooLarge(limit),
        Raw::RateLimited => messaging::Error::RateLimited,
        Raw::NotAnActor => messaging::Error::NotAnActor,
        Raw::Storage(why) => messaging::Error::Storage(why),
    }
}

pub(crate) fn add_metric(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), metrics::Error> {
    device::metrics::add(name, &owned(labels), value).map_err(metric_error)
}

pub(crate) fn set_metric(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), metrics::Error> {
    device::metrics::set(name, &owned(labels), value).map_err(metric_error)
}

pub(crate) fn observe_metric(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), metrics::Error> {
    device::metrics::observe(name, &owned(labels), value).map_err(metric_error)
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn metric_error(error: device::metrics::Error) -> metrics::Error {
    match error {
        device::metrics::Error::Invalid(what) => metrics::Error::Invalid(what),
        device::metrics::Error::TooMany => metrics::Error::TooMany,
        device::metrics::Error::RateLimited => metrics::Error::RateLimited,
    }
}

pub(crate) fn store_get(key: &str) -> Result<Option<Vec<u8>>, store::Error> {
    bucket()?.get(key).map_err(store_error)
}

pub(crate) fn store_set(key: &str, value: &[u8]) -> Result<(), store::Error> {
    bucket()?.set(key, value).map_err(store_error)
}

pub(crate) fn store_delete(key: &str) -> Result<(), store::Error> {
    bucket()?.delete(key).map_err(store_error)
}

pub(crate) fn store_exists(key: &str) -> Result<bool, store::Error> {
    bucket()?.exists(key).map_err(store_error)
}

pub(crate) fn store_keys() -> Result<Vec<String>, store::Error> {
    let bucket = bucket()?;
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor).map_err(store_error)?;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(keys);
        }
    }
}

fn bucket() -> Result<keyvalue::Bucket, store::Error> {
    keyvalue::open("default").map_err(store_error)
}

fn store_error(error: keyvalue::Error) -> store::Error {
    store::Error(match error {
        keyvalue::Error::NoSuchStore => "no such store".to_owned(),
        keyvalue::Error::AccessDenied => "access denied".to_owned(),
        keyvalue::Error::Other(why) => why,
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
