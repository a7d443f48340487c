//! Tables and the commits of many threads, on real files.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use super::layout;
use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn opened(dir: &tempfile::TempDir) -> Arc<Store> {
    let (store, aside) = Store::open(dir.path()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(aside, None);
    store.started().unwrap_or_else(|e| panic!("{e}"));
    Arc::new(store)
}

fn patterned(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1] ^ seed).collect()
}

#[test]
fn values_of_every_length_read_back_after_reopening_and_leave_nothing_when_removed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let lengths = [0, 1, CHUNK_BYTES - 9, CHUNK_BYTES - 8, 3 * CHUNK_BYTES, 64 << 10, MAX_VALUE_BYTES];
    let store = opened(&dir);
    let table = store.table("a");
    for (key, &length) in (0u8..).zip(&lengths) {
        table.commit(&[(&[key], Some(&patterned(length, 0)))])?;
    }
    drop((store, table));
    let store = opened(&dir);
    let table = store.table("a");
    let scanned: Vec<Vec<u8>> = table.scan(b"")?.into_iter().map(|(_, value)| value).collect();
    assert_eq!(scanned, lengths.map(|length| patterned(length, 0)));
    for (key, &length) in (0u8..).zip(&lengths) {
        assert_eq!(table.get(&[key])?, Some(patterned(length, 0)));
        // A longer or shorter value in its place leaves none of its chunks.
        table.commit(&[(&[key], Some(&patterned(MAX_VALUE_BYTES - length, 1)))])?;
        assert_eq!(table.get(&[key])?, Some(patterned(MAX_VALUE_BYTES - length, 1)));
        table.commit(&[(&[key], None)])?;
    }
    assert_eq!(store.base.shared()?.len(), 0, "chunks are left behind");
    Ok(())
}

#[test]
fn tables_and_prefixes_keep_to_themselves() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = opened(&dir);
    let (a, ab) = (store.table("a"), store.table("ab"));
    let changes: [(&[u8], Option<&[u8]>); 5] = [
        (b"x", Some(b"1")),
        (b"f/2", Some(b"2")),
        (b"f/1", Some(b"1")),
        (b"fx", Some(b"3")),
        (b"x", Some(b"last")),
    ];
    a.commit(&changes)?;
    ab.commit(&[(b"f/1", Some(b"other"))])?;
    let record = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
    assert_eq!(a.scan(b"f/")?, [record(b"f/1", b"1"), record(b"f/2", b"2")]);
    assert_eq!(a.keys(b"", 1, 2)?, [b"f/2".to_vec(), b"fx".to_vec()]);
    assert_eq!(a.next(b"f/", b"f/")?, Some((b"f/1".to_vec(), 1)));
    assert_eq!(a.next(b"f/", b"f/1")?, Some((b"f/2".to_vec(), 1)));
    assert_eq!(a.next(b"f/", b"f/2")?, None);
    let mut lengths = Vec::new();
    a.lengths(b"", |key, length| lengths.push((key.to_vec(), length)))?;
    assert_eq!(lengths.last(), Some(&(b"x".to_vec(), 4)));
    assert_eq!(a.get(b"x")?, Some(b"last".to_vec()), "the last change of a key counts");
    assert_eq!(ab.scan(b"")?, [record(b"f/1", b"other")]);
    a.remove_lazily(b"f/1")?;
    assert_eq!(a.get(b"f/1")?, None);
    assert!(matches!(
        a.commit(&[(b"k", Some(&vec![0; MAX_VALUE_BYTES + 1]))]),
        Err(StoreError::TooLarge { .. })
    ));
    assert!(matches!(a.commit(&[(&[0; MAX_KEY_BYTES + 1], Some(b""))]), Err(StoreError::TooLarge { .. })));
    Ok(())
}

