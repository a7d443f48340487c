//! What a compiling process gives up before it reads the first byte of a component: memory, time, output, files,
//! processes, the network. Knows nothing of compiling.
//!
//! Limits, the end with the agent, and no new privileges are part of every Linux, and a process that can not have them
//! does not compile. Landlock and seccomp are taken where the kernel offers them.

use std::fmt;
use std::fs;
use std::io;

use super::{landlock, seccomp};

/// What comes before a [`Jail`] in the words of a child.
const PREFIX: &str = "jail:";
/// A guest's request comes before a compilation. Against one busy thread of the usual niceness this leaves a quarter of
/// a processor, which the compiler's time on the wall allows for.
const NICENESS: libc::c_int = 5;
/// The first to go where memory is short.
const OOM_SCORE: &str = "1000";
/// Seconds between the signal at the end of the processor time, which tells the parent what was passed, and the one that
/// nobody can catch.
const LAST_WORDS: u64 = 1;

/// How much a compiling process may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Address space, in bytes.
    pub memory_bytes: u64,
    /// Processor time, in seconds.
    pub seconds: u64,
    /// What it may write to any file, in bytes.
    pub output_bytes: u64,
}

/// What there is of a jail beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jail {
    /// The ABI of the kernel's Landlock; 0 where it has none.
    pub landlock: u32,
    /// Whether seccomp holds it to a list of system calls.
    pub seccomp: bool,
}

impl Jail {
    /// Whether neither files nor the network can be reached.
    pub fn is_whole(self) -> bool {
        self.seccomp && self.landlock > 0
    }

    /// As a line for the parent.
    pub(super) fn line(self) -> String {
        format!("{PREFIX}{}:{}", self.landlock, u8::from(self.seccomp))
    }

    /// Reads that line.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (landlock, seccomp) = line.strip_prefix(PREFIX)?.split_once(':')?;
        Some(Self { landlock: landlock.parse().ok()?, seccomp: seccomp == "1" })
    }
}

impl fmt::Display for Jail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            0 => f.write_str("no Landlock")?,
            abi => write!(f, "Landlock (ABI {abi})")?,
        }
        f.write_str(if self.seccomp { ", seccomp" } else { ", no seccomp" })
    }
}

/// Gives up everything but what is open and what `limits` leave. For a process with one thread; there is no way back.
/// `parent` is the process that it ends with.
pub fn enter(limits: &Limits, parent: u32) -> io::Result<Jail> {
    be_modest();
    die_with(parent)?;
    set(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    // Nobody of the same user reads its memory or steers it.
    set(libc::PR_SET_DUMPABLE, 0)?;
    // It needs a descriptor, and so comes before the limit on them.
    let landlock = landlock::enter().unwrap_or(0);
    limit(libc::RLIMIT_CORE, 0, 0)?;
    limit(libc::RLIMIT_NPROC, 0, 0)?;
    limit(libc::RLIMIT_NOFILE, 0, 0)?;
    limit(libc::RLIMIT_FSIZE, limits.output_bytes, limits.output_bytes)?;
    limit(libc::RLIMIT_CPU, limits.seconds, limits.seconds.saturating_add(LAST_WORDS))?;
    limit(libc::RLIMIT_AS, limits.memory_bytes, limits.memory_bytes)?;
    let seccomp = seccomp::enter().is_ok();
    Ok(Jail { landlock, seccomp })
}

/// Steps back behind everything else on the device. Where that is refused it compiles all the same.
fn be_modest() {
    // SAFETY: it changes a number of this process alone.
    unsafe { libc::nice(NICENESS) };
    fs::write("/proc/self/oom_score_adj", OOM_SCORE).ok();
}

/// Has the kernel end this process when the thread that started it ends.
fn die_with(parent: u32) -> io::Result<()> {
    set(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(libc::SIGKILL.unsigned_abs()))?;
    // It may have ended before.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other("its parent is gone"));
    }
    Ok(())
}

fn set(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let unused: libc::c_ulong = 0;
    // SAFETY: these options take numbers and touch no memory.
    let done = unsafe { libc::prctl(option, value, unused, unused, unused) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let value = |bytes: u64| libc::rlim_t::try_from(bytes).unwrap_or(libc::RLIM_INFINITY);
    let limit = libc::rlimit { rlim_cur: value(soft), rlim_max: value(hard) };
    // SAFETY: `limit` is a valid rlimit, which the call only reads.
    if unsafe { libc::setrlimit(resource, &raw const limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
