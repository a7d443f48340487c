//! The wall clock as this device can know it.
//!
//! A gateway without a battery-backed clock starts in 1970, or where it was when it was switched off, and stays there
//! until someone sets it. Two times tell more than that, and both go on with the monotonic clock:
//!
//! - The *floor* has certainly come. It is that of this release; the system's while the kernel says that a time source
//!   keeps it; the beginning of a certificate that verified, which an authority had issued by then. Nothing else raises
//!   it, since a floor in the future would make good certificates look expired, and a time source lowers it again, so
//!   that what a wrong one did a right one mends. A system's clock before the floor is not set.
//! - The *last* time is what was shown before the clock was lost, over restarts, right or wrong. It is shown while the
//!   clock is not set, and for nothing more.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No correct clock shows an earlier time than this: 2026-11-01 00:00 UTC, in milliseconds.
pub const RELEASE_UNIX_MS: u64 = 1_793_491_200_000;
/// The system's clock may be this far before the floor and count as set: two clocks never agree to the millisecond.
const TOLERANCE_MS: u64 = 300_000;

/// The floor when the monotonic clock was at zero; in milliseconds since 1970.
static FLOOR_AT_START: AtomicU64 = AtomicU64::new(RELEASE_UNIX_MS);
/// The last time, likewise.
static LAST_AT_START: AtomicU64 = AtomicU64::new(0);

/// The time since 1970: the system's where it is set, else the last that was known.
pub fn now() -> Duration {
    let (system, floor) = (system(), floor_ms());
    let since_1970 = millis(system);
    // The last of these is a system call, and rarely needed.
    if since_1970 >= floor || is_kept(since_1970) {
        system
    } else if since_1970.saturating_add(TOLERANCE_MS) >= floor {
        Duration::from_millis(floor)
    } else {
        Duration::from_millis(floor.max(LAST_AT_START.load(Relaxed).saturating_add(elapsed_ms())))
    }
}

/// As [`now`], in milliseconds.
pub fn now_ms() -> u64 {
    millis(now())
}

/// As [`now`], in seconds.
pub fn now_secs() -> u64 {
    now().as_secs()
}

/// The time at which certificates are verified: the system's where it is set, else the floor.
pub fn at_least() -> Duration {
    if is_set() { now() } else { Duration::from_millis(floor_ms()) }
}

/// Milliseconds since 1970 that have certainly passed.
pub fn floor_ms() -> u64 {
    FLOOR_AT_START.load(Relaxed).saturating_add(elapsed_ms())
}

/// Whether the system's clock shows a time that can be. Where it does not, [`now`] lies as far behind as the device was
/// switched off, and more.
pub fn is_set() -> bool {
    let system = millis(system());
    system.saturating_add(TOLERANCE_MS) >= floor_ms() || is_kept(system)
}

/// Whether a time source keeps the system's clock, and it shows a time that can be.
pub fn is_synchronised() -> bool {
    is_kept(millis(system()))
}

/// Goes on from what an earlier run knew, in milliseconds since 1970.
pub fn restore(floor: u64, last: u64) {
    raise_floor(floor);
    LAST_AT_START.store(last.saturating_sub(elapsed_ms()), Relaxed);
}

/// Raises the floor to a time that certainly has come, in milliseconds since 1970.
pub fn raise_floor(unix_ms: u64) {
    FLOOR_AT_START.fetch_max(unix_ms.saturating_sub(elapsed_ms()), Relaxed);
}

/// Takes in what the system's clock shows now: as the last time where it is set, and as the floor, up or down, where a
/// time source keeps it.
pub fn look() {
    let system = millis(system());
    let at_start = system.saturating_sub(elapsed_ms());
    if is_kept(system) {
        FLOOR_AT_START.store(at_start.max(RELEASE_UNIX_MS), Relaxed);
    }
    if is_set() {
        LAST_AT_START.store(at_start, Relaxed);
    }
}

/// Whether the kernel says that a time source keeps its clock, as NTP clients tell it by `adjtimex`.
pub fn kernel_is_synchronised() -> bool {
    // SAFETY: an all-zero `timex` asks to change nothing (`modes` is 0); the kernel only writes into it.
    unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&mut timex);
        state >= 0 && state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0
    }
}

fn is_kept(system: u64) -> bool {
    system >= RELEASE_UNIX_MS && kernel_is_synchronised()
}

/// What the system's clock says, since 1970.
fn system() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds on the monotonic clock, from when it was first asked for.
fn elapsed_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    millis(START.get_or_init(Instant::now).elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, since these times are the whole process's.
    #[test]
    fn the_time_is_never_before_the_floor_and_the_floor_is_never_before_the_release() {
        assert!(floor_ms() >= RELEASE_UNIX_MS);
        raise_floor(1);
        assert!(floor_ms() >= RELEASE_UNIX_MS);
        look();
        // Ten years on from here the system's clock is certainly behind the floor.
        let years = 10 * 365 * 86_400_000;
        let later = millis(system()).max(RELEASE_UNIX_MS) + years;
        raise_floor(later);
        assert!(floor_ms() >= later);
        let kept = kernel_is_synchronised();
        assert!(is_set() == kept, "behind the floor, only a time source makes it right");
        assert!((now_ms() < later) == kept && (millis(at_least()) < later) == kept);
        restore(later - 1_000, later + years);
        assert!(floor_ms() >= later, "it is not lowered by what is earlier");
        assert!((now_ms() < later) == kept, "what was shown last is shown on");
        assert!(kept || (now_ms() >= later + years && millis(at_least()) < later + years), "and only shown");
        look();
        assert!((floor_ms() < later) == kept, "a time source lowers it");
    }
}
