//! Turns a component into machine code, in a short-lived child of this same binary, jailed and with limits on its memory,
//! time and output: a small valid module can take a gigabyte to compile. Knows nothing of where artifacts are kept.
//!
//! The child is `twinlet compile-artifact`; whoever embeds the library gives [`child_main`] the first word. It gets the
//! component as standard input, which it can only read, and the compiled form as standard output, which it can only
//! write. One compiles at a time in this process, whoever asks.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | [`Compiler`]: starts a child and waits for it |
//! | `error` | why nothing was compiled: which limit was passed, and whether trying again can help |
//! | `memory` | how much of the device's memory a compilation may have |
//! | `turn` | one compilation at a time |
//! | `wait` | what a child says, and how it ends |
//! | `child` | the child |
//! | [`jail`], `landlock`, `seccomp` | what the child gives up |
//!
//! The jail keeps a hostile component that takes the compiler over from the device's files, network and processes. What
//! such a compiler then writes would still be run by the agent: the jail is no substitute for knowing whose components
//! are deployed.

mod child;
mod error;
pub mod jail;
mod landlock;
mod memory;
mod seccomp;
#[cfg(test)]
mod tests;
mod turn;
mod wait;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use crate::config::Guests;
pub use child::child_main;
use error::Given;
pub use error::{CompileError, Fault};
use jail::{Jail, Limits};
pub use memory::{Bound, Of};
use turn::Turn;
use wait::Running;

/// How many times its processor time a compilation may take by the clock on the wall.
const PATIENCE: u32 = 4;
/// What a compiled form may have, of a component of no size and for each of its bytes.
const OUTPUT_BYTES: u64 = 16 << 20;
const OUTPUT_GROWTH: u64 = 16;

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
        // Not by its name: an upgrade may have put another version there, which compiles for itself.
        let program = PathBuf::from("/proc/self/exe");
        fs::metadata(&program)?;
        Ok(Self::running(program, limits))
    }

    /// The same with another program as its child.
    fn running(program: PathBuf, limits: &Guests) -> Self {
        Self { program, timeout: limits.compile_timeout, memory_bytes: limits.compile_memory_bytes }
    }

    /// Compiles the component at `wasm` into `out`, which is there. Waits until no other compilation goes on. Returns the
    /// jail that this one was in.
    pub fn compile(
        &self,
        wasm: &Path,
        out: &Path,
        superseded: &dyn Fn() -> bool,
    ) -> Result<Jail, CompileError> {
        if !cfg!(feature = "compiler") {
            return Err(CompileError::NoCompiler);
        }
        let _turn = Turn::take(superseded).ok_or(CompileError::Superseded)?;
        let input = File::open(wasm)?;
        let given = self.limits(&input)?;
        let child = Command::new(&self.program)
            .arg0("twinlet")
            .arg(child::NAME)
            .args(child::arguments(&given.limits))
            .env_clear()
            .current_dir("/")
            .stdin(input)
            .stdout(File::options().write(true).truncate(true).open(out)?)
            .stderr(Stdio::piped())
            .spawn()?;
        let ended = Running::new(child).wait(given.patience, superseded)?;
        if let Some(jail) = ended.jail {
            tell_once(jail);
        }
        error::judge(ended, &given)
    }

    /// What a child may take, that begins now.
    fn limits(&self, input: &File) -> io::Result<Given> {
        let memory = Bound::now(self.memory_bytes);
        let output_bytes = input.metadata()?.len().saturating_mul(OUTPUT_GROWTH).saturating_add(OUTPUT_BYTES);
        let limits = Limits { memory_bytes: memory.bytes, seconds: self.timeout.as_secs(), output_bytes };
        Ok(Given { limits, memory, patience: self.timeout.saturating_mul(PATIENCE) })
    }
}

/// Says in the log what jail this kernel offers.
fn tell_once(jail: Jail) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        if jail.is_whole() {
            log::info!("components are compiled in a jail: {jail}");
        } else {
            log::warn!("the jail in which components are compiled is not whole on this kernel: {jail}");
        }
    });
}
