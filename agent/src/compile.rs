//! Turns a component into machine code, in a short-lived child of this same binary with limits on its memory and time:
//! a small valid module can take a gigabyte to compile. Knows nothing of where artifacts are kept.
//!
//! The child is `twinlet compile-artifact IN OUT`; whoever embeds the library gives [`child_main`] the first word.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::config::Guests;

/// The argument that makes this binary a compiler.
const CHILD: &str = "compile-artifact";
/// The child's exit code where trying again can help, from sysexits.h.
const EX_TEMPFAIL: i32 = 75;
/// What is read of a child's complaint.
const MAX_COMPLAINT: u64 = 4_096;
/// How many times its processor time a compilation may take by the clock on the wall.
const PATIENCE: u32 = 4;
/// How long the parent waits before it looks whether the work is still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The bytes are something else.
    #[error("not a component: {0}")]
    NotAComponent(&'static str),
    /// The compiler says so, or it ran out of memory.
    #[error("it does not compile: {0}")]
    Rejected(String),
    /// It took too long.
    #[error("it did not compile within {} s, four times compile_timeout_secs", .0.as_secs())]
    Timeout(Duration),
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

/// Says what the first bytes of a file are, if not a component. The rest is the compiler's to judge.
pub fn looks_like_component(path: &Path) -> Result<(), CompileError> {
    let mut head = Vec::new();
    fs::File::open(path)?.take(8).read_to_end(&mut head)?;
    match head.as_slice() {
        b"\0asm\x0d\0\x01\0" => Ok(()),
        b"\0asm\x01\0\0\0" => {
            Err(CompileError::NotAComponent("it is a core module; `wasm-tools component new` wraps one"))
        }
        [b'\0', b'a', b's', b'm', ..] => {
            Err(CompileError::NotAComponent("its binary format is of an unknown version"))
        }
        _ => Err(CompileError::NotAComponent("it is not WebAssembly")),
    }
}

/// Compiles one component at a time.
pub struct Compiler {
    program: PathBuf,
    timeout: Duration,
    memory_bytes: u64,
}

impl Compiler {
    /// A compiler that runs this very program as its child.
    pub fn new(limits: &Guests) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self { program, timeout: limits.compile_timeout, memory_bytes: limits.compile_memory_bytes })
    }

    /// Compiles the component at `wasm` into `out`, which is there and empty.
    pub fn compile(
        &self,
        wasm: &Path,
        out: &Path,
        superseded: &dyn Fn() -> bool,
    ) -> Result<(), CompileError> {
        if !cfg!(feature = "compiler") {
            return Err(CompileError::NoCompiler);
        }
        let child = Command::new(&self.program)
            .arg(CHILD)
            .args([wasm, out])
            .args([self.memory_bytes.to_string(), self.timeout.as_secs().to_string()])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut child = Reaped(child);
        self.wait(&mut child.0, superseded)?;
        let mut complaint = String::new();
        if let Some(stderr) = child.0.stderr.take() {
            let mut bytes = Vec::new();
            stderr.take(MAX_COMPLAINT).read_to_end(&mut bytes)?;
            complaint = String::from_utf8_lossy(&bytes).trim().replace('\n', " ");
        }
        let status = child.0.wait()?;
        if status.success() {
            return Ok(());
        }
        // Nothing is wrong with the component: the disk, or the system that ended the child for its own sake.
        if status.code() == Some(EX_TEMPFAIL) || status.signal() == Some(libc::SIGKILL) {
            return Err(io::Error::other(format!("it ended by {status} {complaint}")).into());
        }
        if complaint.is_empty() || status.code().is_none() {
            let mib = self.memory_bytes >> 20;
            complaint = format!(
                "the compiler ended by {status}; its limit is {mib} MiB (compile_memory_mb) {complaint}"
            );
        }
        Err(CompileError::Rejected(complaint.trim_end().to_owned()))
    }

    /// Waits until the child has said something or closed its stderr, which it does by ending.
    fn wait(&self, child: &mut Child, superseded: &dyn Fn() -> bool) -> Result<(), CompileError> {
        let Some(stderr) = &child.stderr else { return Ok(()) };
        let started = Instant::now();
        // The limit is of processor time, which the child is held to by the system; on a busy device that takes longer.
        let patience = self.timeout.saturating_mul(PATIENCE);
        while started.elapsed() < patience {
            if superseded() {
                return Err(CompileError::Superseded);
            }
            let mut waited = libc::pollfd { fd: stderr.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let glance = i32::try_from(GLANCE.as_millis()).unwrap_or(i32::MAX);
            // SAFETY: one valid pollfd is passed with the count 1; its descriptor is open as long as `stderr` lives.
            let ready = unsafe { libc::poll(&mut waited, 1, glance) };
            match ready {
                0 => {}
                1.. => return Ok(()),
                _ => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => {}
                    e => return Err(e.into()),
                },
            }
        }
        Err(CompileError::Timeout(patience))
    }
}

