//! What the process under test takes of the machine, by `/proc`; knows nothing of what it does with it.

use crate::Agent;

impl Agent {
    /// What it holds in memory that is no file's, in bytes: pages of its own program come and go.
    pub fn held_bytes(&self) -> u64 {
        (self.kilobytes("status", "RssAnon:") + self.kilobytes("status", "RssShmem:")) * 1024
    }

    /// Its share of the memory it uses, in bytes.
    pub fn pss_bytes(&self) -> u64 {
        self.kilobytes("smaps_rollup", "Pss:") * 1024
    }

    /// The processor time it has used so far, in clock ticks (usually 10 ms).
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        // Fields 14 and 15 of proc(5), user and system time; the list begins with field 3.
        [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    fn kilobytes(&self, file: &str, key: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}
