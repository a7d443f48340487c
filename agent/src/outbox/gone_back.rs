//! A database that opens as it was some messages ago: how many are lost, and that no number is given twice.

use std::fs;
use std::path::Path;

use twinlet_host::TelemetrySink;

use super::*;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn opened(dir: &Path) -> Result<(Arc<Store>, Outbox), StoreError> {
    let (store, _) = Store::open(dir)?;
    store.started()?;
    let store = Arc::new(store);
    let outbox = Outbox::open(&store, 100_000)?;
    Ok((store, outbox))
}

fn send(outbox: &Outbox, function: &str) -> u64 {
    outbox.send(function, b"message".to_vec()).unwrap_or_else(|e| panic!("{function}: {e:?}"))
}

/// What a kill would leave now, kept elsewhere.
fn keep(state: &Path) -> Outcome {
    let older = state.join("older");
    fs::create_dir_all(&older)?;
    for name in ["db", "conf"] {
        fs::copy(state.join("db").join(name), older.join(name))?;
    }
    Ok(())
}

/// That in place of the database.
fn go_back(state: &Path) -> Outcome {
    fs::remove_dir_all(state.join("db"))?;
    fs::create_dir(state.join("db"))?;
    for name in ["db", "conf"] {
        fs::copy(state.join("older").join(name), state.join("db").join(name))?;
    }
    Ok(())
}

fn deliver_all(outbox: &Outbox) {
    while let Some(entry) = outbox.after(None) {
        outbox.acknowledge(entry.id);
    }
}

#[test]
fn messages_that_went_with_the_end_of_the_log_are_counted_and_their_numbers_not_given_again() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (store, outbox) = opened(dir.path())?;
    assert_eq!((send(&outbox, "a"), send(&outbox, "a"), send(&outbox, "b")), (1, 2, 1));
    keep(dir.path())?;
    // Of a function that the older database does not know at all, too.
    let last = [send(&outbox, "a"), send(&outbox, "b"), send(&outbox, "new"), send(&outbox, "new")];
    assert_eq!(last, [3, 2, 1, 2]);
    drop((store, outbox));
    go_back(dir.path())?;

    let (store, outbox) = opened(dir.path())?;
    assert!(store.gone_back() > 0);
    let counts = outbox.counts();
    assert_eq!((counts.lost, counts.messages), (4, 3));
    let ids = std::iter::successors(outbox.after(None), |entry| outbox.after(Some(entry.id)));
    let highest = ids.map(|entry| entry.id).max();
    assert_eq!(highest, Some(3));
    assert!(send(&outbox, "a") > 3 && send(&outbox, "b") > 2 && send(&outbox, "new") > 2);
    let next = outbox.after(highest).map(|entry| entry.id);
    assert_eq!(next, Some(8), "no id comes twice either");
    drop((store, outbox));

    // What was skipped is neither lost anew nor given later.
    let (store, outbox) = opened(dir.path())?;
    assert_eq!((store.gone_back(), outbox.counts().lost, outbox.counts().messages), (0, 0, 6));
    assert!(send(&outbox, "c") > 2);
    deliver_all(&outbox);
    outbox.tidy();
    drop((store, outbox));
    let (_store, outbox) = opened(dir.path())?;
    assert_eq!((outbox.counts().lost, outbox.counts().messages), (0, 0));
    Ok(())
}

#[test]
fn a_loss_that_was_told_is_not_told_again_when_nothing_was_sent_since() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (store, outbox) = opened(dir.path())?;
    send(&outbox, "a");
    keep(dir.path())?;
    send(&outbox, "a");
    drop((store, outbox));
    go_back(dir.path())?;
    assert_eq!(opened(dir.path())?.1.counts().lost, 1);
    let (_store, outbox) = opened(dir.path())?;
    assert_eq!(outbox.counts().lost, 0);
    assert_eq!(send(&outbox, "a"), 3);
    Ok(())
}

#[test]
fn what_was_delivered_is_not_lost_with_its_number() -> Outcome {
    let dir = tempfile::tempdir()?;
    let (store, outbox) = opened(dir.path())?;
    keep(dir.path())?;
    for n in 1..=5 {
        assert_eq!(send(&outbox, "a"), n);
    }
    deliver_all(&outbox);
    outbox.tidy();
    store.close();
    drop((store, outbox));
    go_back(dir.path())?;
    let (store, outbox) = opened(dir.path())?;
    assert!(store.gone_back() > 0);
    assert_eq!(outbox.counts().lost, 0);
    assert!(send(&outbox, "a") > 5);
    Ok(())
}
