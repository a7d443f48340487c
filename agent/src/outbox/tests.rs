//! The outbox on a real store: order, room, restarts and damage.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use twinlet_host::TelemetrySink;
use twinlet_host::telemetry::Error;

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What a message of ten bytes costs.
const TEN: usize = ENTRY_BYTES + 10;

fn opened(dir: &tempfile::TempDir, max_bytes: usize) -> (Arc<Store>, Outbox) {
    let (store, aside) = Store::open(dir.path()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(aside, None);
    store.started().unwrap_or_else(|e| panic!("{e}"));
    let store = Arc::new(store);
    let outbox = Outbox::open(&store, max_bytes).unwrap_or_else(|e| panic!("{e}"));
    (store, outbox)
}

fn send(outbox: &Outbox, function: &str, n: u64) -> u64 {
    let message = format!("{n:010}").into_bytes();
    outbox.send(function, message).unwrap_or_else(|e| panic!("{function} {n}: {e:?}"))
}

/// Everything that waits, from the oldest: whose, and what.
fn waiting(outbox: &Outbox) -> Vec<(String, u64)> {
    let mut last = None;
    std::iter::from_fn(|| {
        let entry = outbox.after(last)?;
        assert!(last.is_none_or(|last| entry.id > last));
        last = Some(entry.id);
        let number = std::str::from_utf8(&entry.payload).ok().and_then(|text| text.parse().ok());
        Some((entry.function_id.to_string(), number.unwrap_or(u64::MAX)))
    })
    .collect()
}

fn owned(messages: &[(&str, u64)]) -> Vec<(String, u64)> {
    messages.iter().map(|(function, n)| ((*function).to_owned(), *n)).collect()
}

#[test]
fn messages_leave_in_order_and_stay_until_acknowledged() {
    let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let (_store, outbox) = opened(&dir, 10_000);
    assert_eq!(send(&outbox, "b", 1), 1);
    assert_eq!(send(&outbox, "a", 2), 1);
    assert_eq!(send(&outbox, "b", 3), 2);
    assert_eq!(waiting(&outbox), owned(&[("b", 1), ("a", 2), ("b", 3)]));
    let second = outbox.after(outbox.after(None).map(|e| e.id)).map_or(0, |e| e.id);
    outbox.acknowledge(second);
    outbox.acknowledge(second);
    assert_eq!(waiting(&outbox), owned(&[("b", 1), ("b", 3)]));
    let counts = Counts { messages: 2, bytes: 2 * TEN, ..Counts::default() };
    assert_eq!(outbox.counts(), counts);
}

#[test]
fn what_was_taken_is_there_after_a_restart_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let (store, outbox) = opened(&dir, 10_000);
    for n in 1..=3 {
        assert_eq!(send(&outbox, "a", n), n);
    }
    assert_eq!(send(&outbox, "b", 4), 1);
    for _ in 0..3 {
        outbox.acknowledge(outbox.after(None).map_or(0, |e| e.id));
    }
    outbox.tidy();
    drop((store, outbox));
    let (_store, outbox) = opened(&dir, 10_000);
    assert_eq!(waiting(&outbox), owned(&[("b", 4)]));
    assert_eq!(send(&outbox, "a", 5), 4, "a number is never used again, though nothing of it was left");
    assert_eq!(send(&outbox, "b", 6), 2);
    assert_eq!(waiting(&outbox), owned(&[("b", 4), ("a", 5), ("b", 6)]));
    assert_eq!(outbox.counts(), Counts { messages: 3, bytes: 3 * TEN, ..Counts::default() });
}

