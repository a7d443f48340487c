//! Looks at a database in a short-lived child of this same binary: sled ends the process on some damage, and must not
//! end the agent's. What can still be read of a damaged one comes from a child as well, record by record.
//!
//! The child is `twinlet database-probe WHAT DIR`; whoever embeds the library gives [`child_main`] the first word.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use super::StoreError;
use super::open::open_or_repair;
use super::salvage::{Jumps, receive, send};
use super::space::bytes_of;

/// The argument that makes this binary a prober.
const CHILD: &str = "database-probe";
const CHECK: &str = "check";
/// What a child is to print from: this, and a key in hexadecimal digits.
const FROM: &str = "from=";
/// The child's exit codes, from sysexits.h: it is damaged; that can not be told.
const EX_DATAERR: u8 = 65;
const EX_TEMPFAIL: u8 = 75;
/// Signals that say nothing of the database. One that leads in a circle is found by starts that do not get through.
const OF_OTHERS: [i32; 6] =
    [libc::SIGKILL, libc::SIGALRM, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
/// Seconds that a child may take, by the clock on the wall: a damaged tree may lead in a circle.
const LONGEST: u32 = 30;
/// How long all children together may take to save what can be read.
const ALL_CHILDREN: Duration = Duration::from_secs(60);
/// Bytes of the database for which it may take a second more.
const BYTES_A_SECOND: u64 = 1 << 20;
/// Bytes of address space that a child may have: a damaged length may ask for anything.
const MEMORY: u64 = 1 << 30;
/// What is read of a child's complaint.
const COMPLAINT: u64 = 1_024;

/// What a child found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It opens, and all of it can be read.
    Sound,
    /// It does not, or it took the child down.
    Damaged(String),
    /// The child could not do its work, which is not the database's fault.
    Unknown(String),
}

/// Has a child open a database and read all of it.
pub(super) fn check(program: &Path, dir: &Path) -> Verdict {
    let unknown = |error: io::Error| Verdict::Unknown(error.to_string());
    let mut child = match spawn(program, CHECK, dir) {
        Ok(child) => child,
        Err(error) => return unknown(error),
    };
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        // A child that said nothing has an exit status all the same.
        stdout.take(COMPLAINT).read_to_end(&mut said).ok();
    }
    let status = match child.wait() {
        Ok(status) => status,
        Err(error) => return unknown(error),
    };
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match status.code() {
        Some(0) => Verdict::Sound,
        Some(code) if code == i32::from(EX_DATAERR) => Verdict::Damaged(said),
        Some(code) if code == i32::from(EX_TEMPFAIL) => Verdict::Unknown(said),
        // The system needed the memory, somebody ends all that is there, or it took too long on a slow disk.
        None if status.signal().is_some_and(|signal| OF_OTHERS.contains(&signal)) => {
            Verdict::Unknown(format!("its reader was ended by {status}"))
        }
        _ => Verdict::Damaged(format!("it ended its reader by {status}")),
    }
}

/// Puts what children can still read of a database into a new one: each goes on behind what ended the one before.
/// Returns how many records that is.
pub(super) fn salvage(program: &Path, from: &Path, to: &sled::Db) -> Result<usize, StoreError> {
    let (mut saved, mut jumps, mut start) = (0, Jumps::default(), Some(Vec::new()));
    let end = Instant::now() + ALL_CHILDREN;
    while let Some(from_here) = start.take().filter(|_| Instant::now() < end) {
        let mut child = spawn(program, &format!("{FROM}{}", hex(&from_here)), from)?;
        let mut last = None;
        if let Some(stdout) = child.stdout.take() {
            let mut records = BufReader::new(stdout);
            while let Some((key, value)) = receive(&mut records) {
                last = Some(key.clone());
                if to.insert(key, value)?.is_none() {
                    saved += 1;
                }
            }
        }
        if !child.wait()?.success() {
            start = jumps.beyond(last.as_deref());
        }
    }
    Ok(saved)
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key that such digits are; none where they are not.
fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().chunks(2).map(pair).collect()
}

