//! The compiling process: enters the jail, compiles what its standard input is into what its standard output is, and
//! ends. It knows no path and has no environment.
//!
//! On standard error it first says what jail it is in, then what is wrong, if anything.

use std::env::ArgsOs;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use super::jail::{self, Limits};

/// The argument that makes this binary a compiler.
pub(super) const NAME: &str = "compile-artifact";
/// The exit code where trying again can help, from sysexits.h.
pub(super) const EX_TEMPFAIL: i32 = 75;

/// How a child ends that has compiled nothing.
enum Ended {
    /// The component is at fault.
    Rejected(String),
    /// Something else is, for now.
    Io(io::Error),
}

/// The arguments that follow [`NAME`].
pub(super) fn arguments(limits: &Limits) -> [String; 4] {
    let Limits { memory_bytes, seconds, output_bytes } = *limits;
    [u64::from(std::process::id()), memory_bytes, seconds, output_bytes].map(|number| number.to_string())
}

/// If the program was started as a compiler, compiles and returns how that went; the caller then ends with it.
pub fn child_main() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    args.next()?;
    if args.next()? != NAME {
        return None;
    }
    Some(match read_arguments(&mut args) {
        None => complain("it is for twinlet itself to call", 1),
        Some((parent, limits)) => match compile_in_jail(parent, &limits) {
            Ok(()) => ExitCode::SUCCESS,
            Err(Ended::Rejected(why)) => complain(&why, 1),
            Err(Ended::Io(why)) => complain(&why.to_string(), EX_TEMPFAIL),
        },
    })
}

fn read_arguments(args: &mut ArgsOs) -> Option<(u32, Limits)> {
    let mut number = || args.next()?.to_str()?.parse::<u64>().ok();
    let parent = u32::try_from(number()?).ok()?;
    Some((parent, Limits { memory_bytes: number()?, seconds: number()?, output_bytes: number()? }))
}

fn complain(why: &str, code: i32) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn compile_in_jail(parent: u32, limits: &Limits) -> Result<(), Ended> {
    close_inherited().map_err(Ended::Io)?;
    // Both before the jail, in which nothing can be opened.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(Ended::Io)?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(Ended::Io)?);
    let length = input.metadata().map_err(Ended::Io)?.len();
    let jail = jail::enter(limits, parent).map_err(Ended::Io)?;
    eprintln!("{}", jail.line());
    let mut component = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    input.take(length).read_to_end(&mut component).map_err(Ended::Io)?;
    output.write_all(&compile(&component)?).map_err(Ended::Io)
}

/// Closes what the parent left open, or its own parent for it.
fn close_inherited() -> io::Result<()> {
    /// Kernels before 5.9 have no call for all of them.
    const MOST: libc::c_int = 1_024;
    let (first, last, none): (libc::c_uint, _, libc::c_uint) = (3, libc::c_uint::MAX, 0);
    // SAFETY: it takes numbers. This process has opened nothing yet, so that nothing here relies on what is closed.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, none) } == 0 {
        return Ok(());
    }
    for descriptor in 3..MOST {
        // SAFETY: as above. What is not open is not there to be closed.
        unsafe { libc::close(descriptor) };
    }
    match io::Error::last_os_error().raw_os_error() {
        None | Some(libc::EBADF) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(feature = "compiler")]
fn compile(component: &[u8]) -> Result<Vec<u8>, Ended> {
    let rejected = |e: wasmtime::Error| Ended::Rejected(format!("{e:#}"));
    let engine = wasmtime::Engine::new(&crate::engine::tunables()).map_err(rejected)?;
    engine.precompile_component(component).map_err(rejected)
}

#[cfg(not(feature = "compiler"))]
fn compile(_component: &[u8]) -> Result<Vec<u8>, Ended> {
    Err(Ended::Rejected("this build has no compiler".into()))
}
