//! What the agent hands to the file system, by purpose: flash wears out by being written. Counted in one place for the
//! whole process, as memory is, by whoever writes; knows nothing of files.
//!
//! Counted are the bytes of records and files as they are handed over. What reaches the flash is more: sled appends
//! every change to its log, each log entry begins with a head of its own, a page is written anew after some changes, and
//! the file system adds its metadata. `twinlet_disk_written_total_bytes` has the sum as the kernel counts it.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a write is for; the labels of `twinlet_disk_written_bytes_total` and `twinlet_disk_syncs_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Components, as fetched or uploaded.
    Artifact,
    /// Components, as compiled, and their seals.
    Compiled,
    /// The accepted desired state, in the database and in its copy beside it.
    Desired,
    /// Telemetry that waits for the broker.
    Outbox,
    /// What actors sync, and their timers.
    Actors,
    /// What functions keep by `wasi:keyvalue`.
    KeyValue,
    /// Used nonces of signed requests.
    Nonces,
    /// Whatever else is a record.
    Other,
    /// The small files of the state directory: name, key, format, the mark of a clean end.
    State,
    /// The log of the database: synced for whatever records wait at that moment, together.
    Database,
}

const NAMES: [&str; 10] = [
    "artifact", "compiled", "desired", "outbox", "actors", "keyvalue", "nonces", "other", "state", "database",
];

static WRITTEN: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];
static SYNCS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

impl Purpose {
    /// So many bytes were handed over.
    pub fn wrote(self, bytes: usize) {
        self.wrote_u64(bytes as u64);
    }

    /// The same, for the length of a file.
    pub fn wrote_u64(self, bytes: u64) {
        if let Some(counter) = WRITTEN.get(self as usize) {
            counter.fetch_add(bytes, Relaxed);
        }
    }

    /// A file or a directory was made durable.
    pub fn synced(self) {
        if let Some(counter) = SYNCS.get(self as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// Of the table of this name.
    pub fn of_table(name: &str) -> Self {
        match name {
            "outbox" => Self::Outbox,
            "actors" | "timers" => Self::Actors,
            "keyvalue" => Self::KeyValue,
            "nonces" => Self::Nonces,
            _ => Self::Other,
        }
    }
}

/// What the store and the disk below it are like; set by the agent, shown on `/metrics`.
#[derive(Debug, Default)]
pub struct Disk {
    /// Bytes that the agent may still write to the file system of the state directory.
    pub free_bytes: AtomicU64,
    /// 1 while the database takes writes, else 0.
    pub store_writable: AtomicU64,
    /// How often the database was opened anew because a write had failed.
    pub store_reopened: AtomicU64,
    /// Records that were found damaged or missing since the start.
    pub store_damaged: AtomicU64,
    /// Artifacts that were removed to make room, since the start.
    pub evicted: AtomicU64,
    /// Downloads and compilations that did not begin for want of room, since the start.
    pub refused: AtomicU64,
}

impl Disk {
    /// Adds what is known to a page. `written` is what the kernel counts for this process, where it says.
    pub(super) fn render(&self, written: Option<u64>, page: &mut Vec<u8>) {
        let mut text = String::with_capacity(2 << 10);
        by_purpose(
            &mut text,
            "twinlet_disk_written_bytes_total",
            "Bytes handed to the file system since the start, by purpose",
            &WRITTEN,
        );
        by_purpose(
            &mut text,
            "twinlet_disk_syncs_total",
            "Times that files were made durable since the start, by purpose",
            &SYNCS,
        );
        let read = |value: &AtomicU64| Some(value.load(Relaxed));
        for (name, kind, help, value) in [
            (
                "twinlet_disk_written_total_bytes",
                "counter",
                "Bytes that the kernel wrote to disks for the agent",
                written,
            ),
            (
                "twinlet_disk_free_bytes",
                "gauge",
                "Bytes that may still be written to the state directory",
                read(&self.free_bytes),
            ),
            (
                "twinlet_store_writable",
                "gauge",
                "1 while the database takes writes, else 0",
                read(&self.store_writable),
            ),
            (
                "twinlet_store_reopened_total",
                "counter",
                "Times the database was opened anew after a failed write",
                read(&self.store_reopened),
            ),
            (
                "twinlet_store_damaged_total",
                "counter",
                "Records found damaged or missing",
                read(&self.store_damaged),
            ),
            (
                "twinlet_artifacts_evicted_total",
                "counter",
                "Artifacts removed to make room",
                read(&self.evicted),
            ),
            (
                "twinlet_no_room_total",
                "counter",
                "Downloads and compilations not begun for want of room",
                read(&self.refused),
            ),
        ] {
            if let Some(value) = value {
                head(&mut text, name, kind, help);
                line(&mut text, format_args!("{name} {value}"));
            }
        }
        page.extend_from_slice(text.as_bytes());
    }
}

fn by_purpose(text: &mut String, name: &str, help: &str, values: &[AtomicU64; NAMES.len()]) {
    head(text, name, "counter", help);
    for (purpose, value) in NAMES.iter().zip(values) {
        line(text, format_args!("{name}{{purpose=\"{purpose}\"}} {}", value.load(Relaxed)));
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    line(text, format_args!("# HELP {name} {help}"));
    line(text, format_args!("# TYPE {name} {kind}"));
}

/// Writing to a string does not fail.
fn line(text: &mut String, shown: std::fmt::Arguments<'_>) {
    writeln!(text, "{shown}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_shown_by_purpose() {
        let before = WRITTEN[Purpose::Nonces as usize].load(Relaxed);
        Purpose::of_table("nonces").wrote(7);
        Purpose::of_table("nonces").synced();
        let disk = Disk::default();
        disk.evicted.store(3, Relaxed);
        let mut page = Vec::new();
        disk.render(None, &mut page);
        let page = String::from_utf8(page).unwrap();
        let shown = page.lines().find_map(|line| {
            line.strip_prefix("twinlet_disk_written_bytes_total{purpose=\"nonces\"} ")?.parse::<u64>().ok()
        });
        assert!(shown.unwrap() >= before + 7, "{page}");
        assert!(page.contains("twinlet_artifacts_evicted_total 3\n"), "{page}");
        assert!(!page.contains("twinlet_disk_written_total_bytes"), "{page}");
        assert_eq!(NAMES[Purpose::Database as usize], "database");
    }
}
