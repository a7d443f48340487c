//! Functions that take what they can get. They answer requests, unless they are actors; those that go on without end are
//! to be stopped by their deadline.

use super::actors::actor;
use super::encode::{component, wat};

/// Memory that the `huge_…` fixtures need, in pages of 64 KiB.
pub const HUGE_PAGES: u32 = 300;

/// Wants a table of 2^31 elements at once, then takes elements by the thousand until it is refused; answers in decimal
/// digits how many it has.
pub fn table_bomb() -> Vec<u8> {
    component(wat!("hostile/table_bomb"))
}

/// Takes memory until it is refused, and answers with the number of pages as four little-endian bytes.
pub fn memory_bomb() -> Vec<u8> {
    super::grows()
}

/// Writes lines of 4,000 bytes to the log without end.
pub fn floods_log() -> Vec<u8> {
    component(wat!("hostile/floods_log"))
}

/// Sends messages of 1 KiB to the hub without end.
pub fn floods_telemetry() -> Vec<u8> {
    component(wat!("hostile/floods_telemetry"))
}

/// Sets a gauge `g` of another label `n` without end.
pub fn floods_metrics() -> Vec<u8> {
    component(wat!("hostile/floods_metrics"))
}

/// Reports another value of `n` without end.
pub fn reports_for_ever() -> Vec<u8> {
    component(wat!("hostile/floods_reports"))
}

/// Keeps values of `bytes` bytes (at most 65,536) under ever new keys until one is refused, and answers in decimal digits
/// how many were kept.
pub fn floods_keys(bytes: u32) -> Vec<u8> {
    component(&wat!("hostile/floods_keys").replace("@BYTES@", &bytes.to_string()))
}

/// Takes 10,000 host resources and gives none back; answers `10000` if it is let.
pub fn ten_thousand_handles() -> Vec<u8> {
    component(wat!("hostile/ten_thousand_handles"))
}

/// Writes a log message of 16 MiB; answers `1` if it is let. Needs [`HUGE_PAGES`].
pub fn huge_log() -> Vec<u8> {
    component(wat!("hostile/huge_log"))
}

/// Sends telemetry of 16 MiB; answers `1` if it is let. Needs [`HUGE_PAGES`].
pub fn huge_telemetry() -> Vec<u8> {
    component(wat!("hostile/huge_telemetry"))
}

/// Answers with a body of 16 MiB. Needs [`HUGE_PAGES`].
pub fn huge_answer() -> Vec<u8> {
    component(wat!("hostile/huge_answer"))
}

/// An actor: at a call makes a million timers of an hour to itself, or tries to; answers in decimal digits how many were
/// taken.
pub fn delays_a_million() -> Vec<u8> {
    actor(wat!("hostile/delays_a_million"))
}

/// An actor: at a call casts messages of `bytes` bytes (at most 61,440) to itself until one is refused, and answers in
/// decimal digits how many were taken.
pub fn floods_itself(bytes: u32) -> Vec<u8> {
    actor(&wat!("hostile/floods_itself").replace("@BYTES@", &bytes.to_string()))
}
