//! What stands in the way of a file or a directory of ours: something of another kind, or something that this user may
//! not read. It is set aside under `<name>.damaged`, where the one that was set aside before goes, so that nothing grows.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What this user needs to work with a file, and with a directory.
const OF_FILE: u32 = 0o600;
const OF_DIRECTORY: u32 = 0o700;

/// Makes sure that a directory of ours is there.
pub fn directory(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => return allow(path, found.mode(), OF_DIRECTORY),
        Ok(_) => said(path, &set_aside(path, path.parent().unwrap_or(path))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    DirBuilder::new().recursive(true).mode(OF_DIRECTORY).create(path)
}

/// Makes sure that what stands at a path, if anything does, is a file that this user may read and write. What is not is
/// set aside in `to`.
pub fn file(path: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => allow(path, found.mode(), OF_FILE).or_else(|error| {
            log::warn!("{}: {error}", path.display());
            said(path, &set_aside(path, to)?);
            Ok(())
        }),
        Ok(_) => {
            said(path, &set_aside(path, to)?);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes whatever stands at a path, if anything does.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Moves whatever stands at a path out of the way, and returns where it is now.
pub fn set_aside(path: &Path, to: &Path) -> io::Result<PathBuf> {
    let aside = to.join(path.file_name().unwrap_or_default()).with_added_extension("damaged");
    remove(&aside)?;
    fs::rename(path, &aside)?;
    Ok(aside)
}

fn said(path: &Path, aside: &Path) {
    log::error!("{} is not what should stand there; it is kept as {}", path.display(), aside.display());
}

/// Gives this user's own files back to this user; that they lack a right has no good reason.
fn allow(path: &Path, mode: u32, needed: u32) -> io::Result<()> {
    if mode & needed == needed {
        return Ok(());
    }
    log::warn!("{}: its mode was {:o}; it is set to {needed:o}", path.display(), mode & 0o7777);
    fs::set_permissions(path, Permissions::from_mode(needed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_of_each_name_is_kept_aside() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("x");
        for name in ["first", "second"] {
            fs::create_dir(&path)?;
            fs::write(path.join(name), b"")?;
            file(&path, dir.path())?;
            assert!(!path.exists());
        }
        let aside = dir.path().join("x.damaged");
        assert!(aside.join("second").exists() && !aside.join("first").exists());
        fs::write(&path, b"now a file")?;
        file(&path, dir.path())?;
        assert!(path.is_file());
        fs::set_permissions(&path, Permissions::from_mode(0o000))?;
        file(&path, dir.path())?;
        assert_eq!(fs::metadata(&path)?.mode() & 0o777, 0o600);
        directory(&path)?;
        assert!(path.is_dir() && aside.is_file());
        Ok(())
    }
}