fn spawn(program: &Path, what: &str, dir: &Path) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg(CHILD).arg(what).arg(dir).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// If the program was started as a prober, does its work and returns how that went; the caller then ends with it.
pub fn child_main() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != CHILD {
        return None;
    }
    let (what, dir) = (args.next()?, PathBuf::from(args.next()?));
    limit(&dir);
    let start = what.to_str().and_then(|what| unhex(what.strip_prefix(FROM)?));
    let read = match start {
        Some(start) => print_here(&dir, &start),
        None if what == CHECK => check_here(&dir),
        None => Err(Ended::Unknown("it is not known what to do".into())),
    };
    Some(match read {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Damaged(why)) => {
            // The parent may have heard enough.
            writeln!(io::stdout(), "{why}").ok();
            ExitCode::from(EX_DATAERR)
        }
        Err(Ended::Unknown(why)) => {
            writeln!(io::stdout(), "{why}").ok();
            ExitCode::from(EX_TEMPFAIL)
        }
    })
}

enum Ended {
    Damaged(String),
    Unknown(String),
}

fn opened(dir: &Path) -> Result<sled::Db, Ended> {
    match open_or_repair(dir) {
        Ok(Some(db)) => Ok(db),
        Ok(None) => Err(Ended::Damaged("it does not open".into())),
        Err(error) => Err(Ended::Unknown(error.to_string())),
    }
}

fn check_here(dir: &Path) -> Result<(), Ended> {
    opened(dir)?
        .iter()
        .try_for_each(|entry| entry.map(drop))
        .map_err(|error| Ended::Damaged(error.to_string()))
}

/// Prints the records from a key on, each as soon as it is read.
fn print_here(dir: &Path, start: &[u8]) -> Result<(), Ended> {
    let db = opened(dir)?;
    let mut out = BufWriter::new(io::stdout().lock());
    db.range(start..).try_for_each(|entry| {
        let (key, value) = entry.map_err(|error| Ended::Damaged(error.to_string()))?;
        let sent = send(&key, &value, &mut out).and_then(|()| out.flush());
        sent.map_err(|error| Ended::Unknown(error.to_string()))
    })
}

/// This process' limits: its parent's life, the time it has, its address space, no core file.
fn limit(dir: &Path) {
    // SAFETY: it takes a number, and no pointer; without it the child is only ended by the alarm.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let more = bytes_of(dir).unwrap_or_default() / BYTES_A_SECOND;
    let seconds = LONGEST.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
    // SAFETY: it has no preconditions; the signal ends this process, as it should.
    unsafe { libc::alarm(seconds) };
    for (resource, value) in [(libc::RLIMIT_AS, MEMORY), (libc::RLIMIT_CORE, 0)] {
        let value = libc::rlim_t::try_from(value).unwrap_or(libc::RLIM_INFINITY);
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: `limit` is a valid rlimit, which the call only reads. Without it the child is merely unbounded.
        unsafe { libc::setrlimit(resource, &raw const limit) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_what_a_reader_did_to_itself_is_the_databases_fault() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let program = dir.path().join("reader");
        let after = |line: &str| {
            std::fs::write(&program, format!("#!/bin/sh\n{line}\n"))?;
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700))?;
            Ok::<_, io::Error>(check(&program, dir.path()))
        };
        for signal in ["ALRM", "TERM", "INT", "HUP", "KILL"] {
            let found = after(&format!("kill -{signal} $$"))?;
            assert!(matches!(found, Verdict::Unknown(_)), "{signal}: {found:?}");
        }
        for line in ["kill -SEGV $$", "kill -ABRT $$", "exit 65", "exit 101"] {
            let found = after(line)?;
            assert!(matches!(found, Verdict::Damaged(_)), "{line}: {found:?}");
        }
        assert_eq!(after("exit 0")?, Verdict::Sound);
        Ok(())
    }
}
