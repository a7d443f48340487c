//! The system calls that a compiler needs; whatever else is called fails with EPERM. Knows nothing of limits or files.
//!
//! A flat list needs none of what a crate such as `seccompiler` is for, and that one knows no 32-bit ARM, where boards
//! have the oldest kernels and often nothing but this.

use std::io;

use libc::{c_long, c_uint, sock_filter};

/// The kernel's name for the machine that this program is built for; calls by another machine's numbers are refused.
const MACHINE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else if cfg!(target_arch = "arm") {
    Some(0x4000_0028)
} else {
    None
};

/// What a process with one thread and open files does that computes: memory, its own signals, the time, the end.
const ALLOWED: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_exit,
    libc::SYS_exit_group,
    #[cfg(target_arch = "arm")]
    libc::SYS_sigreturn,
    // clock_gettime64 and futex_time64, of a C library with a 64-bit time.
    #[cfg(target_arch = "arm")]
    403,
    #[cfg(target_arch = "arm")]
    422,
];

/// Allowed as long as nothing becomes executable: their third argument is what may be done with the memory.
const MAPPING: &[c_long] = &[
    #[cfg(not(target_arch = "arm"))]
    libc::SYS_mmap,
    #[cfg(target_arch = "arm")]
    libc::SYS_mmap2,
    libc::SYS_mprotect,
];

const REFUSED: c_uint = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();

// Where a filter finds what it decides on, in `struct seccomp_data`; of arguments the low half, on little-endian machines.
const NUMBER: u32 = 0;
const MACHINE_CALLED: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;
const THIRD_ARGUMENT: u32 = 32;

/// Holds this process to the list from now on. Fails where the kernel or the machine does not offer it.
pub(super) fn enter() -> io::Result<()> {
    let machine = MACHINE.ok_or(io::ErrorKind::Unsupported)?;
    let mut program = filter(machine, std::process::id());
    let length = libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` and the filter that it points to live through the call, which only reads them.
    let entered = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0 as c_uint, &raw const program) };
    if entered == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The list as a program. `own` is this process, the one that may be sent signals: to abort is to send one.
fn filter(machine: u32, own: u32) -> Vec<sock_filter> {
    let of_machine = jump(libc::BPF_JEQ, machine, 1, 0);
    let mut program = vec![load(MACHINE_CALLED), of_machine, answer(REFUSED), load(NUMBER)];
    for call in ALLOWED {
        program.extend([unless(*call, 1), answer(libc::SECCOMP_RET_ALLOW)]);
    }
    for call in MAPPING {
        program.extend([
            unless(*call, 4),
            load(THIRD_ARGUMENT),
            jump(libc::BPF_JSET, libc::PROT_EXEC.unsigned_abs(), 0, 1),
            answer(REFUSED),
            answer(libc::SECCOMP_RET_ALLOW),
        ]);
    }
    program.extend([
        unless(libc::SYS_tgkill, 3),
        load(FIRST_ARGUMENT),
        jump(libc::BPF_JEQ, own, 0, 1),
        answer(libc::SECCOMP_RET_ALLOW),
        // The end of the list: whatever is not on it comes here.
        answer(REFUSED),
    ]);
    program
}

/// Puts a word of `struct seccomp_data` before what follows.
fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

/// Ends with what is to become of the call.
fn answer(action: c_uint) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0)
}

/// Skips so many instructions unless the word is the number of `call`.
fn unless(call: c_long, skip: u8) -> sock_filter {
    // Numbers of system calls are small; one that were none would be refused.
    jump(libc::BPF_JEQ, u32::try_from(call).unwrap_or(u32::MAX), 0, skip)
}

fn jump(test: u32, value: u32, if_so: u8, if_not: u8) -> sock_filter {
    instruction(libc::BPF_JMP | test | libc::BPF_K, value, if_so, if_not)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // All codes have less than 16 bits.
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: u32 = 7;
    const OWN: u32 = 4711;

    /// What the filter says of a call, by the few instructions that it is made of.
    fn verdict(machine: u32, call: u32, first: u32, third: u32) -> u32 {
        let program = filter(HERE, OWN);
        let (mut at, mut word) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let so = match u32::from(code) {
                0x20 => {
                    word = match k {
                        NUMBER => call,
                        MACHINE_CALLED => machine,
                        FIRST_ARGUMENT => first,
                        THIRD_ARGUMENT => third,
                        other => panic!("it reads at {other}"),
                    };
                    continue;
                }
                0x15 => word == k,
                0x45 => word & k != 0,
                0x06 => return k,
                other => panic!("instruction {other:#x}"),
            };
            at += usize::from(if so { jt } else { jf });
        }
    }

    fn number(call: c_long) -> u32 {
        call.try_into().unwrap()
    }

    #[test]
    fn what_is_not_on_the_list_is_refused_and_what_is_is_not() {
        let conditional =
            |call: u32| call == number(libc::SYS_tgkill) || MAPPING.iter().any(|m| number(*m) == call);
        // Far more numbers than any machine has calls, and the range of another way to call.
        for call in (0..2_000).chain(0x4000_0000..0x4000_0400).chain([u32::MAX]).filter(|c| !conditional(*c))
        {
            let listed = ALLOWED.iter().any(|allowed| number(*allowed) == call);
            let wanted = if listed { libc::SECCOMP_RET_ALLOW } else { REFUSED };
            assert_eq!(verdict(HERE, call, OWN, 0), wanted, "call {call}");
            assert_eq!(verdict(HERE + 1, call, OWN, 0), REFUSED, "call {call} of another machine");
        }
    }

    #[test]
    fn memory_does_not_become_executable_and_only_itself_gets_signals() {
        for call in MAPPING {
            let writable = (libc::PROT_READ | libc::PROT_WRITE).unsigned_abs();
            let executable = (libc::PROT_READ | libc::PROT_EXEC).unsigned_abs();
            assert_eq!(verdict(HERE, number(*call), 0, writable), libc::SECCOMP_RET_ALLOW);
            assert_eq!(verdict(HERE, number(*call), 0, executable), REFUSED);
        }
        let signal = number(libc::SYS_tgkill);
        assert_eq!(verdict(HERE, signal, OWN, 0), libc::SECCOMP_RET_ALLOW);
        assert_eq!(verdict(HERE, signal, OWN + 1, 0), REFUSED);
    }
}
