//! The wall clock as this device can know it: the system's, but never before a floor.
//!
//! A gateway without a battery-backed clock starts in 1970, or where it was when it was switched off, and stays there
//! until someone sets it. The floor is a time that certainly has come: that of this release, that of an earlier
//! run which the agent has kept, or that of a certificate which a trusted authority had issued. It moves on with the
//! monotonic clock. What the system's clock says before the floor is wrong, and the floor is shown instead.
//!
//! Only what is confirmed raises the floor, since one in the future would make good certificates look expired: the
//! system's time raises it while the kernel says that a time source keeps it, and nothing else that the system says
//! does. A time source also lowers it, so that what a wrong one has raised a right one mends.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No correct clock shows an earlier time than this: 2026-11-01 00:00 UTC, in milliseconds.
pub const RELEASE_UNIX_MS: u64 = 1_793_491_200_000;
/// The system's clock may be this far before the floor and count as set: two clocks never agree to the millisecond.
const TOLERANCE_MS: u64 = 300_000;

/// What the wall clock showed, at least, when the monotonic one was at zero; in milliseconds since 1970.
static FLOOR_AT_START: AtomicU64 = AtomicU64::new(RELEASE_UNIX_MS);

/// The time since 1970: the system's clock, or the floor where that is later.
pub fn now() -> Duration {
    let (system, floor) = (system(), Duration::from_millis(floor_ms()));
    // The latter is a system call, and rarely needed.
    if system >= floor || is_kept(millis(system)) { system } else { floor }
}

/// As [`now`], in milliseconds.
pub fn now_ms() -> u64 {
    millis(now())
}

/// As [`now`], in seconds.
pub fn now_secs() -> u64 {
    now().as_secs()
}

/// Milliseconds since 1970 that have certainly passed.
pub fn floor_ms() -> u64 {
    FLOOR_AT_START.load(Relaxed).saturating_add(elapsed_ms())
}

/// Whether the system's clock shows a time that can be. Where it does not, [`now`] is the floor, and may lie as far
/// behind as the device was switched off.
pub fn is_set() -> bool {
    let system = millis(system());
    system.saturating_add(TOLERANCE_MS) >= floor_ms() || is_kept(system)
}

/// Whether a time source keeps the system's clock, and it shows a time that can be.
pub fn is_synchronised() -> bool {
    is_kept(millis(system()))
}

/// Raises the floor to a time that certainly has come, in milliseconds since 1970.
pub fn raise_floor(unix_ms: u64) {
    FLOOR_AT_START.fetch_max(unix_ms.saturating_sub(elapsed_ms()), Relaxed);
}

/// Takes over the system's time as the floor, up or down, where a time source keeps it.
pub fn confirm_floor() {
    let system = millis(system());
    if is_kept(system) {
        FLOOR_AT_START.store(system.saturating_sub(elapsed_ms()).max(RELEASE_UNIX_MS), Relaxed);
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

    /// One test, since the floor is the whole process's.
    #[test]
    fn the_time_is_never_before_the_floor_and_the_floor_is_never_before_the_release() {
        assert!(floor_ms() >= RELEASE_UNIX_MS);
        raise_floor(1);
        assert!(floor_ms() >= RELEASE_UNIX_MS);
        // Ten years on from here the system's clock is certainly behind the floor.
        let later = millis(system()).max(RELEASE_UNIX_MS) + 10 * 365 * 86_400_000;
        raise_floor(later);
        assert!(floor_ms() >= later);
        assert!(is_set() == kernel_is_synchronised(), "behind the floor, only a time source makes it right");
        let shown = now_ms();
        assert!(if kernel_is_synchronised() { shown < later } else { shown >= later });
        raise_floor(later - 1_000);
        assert!(floor_ms() >= later, "it is not lowered by what is earlier");
        confirm_floor();
        assert!((floor_ms() < later) == kernel_is_synchronised(), "but by a time source");
    }
}
