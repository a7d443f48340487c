//! `twinlet:device/clock`: the wall clock, how far to trust it, and a clock that never goes back. The same wall clock
//! for `wasi:clocks`.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use wasmtime_wasi::HostWallClock;

use crate::Guest;
use crate::bindings::twinlet::device::clock::{Host, Trust, WallTime};
use crate::wall;

impl Host for Guest {
    fn now(&mut self) -> WallTime {
        self.throttle(0);
        WallTime { unix_ms: wall::now_ms(), trust: trust(wall::is_set(), wall::is_synchronised()) }
    }

    fn monotonic_ns(&mut self) -> u64 {
        self.throttle(0);
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn trust(set: bool, synchronised: bool) -> Trust {
    match (set, synchronised) {
        (false, _) => Trust::Unknown,
        (true, false) => Trust::Floor,
        (true, true) => Trust::Synced,
    }
}

/// [`wall`] as WASI asks for it.
pub(crate) struct WallClock;

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        wall::now()
    }
}
