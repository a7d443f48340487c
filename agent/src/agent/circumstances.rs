//! Looks once a second whether something has changed that lets succeed what failed before: the clock was set, or the
//! broker can be reached again. Who waits to try again is told, and need not wait for its turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use twinlet_host::wall;

use crate::actors::Actors;
use crate::clock::{Kept, Steps};
use crate::hub::Connection;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So much is told within such a time, so that a clock that is set again and again or a broker that comes and goes does
/// not undo what back-offs are for.
const TOLD: (usize, Duration) = (3, Duration::from_secs(30));

/// Who is told what.
pub(super) struct Circumstances {
    pub(super) time: Arc<Kept>,
    pub(super) actors: Arc<Actors>,
    pub(super) connection: watch::Receiver<Connection>,
    /// Counts how often the clock was set.
    pub(super) clock_steps: Paced,
    /// Counts these, and how often the broker came back.
    pub(super) changes: Paced,
}

impl Circumstances {
    /// Runs until the agent ends.
    pub(super) async fn run(mut self) {
        let mut steps = Steps::from(Instant::now(), wall::now());
        let mut session = 0;
        let mut writing: Option<JoinHandle<bool>> = None;
        let mut failing = false;
        loop {
            if let Ok(Err(_gone)) = tokio::time::timeout(LOOK_EVERY, self.connection.changed()).await {
                return;
            }
            wall::look();
            if let Some(by) = steps.look(Instant::now(), wall::now()) {
                log::info!("the clock was set by {by:+.0} s");
                self.clock_steps.due();
                self.changes.due();
                self.actors.clock_stepped();
            }
            let is_up = match *self.connection.borrow_and_update() {
                Connection::Up { session } => Some(session),
                Connection::Down { .. } => None,
            };
            if let Some(up) = is_up
                && up != session
            {
                session = up;
                self.changes.due();
            }
            if writing.as_ref().is_none_or(JoinHandle::is_finished) {
                if let Some(done) = writing.take() {
                    let fails = !done.await.unwrap_or(false);
                    if fails && !failing {
                        log::warn!(
                            "timers could not be written by the new time, which is tried again; after a restart some \
                             may fire early or late until then"
                        );
                    }
                    failing = fails;
                }
                if self.actors.want_writing() || self.time.wants_writing() {
                    let (time, actors) = (self.time.clone(), self.actors.clone());
                    // It waits for the disk, which this thread must not.
                    writing = Some(tokio::task::spawn_blocking(move || {
                        time.keep();
                        !actors.want_writing() || actors.rewrite_timers()
                    }));
                }
            }
            self.clock_steps.tell(Instant::now());
            self.changes.tell(Instant::now());
        }
    }
}

/// Tells that something happened, not too often, and in the end always.
pub(super) struct Paced {
    to: watch::Sender<u64>,
    due: bool,
    /// When, the longest ago first.
    told: [Option<Instant>; TOLD.0],
}

impl Paced {
    pub(super) fn new() -> (Self, watch::Receiver<u64>) {
        let (to, from) = watch::channel(0);
        (Self { to, due: false, told: [None; TOLD.0] }, from)
    }

    /// It happened.
    fn due(&mut self) {
        self.due = true;
    }

    fn tell(&mut self, now: Instant) {
        let [first, ..] = &mut self.told;
        if self.due && first.is_none_or(|told| now.saturating_duration_since(told) >= TOLD.1) {
            (self.due, *first) = (false, Some(now));
            self.told.rotate_left(1);
            self.to.send_modify(|count| *count += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_told_at_once_and_more_together_after_a_pause() {
        let (mut paced, told) = Paced::new();
        let begin = Instant::now();
        paced.tell(begin);
        assert_eq!(*told.borrow(), 0, "nothing happened");
        for (after, count) in [(0, 1), (1, 2), (9, 3), (10, 3), (29, 3), (30, 4), (31, 5), (32, 5)] {
            paced.due();
            paced.tell(begin + Duration::from_secs(after));
            assert_eq!(*told.borrow(), count, "after {after} s");
        }
        paced.tell(begin + Duration::from_secs(60));
        assert_eq!(*told.borrow(), 6, "what was left");
        paced.tell(begin + Duration::from_secs(90));
        assert_eq!(*told.borrow(), 6, "once");
    }
}
