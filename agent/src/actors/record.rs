//! A timer, and how it stands on the disk.

use std::time::Duration;

use twinlet_host::wall;

/// The longest delay; far enough for anything, near enough for every clock.
pub(super) const MAX_DELAY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Where a timer is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimerKey {
    /// The function that set it.
    pub(super) owner: String,
    pub(super) id: u64,
}

/// A message to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) key: TimerKey,
    /// The function that it is for.
    pub(super) to: String,
    pub(super) message: Vec<u8>,
}

impl TimerKey {
    pub(super) fn bytes(&self) -> Vec<u8> {
        [&prefix(&self.owner)[..], &self.id.to_be_bytes()].concat()
    }
}

/// No id holds a `/`.
pub(super) fn prefix(owner: &str) -> Vec<u8> {
    [owner.as_bytes(), b"/"].concat()
}

/// On the disk: when it is due and how long its delay is, in milliseconds, then its target and its message. Where the
/// clock is not set the last time that was known goes on, over restarts as well;
/// [`super::timers::Timers::rewrite`] says what comes then.
pub(super) fn write(timer: &Timer, delay: Duration) -> Vec<u8> {
    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let due = wall::now_ms().saturating_add(delay);
    let to_len = u8::try_from(timer.to.len()).unwrap_or(u8::MAX);
    [&due.to_be_bytes()[..], &delay.to_be_bytes(), &[to_len], timer.to.as_bytes(), &timer.message].concat()
}

/// A timer, and how long until it fires.
pub(super) fn read(key: &[u8], record: &[u8]) -> Option<(Timer, Duration)> {
    let slash = key.iter().position(|b| *b == b'/')?;
    let owner = String::from_utf8(key.get(..slash)?.to_vec()).ok()?;
    let id = u64::from_be_bytes(key.get(slash + 1..)?.try_into().ok()?);
    let (due, rest) = record.split_first_chunk::<8>()?;
    let (delay, rest) = rest.split_first_chunk::<8>()?;
    let (to_len, rest) = rest.split_first()?;
    let (to, message) = rest.split_at_checked(usize::from(*to_len))?;
    let left = u64::from_be_bytes(*due).saturating_sub(wall::now_ms()).min(u64::from_be_bytes(*delay));
    let to = String::from_utf8(to.to_vec()).ok()?;
    let timer = Timer { key: TimerKey { owner, id }, to, message: message.to_vec() };
    Some((timer, Duration::from_millis(left).min(MAX_DELAY)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_delays_a_timer_by_its_delay_at_most() {
        let timer =
            Timer { key: TimerKey { owner: "f".into(), id: 7 }, to: "g".into(), message: b"m".to_vec() };
        let mut record = write(&timer, Duration::from_secs(5));
        record[..8].copy_from_slice(&u64::MAX.to_be_bytes());
        let (again, left) = read(&timer.key.bytes(), &record).unwrap();
        assert_eq!((again, left), (timer, Duration::from_secs(5)));
        assert!(read(b"f", b"").is_none() && read(b"f/12345678", b"short").is_none());
    }
}
