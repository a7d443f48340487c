//! `twinlet:device/clock`: the wall clock, how far to trust it, and a clock that never goes back.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::Guest;
use crate::bindings::twinlet::device::clock::{Host, Trust, WallTime};

/// No correct clock shows an earlier time than this: 2026-11-01 00:00 UTC, in milliseconds.
pub const RELEASE_UNIX_MS: u64 = 1_793_491_200_000;

impl Host for Guest {
    fn now(&mut self) -> WallTime {
        self.throttle(0);
        let unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        WallTime { unix_ms, trust: trust(unix_ms, kernel_is_synchronised()) }
    }

    fn monotonic_ns(&mut self) -> u64 {
        self.throttle(0);
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn trust(unix_ms: u64, synchronised: bool) -> Trust {
    match (unix_ms < RELEASE_UNIX_MS, synchronised) {
        (true, _) => Trust::Unknown,
        (false, true) => Trust::Synced,
        (false, false) => Trust::Floor,
    }
}

/// Whether a time source keeps the kernel's clock, as NTP clients tell it by `adjtimex`.
pub fn kernel_is_synchronised() -> bool {
    // SAFETY: an all-zero `timex` asks to change nothing (`modes` is 0); the kernel only writes into it.
    unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&mut timex);
        state >= 0 && state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_release_is_never_trusted() {
        assert_eq!(trust(0, true), Trust::Unknown);
        assert_eq!(trust(RELEASE_UNIX_MS, false), Trust::Floor);
        assert_eq!(trust(RELEASE_UNIX_MS, true), Trust::Synced);
    }
}
