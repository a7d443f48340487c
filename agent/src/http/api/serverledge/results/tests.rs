use std::sync::Arc;

use super::*;
use crate::store::Store;

struct Kept {
    dir: tempfile::TempDir,
    table: Option<Table>,
    results: Results,
    now: Instant,
}

impl Kept {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Self { dir, table: None, results: Results::default(), now: Instant::now() };
        kept.restart();
        kept
    }

    /// As after a restart of the agent.
    fn restart(&mut self) {
        self.table = None;
        let (store, aside) = Store::open(self.dir.path()).unwrap();
        assert_eq!(aside, None);
        self.table = Some(Arc::new(store).table("results"));
        self.results = Results::default();
    }

    fn table(&self) -> &Table {
        self.table.as_ref().unwrap()
    }

    fn begin(&self) -> Result<String, Refused> {
        self.results.begin(self.table(), &"fn".parse().unwrap(), false, self.now)
    }

    fn end(&self, id: &str, result: &str) {
        let report = Report { success: true, result: result.to_owned(), ..Report::unmeasured("") };
        self.results.end(self.table(), id, report, self.now);
    }

    fn find(&self, id: &str) -> Found {
        self.results.find(self.table(), id, self.now)
    }

    fn result(&self, id: &str) -> String {
        match self.find(id) {
            Found::Report(report) => report["Result"].as_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn records(&self) -> usize {
        self.table().scan(b"").unwrap().len()
    }
}

#[test]
fn a_result_is_there_once_it_has_ended_and_for_half_an_hour() {
    let mut kept = Kept::new();
    let id = kept.begin().unwrap();
    assert_eq!(kept.find(&id), Found::Nothing, "pending");
    kept.now += KEPT * 2;
    kept.end(&id, "done");
    kept.now += KEPT - Duration::from_millis(1);
    assert_eq!(kept.result(&id), "done");
    kept.now += Duration::from_millis(1);
    assert_eq!(kept.find(&id), Found::Nothing);
    assert_eq!(kept.records(), 0, "nothing is left on the disk");
}

#[test]
fn ids_are_long_and_never_the_same() {
    let kept = Kept::new();
    let mut ids: Vec<String> = (0..100).map(|_| kept.begin().unwrap()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    let numbers: Vec<u64> = ids.iter().map(|id| id.strip_prefix("fn-").unwrap().parse().unwrap()).collect();
    assert!(numbers.iter().any(|n| *n > u64::MAX / 2) && numbers.iter().any(|n| *n < u64::MAX / 2));
}

#[test]
fn a_restart_keeps_what_is_there_and_ends_what_was_pending() {
    let mut kept = Kept::new();
    let (done, pending) = (kept.begin().unwrap(), kept.begin().unwrap());
    kept.end(&done, "done");
    kept.now += KEPT / 2;
    kept.restart();
    kept.now += KEPT / 2;
    assert_eq!(kept.result(&done), "done", "the time begins anew: the clock may be wrong");
    let Found::Report(report) = kept.find(&pending) else { panic!("nothing is told of it") };
    assert_eq!((report["Success"].as_bool(), report["Result"].as_str()), (Some(false), Some(INTERRUPTED)));
    kept.now += KEPT;
    assert_eq!(kept.find(&pending), Found::Nothing);
    assert_eq!(kept.records(), 0);
}

#[test]
fn there_are_never_more_than_a_thousand_and_none_is_dropped_for_another() {
    let mut kept = Kept::new();
    let mut ids = Vec::new();
    for _ in 0..MAX_RESULTS {
        let id = kept.begin().unwrap();
        kept.end(&id, "x");
        ids.push(id);
    }
    assert!(matches!(kept.begin(), Err(Refused::Full)));
    assert!(ids.iter().all(|id| kept.result(id) == "x"));
    kept.restart();
    assert!(matches!(kept.begin(), Err(Refused::Full)), "they count after a restart as well");
    kept.now += KEPT;
    assert!(kept.begin().is_ok());
    assert_eq!(kept.records(), 1);
}

#[test]
fn what_is_promised_fits_even_if_it_is_as_large_as_it_may_be() {
    let kept = Kept::new();
    let large = "x".repeat(MAX_RESULT_BYTES);
    let mut ids = Vec::new();
    let full = loop {
        match kept.begin() {
            Ok(id) => ids.push(id),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(full, Refused::Full));
    assert_eq!(ids.len(), MAX_BYTES / (MAX_RESULT_BYTES + OVERHEAD));
    for id in &ids {
        kept.end(id, &large);
    }
    assert!(ids.iter().all(|id| kept.result(id) == large));
    assert!(matches!(kept.begin(), Err(Refused::Full)));
}

#[test]
fn a_small_result_gives_back_the_room_that_it_did_not_need() {
    let kept = Kept::new();
    for _ in 0..500 {
        let id = kept.begin().unwrap();
        kept.end(&id, "small");
    }
}

#[test]
fn a_result_that_is_too_large_is_told_as_failed() {
    let kept = Kept::new();
    let id = kept.begin().unwrap();
    kept.end(&id, &"x".repeat(MAX_RESULT_BYTES + 1));
    let Found::Report(report) = kept.find(&id) else { panic!("nothing is told of it") };
    assert_eq!(report["Success"], false);
    assert!(report["Result"].as_str().unwrap().contains("65537 bytes"), "{report}");
}

#[test]
fn what_was_printed_comes_with_its_result() {
    let mut kept = Kept::new();
    let id = kept.results.begin(kept.table(), &"fn".parse().unwrap(), true, kept.now).unwrap();
    let report = Report { output: Some("ü\n".repeat(100)), ..Report::unmeasured("r") };
    let told = report.json();
    kept.results.end(kept.table(), &id, report, kept.now);
    kept.restart();
    assert_eq!(kept.find(&id), Found::Report(told));
}

#[test]
fn a_disk_without_room_promises_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::with_space(dir.path(), |_| Ok(0)).unwrap();
    let (table, results) = (store.table("results"), Results::default());
    let now = Instant::now();
    for _ in 0..3 {
        let refused = results.begin(&table, &"fn".parse().unwrap(), false, now);
        assert!(matches!(refused, Err(Refused::Store(_))));
    }
    assert_eq!(results.lock().as_ref().map(|index| (index.entries.len(), index.bytes)), Some((0, 0)));
}

#[test]
fn what_was_promised_and_can_not_be_kept_is_told_as_lost() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static FREE: AtomicU64 = AtomicU64::new(u64::MAX);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::with_space(dir.path(), |_| Ok(FREE.load(Ordering::Relaxed))).unwrap();
    let (table, results) = (store.table("results"), Results::default());
    let now = Instant::now();
    let id = results.begin(&table, &"fn".parse().unwrap(), false, now).unwrap();
    FREE.store(0, Ordering::Relaxed);
    results.end(&table, &id, Report::unmeasured("x"), now);
    assert_eq!(results.find(&table, &id, now), Found::Unreadable);
}