/// A child that is killed if it is still there when nobody waits for it any more.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let ended = self.0.kill().and_then(|()| self.0.wait());
            if let Err(error) = ended {
                log::warn!("ending the compiler: {error}");
            }
        }
    }
}

/// If the program was started as a compiler, compiles and returns how that went; the caller then ends with it.
pub fn child_main() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != CHILD {
        return None;
    }
    let mut path = || args.next().map(PathBuf::from);
    let (Some(wasm), Some(out)) = (path(), path()) else { return Some(complain("IN and OUT are missing")) };
    let mut number = || args.next().and_then(|n| n.to_str().and_then(|n| n.parse().ok()));
    let memory: u64 = number().unwrap_or(1 << 30);
    let seconds: u64 = number().unwrap_or(60);
    Some(match limit(memory, seconds).map_err(Ended::Io).and_then(|()| compile_here(&wasm, &out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Rejected(why)) => complain(&why),
        Err(Ended::Io(why)) => {
            eprintln!("{why}");
            ExitCode::from(u8::try_from(EX_TEMPFAIL).unwrap_or(1))
        }
    })
}

/// How a child ends that has compiled nothing.
enum Ended {
    /// The component is at fault.
    Rejected(String),
    /// Something else is, for now.
    #[cfg_attr(not(feature = "compiler"), allow(dead_code))]
    Io(String),
}

fn complain(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

/// Sets this process' limits: address space, CPU seconds, no core file.
fn limit(memory_bytes: u64, seconds: u64) -> Result<(), String> {
    for (resource, value) in
        [(libc::RLIMIT_AS, memory_bytes), (libc::RLIMIT_CPU, seconds), (libc::RLIMIT_CORE, 0)]
    {
        let value = libc::rlim_t::try_from(value).unwrap_or(libc::RLIM_INFINITY);
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: `limit` is a valid rlimit, which the call only reads.
        if unsafe { libc::setrlimit(resource, &limit) } != 0 {
            return Err(format!("setting a limit: {}", io::Error::last_os_error()));
        }
    }
    Ok(())
}

#[cfg(feature = "compiler")]
fn compile_here(wasm: &Path, out: &Path) -> Result<(), Ended> {
    let io = |path: &Path, e: io::Error| Ended::Io(format!("{}: {e}", path.display()));
    let rejected = |e: wasmtime::Error| Ended::Rejected(format!("{e:#}"));
    let bytes = fs::read(wasm).map_err(|e| io(wasm, e))?;
    let engine = wasmtime::Engine::new(&crate::engine::tunables()).map_err(rejected)?;
    let code = engine.precompile_component(&bytes).map_err(rejected)?;
    fs::write(out, code).map_err(|e| io(out, e))
}

#[cfg(not(feature = "compiler"))]
fn compile_here(_wasm: &Path, _out: &Path) -> Result<(), Ended> {
    Err(Ended::Rejected("this build has no compiler".into()))
}
