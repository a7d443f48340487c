//! Where everyone writes what is so: the reconciler its phases, functions their errors and reported values. The
//! reporter and the doors read it. Knows nothing of how it is published.

mod dry_run;

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::watch;
use twinlet_host::ReportSink;
use twinlet_host::twin::Error as ReportError;
use twinlet_host::wall;

use crate::desired::{FunctionId, Origin};
use crate::status::{DesiredStatus, FunctionStatus, Phase, Status};

/// Keys that one function may report.
const MAX_REPORTED_KEYS: usize = 16;
/// Characters of a `lastError`.
const MAX_ERROR_CHARS: usize = 1_024;

/// The one reported state.
pub struct Board {
    status: watch::Sender<Status>,
}

impl Default for Board {
    fn default() -> Self {
        let status = Status {
            last_desired_status: DesiredStatus::new(200, "nothing asked for yet"),
            ..Status::default()
        };
        Self { status: watch::Sender::new(status) }
    }
}

impl Board {
    /// Follows every change; what changes quickly is seen only as it is last.
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// What is so now.
    pub fn now(&self) -> Status {
        self.status.borrow().clone()
    }

    /// What became of the last message that asked for something; `version` is the twin's, where it changed.
    pub fn desired(&self, version: Option<u64>, status: DesiredStatus) {
        self.status.send_if_modified(|all| {
            let version = version.unwrap_or(all.last_desired_version);
            let changed = all.last_desired_version != version || all.last_desired_status != status;
            all.last_desired_version = version;
            all.last_desired_status = status;
            changed
        });
    }

    /// The state of the last desired state, unless a message since has said something else.
    pub fn settle(&self, version: u64, status: DesiredStatus) {
        self.status.send_if_modified(|all| {
            let ours = all.last_desired_version == version
                && matches!(all.last_desired_status.code, 200 | 202 | 500);
            let changed = ours && all.last_desired_status != status;
            if changed {
                all.last_desired_status = status;
            }
            changed
        });
    }

    /// Who asked for the functions that are here.
    pub fn origins(&self, origins: &BTreeMap<FunctionId, Origin>) {
        self.status.send_if_modified(|all| {
            let mut changed = false;
            for (id, function) in &mut all.functions {
                let origin = origins.get(id).copied();
                changed |= std::mem::replace(&mut function.origin, origin) != origin;
            }
            changed
        });
    }

    /// A function of this version has come so far.
    pub fn phase(&self, id: &FunctionId, version: u64, phase: Phase) {
        self.change(id, |function| {
            function.crashed = false;
            function.held = false;
            function.again = None;
            if function.version != version || function.phase != phase {
                function.since = unix_seconds();
            }
            function.version = version;
            function.phase = phase;
        });
    }

    /// A function of this version serves, after so many preparations that failed.
    pub fn running(&self, id: &FunctionId, version: u64, failures: u32) {
        self.phase(id, version, Phase::Running);
        self.change(id, |function| {
            function.serving_version = Some(version);
            function.last_error = None;
            function.restart_count = failures;
            function.crashed = false;
        });
    }

    /// The version that serves is the one that is wanted, whatever was tried meanwhile. An actor that has crashed is
    /// not running all the same.
    pub fn serves(&self, id: &FunctionId, version: u64) {
        let status = self.status.borrow();
        let runs = |f: &FunctionStatus| f.version == version && (f.phase == Phase::Running || f.crashed);
        let already = status.functions.get(id).is_some_and(runs);
        drop(status);
        if !already {
            self.running(id, version, 0);
        }
    }

    /// The actor of a version has crashed so many times in a row; with `waits` it starts again only later. While another
    /// version is wanted its phase is that one's.
    pub fn actor_crashed(&self, id: &FunctionId, version: u64, error: &str, crashes: u32, waits: bool) {
        self.change_known(id, |function| {
            function.last_error = Some(cut(error));
            function.restart_count = crashes;
            let is_shown = function.version == version && function.serving_version == Some(version);
            if is_shown && waits && !function.crashed {
                (function.phase, function.since) = (Phase::Backoff, unix_seconds());
                function.crashed = true;
            }
        });
    }

    /// An actor that had crashed runs again.
    pub fn actor_runs(&self, id: &FunctionId) {
        self.change_known(id, |function| {
            if std::mem::take(&mut function.crashed) && function.phase == Phase::Backoff {
                (function.phase, function.since) = (Phase::Running, unix_seconds());
            }
        });
    }

    /// A function's preparation failed, for now or until it changes, after so many earlier ones.
    pub fn failed(&self, id: &FunctionId, error: &str, phase: Phase, failures: u32, again: Option<Instant>) {
        self.change(id, |function| {
            function.again = again;
            function.held = false;
            function.phase = phase;
            function.since = unix_seconds();
            function.last_error = Some(cut(error));
            function.restart_count = failures;
            function.crashed = false;
        });
    }

    /// Nothing serves under a function's id any more, though it is wanted.
    pub fn stopped(&self, id: &FunctionId) {
        self.change_known(id, |function| function.serving_version = None);
    }

    /// A function is held back in this version until somebody does something, such as approve it; `why` says what.
    pub fn held(&self, id: &FunctionId, version: u64, why: &str) {
        self.change(id, |function| {
            let before = (function.version, function.phase, function.held);
            (function.version, function.phase, function.held) = (version, Phase::Pending, true);
            if before != (version, Phase::Pending, true) {
                function.since = unix_seconds();
            }
            function.crashed = false;
            function.again = None;
            function.last_error = Some(cut(why));
        });
    }

