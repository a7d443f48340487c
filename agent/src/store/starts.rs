//! How many starts in a row did not get through: since the device was booted, for a power cut is not the database's
//! fault. Knows nothing of what a start is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::state_dir::write_durably;

/// What Linux makes up anew at every boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The file that counts them.
pub(super) struct Starts {
    file: PathBuf,
    /// Empty where it is not known; then starts before the last boot count as well.
    boot: String,
}

impl Starts {
    pub(super) fn of(state: &Path) -> Self {
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        Self { file: state.join("db.starts"), boot: boot.trim().to_owned() }
    }

    /// How many did not get through, of those since the last that did.
    pub(super) fn failed(&self) -> u32 {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let (count, boot) = text.split_once(' ').unwrap_or((&text, ""));
        if boot == self.boot { count.parse().unwrap_or(0) } else { 0 }
    }

    /// Notes how many there will be if this one does not get through.
    pub(super) fn note(&self, failed: u32) {
        if let Err(error) = write_durably(&self.file, format!("{failed} {}", self.boot).as_bytes()) {
            // As on a full disk, with which the agent is to serve all the same.
            log::warn!("{}: {error}; this start is not counted", self.file.display());
        }
    }

    /// This one got through.
    pub(super) fn passed(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_count_until_one_gets_through_or_the_device_is_booted() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let starts = Starts::of(dir.path());
        assert_eq!(starts.failed(), 0);
        starts.note(2);
        assert_eq!(Starts::of(dir.path()).failed(), 2);
        let booted = Starts { file: starts.file.clone(), boot: "another".into() };
        assert_eq!(booted.failed(), 0, "what ended the others was perhaps a power cut");
        booted.note(1);
        assert_eq!((booted.failed(), starts.failed()), (1, 0));
        booted.passed()?;
        booted.passed()?;
        assert_eq!(booted.failed(), 0);
        fs::write(&starts.file, b"not a number")?;
        assert_eq!(starts.failed(), 0);
        Ok(())
    }
}
