//! The state directory and the local socket.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::Given;
use super::finding::Finding;
use crate::{state_dir, store};

const DIR: &str = "cache_dir";
const SOCKET: &str = "local_socket";
/// Bytes that must be free for anything new to be kept.
const LEAST_FREE: u64 = 8 << 20;

/// Whether the directory is there or can be made, is ours, has room and lasts.
pub(super) fn directory(given: &Given) -> Vec<Finding> {
    let path = &given.config.cache_dir;
    let shown = path.display();
    let there = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => {
            return vec![Finding::wrong(DIR, format!("{shown} is there and is no directory"))];
        }
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return vec![Finding::wrong(DIR, format!("{shown}: {error}"))],
    };
    let mut found = vec![match &there {
        Some(metadata) => ours(path, metadata),
        None => makeable(path),
    }];
    if given.running {
        found.push(Finding::ok(DIR, "an agent runs in it; another could not"));
    }
    let base = if there.is_some() { path.clone() } else { ancestor(path) };
    found.push(room(given, &base));
    let absolute = fs::canonicalize(&base).unwrap_or(base);
    if state_dir::is_volatile(&absolute) || is_tmpfs(&absolute) {
        let why = "does not survive a restart of the device: the node would forget its state and its name";
        found.push(Finding::warning(DIR, format!("{shown} {why}")));
    }
    found
}

/// Whether the agent could work in a directory that is there.
fn ours(path: &Path, metadata: &Metadata) -> Finding {
    let shown = path.display();
    // SAFETY: geteuid has no preconditions and can not fail.
    let me = unsafe { libc::geteuid() };
    let owner = metadata.uid();
    if owner != me && me == 0 {
        let text = format!(
            "{shown} belongs to uid {owner}; run this check as that user (sudo -u '#{owner}' twinlet check)"
        );
        return Finding::warning(DIR, text);
    }
    if owner != me {
        return Finding::wrong(DIR, format!("{shown} belongs to uid {owner}, and this is uid {me}"));
    }
    if let Err(error) = may_write(path) {
        return Finding::wrong(DIR, format!("{shown} can not be written to: {error}"));
    }
    match metadata.mode() & 0o777 {
        mode if mode & 0o077 != 0 => Finding::warning(
            DIR,
            format!("{shown} is open to others (mode {mode:o}); the agent will close it"),
        ),
        mode => Finding::ok(DIR, format!("{shown} is this user's, mode {mode:o}")),
    }
}

fn makeable(path: &Path) -> Finding {
    let (shown, parent) = (path.display(), ancestor(path));
    match may_write(&parent) {
        Ok(()) => Finding::ok(DIR, format!("{shown} is not there; the agent will make it")),
        Err(error) => Finding::wrong(
            DIR,
            format!("{shown} is not there, and can not be made in {}: {error}", parent.display()),
        ),
    }
}

fn room(given: &Given, path: &Path) -> Finding {
    let free = match store::free_bytes(path) {
        Ok(free) => free,
        Err(error) => return Finding::wrong(DIR, format!("asking for the free space: {error}")),
    };
    let megabytes = format!("{} MB are free", free >> 20);
    let artifact = given.config.fetch.max_bytes;
    if free < LEAST_FREE {
        return Finding::wrong(
            DIR,
            format!("{megabytes}: nothing new can be kept below {}", LEAST_FREE >> 20),
        );
    }
    if free < artifact {
        let text = format!(
            "{megabytes}: not enough for the largest artifact (artifact_max_bytes, {} MB)",
            artifact >> 20
        );
        return Finding::warning(DIR, text);
    }
    Finding::ok(DIR, megabytes)
}

/// Whether the socket's place can take it.
pub(super) fn socket(given: &Given) -> Vec<Finding> {
    let path = &given.config.local_socket;
    let shown = path.display();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let in_cache_dir = parent == given.config.cache_dir;
    vec![match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {
            match (UnixStream::connect(path), given.running) {
                (Ok(_), true) => Finding::ok(SOCKET, format!("{shown}: the running agent answers there")),
                (Ok(_), false) => Finding::wrong(
                    SOCKET,
                    format!("{shown}: another program answers there, and would lose it"),
                ),
                (Err(error), true) => {
                    Finding::warning(SOCKET, format!("{shown}: the running agent does not answer: {error}"))
                }
                (Err(_), false) => {
                    Finding::ok(SOCKET, format!("{shown}: left by an earlier run; the agent will replace it"))
                }
            }
        }
        Ok(_) => {
            Finding::wrong(SOCKET, format!("{shown} is there and is no socket; the agent would replace it"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match if in_cache_dir && !parent.exists() { Ok(()) } else { may_write(parent) } {
                Ok(()) => Finding::ok(SOCKET, format!("{shown} can be made")),
                Err(error) => {
                    Finding::wrong(SOCKET, format!("{} can not be written to: {error}", parent.display()))
                }
            }
        }
        Err(error) => Finding::wrong(SOCKET, format!("{shown}: {error}")),
    }]
}

/// The nearest directory above a path that is there.
fn ancestor(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Whether this user may make files in a directory.
fn may_write(dir: &Path) -> io::Result<()> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a zero, and the call only reads it.
    let refused = unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } != 0;
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether a path lies in memory. What can not be known is not said.
fn is_tmpfs(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    let mut stat = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path ends with a zero, and the structure is ours and of the right size.
    if unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call that fills it has succeeded.
    unsafe { stat.assume_init() }.f_type == libc::TMPFS_MAGIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_looked_at_where_it_would_be_made() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ancestor(&dir.path().join("a/b/c")), dir.path());
        assert!(may_write(dir.path()).is_ok());
        assert!(may_write(&dir.path().join("a")).is_err());
    }
}
