//! `twinlet:device/telemetry`: messages to the hub. Knows nothing of MQTT; a [`TelemetrySink`] takes them.

pub use crate::bindings::twinlet::device::telemetry::Error;

use crate::Guest;
use crate::bindings::twinlet::device::telemetry::Host;

/// Takes telemetry for delivery.
pub trait TelemetrySink: Send + Sync {
    /// Takes one message of a function, or says why not. Returns the message's sequence number within the function.
    fn send(&self, function_id: &str, message: Vec<u8>) -> Result<u64, Error>;
}

impl Host for Guest {
    fn send(&mut self, message: Vec<u8>) -> Result<u64, Error> {
        match &self.environment.telemetry {
            Some(sink) => sink.send(&self.environment.function_id, message),
            None => Err(Error::NotPermitted),
        }
    }
}
