//! One compilation at a time in this process, so that a small board is not driven out of memory.

use std::sync::{Condvar, Mutex, PoisonError};

use super::wait::GLANCE;

/// Whether somebody compiles.
static TAKEN: Mutex<bool> = Mutex::new(false);
static GIVEN_BACK: Condvar = Condvar::new();

/// The right to compile, until it is dropped.
pub(super) struct Turn(());

impl Turn {
    /// Waits for it, unless that is given up. Each who has it has a deadline.
    pub(super) fn take(given_up: &dyn Fn() -> bool) -> Option<Self> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            if given_up() {
                return None;
            }
            let waited = GIVEN_BACK.wait_timeout(taken, GLANCE);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken = true;
        Some(Self(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = false;
        GIVEN_BACK.notify_one();
    }
}
