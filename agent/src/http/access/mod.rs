//! Who may do what at the public door.

use super::Incoming;
use super::answer::Failure;

/// What the holder of a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    /// Whether the management API is open to it.
    pub(super) may_manage: bool,
}

/// The rules of the public door.
#[derive(Default)]
pub struct Access {}

impl Access {
    /// Decides by a request's head alone, before a byte of its body is read.
    pub(super) fn admit(&self, _head: &Incoming) -> Result<Admission, Failure> {
        Ok(Admission { may_manage: false })
    }
}
