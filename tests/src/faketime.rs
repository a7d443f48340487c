//! A wall clock of the agent's own, set while it runs, by libfaketime; its monotonic clock stays the system's.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::agent::AgentBuilder;

/// A minute after the beginning of 1970, in seconds: where a device without a battery-backed clock starts.
pub const IN_1970: u64 = 60;
/// In January 2038, in seconds since 1970.
pub const IN_2038: u64 = 2_146_000_000;

/// True if libfaketime is installed. If it is not, says loudly that the calling test is left out; the test then returns.
#[must_use]
pub fn needs_faketime() -> bool {
    let found = library().is_some();
    if !found {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!(
            "*** LEFT OUT: {test} needs libfaketime, which is not installed (apt-get install faketime) ***"
        );
    }
    found
}

/// The clock of one device. It goes on at the speed of the true one.
#[derive(Debug)]
pub struct DeviceClock {
    dir: TempDir,
}

impl DeviceClock {
    /// A clock that shows this time now, in seconds since 1970.
    pub fn at(unix: u64) -> Self {
        let dir = tempfile::Builder::new().prefix("twinlet-clock-").tempdir().unwrap();
        let clock = Self { dir };
        clock.set(unix);
        clock
    }

    /// A clock that is right.
    pub fn right() -> Self {
        Self::at(now())
    }

    /// Sets it.
    pub fn set(&self, unix: u64) {
        let (true_time, wanted) = (i64::try_from(now()).unwrap(), i64::try_from(unix).unwrap());
        // Renamed into place, since it is read at any time.
        let new = self.dir.path().join("new");
        std::fs::write(&new, format!("{:+}\n", wanted - true_time)).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    /// Sets it to the true time.
    pub fn set_right(&self) {
        self.set(now());
    }

    /// Gives this clock to an agent.
    pub fn on(&self, agent: AgentBuilder) -> AgentBuilder {
        agent
            .env("LD_PRELOAD", library().expect("libfaketime is not installed").display())
            .env("FAKETIME_TIMESTAMP_FILE", self.file().display())
            .env("FAKETIME_NO_CACHE", 1)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", 1)
            .env("DONT_FAKE_MONOTONIC", 1)
            .env("NO_FAKE_STAT", 1)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }
}

/// The true time in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn library() -> Option<PathBuf> {
    let of_distribution =
        std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    of_distribution.map(|dir| dir.join("faketime/libfaketime.so.1")).find(|file| file.is_file())
}
