//! File systems of the harness's own: an ext4 in a file, whose power can be cut, and a small disk in memory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use twinlet_tests::eventually;

/// `EXT4_IOC_SHUTDOWN`: from now on nothing is written, as if the machine had lost its power.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Not even what is in the journal's memory.
static NOLOGFLUSH: u32 = 2;
/// Bytes of the ext4.
const EXT4_BYTES: u64 = 96 << 20;

/// A mounted file system; unmounted and gone when dropped.
pub(crate) struct Mount {
    dir: TempDir,
    what: What,
}

enum What {
    Ext4(PathBuf),
    Tmpfs(String),
}

impl Mount {
    /// An ext4 in a file. An error says why there can be none here.
    pub(crate) fn ext4() -> Result<Self, String> {
        let dir = directory();
        let image = dir.path().join("image");
        File::create(&image).and_then(|file| file.set_len(EXT4_BYTES)).map_err(|e| e.to_string())?;
        run(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
        Self::mounted(dir, What::Ext4(image))
    }

    /// A disk in memory of so many bytes.
    pub(crate) fn tmpfs(bytes: u64) -> Result<Self, String> {
        Self::mounted(directory(), What::Tmpfs(format!("size={bytes},mode=700")))
    }

    fn mounted(dir: TempDir, what: What) -> Result<Self, String> {
        std::fs::create_dir(dir.path().join("mount")).map_err(|e| e.to_string())?;
        let mount = Self { dir, what };
        mount.mount()?;
        Ok(mount)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    /// Cuts the power of the ext4: what is not on the disk now is lost.
    pub(crate) fn cut(&self) {
        let root = File::open(self.path()).unwrap();
        // SAFETY: the call reads one number, which lives through it.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const NOLOGFLUSH) };
        assert_eq!(done, 0, "EXT4_IOC_SHUTDOWN: {}", io::Error::last_os_error());
    }

    /// Unmounts and mounts it again, as the next boot does: the journal is replayed.
    pub(crate) fn boot(&self) {
        eventually("nobody to use the mount any more", || run(Command::new("umount").arg(self.path())).ok());
        self.mount().unwrap();
    }

    fn mount(&self) -> Result<(), String> {
        let mut command = Command::new("mount");
        match &self.what {
            What::Ext4(image) => command.args(["-o", "loop"]).arg(image),
            What::Tmpfs(options) => command.args(["-t", "tmpfs", "-o", options, "none"]),
        };
        run(command.arg(self.path()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: an agent of a try that failed may still be on its way out.
        run(Command::new("umount").arg("-l").arg(self.path())).ok();
    }
}

/// Why there can be no ext4 of our own here.
pub(crate) fn no_ext4() -> Option<String> {
    Mount::ext4().err()
}

/// Why there can be no disk in memory of our own here.
pub(crate) fn no_tmpfs() -> Option<String> {
    Mount::tmpfs(1 << 20).err()
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("twinlet-mount-").tempdir().unwrap()
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = Path::new(command.get_program()).display().to_string();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = command.env("PATH", path).output().map_err(|error| format!("{program}: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", told.trim())) }
}
