//! Why a component was not compiled, and what a child's end means.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use super::child::EX_TEMPFAIL;
use super::jail::{Jail, Limits};
use super::memory::{Bound, Of};
use super::wait::Ended;

/// How the Rust runtime, the system and wasmtime say that there is no more memory.
const OUT_OF_MEMORY: &[&str] =
    &["memory allocation of", "os error 12", "Cannot allocate memory", "out of memory"];

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The bytes are something else.
    #[error("not a component: {0}")]
    NotAComponent(&'static str),
    /// The compiler says so.
    #[error("it does not compile: {0}")]
    Rejected(String),
    /// It ran out of memory.
    #[error("it does not compile within {0}")]
    Memory(Bound),
    /// It ran out of processor time, in seconds.
    #[error("it does not compile within {0} s of processor time (compile_timeout_secs)")]
    ProcessorTime(u64),
    /// It took too long by the clock on the wall.
    #[error("it did not compile within {} s, four times compile_timeout_secs", .0.as_secs())]
    Timeout(Duration),
    /// What it was compiled to is too large.
    #[error("its compiled form has more than {} MiB, 16 MiB and 16 times its size", .0 >> 20)]
    Output(u64),
    /// The compiler ended without a word of its own.
    #[error("it does not compile: the compiler ended by {status} within {memory}: {words}")]
    Crashed {
        /// How.
        status: ExitStatus,
        /// The memory that it could have.
        memory: Bound,
        /// What it said last.
        words: String,
    },
    /// Somebody else ended the compiler, which most likely is the system for want of memory.
    #[error("the system ended the compiler, most likely because the device ran out of memory")]
    Killed,
    /// This build has no compiler.
    #[error("this build of twinlet can not compile, and there is no compiled form of this artifact")]
    NoCompiler,
    /// The child could not be run.
    #[error("running the compiler: {0}")]
    Io(#[from] io::Error),
    /// A newer desired state came meanwhile.
    #[error("given up for a newer desired state")]
    Superseded,
}

/// Whose fault it is that a component was not compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The component's, or this build's: it will be no other the next time.
    Component,
    /// The device's, which may have what it takes another time.
    Device,
    /// Perhaps the device was busy, perhaps the component takes more than it ever has.
    Either,
}

impl CompileError {
    /// Whose fault it is: whether the same component can compile another time, with nothing changed but the load of the
    /// device.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Io(_) | Self::Superseded => Fault::Device,
            Self::Memory(bound) | Self::Crashed { memory: bound, .. } if bound.of == Of::Moment => {
                Fault::Either
            }
            Self::Timeout(_) | Self::Killed => Fault::Either,
            Self::NotAComponent(_)
            | Self::Rejected(_)
            | Self::Memory(_)
            | Self::ProcessorTime(_)
            | Self::Output(_)
            | Self::Crashed { .. }
            | Self::NoCompiler => Fault::Component,
        }
    }
}

/// What a child could take.
pub(super) struct Given {
    pub(super) limits: Limits,
    pub(super) memory: Bound,
    pub(super) patience: Duration,
}

/// What the end of a child means.
pub(super) fn judge(ended: Ended, given: &Given) -> Result<Jail, CompileError> {
    let Ended { status, jail, words } = ended;
    let memory = given.memory;
    let short_of_memory = || OUT_OF_MEMORY.iter().any(|sign| words.contains(sign));
    Err(match (status.signal(), status.code(), jail) {
        (None, Some(0), Some(jail)) => return Ok(jail),
        (Some(libc::SIGXCPU), ..) => CompileError::ProcessorTime(given.limits.seconds),
        (Some(libc::SIGXFSZ), ..) => CompileError::Output(given.limits.output_bytes),
        (Some(libc::SIGKILL), ..) => CompileError::Killed,
        // Nothing is wrong with the component.
        (_, Some(EX_TEMPFAIL), _) => CompileError::Io(io::Error::other(words)),
        _ if short_of_memory() => CompileError::Memory(memory),
        (None, Some(1), _) if !words.is_empty() => CompileError::Rejected(words),
        _ => CompileError::Crashed { status, memory, words },
    })
}
