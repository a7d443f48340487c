//! The readings that a client posts; knows nothing of what becomes of them.

use serde::Deserialize;
use twinlet_guest::{BadRequest, Request};

const MAX_READINGS: usize = 1_000;
const MAX_SENSOR_BYTES: usize = 64;

/// One reading. Further fields are passed over.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Reading {
    /// Which sensor it is of: 1 to 64 bytes without control characters.
    pub(crate) sensor: String,
    /// What it read.
    pub(crate) value: f64,
}

/// The request's body, one reading or an array of them.
pub(crate) fn read(request: &Request) -> Result<Vec<Reading>, BadRequest> {
    // Told apart by hand: serde's untagged enums cannot say which field is wrong.
    let is_array = request.body().trim_ascii_start().starts_with(b"[");
    let readings: Vec<Reading> = if is_array { request.json()? } else { vec![request.json()?] };
    if readings.len() > MAX_READINGS {
        return Err(BadRequest::new("more than 1000 readings"));
    }
    for (index, reading) in readings.iter().enumerate() {
        check_sensor(&reading.sensor).map_err(|what| {
            let path = if is_array { format!("[{index}].") } else { String::new() };
            BadRequest::new(format!("{path}sensor: {what}"))
        })?;
    }
    Ok(readings)
}

fn check_sensor(sensor: &str) -> Result<(), &'static str> {
    match sensor {
        "" => Err("empty"),
        _ if sensor.len() > MAX_SENSOR_BYTES => Err("longer than 64 bytes"),
        _ if sensor.chars().any(char::is_control) => Err("has control characters"),
        _ => Ok(()),
    }
}
