//! No file and no TCP port, by Landlock. Knows nothing of limits or system calls.
//!
//! The two calls are made by hand: a jail that allows nothing has no rules, and rules are what the crate `landlock` is
//! for.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `LANDLOCK_CREATE_RULESET_VERSION`: asks what the kernel knows.
const VERSION: libc::c_uint = 1;

/// `struct landlock_ruleset_attr`. A kernel that knows less of it than this takes it as long as the rest is zero.
#[repr(C)]
#[derive(Default)]
struct Ruleset {
    files: u64,
    network: u64,
    scoped: u64,
}

impl Ruleset {
    /// All that a kernel of this ABI can forbid.
    fn of(abi: u32) -> Self {
        // Linux 5.13: execute, read, write, list, remove and make; then rename (5.19), truncate (6.2), ioctl (6.10).
        let files = [(1, 0x1fff), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15)];
        // Linux 6.7: bind and connect, of TCP.
        let network = [(4, 0b11)];
        // Linux 6.12: abstract Unix sockets and signals to whoever is outside.
        let scoped = [(6, 0b11)];
        let known = |rights: &[(u32, u64)]| {
            rights.iter().filter(|(since, _)| *since <= abi).fold(0, |all, (_, bits)| all | bits)
        };
        Self { files: known(&files), network: known(&network), scoped: known(&scoped) }
    }
}

/// Takes all that can be taken from this process from now on, which must have given up new privileges. Returns the ABI
/// of the kernel.
pub(super) fn enter() -> io::Result<u32> {
    // SAFETY: with this flag the call reads nothing and returns a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0_usize, 0_usize, VERSION) };
    let abi = u32::try_from(abi).map_err(|_| io::Error::last_os_error())?;
    let ruleset = Ruleset::of(abi);
    let size = size_of::<Ruleset>();
    let none: libc::c_uint = 0;
    // SAFETY: the structure lives through the call, which reads so many bytes of it.
    let made = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size, none) };
    let made = i32::try_from(made).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor, for nobody else.
    let made = unsafe { OwnedFd::from_raw_fd(made) };
    // SAFETY: the call takes two numbers and touches no memory.
    let entered = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, made.as_raw_fd(), none) };
    if entered == 0 { Ok(abi) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_asked_for_no_more_than_it_knows() {
        let bits = |abi| {
            let Ruleset { files, network, scoped } = Ruleset::of(abi);
            (files.count_ones(), network.count_ones(), scoped.count_ones())
        };
        assert_eq!([1, 2, 3, 4].map(bits), [(13, 0, 0), (14, 0, 0), (15, 0, 0), (15, 2, 0)]);
        assert_eq!([5, 6, 99].map(bits), [(16, 2, 0), (16, 2, 2), (16, 2, 2)]);
    }
}