#[test]
fn a_damaged_record_is_found_counted_and_removed_and_the_others_stay() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = opened(&dir);
    let table = store.table("a");
    for key in [b"1", b"2", b"3", b"4"] {
        table.commit(&[(key, Some(&patterned(3 * CHUNK_BYTES, key[0])))])?;
    }
    let spoil = |place: Vec<u8>| -> Outcome {
        let mut bytes = store.base.shared()?.get(&place)?.map(|b| b.to_vec()).unwrap_or_default();
        *bytes.last_mut().ok_or("nothing there")? ^= 1;
        store.base.shared()?.insert(place, bytes)?;
        Ok(())
    };
    spoil(layout::key("a", b"1"))?;
    store.base.shared()?.remove(layout::chunk_key("a", b"3", 1))?;
    // Whole, but in another's place.
    let fourth = store.base.shared()?.get(layout::key("a", b"4"))?.ok_or("nothing there")?;
    store.base.shared()?.insert(layout::key("a", b"5"), fourth)?;

    assert!(matches!(table.get(b"1"), Err(StoreError::Damaged(_))));
    table.discard_damaged(b"1")?;
    table.discard_damaged(b"2")?;
    assert_eq!(table.get(b"2")?, Some(patterned(3 * CHUNK_BYTES, b'2')), "it is whole, and so it stays");
    assert_eq!(store.damaged(), 1);
    let keys: Vec<Vec<u8>> = table.scan(b"")?.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [b"2", b"4"]);
    assert_eq!(store.damaged(), 3);
    assert_eq!(table.get(b"1")?, None);
    assert_eq!(store.base.shared()?.scan_prefix(b"t/").count(), 2);

    let mut newer = store.base.shared()?.get(layout::key("a", b"2"))?.ok_or("nothing there")?.to_vec();
    newer[0] = layout::FORMAT + 1;
    store.base.shared()?.insert(layout::key("a", b"2"), newer)?;
    assert!(matches!(table.get(b"2"), Err(StoreError::Format(..))));
    assert_eq!(table.scan(b"")?.len(), 1);
    assert_eq!(
        (store.damaged(), store.base.shared()?.scan_prefix(b"t/").count()),
        (3, 2),
        "one of the future is kept"
    );
    Ok(())
}

#[test]
fn a_damaged_record_keeps_nobody_from_the_others_where_it_can_not_be_removed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = opened(&dir);
    let table = store.table("a");
    table.commit(&[(b"1", Some(b"one")), (b"2", Some(b"two"))])?;
    store.base.shared()?.insert(layout::key("a", b"1"), b"")?;
    table.sync()?;
    drop((table, store));
    let store = Store::with_space(dir.path(), |_| Ok(0))?;
    assert_eq!(store.table("a").scan(b"")?, [(b"2".to_vec(), b"two".to_vec())]);
    assert_eq!(store.damaged(), 1);
    drop(store);
    let store = opened(&dir);
    assert_eq!(store.table("a").scan(b"")?.len(), 1);
    assert_eq!(store.base.shared()?.len(), 1, "it goes as soon as there is room");
    Ok(())
}

#[test]
fn changes_hold_all_or_none_and_are_on_the_disk_when_commit_returns() -> Outcome {
    let dir = tempfile::tempdir()?;
    let copies = tempfile::tempdir()?;
    let store = opened(&dir);
    let table = store.table("a");
    for round in 0u8..20 {
        let value = patterned(usize::from(round) * 1000, round);
        table.commit(&[(b"1", Some(&value)), (b"2", Some(&value))])?;
        // What a crash at this moment would leave; sled writes the rest of its buffer later.
        let copy = copies.path().join(round.to_string());
        fs::create_dir_all(copy.join("db"))?;
        for name in ["db", "conf"] {
            fs::copy(dir.path().join("db").join(name), copy.join("db").join(name))?;
        }
    }
    for round in 0u8..20 {
        let (left, _) = Store::open(&copies.path().join(round.to_string()))?;
        let left = Arc::new(left).table("a");
        let expected = patterned(usize::from(round) * 1000, round);
        assert_eq!(left.get(b"1")?.as_ref(), Some(&expected), "round {round}");
        assert_eq!(left.get(b"2")?, Some(expected), "round {round}");
    }
    Ok(())
}

#[test]
fn many_threads_commits_are_all_there() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = opened(&dir);
    std::thread::scope(|scope| {
        for thread in 0u8..8 {
            let table = store.table("a");
            scope.spawn(move || {
                for n in 0u8..25 {
                    let value = patterned(6000, n);
                    assert!(table.commit(&[(&[thread, n], Some(&value)), (b"shared", Some(&value))]).is_ok());
                    // Written by all at once, and whole at any moment.
                    assert!(table.get(b"shared").is_ok_and(|value| value.is_some()));
                }
            });
        }
    });
    let keys: BTreeSet<Vec<u8>> = store.table("a").keys(b"", 0, 1000)?.into_iter().collect();
    assert_eq!(keys.len(), 201);
    assert_eq!(store.damaged(), 0);
    Ok(())
}

