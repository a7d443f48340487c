//! The file itself, and what a database says that has less than it says.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::{MAX_FAILED_STARTS, Store};
use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// An older state of a database, taken while an agent ran, in its place; nobody has it open.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(to)?,
    }
    for name in ["db", "conf"] {
        fs::copy(from.join(name), to.join(name))?;
    }
    Ok(())
}

fn opened(state: &Path) -> Result<Arc<Store>, super::super::StoreError> {
    let (store, _) = Store::open(state)?;
    store.started()?;
    Ok(Arc::new(store))
}

#[test]
fn the_later_whole_slot_counts_and_a_torn_one_never() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (db, path) = (dir.path().join("db"), dir.path().join("db.witness"));
    let witness = Witness::beside(&db);
    assert_eq!(witness.at_start, Said::default());
    for commits in 1..=5 {
        witness.numbered(commits * 10);
        witness.waiting(commits);
        witness.committed(commits, witness.noted());
    }
    witness.accepted(7);
    witness.sync()?;
    let last = Said { commits: 5, number: 50, waiting: 5, accepted: 7 };
    assert_eq!(Witness::beside(&db).at_start, last);
    let whole = fs::read(&path)?;
    assert_eq!(whole.len(), 2 * SLOT);
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path)?) & 0o777, 0o600);
    let before = Said { accepted: 0, ..last };
    for at in 0..whole.len() {
        let mut torn = whole.clone();
        torn[at] ^= 0x20;
        fs::write(&path, &torn)?;
        let found = Witness::beside(&db).at_start;
        // The sixth write went to the first slot.
        assert_eq!(found, if at < SLOT { before } else { last }, "byte {at}");
        fs::write(&path, &whole[..at])?;
        let found = Witness::beside(&db).at_start;
        assert_eq!(found, if at < SLOT { Said::default() } else { last }, "{at} bytes");
    }
    // It goes on from what is whole, and what stands in its way goes.
    fs::remove_file(&path)?;
    fs::create_dir(&path)?;
    let witness = Witness::beside(&db);
    witness.committed(1, (2, 3));
    assert_eq!(Witness::beside(&db).at_start, Said { commits: 1, number: 2, waiting: 3, accepted: 0 });
    assert!(dir.path().join("db.witness.damaged").is_dir());
    Ok(())
}

#[test]
fn a_database_that_has_gone_back_says_so_once() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (db, older) = (dir.path().join("db"), dir.path().join("older"));
    let store = opened(dir.path())?;
    let table = store.table("a");
    for n in 0u8..9 {
        table.commit(&[(&[n], Some(b"v"))])?;
        if n == 5 {
            put(&db, &older)?;
        }
    }
    drop((table, store));
    // As a kill leaves it, there is nothing to be said.
    let store = opened(dir.path())?;
    assert_eq!((store.gone_back(), store.damaged()), (0, 0));
    drop(store);
    put(&older, &db)?;
    let store = opened(dir.path())?;
    assert_eq!((store.gone_back(), store.damaged()), (3, 1));
    assert_eq!(store.table("a").keys(b"", 0, 99)?.len(), 6);
    store.told_of_loss(store.untold_loss().unwrap_or_default());
    drop(store);
    let store = opened(dir.path())?;
    assert_eq!((store.gone_back(), store.damaged()), (0, 0), "it was told");
    store.table("a").commit(&[(b"x", Some(b"v"))])?;
    store.close();
    drop(store);
    // The same after a clean end, and where nothing at all is left.
    fs::remove_file(db.join("db"))?;
    assert_eq!(opened(dir.path())?.gone_back(), 10);
    // And where the file is gone there is nothing to hold it against.
    fs::remove_file(dir.path().join("db.witness"))?;
    put(&older, &db)?;
    assert_eq!(opened(dir.path())?.gone_back(), 0);
    Ok(())
}

