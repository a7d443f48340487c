//! Makes an agent's disk fail and its clock wrong while it runs, by `shim.c`; knows nothing of what the agent makes of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use twinlet_tests::AgentBuilder;

/// Calls that write.
pub(crate) const WRITE: i64 = 1;
/// Calls that make durable.
pub(crate) const SYNC: i64 = 2;
/// Calls that put a file in its place.
pub(crate) const RENAME: i64 = 4;
/// Calls that open a file to write to.
pub(crate) const OPEN: i64 = 8;

/// Fields of the control file, in the order that `shim.c` has them.
const FIELDS: usize = 7;
const ARMED: u64 = 0;
const FAILED: u64 = 5;
const OFFSET: u64 = 6;

/// What is to fail, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failing {
    /// A sum of the numbers above.
    pub(crate) calls: i64,
    /// The errno.
    pub(crate) error: i32,
    /// So many calls succeed first.
    pub(crate) skip: i64,
    /// Then so many fail.
    pub(crate) left: i64,
}

/// A shim in front of one agent, and of those that take its place.
pub(crate) struct Shim {
    _dir: TempDir,
    control: File,
}

impl Shim {
    /// The agent that this builder starts has it, for the files below `state`.
    pub(crate) fn before(builder: AgentBuilder, state: &Path) -> (Self, AgentBuilder) {
        let dir = tempfile::Builder::new().prefix("twinlet-shim-").tempdir().unwrap();
        let path = dir.path().join("control");
        let control = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        control.write_all_at(&[0; FIELDS * 8], 0).unwrap();
        let builder = builder
            .env("LD_PRELOAD", library().as_ref().unwrap().display())
            .env("TWINLET_SHIM", path.display())
            .env("TWINLET_SHIM_DIR", state.display());
        (Self { _dir: dir, control }, builder)
    }

    /// From now on these calls fail.
    pub(crate) fn fail(&self, failing: Failing) {
        let Failing { calls, error, skip, left } = failing;
        for (field, value) in (1..).zip([calls, error.into(), skip, left, 0]) {
            self.set(field, value);
        }
        self.set(ARMED, 1);
    }

    /// From now on nothing fails. Says how many calls did.
    pub(crate) fn heal(&self) -> u64 {
        self.set(ARMED, 0);
        let mut failed = [0; 8];
        self.control.read_exact_at(&mut failed, FAILED * 8).unwrap();
        u64::from_ne_bytes(failed)
    }

    /// From now on the wall clock says that it is so long after 1970, and goes on from there.
    pub(crate) fn set_clock(&self, since_1970: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap();
        self.set(OFFSET, nanos(since_1970) - nanos(now));
    }

    /// From now on the wall clock is right.
    pub(crate) fn right_clock(&self) {
        self.set(OFFSET, 0);
    }

    fn set(&self, field: u64, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), field * 8).unwrap();
    }
}

/// Why there can be no shim here.
pub(crate) fn no_shim() -> Option<String> {
    library().as_ref().err().cloned()
}

/// Compiled once.
fn library() -> &'static Result<PathBuf, String> {
    static LIBRARY: OnceLock<(TempDir, Result<PathBuf, String>)> = OnceLock::new();
    let compiled = || {
        let dir = tempfile::Builder::new().prefix("twinlet-shim-").tempdir().unwrap();
        let (source, library) = (dir.path().join("shim.c"), dir.path().join("shim.so"));
        std::fs::write(&source, include_str!("shim.c")).unwrap();
        let mut command = Command::new("cc");
        let output = command.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).output();
        let outcome = match output {
            Ok(output) if output.status.success() => Ok(library),
            Ok(output) => Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("cc, which is to compile the shim: {error}")),
        };
        (dir, outcome)
    };
    &LIBRARY.get_or_init(compiled).1
}
