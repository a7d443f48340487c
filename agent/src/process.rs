//! This process and the machine that it runs on, as the kernel sees them: memory and processor time, from `/proc`.

use std::fs;
use std::time::Instant;

/// Resident memory in bytes; 0 where `/proc` is not mounted.
pub fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages.saturating_mul(system_value(libc::_SC_PAGESIZE))
}

/// Memory that new work could have, in bytes; 0 where it is not known.
pub fn available_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap_or_default();
    let kibibytes: u64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    kibibytes.saturating_mul(1_024)
}

/// Tasks that ran or waited to, on average over the last 1, 5 and 15 minutes; zeros where it is not known.
pub fn load_average() -> [f64; 3] {
    let line = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = line.split_whitespace().map(|n| n.parse().unwrap_or(0.0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0.0))
}

/// Gives memory that was freed back to the system; glibc keeps much of it for later. May take some milliseconds.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches only what is free, and may be called at any time.
    let given = unsafe { libc::malloc_trim(0) } != 0;
    #[cfg(not(target_env = "gnu"))]
    let given = false;
    log::debug!("memory was {}given back", if given { "" } else { "not " });
}

/// Has glibc give large buffers back as soon as they are freed. It learns otherwise from the first that is freed, and
/// then keeps tens of megabytes for each thread.
pub fn keep_no_large_buffers() {
    /// What glibc begins with; set by hand, it stays.
    const LARGE: libc::c_int = 128 << 10;
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number of the allocator's, and may be called at any time.
    let set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) } == 1;
    #[cfg(not(target_env = "gnu"))]
    let set = LARGE > 0;
    if !set {
        log::debug!("the allocator takes no limit of what it keeps");
    }
}

/// How many files and sockets this process may have open.
pub fn file_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it fills in the structure, and touches nothing else.
    let told = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if told { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { usize::MAX }
}

/// How many it has open; 0 where `/proc` is not mounted.
pub fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Raises that limit as far as it may be raised; where many connections are allowed, the usual 1024 is little.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both read or fill in the structure, and touch nothing else.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0
        }
    };
    log::debug!(
        "the limit of open files was {}raised to {}",
        if raised { "" } else { "not " },
        limit.rlim_max
    );
}

/// Tells how much of a processor was used since it was last asked.
pub struct CpuMeter {
    at: Instant,
    ticks: u64,
}

impl CpuMeter {
    /// Begins to measure.
    pub fn start() -> Self {
        Self { at: Instant::now(), ticks: cpu_ticks() }
    }

    /// Percent of one processor since the last call, in tenths.
    pub fn percent(&mut self) -> f64 {
        let now = Self::start();
        let used = now.ticks.saturating_sub(self.ticks);
        let elapsed = now.at.duration_since(self.at).as_secs_f64();
        *self = now;
        if elapsed <= 0.0 {
            return 0.0;
        }
        // Ticks are a few hundred a second: far within what a float counts exactly.
        #[allow(clippy::cast_precision_loss)]
        let seconds = used as f64 / system_value(libc::_SC_CLK_TCK) as f64;
        (seconds / elapsed * 1_000.0).round() / 10.0
    }
}

/// User and system time in clock ticks: the 14th and 15th field of `stat`. The 2nd is in parentheses and may hold
/// anything, so counting begins behind it.
fn cpu_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

fn system_value(name: libc::c_int) -> u64 {
    // SAFETY: sysconf only reads a constant of the system.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_memory_and_a_load() {
        assert!(available_bytes() > 1 << 20);
        assert!(load_average().iter().all(|load| (0.0..10_000.0).contains(load)));
    }

    #[test]
    fn a_running_test_takes_memory_and_time() {
        assert!(resident_bytes() > 100_000);
        let mut meter = CpuMeter { at: Instant::now(), ticks: 0 };
        let before = cpu_ticks();
        while cpu_ticks() == before {
            std::hint::black_box(0);
        }
        assert!(meter.percent() > 0.0);
    }
}
