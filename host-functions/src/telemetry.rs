//! `twinlet:device/telemetry`: messages to the hub. Knows nothing of MQTT; a [`TelemetrySink`] takes them.

pub use crate::bindings::twinlet::device::telemetry::Error;

use crate::Guest;
use crate::bindings::twinlet::device::telemetry::Host;
use crate::rates::Kind;

/// Takes telemetry for delivery.
pub trait TelemetrySink: Send + Sync {
    /// Takes one message of a function and puts it on the disk, or says why not. Returns the message's sequence number within the function.
    fn send(&self, function_id: &str, message: Vec<u8>) -> Result<u64, Error>;
}

impl Host for Guest {
    fn send(&mut self, message: Vec<u8>) -> Result<u64, Error> {
        let Some(sink) = self.environment.telemetry.clone() else { return Err(Error::NotPermitted) };
        if !self.may(Kind::Telemetry, message.len()) {
            return Err(Error::RateLimited);
        }
        self.waiting(|guest| sink.send(&guest.environment.function_id, message))
    }
}