#[test]
fn a_flood_drops_its_own_oldest_and_none_of_its_neighbours() {
    let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let (store, outbox) = opened(&dir, 10 * TEN);
    for n in 1..=3 {
        send(&outbox, "quiet", n);
    }
    for n in 1..=40 {
        assert_eq!(send(&outbox, "flood", n), n);
    }
    let expected: Vec<(&str, u64)> =
        (1..=3).map(|n| ("quiet", n)).chain((34..=40).map(|n| ("flood", n))).collect();
    assert_eq!(waiting(&outbox), owned(&expected));
    let full = Counts { messages: 10, bytes: 10 * TEN, dropped: 33, ..Counts::default() };
    assert_eq!(outbox.counts(), full);
    drop((store, outbox));
    let (_store, outbox) = opened(&dir, 10 * TEN);
    assert_eq!(waiting(&outbox), owned(&expected));
    assert_eq!(outbox.counts(), Counts { dropped: 0, ..full }, "dropped ones are no missing ones");
    // One that comes later gets its share out of the flood's, up to the same share.
    for n in 1..=8 {
        send(&outbox, "late", n);
    }
    let mut shares = BTreeMap::new();
    for (function, _) in waiting(&outbox) {
        *shares.entry(function).or_insert(0) += 1;
    }
    let shares: Vec<(&str, i32)> = shares.iter().map(|(function, n)| (function.as_str(), *n)).collect();
    assert_eq!(shares, [("flood", 4), ("late", 3), ("quiet", 3)]);
}

#[test]
fn a_large_message_takes_the_place_of_many_small_ones_at_once() {
    let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let (_store, outbox) = opened(&dir, 70_000);
    for n in 0..500 {
        send(&outbox, if n % 2 == 0 { "a" } else { "b" }, n);
    }
    assert_eq!(outbox.counts().dropped, 0);
    assert_eq!(outbox.send("c", vec![0; MAX_MESSAGE_BYTES]).ok(), Some(1));
    let fit = (70_000 - MAX_MESSAGE_BYTES - ENTRY_BYTES) / TEN;
    let counts = outbox.counts();
    assert_eq!((counts.messages, counts.dropped), (fit + 1, 500 - fit as u64));
    let left = waiting(&outbox);
    assert!(left.iter().filter(|(function, _)| function == "a").count().abs_diff(fit / 2) <= 1);
    assert!(matches!(outbox.send("c", vec![0; MAX_MESSAGE_BYTES + 1]), Err(Error::TooLarge(65_536))));
}

#[test]
fn what_is_dropped_on_its_way_may_be_acknowledged_all_the_same() {
    let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let (_store, outbox) = opened(&dir, 2 * TEN);
    send(&outbox, "a", 1);
    send(&outbox, "a", 2);
    let first = outbox.after(None).map_or(0, |e| e.id);
    send(&outbox, "a", 3);
    outbox.acknowledge(first);
    assert_eq!(waiting(&outbox), owned(&[("a", 2), ("a", 3)]));
    let counts = Counts { messages: 2, bytes: 2 * TEN, dropped: 1, ..Counts::default() };
    assert_eq!(outbox.counts(), counts);
}

#[test]
fn damaged_and_missing_messages_are_counted_and_the_others_come() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (store, outbox) = opened(&dir, 100_000);
    for n in 1..=6 {
        send(&outbox, "a", n);
        send(&outbox, "b", n);
    }
    drop(outbox);
    let table = store.table("outbox");
    let keys = table.keys(place::MESSAGES, 0, 100)?;
    // The third and the last of a are gone, and the first of b.
    for missing in [2, 5, 6] {
        table.remove_lazily(&keys[missing])?;
    }
    let outbox = Outbox::open(&store, 100_000)?;
    assert_eq!(outbox.counts().lost, 2, "what is missing before the first can have been delivered");
    assert_eq!(send(&outbox, "a", 7), 7);
    // Now, while it runs, all of a.
    for key in table.keys(b"ma/", 0, 100)? {
        table.remove_lazily(&key)?;
    }
    assert_eq!(waiting(&outbox), owned(&[("b", 2), ("b", 3), ("b", 4), ("b", 5), ("b", 6)]));
    assert_eq!((outbox.counts().lost, outbox.counts().messages), (7, 5));
    Ok(())
}

