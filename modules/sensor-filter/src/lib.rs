//! Sends on the readings that pass a threshold from the device twin; `filter` decides, this wires it to the agent.

mod filter;
mod readings;
mod settings;

use std::cell::RefCell;

use serde::Serialize;
use twinlet_guest::clock::{self, Trust};
use twinlet_guest::prelude::*;
use twinlet_guest::{log, telemetry, twin};

use filter::Filter;
use readings::Reading;
use settings::Settings;

http_function!(handle);

fn handle(request: Request) -> Result<Response, Error> {
    let settings = Settings::from_twin()?;
    match request.method() {
        "POST" => filter_all(settings, &readings::read(&request)?),
        "GET" => Ok(Response::ok().json(&state(settings))?),
        _ => Ok(Response::status(405).header("allow", "GET, POST")),
    }
}

/// What lasts as long as the instance does: enough for a filter, which may start anew at any time.
#[derive(Default)]
struct Memory {
    filter: Filter,
    passed: u64,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// What goes to the hub of a reading that passed.
#[derive(Serialize)]
struct Message<'a> {
    sensor: &'a str,
    value: f64,
    smoothed: f64,
    threshold: f64,
    unix_ms: u64,
    trust: Trust,
}

/// What the client learns of a reading.
#[derive(Serialize)]
struct Outcome<'a> {
    sensor: &'a str,
    value: f64,
    smoothed: f64,
    passed: bool,
    /// The telemetry message's number, if it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

#[derive(Serialize)]
struct Answer<'a> {
    settings: Settings,
    received: usize,
    passed: usize,
    readings: Vec<Outcome<'a>>,
    /// Why the readings that are missing above were not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

fn filter_all(settings: Settings, readings: &[Reading]) -> Result<Response, Error> {
    let mut outcomes = Vec::with_capacity(readings.len());
    let mut error = None;
    for reading in readings {
        match filter_one(settings, reading) {
            Ok(outcome) => outcomes.push(outcome),
            Err(telemetry::SendJsonError::Telemetry(
                why @ (telemetry::Error::RateLimited | telemetry::Error::Storage(_)),
            )) => {
                log::warn!("{why}");
                error = Some(
                    "no more telemetry is taken now: send the readings that are missing here again later",
                );
                break;
            }
            Err(other) => return Err(other.into()),
        }
    }
    report(outcomes.last());
    let answer = Answer {
        settings,
        received: readings.len(),
        passed: outcomes.iter().filter(|outcome| outcome.passed).count(),
        readings: outcomes,
        error,
    };
    let response =
        if error.is_some() { Response::status(503).header("retry-after", "5") } else { Response::ok() };
    Ok(response.json(&answer)?)
}

fn filter_one(settings: Settings, reading: &Reading) -> Result<Outcome<'_>, telemetry::SendJsonError> {
    let Reading { sensor, value } = reading;
    let rule = settings.rule();
    let verdict = MEMORY.with_borrow_mut(|memory| memory.filter.push(rule, sensor, *value));
    let sequence = if verdict.passes {
        let now = clock::now();
        let message = Message {
            sensor,
            value: *value,
            smoothed: verdict.smoothed,
            threshold: rule.threshold,
            unix_ms: now.unix_ms,
            trust: now.trust,
        };
        let sequence = telemetry::send_json(&message)?;
        MEMORY.with_borrow_mut(|memory| memory.passed = memory.passed.saturating_add(1));
        Some(sequence)
    } else {
        None
    };
    Ok(Outcome { sensor, value: *value, smoothed: verdict.smoothed, passed: verdict.passes, sequence })
}

/// Reported state is for looking at: what goes wrong with it is logged, and fails no request.
fn report(last: Option<&Outcome<'_>>) {
    let Some(last) = last else { return };
    let passed = MEMORY.with_borrow(|memory| memory.passed);
    for result in [twin::report("last", last), twin::report("passed", &passed)] {
        if let Err(error) = result {
            log::warn!("{error}");
        }
    }
}

#[derive(Serialize)]
struct State {
    settings: Settings,
    sensors: usize,
    passed: u64,
}

fn state(settings: Settings) -> State {
    MEMORY.with_borrow(|memory| State { settings, sensors: memory.filter.sensors(), passed: memory.passed })
}

#[cfg(test)]
mod tests;
