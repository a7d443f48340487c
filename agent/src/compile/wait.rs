//! Waits for a child under a deadline: for its words, then for its end. Knows nothing of what either means.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStderr, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use super::error::CompileError;
use super::jail::Jail;

/// How long the parent waits before it looks whether the work is still wanted.
pub(super) const GLANCE: Duration = Duration::from_millis(100);
/// What is kept of a child's words.
const MAX_WORDS: usize = 4_096;
/// How soon a child that says nothing more is looked after again, at first.
const MOMENT: Duration = Duration::from_micros(200);

/// How a child ended, and what it said.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The jail it said to be in; nothing where it did not get so far.
    pub(super) jail: Option<Jail>,
    /// All else that it said, in one line.
    pub(super) words: String,
}

/// A child that is killed if it is still there when nobody waits for it any more.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn new(child: Child) -> Self {
        Self(child)
    }

    /// Waits until it has ended. Whatever it does, this returns when `patience` is over or soon after `superseded`.
    pub(super) fn wait(
        mut self,
        patience: Duration,
        superseded: &dyn Fn() -> bool,
    ) -> Result<Ended, CompileError> {
        let started = Instant::now();
        let mut said = Vec::new();
        // Taken away once it is closed, which a child does by ending, or early to mislead.
        let mut stderr = self.0.stderr.take();
        let mut pause = MOMENT;
        while started.elapsed() < patience {
            if superseded() {
                return Err(CompileError::Superseded);
            }
            if let Some(open) = &mut stderr {
                if !hear(open, &mut said)? {
                    stderr = None;
                }
            } else if let Some(status) = self.0.try_wait()? {
                let (jail, words) = understand(&said);
                return Ok(Ended { status, jail, words });
            } else {
                thread::sleep(pause);
                pause = pause.saturating_mul(2).min(GLANCE);
            }
        }
        Err(CompileError::Timeout(patience))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let ended = self.0.kill().and_then(|()| self.0.wait());
            if let Err(error) = ended {
                log::warn!("ending the compiler: {error}");
            }
        }
    }
}

/// Waits a moment for words, and keeps the first of them. Says whether there can be more.
fn hear(stderr: &mut ChildStderr, said: &mut Vec<u8>) -> io::Result<bool> {
    let mut waited = libc::pollfd { fd: stderr.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let glance = i32::try_from(GLANCE.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one valid pollfd is passed with the count 1; its descriptor is open as long as `stderr` lives.
    match unsafe { libc::poll(&raw mut waited, 1, glance) } {
        0 => Ok(true),
        1.. => {
            let mut heard = [0; 1_024];
            let read = stderr.read(&mut heard)?;
            let room = MAX_WORDS.saturating_sub(said.len());
            said.extend(heard.iter().take(read.min(room)));
            Ok(read > 0)
        }
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            error => Err(error),
        },
    }
}

/// The first line is about the jail, the rest for people.
fn understand(said: &[u8]) -> (Option<Jail>, String) {
    let said = String::from_utf8_lossy(said);
    let (first, rest) = said.split_once('\n').unwrap_or((&said, ""));
    let jail = Jail::parse(first);
    let words = if jail.is_some() { rest } else { &said };
    let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    (jail, words.join(" "))
}
