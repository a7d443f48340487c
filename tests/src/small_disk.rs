//! A disk of a few megabytes below a directory, that a test fills, empties and makes read-only. It lies in memory, and
//! takes root to mount.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file that takes the room.
const FILLER: &str = "filler";

/// The disk, mounted for as long as this lives.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    bytes: u64,
}

impl SmallDisk {
    /// Mounts one of so many bytes over a directory. None where this user may not, which is said.
    pub fn mount(path: &Path, bytes: u64) -> Option<Self> {
        let disk = Self { path: path.to_owned(), bytes };
        if disk.mount_with(0) {
            return Some(disk);
        }
        eprintln!("*** LEFT OUT: a small disk; only root may mount one ***");
        // Nothing is mounted, so that there is nothing to end.
        std::mem::forget(disk);
        None
    }

    /// Takes all its room but so many bytes.
    pub fn leave(&self, free: u64) {
        let taken = self.taken();
        fs::write(self.path.join(FILLER), vec![0; usize::try_from(self.bytes - taken - free).unwrap()])
            .unwrap();
    }

    /// Takes all its room.
    pub fn fill(&self) {
        let written = fs::write(self.path.join(FILLER), vec![0; usize::try_from(self.bytes).unwrap()]);
        assert!(written.is_err(), "the disk took more than it has");
    }

    /// Gives the room back.
    pub fn clear(&self) {
        fs::remove_file(self.path.join(FILLER)).unwrap();
    }

    /// Makes it read-only, or writable again.
    pub fn read_only(&self, is: bool) {
        let flags = libc::MS_REMOUNT | if is { libc::MS_RDONLY } else { 0 };
        assert!(self.mount_with(flags), "remounting: {}", std::io::Error::last_os_error());
    }

    /// Bytes that its files take, this one's own included.
    fn taken(&self) -> u64 {
        let path = CString::new(self.path.as_os_str().as_bytes()).unwrap();
        let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the path ends with a zero, and the structure is ours and of the right size.
        assert_eq!(unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) }, 0);
        // SAFETY: the call that fills it has succeeded.
        let stat = unsafe { stat.assume_init() };
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }

    fn mount_with(&self, flags: libc::c_ulong) -> bool {
        let at = CString::new(self.path.as_os_str().as_bytes()).unwrap();
        let options = CString::new(format!("size={},mode=700", self.bytes)).unwrap();
        let kind: &CStr = c"tmpfs";
        // SAFETY: all of them are strings that end with a zero and outlive the call.
        unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) == 0 }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let at = CString::new(self.path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path ends with a zero and outlives the call.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
    }
}
