//! Disks that fail and come back, a database that is read from memory meanwhile, and the copy of the desired state.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::{fs, io};

use serde_json::json;

use super::super::elsewhere::open_elsewhere;
use super::super::{Base, Pending, Space, Starts, Table, clean};
use super::*;
use crate::desired::{Accepted, Change, Defaults, Instances, Isolation};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const LOTS: fn(&Path) -> io::Result<u64> = |_| Ok(u64::MAX);

/// Tends until a condition holds; each try waits twice as long as the one before.
fn tended(store: &Store, until: impl Fn(&Store) -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end && !until(store) {
        if store.wants_tending() {
            store.tend();
        } else {
            std::thread::yield_now();
        }
    }
    until(store)
}

fn values(table: &Table) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(table.scan(b"")?.into_iter().map(|(key, _)| key).collect())
}

#[test]
fn after_a_failed_fsync_the_database_is_written_anew_and_nobody_is_told_that_what_was_lost_is_kept() -> Outcome
{
    static BROKEN: AtomicBool = AtomicBool::new(false);
    let sync: fn(&File) -> io::Result<()> = |file| {
        if BROKEN.load(Relaxed) { Err(io::Error::from_raw_os_error(libc::EIO)) } else { file.sync_data() }
    };
    let dir = tempfile::tempdir()?;
    let store = Store::with_seams(dir.path(), LOTS, sync)?;
    let table = store.table("a");
    table.commit(&[(b"1", Some(&[7; 9000]))])?;
    BROKEN.store(true, Relaxed);
    let waiting: Vec<Pending> =
        [b"2", b"3"].iter().map(|key| table.apply(&[(&key[..], Some(b"v"))])).collect::<Result<_, _>>()?;
    assert!(table.sync().is_err());
    assert!(!store.health().writable);
    assert!(matches!(table.commit(&[(b"4", Some(b"v"))]), Err(StoreError::Unusable(_))));
    assert!(matches!(store.write("x", b"v"), Err(StoreError::Unusable(_))));
    assert_eq!(table.get(b"1")?, Some(vec![7; 9000]), "reads go on");
    BROKEN.store(false, Relaxed);
    assert!(tended(&store, |store| store.health().writable));
    for pending in waiting {
        assert!(pending.durable().is_err(), "its write was made before the database was opened anew");
    }
    table.commit(&[(b"5", Some(b"v"))])?;
    assert_eq!(store.health().reopened, 1);
    drop((table, store));
    let (store, aside) = Store::open(dir.path())?;
    assert_eq!(aside, None);
    let left = values(&Arc::new(store).table("a"))?;
    assert!(left.contains(&b"1".to_vec()) && left.contains(&b"5".to_vec()) && !left.contains(&b"4".to_vec()));
    assert!(!dir.path().join("db.new").exists() && !dir.path().join("db.failed").exists());
    Ok(())
}