    /// An invocation of a function failed; it goes on serving.
    pub fn invocation_failed(&self, id: &FunctionId, error: &str) {
        let error = cut(error);
        self.status.send_if_modified(|all| match all.functions.get_mut(id) {
            Some(function) if function.last_error.as_ref() != Some(&error) => {
                function.last_error = Some(error);
                true
            }
            _ => false,
        });
    }

    /// Wakes whoever follows, since what serves has changed: they may look at that as well.
    pub fn served(&self) {
        self.status.send_modify(|_| {});
    }

    /// Forgets all functions but these; returns the others.
    pub fn keep_only(&self, known: impl Fn(&FunctionId) -> bool) -> Vec<FunctionId> {
        let mut gone = Vec::new();
        self.status.send_if_modified(|all| {
            gone.extend(all.functions.keys().filter(|id| !known(id)).cloned());
            all.functions.retain(|id, _| known(id));
            !gone.is_empty()
        });
        gone
    }

    /// Changes what is there; what is gone does not come back.
    fn change_known(&self, id: &FunctionId, change: impl FnOnce(&mut FunctionStatus)) {
        self.status.send_if_modified(|all| match all.functions.get_mut(id) {
            Some(function) => {
                let before = function.clone();
                change(function);
                *function != before
            }
            None => false,
        });
    }

    fn change(&self, id: &FunctionId, change: impl FnOnce(&mut FunctionStatus)) {
        self.status.send_if_modified(|all| {
            let function = all.functions.entry(id.clone()).or_insert_with(|| FunctionStatus {
                origin: None,
                version: 0,
                serving_version: None,
                phase: Phase::Pending,
                last_error: None,
                restart_count: 0,
                since: unix_seconds(),
                reported: serde_json::Map::new(),
                crashed: false,
                held: false,
                again: None,
            });
            let before = function.clone();
            change(function);
            *function != before
        });
    }
}

impl ReportSink for Board {
    fn report(&self, function_id: &str, key: &str, value: Value) -> Result<(), ReportError> {
        let mut outcome = Ok(());
        self.status.send_if_modified(|all| {
            let found = all.functions.iter_mut().find(|(id, _)| id.as_str() == function_id);
            let Some((_, function)) = found else { return false };
            let reported = &mut function.reported;
            if value.is_null() {
                return reported.remove(key).is_some();
            }
            if reported.len() >= MAX_REPORTED_KEYS && !reported.contains_key(key) {
                let why = format!("{key}: a function reports at most {MAX_REPORTED_KEYS} keys");
                outcome = Err(ReportError::TooLarge(why));
                return false;
            }
            reported.insert(key.to_owned(), value.clone()).as_ref() != Some(&value)
        });
        outcome
    }
}

/// Seconds since 1970 by the device's clock, which may be wrong.
pub fn unix_seconds() -> u64 {
    wall::now_secs()
}

/// The same in milliseconds.
pub fn unix_millis() -> u64 {
    wall::now_ms()
}

fn cut(error: &str) -> String {
    error.chars().take(MAX_ERROR_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_keys_are_bounded_and_removable() {
        let board = Board::default();
        let id: FunctionId = "f".parse().unwrap();
        board.running(&id, 1, 0);
        for n in 0..MAX_REPORTED_KEYS {
            assert!(board.report("f", &format!("k{n}"), Value::from(n)).is_ok());
        }
        assert!(matches!(board.report("f", "more", Value::from(1)), Err(ReportError::TooLarge(_))));
        assert!(board.report("f", "k0", Value::Null).is_ok());
        assert!(board.report("f", "more", Value::from(1)).is_ok());
    }

    #[test]
    fn readers_are_woken_only_by_a_change() {
        let board = Board::default();
        let id: FunctionId = "f".parse().unwrap();
        board.running(&id, 1, 0);
        let mut reader = board.subscribe();
        reader.mark_unchanged();
        board.running(&id, 1, 0);
        assert!(!reader.has_changed().unwrap());
        board.invocation_failed(&id, "trap");
        assert!(reader.has_changed().unwrap());
    }

    #[test]
    fn what_is_held_back_says_why_and_what_serves() {
        let board = Board::default();
        let id: FunctionId = "f".parse().unwrap();
        board.running(&id, 1, 0);
        board.held(&id, 2, "waits for approval");
        let mut reader = board.subscribe();
        reader.mark_unchanged();
        board.held(&id, 2, "waits for approval");
        assert!(!reader.has_changed().unwrap(), "once is enough");
        let held = board.now().functions.remove(&id).unwrap();
        assert_eq!((held.phase, held.version, held.serving_version), (Phase::Pending, 2, Some(1)));
        assert_eq!((held.held, held.last_error.as_deref()), (true, Some("waits for approval")));
        board.phase(&id, 2, Phase::Fetching);
        assert!(board.now().functions.values().all(|function| !function.held));
    }

    #[test]
    fn a_refused_message_is_not_covered_by_the_end_of_earlier_work() {
        let board = Board::default();
        board.desired(Some(3), DesiredStatus::new(202, "in progress"));
        board.desired(None, DesiredStatus::new(400, "bad"));
        board.settle(3, DesiredStatus::new(200, "applied"));
        assert_eq!(board.now().last_desired_status.code, 400);
    }
}
