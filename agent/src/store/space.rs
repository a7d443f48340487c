//! Whether the disk has room for one more write.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Where the free space counts.
pub(super) struct Space {
    pub(super) dir: PathBuf,
    /// How to ask for it; another way only for a test that wants a full disk.
    pub(super) free: fn(&Path) -> io::Result<u64>,
}

impl Space {
    /// An error where less than so many bytes are free. Asked before anything is written, so that a full disk is
    /// refused in time and harms nothing.
    pub(super) fn check(&self, reserve: u64) -> Result<(), StoreError> {
        let free = (self.free)(&self.dir)?;
        if free < reserve { Err(StoreError::Full(free, reserve)) } else { Ok(()) }
    }
}

/// Bytes that this user may still write to the file system of a path.
#[allow(clippy::unnecessary_cast)] // The fields are as wide as the machine.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero, and the structure is ours and of the right size.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call that fills it has succeeded.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.f_bavail as u64).saturating_mul(stat.f_frsize as u64))
}