#[test]
fn a_database_is_not_written_anew_before_the_disk_has_room_for_another() -> Outcome {
    static BROKEN: AtomicBool = AtomicBool::new(false);
    static FREE: AtomicU64 = AtomicU64::new(u64::MAX);
    let sync: fn(&File) -> io::Result<()> = |file| {
        if BROKEN.load(Relaxed) { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { file.sync_data() }
    };
    let dir = tempfile::tempdir()?;
    let store = Store::with_seams(dir.path(), |_| Ok(FREE.load(Relaxed)), sync)?;
    let table = store.table("a");
    table.commit(&[(b"1", Some(b"v"))])?;
    BROKEN.store(true, Relaxed);
    assert!(table.commit(&[(b"2", Some(b"v"))]).is_err());
    BROKEN.store(false, Relaxed);
    // Enough for what is on the disk to be opened, and not for all of it once more.
    FREE.store(RESERVE_OF_RECORDS, Relaxed);
    let before = fs::metadata(dir.path().join("db"))?.ino();
    for _ in 0..3 {
        store.tend();
        assert!(!store.health().writable && !dir.path().join("db.new").exists());
    }
    FREE.store(u64::MAX, Relaxed);
    assert!(tended(&store, |store| store.health().writable));
    assert_ne!(
        fs::metadata(dir.path().join("db"))?.ino(),
        before,
        "what the kernel may have dropped is used"
    );
    assert_eq!(table.get(b"1")?, Some(b"v".to_vec()));
    assert_eq!(store.untold_loss(), None);
    Ok(())
}

#[test]
fn a_loss_is_kept_until_those_whom_it_concerns_know() -> Outcome {
    let dir = tempfile::tempdir()?;
    let opened = || {
        let (store, _) = Store::open(dir.path())?;
        store.started()?;
        Ok::<_, StoreError>(store)
    };
    let store = opened()?;
    assert_eq!(store.untold_loss(), None);
    store.close();
    drop(store);
    fs::write(dir.path().join("db").join("db"), b"none of ours")?;
    for _ in 0..2 {
        assert_eq!(opened()?.untold_loss(), Some(1));
    }
    let store = opened()?;
    store.told_of_loss(1);
    assert_eq!((store.untold_loss(), store.damaged()), (None, 1));
    drop(store);
    assert_eq!(opened()?.untold_loss(), None);
    Ok(())
}

/// A file system of this many bytes, for as long as it lives; none where this user may mount none.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path, bytes: u64) -> Option<Self> {
        let at = CString::new(path.as_os_str().as_bytes()).ok()?;
        let options = CString::new(format!("size={bytes}")).ok()?;
        // SAFETY: all four are strings that end with a zero and outlive the call.
        let mounted = unsafe {
            libc::mount(c"tmpfs".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast())
        };
        (mounted == 0).then(|| Self(path.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let Ok(at) = CString::new(self.0.as_os_str().as_bytes()) else { return };
        // SAFETY: the path ends with a zero and outlives the call.
        unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_write_that_fails_on_a_full_disk_after_all_heals_when_there_is_room() -> Outcome {
    let dir = tempfile::tempdir()?;
    let Some(_small) = Small::mount(dir.path(), 6 << 20) else {
        eprintln!("*** LEFT OUT: a full disk; only root may mount one ***");
        return Ok(());
    };
    // The disk says that there is room, as one with a quota may.
    let store = Store::with_space(dir.path(), LOTS)?;
    let table = store.table("a");
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let filler = dir.path().join("filler");
    table.commit(&[(b"first", Some(b"v"))])?;
    let written = fs::write(&filler, vec![0; 6 << 20]);
    assert!(written.is_err(), "the disk is not full");
    for n in 0u32..2_000 {
        let key = n.to_be_bytes().to_vec();
        match table.commit(&[(&key, Some(&[1; 4000]))]) {
            Ok(()) => kept.push(key),
            Err(_) => break,
        }
    }
    assert!(kept.len() < 2_000 && !store.health().writable);
    assert!(matches!(table.commit(&[(b"no", Some(b"v"))]), Err(StoreError::Unusable(_))));
    assert_eq!(table.get(b"first")?, Some(b"v".to_vec()));
    fs::remove_file(&filler)?;
    assert!(tended(&store, |store| store.health().writable));
    table.commit(&[(b"last", Some(b"v"))])?;
    let left = values(&table)?;
    kept.extend([b"first".to_vec(), b"last".to_vec()]);
    for key in &kept {
        assert!(left.contains(key), "one that was on the disk is lost");
    }
    Ok(())
}

#[test]
fn where_the_disk_lets_nothing_be_opened_it_is_read_from_memory_and_promises_nothing() -> Outcome {
    static FREE: AtomicU64 = AtomicU64::new(0);
    let dir = tempfile::tempdir()?;
    let (store, _) = Store::open(dir.path())?;
    store.write("x", b"kept")?;
    drop(store);
    let full = StoreError::Io(io::Error::from_raw_os_error(libc::ENOSPC));
    let (open, trouble) = open_elsewhere(&dir.path().join("db"), &full)?;
    let mut space = Space::of(dir.path().join("db"));
    space.free = |_| Ok(FREE.load(Relaxed));
    let base = Arc::new(Base::new(open, Some(trouble), space));
    let store = Store::with(dir.path(), base, Starts::of(dir.path()), None);
    assert_eq!(store.read("x")?, Some(b"kept".to_vec()));
    assert!(store.write("x", b"new").is_err());
    store.tend();
    assert!(!store.health().writable, "there is no room yet");
    FREE.store(u64::MAX, Relaxed);
    assert!(tended(&store, |store| store.health().writable));
    store.write("x", b"new")?;
    drop(store);
    assert_eq!(Store::open(dir.path())?.0.read("x")?, Some(b"new".to_vec()));
    Ok(())
}

#[test]
fn a_database_that_was_being_replaced_is_whole_after_a_power_cut() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (db, fresh) = (dir.path().join("db"), dir.path().join("db.new"));
    let (store, _) = Store::open(dir.path())?;
    store.write("x", b"kept")?;
    drop(store);
    // Not finished: it goes.
    fs::create_dir(&fresh)?;
    assert_eq!(Store::open(dir.path())?.0.read("x")?, Some(b"kept".to_vec()));
    assert!(!fresh.exists());
    // Finished, and the old one out of the way.
    fs::rename(&db, &fresh)?;
    fs::create_dir(dir.path().join("db.failed"))?;
    assert_eq!(Store::open(dir.path())?.0.read("x")?, Some(b"kept".to_vec()));
    assert!(!fresh.exists() && !dir.path().join("db.failed").exists());
    Ok(())
}

#[test]
fn only_a_database_that_was_closed_and_not_touched_since_is_beyond_doubt() -> Outcome {
    let dir = tempfile::tempdir()?;
    let db = dir.path().join("db");
    let (store, _) = Store::open(dir.path())?;
    store.write("x", b"kept")?;
    assert_eq!(clean::take(&db), Found::Unmarked);
    store.close();
    assert!(store.read("x").is_err());
    drop(store);
    let (store, _) = Store::open(dir.path())?;
    assert_eq!((store.read("x")?, store.damaged()), (Some(b"kept".to_vec()), 0));
    store.close();
    assert_eq!(clean::take(&db), Found::Untouched);
    assert_eq!(clean::take(&db), Found::Unmarked, "it is void once it was looked at");
    clean::note(&db)?;
    let mut file = fs::read(db.join("db"))?;
    let middle = file.len() / 2;
    file[middle] ^= 1;
    fs::write(db.join("db"), file)?;
    assert_eq!(clean::take(&db), Found::Changed);
    Ok(())
}

fn accepted(version: u64) -> Accepted {
    let defaults = Defaults {
        instances: Instances {
            min: 1,
            max: 1,
            idle_timeout: Duration::from_secs(1),
            isolation: Isolation::Reused,
        },
        max_memory_pages: 1,
        ..Defaults::default()
    };
    match Accepted::default().document(json!({ "$version": version }), &defaults) {
        Ok(Change::Next(accepted, _)) => *accepted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_desired_state_outlives_its_database_and_its_copy() -> Outcome {
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join("desired.copy");
    let opened = || Store::open(dir.path()).map(|(store, _)| store);
    opened()?.keep_accepted(&accepted(7))?;
    // The database is gone, then its record is damaged, then it has gone back in time.
    fs::remove_dir_all(dir.path().join("db"))?;
    assert_eq!(opened()?.accepted()?, Some(accepted(7)));
    opened()?.write("accepted", b"{}}")?;
    assert_eq!(opened()?.accepted()?, Some(accepted(7)));
    opened()?.write("accepted", &serde_json::to_vec(&accepted(6))?)?;
    assert_eq!(opened()?.accepted()?, Some(accepted(7)));
    // The copy is gone, older, damaged or not a file.
    let whole = fs::read(&copy)?;
    let mut damaged = whole.clone();
    *damaged.last_mut().ok_or("empty")? ^= 1;
    fs::remove_file(&copy)?;
    for _ in 0..3 {
        assert_eq!(opened()?.accepted()?, Some(accepted(7)));
        assert_eq!(fs::read(&copy)?, whole, "it is not made anew");
        fs::write(&copy, &damaged)?;
    }
    fs::remove_file(&copy)?;
    fs::create_dir(&copy)?;
    assert_eq!(opened()?.accepted()?, Some(accepted(7)));
    assert_eq!(fs::read(&copy)?, whole);
    // The database has gone back to what was accepted under the same `$version` before a deployment message.
    let before = opened()?.read("accepted")?.ok_or("nothing is kept")?;
    let deployment = json!({ "id": "f", "version": "1.0.0", "artifact": { "digest": "" } });
    let mut newer: serde_json::Value = serde_json::to_value(accepted(7))?;
    newer["functions"] = json!({ "f": deployment });
    let newer: Accepted = serde_json::from_value(newer)?;
    opened()?.keep_accepted(&newer)?;
    let whole = fs::read(&copy)?;
    opened()?.write("accepted", &before)?;
    assert_eq!(opened()?.accepted()?, Some(newer.clone()));
    assert_eq!(fs::read(&copy)?, whole, "the good copy is overwritten");
    // And the other way round, as after a copy that could not be written.
    opened()?.keep_accepted(&accepted(7))?;
    fs::write(&copy, whole)?;
    assert_eq!(opened()?.accepted()?, Some(accepted(7)));
    // Neither is whole.
    fs::remove_dir_all(dir.path().join("db"))?;
    fs::write(&copy, damaged)?;
    assert_eq!(opened()?.accepted()?, None);
    Ok(())
}