#[test]
fn a_full_disk_is_refused_before_anything_changes() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = opened(&dir);
    store.write("x", b"before")?;
    let table = store.table("a");
    table.commit(&[(b"1", Some(b"1"))])?;
    drop((store, table));

    // As much is left as the named records need, and then not even what removing does.
    let store = Store::with_space(dir.path(), |_| Ok(RESERVE_OF_RECORDS))?;
    let table = store.table("a");
    assert!(matches!(table.commit(&[(b"2", Some(b"2"))]), Err(StoreError::Full(..))));
    store.write("x", b"after")?;
    assert!(table.commit(&[(b"1", None)]).is_ok(), "removing is what helps");
    drop((store, table));

    let store = Store::with_space(dir.path(), |_| Ok(RESERVE_OF_ALL - 1))?;
    let table = store.table("a");
    assert!(matches!(store.write("x", b"never"), Err(StoreError::Full(..))));
    assert!(matches!(table.remove_lazily(b"1"), Err(StoreError::Full(..))));
    assert!(table.sync().is_err());
    assert_eq!((table.get(b"1")?, table.get(b"2")?), (None, None));
    assert_eq!(store.read("x")?, Some(b"after".to_vec()));
    Ok(())
}

#[test]
fn what_one_fsync_could_not_keep_is_an_error_for_all_who_waited_for_it() -> Outcome {
    static FREE: AtomicU64 = AtomicU64::new(u64::MAX);
    let dir = tempfile::tempdir()?;
    let store = Store::with_space(dir.path(), |_| Ok(FREE.load(Relaxed)))?;
    let table = store.table("a");
    let pending: Vec<Pending> = [b"1", b"2", b"3"]
        .iter()
        .map(|key| table.apply(&[(&key[..], Some(b"v"))]))
        .collect::<Result<_, _>>()?;
    FREE.store(0, Relaxed);
    let waiting: Vec<_> =
        pending.into_iter().map(|pending| std::thread::spawn(move || pending.durable().is_err())).collect();
    for thread in waiting {
        assert!(thread.join().unwrap_or(false), "one was told that its record is on the disk");
    }
    FREE.store(u64::MAX, Relaxed);
    table.commit(&[(b"4", Some(b"v"))])?;
    assert_eq!(table.scan(b"")?.len(), 4, "nothing is the worse for it");
    Ok(())
}

#[test]
fn the_database_does_not_grow_with_what_passes_through() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = opened(&dir);
    let table = store.table("a");
    let large = patterned(64 << 10, 1);
    for n in 0u32..600 {
        let gone = n.wrapping_sub(4).to_be_bytes();
        table.commit(&[(&n.to_be_bytes(), Some(&large)), (&gone, None)])?;
    }
    let bytes = store.base.shared()?.size_on_disk()?;
    assert!(bytes < 8 << 20, "{bytes} bytes for 256 KiB that live");
    Ok(())
}

/// Not a test: prints how many commits a second the disk below the temporary directory takes.
#[test]
#[allow(clippy::print_stdout)]
#[ignore = "a measurement; run it by name with --ignored --nocapture, in release"]
fn commits_per_second() -> Outcome {
    for (threads, length) in [(1, 100), (8, 100), (16, 100), (1, 64 << 10), (16, 64 << 10)] {
        let dir = tempfile::tempdir()?;
        let store = opened(&dir);
        let (done, began) = (AtomicUsize::new(0), Instant::now());
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (table, done, value) = (store.table("a"), &done, patterned(length, 0));
                scope.spawn(move || {
                    let mut n = 0u8;
                    while began.elapsed() < Duration::from_secs(3) {
                        assert!(table.commit(&[(&[thread, n % 64], Some(&value))]).is_ok());
                        n = n.wrapping_add(1);
                        done.fetch_add(1, Relaxed);
                    }
                });
            }
        });
        let rate = done.load(Relaxed) as f64 / began.elapsed().as_secs_f64();
        println!("{threads} threads, {length} bytes: {rate:.0} commits/s");
    }
    Ok(())
}

#[test]
fn the_seals_of_an_earlier_version_go_and_nothing_else() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = opened(&dir);
    store.write("seal/ab", b"a seal")?;
    store.write("sealed", b"something else")?;
    store.forget_seals()?;
    assert_eq!(store.read("seal/ab")?, None);
    assert_eq!(store.read("sealed")?, Some(b"something else".to_vec()));
    store.forget_seals()?;
    Ok(())
}
