//! Timers that fire once, in order, and as the disk has them.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::store::Store;

fn table(dir: &tempfile::TempDir) -> Table {
    let (store, _) = Store::open(dir.path()).unwrap();
    Arc::new(store).table("timers")
}

fn texts(timers: &Timers, n: usize) -> Vec<String> {
    let text = |due| match due {
        Some(Due::Timer(timer)) => String::from_utf8(timer.message.clone()).unwrap(),
        _ => "restart".to_owned(),
    };
    (0..n).map(|_| text(timers.next())).collect()
}

#[test]
fn what_is_due_first_comes_first_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let timers = Timers::restore(table(&dir)).unwrap();
    for (ms, text) in [(700, "late"), (0, "now"), (10, "soon")] {
        assert!(timers.set("f", Duration::from_millis(ms), "g", text.into()).is_ok());
    }
    timers.restart_at(Instant::now() + Duration::from_millis(20), "f");
    assert_eq!(texts(&timers, 4), ["now", "soon", "restart", "late"]);
    drop(timers);
    let timers = Timers::restore(table(&dir)).unwrap();
    assert_eq!(timers.count(), 3, "none is over until its event is");
    let Some(Due::Timer(first)) = timers.next() else { panic!("none is due") };
    timers.over(&first);
    assert_eq!(timers.count(), 2);
    timers.forget("f").unwrap();
    drop(timers);
    assert_eq!(Timers::restore(table(&dir)).unwrap().count(), 0);
}

#[test]
fn one_that_can_not_be_read_keeps_none_from_firing_on_a_full_disk_either() {
    let dir = tempfile::tempdir().unwrap();
    let whole = table(&dir);
    let timers = Timers::restore(whole.clone()).unwrap();
    assert!(timers.set("f", Duration::ZERO, "g", "now".into()).is_ok());
    whole.commit(&[(b"none of ours", Some(b"short"))]).unwrap();
    drop((timers, whole));
    let full = Store::with_space(dir.path(), |_| Ok(0)).unwrap().table("timers");
    let timers = Timers::restore(full).unwrap();
    assert_eq!((timers.count(), texts(&timers, 1)), (1, vec!["now".to_owned()]));
}

#[test]
fn what_a_full_disk_did_not_take_when_the_clock_was_set_is_still_to_be_written() {
    static FREE: AtomicU64 = AtomicU64::new(u64::MAX);
    let dir = tempfile::tempdir().unwrap();
    let table = Store::with_space(dir.path(), |_| Ok(FREE.load(Relaxed))).unwrap().table("timers");
    let timers = Timers::restore(table).unwrap();
    assert!(timers.set("f", Duration::from_secs(60), "g", Vec::new()).is_ok());
    assert!(!timers.are_stale());
    timers.clock_stepped();
    FREE.store(0, Relaxed);
    assert!(timers.rewrite().is_err() && timers.are_stale());
    FREE.store(u64::MAX, Relaxed);
    assert!(timers.rewrite().is_ok() && !timers.are_stale());
}

#[test]
fn a_timer_keeps_what_is_left_of_its_delay_when_the_clock_was_set() {
    let dir = tempfile::tempdir().unwrap();
    let table = table(&dir);
    let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3_600));
    let timer = Timer { key: TimerKey { owner: "f".into(), id: 1 }, to: "g".into(), message: b"m".to_vec() };
    let left = |table: &Table| {
        let (key, value) = table.scan(b"").unwrap().pop().unwrap();
        record::read(&key, &value).unwrap()
    };
    // Written when the clock was a day behind: by the clock of now it was due long ago.
    let mut written = record::write(&timer, hour);
    let due = u64::from_be_bytes(*written.first_chunk().unwrap());
    written[..8].copy_from_slice(&(due - 86_400_000).to_be_bytes());
    let timers = Timers::restore(table.clone()).unwrap();
    timers.state().insert(Instant::now() + hour, Due::Timer(Arc::new(timer.clone())));
    timers.state().shares.entry("f".into()).or_default().ids.insert(1);
    table.commit(&[(&timer.key.bytes(), Some(&written))]).unwrap();
    assert_eq!(left(&table), (timer.clone(), Duration::ZERO));
    timers.rewrite().unwrap();
    let (again, rest) = left(&table);
    assert_eq!(again, timer);
    assert!(rest <= hour && rest > hour - Duration::from_secs(60), "{rest:?}");
    // One that was a day ahead is not held back either.
    let mut written = record::write(&timer, hour + day);
    written[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
    table.commit(&[(&timer.key.bytes(), Some(&written))]).unwrap();
    timers.rewrite().unwrap();
    assert!(left(&table).1 <= hour);
    // And what is over does not come back.
    timers.over(&timer);
    timers.rewrite().unwrap();
    assert_eq!(table.scan(b"").unwrap(), []);
}

#[test]
fn one_function_has_only_so_many() {
    let dir = tempfile::tempdir().unwrap();
    let timers = Timers::restore(table(&dir)).unwrap();
    let hour = Duration::from_secs(3600);
    for _ in 0..16 {
        assert!(timers.set("f", hour, "f", vec![0; 64 << 10]).is_ok());
    }
    assert!(matches!(timers.set("f", hour, "f", vec![0]), Err(Refused::Full)));
    assert!(timers.set("g", hour, "f", vec![0]).is_ok());
}