#[test]
fn at_no_moment_is_it_ahead_of_what_a_kill_leaves() -> Outcome {
    let dir = tempfile::tempdir()?;
    let copies = tempfile::tempdir()?;
    let store = opened(dir.path())?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| -> Outcome {
        for thread in 0u8..4 {
            let (table, done) = (store.table("a"), &done);
            scope.spawn(move || {
                let mut n = 0u64;
                while !done.load(Relaxed) {
                    n += 1;
                    let numbered = super::super::Numbered { last: n * 4 + u64::from(thread), waiting: n };
                    let pending = table.apply_numbered(&[(&[thread], Some(&n.to_be_bytes()))], numbered);
                    assert!(pending.and_then(|pending| pending.durable()).is_ok());
                }
            });
        }
        let taken = (0..20).try_for_each(|copy| -> Outcome {
            // First what is written last: whatever the witness says by now is in the database.
            let to = copies.path().join(copy.to_string());
            while !dir.path().join("db.witness").exists() {
                std::thread::yield_now();
            }
            fs::create_dir(&to)?;
            fs::copy(dir.path().join("db.witness"), to.join("db.witness"))?;
            Ok(put(&dir.path().join("db"), &to.join("db"))?)
        });
        done.store(true, Relaxed);
        taken
    })?;
    for copy in 0..20 {
        let left = opened(&copies.path().join(copy.to_string()))?;
        assert_eq!(left.gone_back(), 0, "copy {copy}");
        let table = left.table("a");
        let numbers = (0u8..4).map(|thread| -> Result<u64, Box<dyn std::error::Error>> {
            let value = table.get(&[thread])?.unwrap_or_default();
            Ok(value.first_chunk().map_or(0, |n| u64::from_be_bytes(*n)) * 4 + u64::from(thread))
        });
        let highest = numbers.collect::<Result<Vec<_>, _>>()?.into_iter().max();
        assert!(highest >= Some(table.numbered_before().last), "copy {copy}");
    }
    Ok(())
}

#[test]
fn what_could_not_be_made_durable_is_not_witnessed_and_a_database_written_anew_counts_on() -> Outcome {
    static BROKEN: AtomicBool = AtomicBool::new(false);
    let sync: fn(&File) -> io::Result<()> = |file| {
        if BROKEN.load(Relaxed) { Err(io::Error::from_raw_os_error(libc::EIO)) } else { file.sync_data() }
    };
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("db.witness");
    let store = Store::with_seams(dir.path(), |_| Ok(u64::MAX), sync)?;
    let table = store.table("a");
    let number = |last: u64| super::super::Numbered { last, waiting: last };
    table.apply_numbered(&[(b"1", Some(b"v"))], number(1))?.durable()?;
    let before = fs::read(&path)?;
    BROKEN.store(true, Relaxed);
    assert!(table.apply_numbered(&[(b"2", Some(b"v"))], number(2))?.durable().is_err());
    assert_eq!(fs::read(&path)?, before);
    BROKEN.store(false, Relaxed);
    store.tend();
    assert!(store.health().writable);
    table.commit(&[(b"3", Some(b"v"))])?;
    let said = Witness::beside(&dir.path().join("db")).at_start;
    assert_eq!(said.number, 1, "the second may not be there");
    drop((table, store));
    let store = opened(dir.path())?;
    assert_eq!((store.gone_back(), store.damaged()), (0, 0));
    Ok(())
}

#[test]
fn a_database_set_aside_because_no_start_got_through_has_lost_nothing() -> Outcome {
    let dir = tempfile::tempdir()?;
    for _ in 0..MAX_FAILED_STARTS {
        Store::open(dir.path())?.0.write("x", b"kept")?;
    }
    let (store, aside) = Store::open(dir.path())?;
    assert!(aside.is_some());
    assert_eq!(store.gone_back(), 0);
    store.started()?;
    drop(store);
    assert_eq!(opened(dir.path())?.gone_back(), 0, "it counts on, though it was made anew");
    Ok(())
}

#[test]
fn a_desired_state_that_is_nowhere_any_more_is_missed() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = opened(dir.path())?;
    assert_eq!((store.accepted()?, store.damaged()), (None, 0));
    store.base.witness.accepted(7);
    drop(store);
    let store = opened(dir.path())?;
    assert_eq!((store.accepted()?, store.damaged()), (None, 1));
    Ok(())
}
