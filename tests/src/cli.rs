//! The command line as people and scripts use it: the real binary with a pipe or a terminal for its output. Knows
//! nothing of what it prints.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::wait::{DEADLINE, Journal, within};

/// The columns of the terminal that [`Cli::on_terminal`] opens.
pub const COLUMNS: usize = 72;

/// Stands on a terminal after everything that a command wrote there.
const END: &[u8] = b"\x04the end\x04";

/// The binary, and an environment that is otherwise empty but for `PATH`.
#[derive(Debug, Clone)]
pub struct Cli {
    binary: PathBuf,
    env: BTreeMap<String, String>,
}

/// What a command said, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// What was said, of a command that did what was asked.
    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl Cli {
    /// In a UTF-8 locale.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let env = [("LANG", "C.UTF-8"), ("TERM", "xterm")];
        Self { binary: binary.into(), env: env.map(|(key, value)| (key.into(), value.into())).into() }
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl ToString) -> Self {
        self.env.insert(key.to_owned(), value.to_string());
        self
    }

    /// Runs a command to its end, with pipes for its output.
    pub fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, "")
    }

    /// The same, with something on standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Said {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Whoever reads no input may end before it is written.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
    }

    /// Runs a command to its end on a terminal of [`COLUMNS`] columns, and returns everything that it wrote there.
    pub fn on_terminal(&self, args: &[&str]) -> String {
        let (terminal, side) = terminal();
        let of = |side: &OwnedFd| Stdio::from(side.try_clone().unwrap());
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::null()).stdout(of(&side)).stderr(of(&side)).spawn().unwrap();
        let reader = std::thread::spawn(move || {
            let (mut terminal, mut written) = (File::from(terminal), Vec::new());
            while !written.ends_with(END) {
                let mut chunk = [0; 4096];
                let read = terminal.read(&mut chunk).unwrap();
                written.extend_from_slice(&chunk[..read]);
            }
            written.truncate(written.len() - END.len());
            written
        });
        child.wait().unwrap();
        // A terminal that everyone has closed may lose its last lines: it is held open until all is read.
        File::from(side).write_all(END).unwrap();
        String::from_utf8(reader.join().unwrap()).unwrap().replace("\r\n", "\n")
    }

    /// Runs a command whose reader closes at once.
    pub fn unread(&self, args: &[&str]) -> Said {
        let mut child = self
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        Said {
            code: status.code().unwrap_or(-1),
            out: String::new(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Starts a command that goes on until something ends it.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Journal::default();
        let readers: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for reader in readers {
            let lines = lines.clone();
            std::thread::spawn(move || {
                BufReader::new(reader).lines().map_while(Result::ok).for_each(|line| lines.push(line));
            });
        }
        Running { child, lines }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        let inherited = ["PATH", "LLVM_PROFILE_FILE"].map(|key| (key, std::env::var_os(key)));
        command
            .args(args)
            .env_clear()
            .envs(inherited.into_iter().filter_map(|(key, value)| Some((key, value?))));
        command.envs(&self.env);
        command
    }
}

/// A command that goes on. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Journal<String>,
}

impl Running {
    /// A mark in what it says, for looking only at later lines.
    pub fn mark(&self) -> usize {
        self.lines.mark()
    }

    /// Waits for a line of standard output or standard error after a mark.
    pub fn says_after(&self, mark: usize, text: &str) -> String {
        self.lines.wait(mark, DEADLINE, text, |line| line.contains(text).then(|| line.clone()))
    }

    /// Waits for such a line, whenever it came.
    pub fn says(&self, text: &str) -> String {
        self.says_after(0, text)
    }

    /// Everything that it said.
    pub fn all(&self) -> Vec<String> {
        self.lines.all()
    }

    /// Waits for its end, and returns the exit code.
    pub fn wait_exit(&mut self) -> i32 {
        let status = within(DEADLINE, "the command to end", || self.child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A terminal, and the side of it that a program writes to.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut terminal, mut side) = (-1, -1);
    let columns = u16::try_from(COLUMNS).unwrap();
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (name, modes) = (std::ptr::null_mut(), std::ptr::null());
    // SAFETY: openpty() writes two descriptors to where it is pointed, and reads one `winsize`.
    let done = unsafe { libc::openpty(&raw mut terminal, &raw mut side, name, modes, &raw const size) };
    assert_eq!(done, 0, "openpty: {}", std::io::Error::last_os_error());
    // SAFETY: both are open, and nobody else has them.
    unsafe { (OwnedFd::from_raw_fd(terminal), OwnedFd::from_raw_fd(side)) }
}
