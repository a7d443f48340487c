//! A directory for one command's own files, open to this user alone, and gone when the command ends.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it under the system's directory for temporary files.
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("twinlet-{:016x}", fastrand::u64(..)));
        // Not recursive: a directory that is there already is another's, and an error.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            super::output::note(&format!("twinlet: {} could not be removed: {error}", self.0.display()));
        }
    }
}