#[test]
fn a_message_that_the_disk_does_not_keep_is_not_taken() -> Outcome {
    static FREE: AtomicU64 = AtomicU64::new(u64::MAX);
    static FAILING: AtomicU64 = AtomicU64::new(u64::MAX);
    // `FREE`, but for one question.
    let free = |_: &std::path::Path| match FAILING.fetch_sub(1, Relaxed) {
        0 => Ok(0),
        _ => Ok(FREE.load(Relaxed)),
    };
    let dir = tempfile::tempdir()?;
    let store = Store::with_space(dir.path(), free)?;
    let outbox = Outbox::open(&store, 2 * TEN)?;
    send(&outbox, "a", 1);
    send(&outbox, "a", 2);
    FREE.store(0, Relaxed);
    let refused = outbox.send("a", b"0000000003".to_vec());
    assert!(matches!(&refused, Err(Error::Storage(why)) if why.contains("full")), "{refused:?}");
    FREE.store(u64::MAX, Relaxed);
    let counts = Counts { messages: 2, bytes: 2 * TEN, refused: 1, ..Counts::default() };
    assert_eq!(outbox.counts(), counts, "no room was made for what was not taken");
    assert_eq!(waiting(&outbox), owned(&[("a", 1), ("a", 2)]));

    // It is written, and then can not be made durable.
    FAILING.store(1, Relaxed);
    assert!(matches!(outbox.send("b", b"0000000004".to_vec()), Err(Error::Storage(_))));
    assert_eq!(waiting(&outbox), owned(&[("a", 2)]));
    assert_eq!((outbox.counts().messages, outbox.counts().refused), (1, 2));
    assert_eq!(send(&outbox, "b", 5), 2, "its number is not used again");
    Ok(())
}

#[test]
fn only_so_many_functions_are_remembered() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (store, outbox) = opened(&dir, 100_000);
    {
        let mut state = outbox.state();
        for n in 1..=MAX_FUNCTIONS as u64 {
            let last = place::Counter { sequence: 1, id: n };
            let queue = state::Queue { last, ..state::Queue::default() };
            state.queues.insert(format!("f{n}").into(), queue);
        }
        state.last_id = MAX_FUNCTIONS as u64;
    }
    store.table("outbox").commit(&[(&place::Counter::key("f1"), Some(&[0; 16]))])?;
    assert_eq!(send(&outbox, "f2", 1), 2);
    assert_eq!(send(&outbox, "new", 1), 1);
    assert_eq!(outbox.state().queues.len(), MAX_FUNCTIONS);
    let counters = store.table("outbox").keys(place::COUNTERS, 0, 100)?;
    assert_eq!(counters, [b"cf2".to_vec(), b"cnew".to_vec()], "f1 was silent the longest");
    Ok(())
}

#[test]
fn many_threads_messages_keep_each_function_s_order() {
    let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let (_store, outbox) = opened(&dir, 1 << 20);
    std::thread::scope(|scope| {
        for function in ["a", "b", "c", "d"] {
            let outbox = &outbox;
            scope.spawn(move || {
                for n in 1..=40 {
                    assert_eq!(send(outbox, function, n), n);
                }
            });
        }
    });
    for function in ["a", "b", "c", "d"] {
        let of_it: Vec<u64> =
            waiting(&outbox).into_iter().filter(|(f, _)| f == function).map(|(_, n)| n).collect();
        assert_eq!(of_it, (1..=40).collect::<Vec<u64>>());
    }
}

/// Not a test: prints what a full outbox costs in memory, while it fills and after a restart.
#[test]
#[allow(clippy::print_stdout)]
#[ignore = "a measurement; run it alone by name with --ignored --nocapture, and with sled optimised"]
fn memory_of_a_full_outbox() -> Outcome {
    let pss = || -> Result<u64, Box<dyn std::error::Error>> {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    };
    let (max_bytes, length) = (8 << 20, 100);
    let dir = tempfile::tempdir()?;
    let (store, outbox) = opened(&dir, max_bytes);
    let empty = pss()?;
    std::thread::scope(|scope| {
        for function in ["a", "b", "c", "d"] {
            let outbox = &outbox;
            scope.spawn(move || {
                while outbox.counts().dropped < 100 {
                    assert!(outbox.send(function, vec![b'x'; length]).is_ok());
                }
            });
        }
    });
    let (full, messages) = (pss()?, outbox.counts().messages);
    drop((store, outbox));
    let began = Instant::now();
    let (_store, outbox) = opened(&dir, max_bytes);
    let (took, reopened) = (began.elapsed(), pss()?);
    assert_eq!(outbox.counts().messages, messages);
    println!(
        "{messages} messages of {length} bytes: {empty} kB when empty, {full} kB when full; opened again in {took:?} \
         with {reopened} kB"
    );
    let began = Instant::now();
    let mut last = None;
    while let Some(entry) = outbox.after(last) {
        last = Some(entry.id);
        outbox.acknowledge(entry.id);
    }
    println!("read and removed in {:?}, then {} kB", began.elapsed(), pss()?);
    Ok(())
}
