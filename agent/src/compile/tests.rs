//! Compilers that misbehave: shell scripts in the child's place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tempfile::TempDir;

use super::Fault::{Component, Device, Either};
use super::*;
use crate::engine::Runtime;

/// Far more than any of these scripts takes.
const LONG: Duration = Duration::from_secs(60);

/// A directory with a component to be, the file for what is compiled, and a script.
struct Bench {
    dir: TempDir,
    compiler: Compiler,
}

impl Bench {
    fn with(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("compiler");
        let at = dir.path().display().to_string();
        fs::write(&program, format!("#!/bin/sh\n{}\n", script.replace("DIR", &at))).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        for file in ["in", "out"] {
            fs::write(dir.path().join(file), file).unwrap();
        }
        Self { dir, compiler: Compiler { program, timeout: LONG, memory_bytes: 256 << 20 } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn compile(&self, superseded: &dyn Fn() -> bool) -> Result<Jail, CompileError> {
        self.compiler.compile(&self.path("in"), &self.path("out"), superseded)
    }

    fn error(&self) -> CompileError {
        self.compile(&|| false).unwrap_err()
    }
}

#[test]
fn each_end_of_a_compiler_is_an_error_of_its_own() {
    let out = |script: &str| {
        let error = Bench::with(script).error();
        (error.to_string(), error.fault())
    };
    let ends = [
        ("echo jail:7:1 >&2; echo no sense >&2; exit 1", "it does not compile: no sense", Component),
        ("kill -XCPU $$", "60 s of processor time (compile_timeout_secs)", Component),
        ("kill -XFSZ $$", "more than 16 MiB", Component),
        ("kill -SEGV $$", "signal: 11", Component),
        ("echo memory allocation of 9 bytes failed >&2; kill -ABRT $$", "MiB of memory", Component),
        ("echo hello >&2", "exit status: 0", Component),
        ("kill -KILL $$", "the device ran out of memory", Either),
        ("echo jail:7:1 >&2; echo no space >&2; exit 75", "no space", Device),
    ];
    for (script, says, whose) in ends {
        let (said, fault) = out(script);
        assert!(said.contains(says), "`{script}`: {said}");
        assert_eq!(fault, whose, "`{script}`: {said}");
    }
}

#[test]
fn memory_that_is_short_for_the_moment_may_be_there_later() {
    let error = |of| CompileError::Memory(Bound { bytes: 100 << 20, of });
    let whose = [Of::Moment, Of::Device, Of::Setting].map(|of| error(of).fault());
    assert_eq!(whose, [Either, Component, Component]);
    let crashed = |of| {
        let (status, memory) = (ExitStatus::from_raw(libc::SIGSEGV), Bound { bytes: 100 << 20, of });
        CompileError::Crashed { status, memory, words: String::new() }.fault()
    };
    assert_eq!((crashed(Of::Moment), crashed(Of::Setting)), (Either, Component));
    assert!(error(Of::Setting).to_string().contains("100 MiB of memory, its limit by compile_memory_mb"));
}

#[test]
fn what_it_writes_is_not_taken_for_machine_code_unless_it_is() {
    let bench = Bench::with("echo jail:3:0 >&2; echo garbage");
    let jail = bench.compile(&|| false).unwrap();
    assert_eq!(jail, Jail { landlock: 3, seccomp: false });
    assert!(!jail.is_whole() && jail.to_string() == "Landlock (ABI 3), no seccomp");
    assert_eq!(fs::read(bench.path("out")).unwrap(), b"garbage\n");
    let runtime = Runtime::new(16).unwrap();
    // SAFETY: what is no compiled component is refused before anything of it is run.
    assert!(unsafe { runtime.map(&bench.path("out")) }.is_err());
}

#[test]
fn it_gets_its_two_files_and_no_environment() {
    // `x` can not be written to what is open for reading alone.
    let bench = Bench::with("echo jail:0:0 >&2; cat; env; echo x >&0; exit 0");
    bench.compile(&|| false).unwrap();
    let said = fs::read_to_string(bench.path("out")).unwrap();
    assert_eq!(said, "inPWD=/\n");
    assert_eq!(fs::read(bench.path("in")).unwrap(), b"in");
}

#[test]
fn one_that_talks_without_end_is_heard_for_four_kilobytes() {
    let bench = Bench::with("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1");
    let CompileError::Rejected(words) = bench.error() else { panic!("not rejected") };
    assert_eq!(words.len(), 4_096);
}

#[test]
fn one_that_hangs_is_ended_when_its_time_is_over() {
    // Silent, then having spoken, then with its mouth shut: no way to hang is a way to hold up the agent.
    for script in ["exec sleep 600", "echo x >&2; exec sleep 600", "exec 2>&-; exec sleep 600"] {
        let mut bench = Bench::with(&format!("echo $$ > DIR/pid; {script}"));
        bench.compiler.timeout = Duration::from_millis(250);
        let began = Instant::now();
        assert!(matches!(bench.error(), CompileError::Timeout(_)), "{script}");
        assert!(began.elapsed() < LONG / 2, "{script}");
        let pid = fs::read_to_string(bench.path("pid")).unwrap();
        assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists(), "{script}: it still runs");
    }
}

#[test]
fn a_newer_desired_state_ends_it_at_once() {
    let bench = Bench::with("echo $$ > DIR/pid; exec 2>&-; exec sleep 600");
    let pid = bench.path("pid");
    // A line that is whole: it has begun.
    let begun = || fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'));
    assert!(matches!(bench.compile(&begun), Err(CompileError::Superseded)));
    let pid = fs::read_to_string(&pid).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists(), "it still runs");
}

#[test]
fn two_never_compile_at_once() {
    let bench = Bench::with(
        "mkdir DIR/busy || exit 9; echo x >> DIR/count; sleep 0.05; rmdir DIR/busy; echo jail:0:0 >&2",
    );
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..6)
            .map(|_| {
                // Another compiler of the same process, as a second user of the agent's would be.
                let compiler =
                    Compiler { program: bench.path("compiler"), timeout: LONG, memory_bytes: 64 << 20 };
                let (wasm, out) = (bench.path("in"), bench.path("out"));
                scope.spawn(move || compiler.compile(&wasm, &out, &|| false))
            })
            .collect();
        for run in runs {
            run.join().unwrap().unwrap();
        }
    });
    assert_eq!(fs::read_to_string(bench.path("count")).unwrap().lines().count(), 6);
}

#[test]
fn one_that_waits_for_its_turn_can_be_called_off() {
    let turn = Turn::take(&|| false);
    assert!(turn.is_some());
    assert!(matches!(Bench::with("exit 1").compile(&|| true), Err(CompileError::Superseded)));
}
