//! A component's file: read only where it truly lies below one of the roots.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// The bytes of a file below one of the roots, at most `max` of them; or why not. Of what lies elsewhere nothing is
/// told, not even whether it is there.
pub(super) fn read(path: &str, roots: &[PathBuf], max: u64) -> Result<Vec<u8>, String> {
    if roots.is_empty() {
        return Err("wasm_roots is not set, so that no file is read".to_owned());
    }
    // A root may have come or moved since the start.
    let real_roots: Vec<PathBuf> = roots.iter().filter_map(|root| fs::canonicalize(root).ok()).collect();
    let below = |path: &Path| real_roots.iter().any(|root| path.starts_with(root));
    let outside = || format!("`{path}` is below none of the directories of wasm_roots");
    let wrong = |error: std::io::Error| format!("`{path}`: {error}");

    let real = fs::canonicalize(path)
        .map_err(|error| if names_below(Path::new(path), roots) { wrong(error) } else { outside() })?;
    if !below(&real) {
        return Err(outside());
    }
    // Before it is opened: that alone means something to a device, and waits for a pipe.
    if !fs::symlink_metadata(&real).map_err(wrong)?.is_file() {
        return Err(format!("`{path}` is not a regular file"));
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&real).map_err(wrong)?;
    // What counts is what was opened, whatever took the path's place in the meantime.
    let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    if !below(&opened) {
        return Err(outside());
    }
    if !metadata.is_file() {
        return Err(format!("`{path}` is not a regular file"));
    }
    let too_large = || format!("`{path}` is larger than {max} bytes, the limit of artifact_max_bytes");
    if metadata.len() > max {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(wrong)?;
    match u64::try_from(bytes.len()) {
        Ok(0) => Err(format!("`{path}` is empty")),
        Ok(read) if read <= max => Ok(bytes),
        _ => Err(too_large()),
    }
}

/// Whether a path that leads nowhere is at least meant to be below a root.
fn names_below(path: &Path, roots: &[PathBuf]) -> bool {
    let steps_back = path.components().any(|step| step == Component::ParentDir);
    !steps_back && roots.iter().any(|root| path.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const MAX: u64 = 4;

    /// A root with a sibling whose name begins alike, and a file in each.
    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        for (place, text) in [("root/in", "in"), ("root-2/out", "out"), ("out", "out")] {
            let file = dir.path().join(place);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        (dir, root)
    }

    fn of(path: &Path, root: &Path) -> Result<Vec<u8>, String> {
        read(path.to_str().unwrap(), &[root.to_owned()], MAX)
    }

    #[test]
    fn what_is_below_a_root_is_read_by_whatever_name() {
        let (dir, root) = tree();
        symlink(root.join("in"), dir.path().join("link")).unwrap();
        symlink(&root, dir.path().join("other-root")).unwrap();
        for path in ["root/in", "root/../root/./in", "link", "other-root/in"] {
            assert_eq!(of(&dir.path().join(path), &root), Ok(b"in".to_vec()), "{path}");
        }
        assert_eq!(of(&root.join("in"), &dir.path().join("other-root")), Ok(b"in".to_vec()));
    }

    #[test]
    fn what_is_elsewhere_is_refused_and_nothing_is_told_of_it() {
        let (dir, root) = tree();
        symlink(dir.path().join("out"), root.join("link")).unwrap();
        symlink(dir.path(), root.join("up")).unwrap();
        for path in
            ["out", "nowhere", "root-2/out", "root/../out", "root/../nowhere", "root/link", "root/up/out"]
        {
            let told = of(&dir.path().join(path), &root).unwrap_err();
            assert!(told.ends_with("is below none of the directories of wasm_roots"), "{told}");
        }
        assert!(read("/etc/hostname", &[], MAX).unwrap_err().starts_with("wasm_roots is not set"));
    }

    #[test]
    fn only_regular_files_of_a_fair_size_are_read() {
        let (_dir, root) = tree();
        fs::write(root.join("empty"), "").unwrap();
        fs::write(root.join("large"), "12345").unwrap();
        fs::write(root.join("fits"), "1234").unwrap();
        let pipe = std::ffi::CString::new(root.join("pipe").to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a zero byte and is only read.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        for (name, told) in [
            ("empty", "is empty"),
            ("large", "larger than 4 bytes"),
            ("pipe", "is not a regular file"),
            ("", "is not a regular file"),
            ("nowhere", "No such file"),
        ] {
            let error = of(&root.join(name), &root).unwrap_err();
            assert!(error.contains(told), "{told} is not in {error}");
        }
        assert_eq!(of(&root.join("fits"), &root), Ok(b"1234".to_vec()));
    }
}
