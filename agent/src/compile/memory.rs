//! How much memory a compilation may have: what the settings say, but never so much that the device has none left.

use std::fmt;
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// So much it may have at least, as in the settings: the system ends it first where even that is too much.
const LEAST: u64 = 64 * MIB;

/// A bound on the memory of one compilation, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// In bytes.
    pub bytes: u64,
    /// Which of three it is.
    pub of: Of,
}

/// What bounds the memory of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The setting `compile_memory_mb`.
    Setting,
    /// Half of the memory that the device, or the service's control group, has at all.
    Device,
    /// Three quarters of what is available just now.
    Moment,
}

impl Bound {
    /// The bound for a compilation that begins now.
    pub(super) fn now(setting: u64) -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self::of(setting, &meminfo, group_bytes())
    }

    fn of(setting: u64, meminfo: &str, group: Option<u64>) -> Self {
        let all = [kibibytes(meminfo, "MemTotal:"), group].into_iter().flatten().min();
        let device = all.map(|all| Self { bytes: (all / 2).max(LEAST), of: Of::Device });
        let available = kibibytes(meminfo, "MemAvailable:");
        let moment = available.map(|free| Self { bytes: (free / 4 * 3).max(LEAST), of: Of::Moment });
        // Of equal bounds the first: what will not change is said before what may.
        let setting = Self { bytes: setting, of: Of::Setting };
        [device, moment]
            .into_iter()
            .flatten()
            .fold(setting, |least, bound| if bound.bytes < least.bytes { bound } else { least })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB of memory, ", self.bytes / MIB)?;
        f.write_str(match self.of {
            Of::Setting => "its limit by compile_memory_mb",
            Of::Device => "half of what this device has (compile_memory_mb is more)",
            Of::Moment => "three quarters of what is available now (compile_memory_mb is more)",
        })
    }
}

/// A figure of `/proc/meminfo` in bytes.
fn kibibytes(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1_024))
}

/// The `MemoryMax=` of the service, where there is one.
fn group_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = Path::new("/sys/fs/cgroup").join(group).join("memory.max");
    fs::read_to_string(limit).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = "MemTotal:  498304 kB\nMemFree:  90000 kB\nMemAvailable:  400000 kB\n";
    const SHORT: &str = "MemTotal:  498304 kB\nMemAvailable:  120000 kB\n";

    #[test]
    fn the_least_of_setting_device_and_moment_counts() {
        let of = |setting, meminfo, group| {
            let bound = Bound::of(setting, meminfo, group);
            (bound.bytes / MIB, bound.of)
        };
        assert_eq!(of(128 * MIB, BOARD, None), (128, Of::Setting));
        assert_eq!(of(1024 * MIB, BOARD, None), (243, Of::Device));
        assert_eq!(of(1024 * MIB, BOARD, Some(200 * MIB)), (100, Of::Device));
        assert_eq!(of(1024 * MIB, SHORT, None), (87, Of::Moment));
        assert_eq!(of(1024 * MIB, "MemTotal: 9 kB\nMemAvailable: 9 kB", None), (64, Of::Device));
        assert_eq!(of(1024 * MIB, "", None), (1024, Of::Setting), "nothing is known");
    }

    #[test]
    fn this_machine_has_a_bound() {
        assert!(kibibytes(&fs::read_to_string("/proc/meminfo").unwrap(), "MemAvailable:").unwrap() > MIB);
        assert!(Bound::now(1 << 30).bytes >= LEAST);
    }
}
