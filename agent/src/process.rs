//! This process and the machine that it runs on, as the kernel sees them: memory and processor time, from `/proc`.

use std::fs;
use std::time::Instant;

/// Resident memory in bytes; 0 where `/proc` is not mounted.
pub fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages.saturating_mul(system_value(libc::_SC_PAGESIZE))
}

/// Bytes that the kernel has written to disks for this process and the children it waited for; none where it does not
/// say.
pub fn written_bytes() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()
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

/// Gives memory that was freed back to the system, of which glibc keeps much for later, and lets go of the program's own
/// pages, most of which were needed for a moment only. May take some milliseconds.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches only what is free, and may be called at any time.
    let given = unsafe { libc::malloc_trim(0) } != 0;
    #[cfg(not(target_env = "gnu"))]
    let given = false;
    log::debug!("memory was {}given back", if given { "" } else { "not " });
    // SAFETY: the callback keeps to what it is given, and is called only before this returns.
    unsafe { libc::dl_iterate_phdr(Some(let_go_of_program), std::ptr::null_mut()) };
}

/// Unmaps the code and the constants of the first object, which is this program. What is needed again is read again,
/// from the page cache as long as the system has the memory for it.
///
/// # Safety
/// For `dl_iterate_phdr` alone, whose promises about `info` it relies on.
unsafe extern "C" fn let_go_of_program(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: it points to the description of an object that stays loaded, with so many headers.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    let page = system_value(libc::_SC_PAGESIZE);
    #[allow(clippy::unnecessary_cast, reason = "the fields are as wide as the machine")]
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD) {
        // What may be written to is not the file's any more.
        if header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let begin = (base as u64).saturating_add(header.p_vaddr as u64);
        let end = begin.saturating_add(header.p_memsz as u64);
        let (begin, end) = (begin - begin % page, end - end % page);
        if let (Ok(at), Ok(length)) = (usize::try_from(begin), usize::try_from(end.saturating_sub(begin))) {
            // SAFETY: these pages are mapped from the program's file and were never written to, so that they come back
            // as they were. Where the system refuses, nothing has changed.
            unsafe { libc::madvise(at as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        }
    }
    // Libraries are shared with others.
    1
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
    fn what_is_let_go_of_comes_back_when_it_is_needed() {
        give_memory_back();
        let before = resident_bytes();
        // Walks through code that is not needed otherwise.
        assert!(serde_json::from_str::<serde_json::Value>("[1.5, {\"a\": null}]").is_ok());
        assert!(std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("r-xp")));
        assert!(resident_bytes() >= before);
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
