//! Room, order and whole files, on real files and a disk that is as full as a test says.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

const ANY: Limits = Limits { max_bytes: u64::MAX, min_free_bytes: 0 };

fn put(artifacts: &Artifacts, byte: u8, len: usize) -> io::Result<Sha256> {
    let contents = vec![byte; len];
    let sha256 = Sha256::from_bytes(Hasher::digest(&contents).into());
    let mut partial = artifacts.begin(artifacts.wasm(&sha256))?;
    partial.file().write_all(&contents)?;
    partial.finish()?;
    Ok(sha256)
}

fn put_some(artifacts: &Artifacts, count: u8) -> io::Result<Vec<Sha256>> {
    (0..count).map(|n| put(artifacts, n, 100)).collect()
}

fn partial(artifacts: &Artifacts, sha256: &Sha256, len: usize) -> io::Result<PathBuf> {
    let path = artifacts.wasm(sha256).with_added_extension("partial");
    fs::write(&path, vec![0; len])?;
    Ok(path)
}

/// Which of these are on the device.
fn there(artifacts: &Artifacts, ids: &[Sha256]) -> Vec<bool> {
    ids.iter().map(|id| artifacts.has(id)).collect()
}

#[test]
fn an_unfinished_file_is_not_there() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let artifacts = Artifacts::open(dir.path(), ANY)?;
    let sha256 = Sha256::from_bytes([1; 32]);
    artifacts.begin(artifacts.wasm(&sha256))?.file().write_all(b"half")?;
    assert!(!artifacts.has(&sha256));
    assert_eq!(artifacts.bytes()?, 0);
    Ok(())
}

#[test]
fn a_changed_file_does_not_verify() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let artifacts = Artifacts::open(dir.path(), ANY)?;
    let sha256 = put(&artifacts, 7, 100)?;
    assert!(artifacts.verify(&sha256)?);
    fs::write(artifacts.wasm(&sha256), [8; 100])?;
    assert!(!artifacts.verify(&sha256)?);
    Ok(())
}

#[test]
fn the_longest_unused_goes_first_and_what_is_needed_never() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let limits = Limits { max_bytes: 350, min_free_bytes: 0 };
    let artifacts = Artifacts::open(dir.path(), limits)?;
    let ids = put_some(&artifacts, 5)?;
    // The first is needed, the second was until now; the third is then the longest unused.
    artifacts.keep([ids[0], ids[1]].into());
    artifacts.keep([ids[0]].into());
    assert_eq!(artifacts.tidy()?, 300);
    assert_eq!(there(&artifacts, &ids), [true, true, false, false, true]);
    assert_eq!((artifacts.has(&ids[2]), artifacts.has(&ids[3]), artifacts.counts()), (false, false, (2, 0)));
    // What is needed is more than the bound: it stays all the same.
    artifacts.keep(ids.iter().copied().collect());
    put(&artifacts, 2, 100)?;
    assert_eq!(artifacts.tidy()?, 400);
    Ok(())
}

#[test]
fn the_order_outlives_restarts_and_a_clock_that_jumps() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let artifacts = Artifacts::open(dir.path(), ANY)?;
    let first = put(&artifacts, 1, 100)?;
    // As a file is that an earlier release wrote, and then one that was written after the clock fell back to 1970.
    let year_2026 = UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    File::options().append(true).open(artifacts.wasm(&first))?.set_modified(year_2026)?;
    let artifacts = Artifacts::open(dir.path(), ANY)?;
    let second = put(&artifacts, 2, 100)?;
    let artifacts = Artifacts::open(dir.path(), Limits { max_bytes: 100, min_free_bytes: 0 })?;
    artifacts.tidy()?;
    assert_eq!(there(&artifacts, &[first, second]), [false, true]);
    Ok(())
}

#[test]
fn a_count_at_its_end_begins_anew_in_the_same_order() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let artifacts = Artifacts::open(dir.path(), ANY)?;
    let ids = put_some(&artifacts, 3)?;
    let year_2040 = UNIX_EPOCH + Duration::from_secs(2_210_000_000);
    File::options().append(true).open(artifacts.wasm(&ids[0]))?.set_modified(year_2040)?;
    let artifacts = Artifacts::open(dir.path(), Limits { max_bytes: 250, min_free_bytes: 0 })?;
    let fourth = put(&artifacts, 9, 50)?;
    artifacts.tidy()?;
    assert_eq!(there(&artifacts, &[ids[0], ids[1], ids[2], fourth]), [true, false, true, true]);
    let of_fourth = order::count(fs::metadata(artifacts.wasm(&fourth))?.modified()?);
    assert_eq!(of_fourth, 4, "after the three that were counted anew");
    Ok(())
}

#[test]
fn a_start_writes_to_no_artifact() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let artifacts = Artifacts::open(dir.path(), ANY)?;
    let ids = put_some(&artifacts, 2)?;
    let times =
        || ids.iter().map(|id| fs::metadata(artifacts.wasm(id))?.modified()).collect::<io::Result<Vec<_>>>();
    let before = times()?;
    let again = Artifacts::open(dir.path(), ANY)?;
    again.keep(ids.iter().copied().collect());
    again.keep(ids.iter().copied().collect());
    again.tidy()?;
    assert_eq!(times()?, before);
    Ok(())
}

#[test]
fn partial_downloads_go_before_artifacts_and_needed_ones_last() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut artifacts = Artifacts::open(dir.path(), ANY)?;
    let whole = put(&artifacts, 1, 100)?;
    let [needed, stale, wanted] = [[2; 32], [3; 32], [4; 32]].map(Sha256::from_bytes);
    let of_needed = partial(&artifacts, &needed, 100)?;
    let of_stale = partial(&artifacts, &stale, 100)?;
    let of_wanted = partial(&artifacts, &wanted, 100)?;
    artifacts.keep([needed, wanted].into());
    artifacts.limits.max_bytes = 300;
    assert_eq!(artifacts.tidy()?, 300);
    assert!(!of_stale.exists() && of_needed.exists() && artifacts.has(&whole));
    // 100 bytes of it have come already.
    artifacts.make_room("it", &wanted, 200).map_err(io::Error::other)?;
    assert!(of_needed.exists() && of_wanted.exists() && !artifacts.has(&whole));
    artifacts.make_room("it", &wanted, 300).map_err(io::Error::other)?;
    assert!(!of_needed.exists() && of_wanted.exists());
    let refused = artifacts.make_room("it", &wanted, 301).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no room for it: 100 bytes used, 201 needed, cache_size_gb says 300 bytes"
    );
    Ok(())
}

#[test]
fn a_download_under_way_is_spared_and_looking_for_room_removes_nothing() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut artifacts = Artifacts::open(dir.path(), ANY)?;
    let whole = put(&artifacts, 1, 100)?;
    let [busy, stale, wanted] = [[2; 32], [3; 32], [4; 32]].map(Sha256::from_bytes);
    let (of_busy, of_stale) = (partial(&artifacts, &busy, 100)?, partial(&artifacts, &stale, 100)?);
    artifacts.limits.max_bytes = 300;
    artifacts.spare(move |sha256| *sha256 == busy);
    let refused = artifacts.find_room("it", &wanted, 1).unwrap_err();
    assert!(refused.to_string().contains("300 bytes used, 1 needed"), "{refused}");
    assert!(of_busy.exists() && of_stale.exists() && artifacts.has(&whole));
    artifacts.make_room("it", &wanted, 100).map_err(io::Error::other)?;
    assert!(of_busy.exists() && !of_stale.exists() && artifacts.has(&whole));
    assert_eq!(artifacts.counts(), (0, 1), "half a download is no artifact that was evicted");
    artifacts.find_room("it", &wanted, 100).map_err(io::Error::other)?;
    assert!(artifacts.make_room("it", &wanted, 300).is_err());
    assert!(of_busy.exists() && !artifacts.has(&whole));
    assert_eq!(artifacts.counts(), (1, 2));
    Ok(())
}

#[test]
fn a_full_disk_is_a_reason_to_evict_and_then_to_refuse() -> io::Result<()> {
    // A disk of 1000 bytes, of which the files in the directory take what they are.
    fn free(dir: &Path) -> io::Result<u64> {
        Ok(1_000u64.saturating_sub(Listing::of(dir)?.bytes))
    }
    let dir = tempfile::tempdir()?;
    let mut artifacts = Artifacts::open(dir.path(), Limits { max_bytes: u64::MAX, min_free_bytes: 300 })?;
    artifacts.free = free;
    let ids = put_some(&artifacts, 6)?;
    artifacts.keep([ids[0], ids[2]].into());
    let wanted = Sha256::from_bytes([9; 32]);
    artifacts.make_room("a download", &wanted, 200).map_err(io::Error::other)?;
    assert_eq!(there(&artifacts, &ids), [true, false, true, true, true, true]);
    let refused = artifacts.make_room("a download", &wanted, 501).unwrap_err();
    assert_eq!(refused.to_string(), "no room for a download: 800 bytes free, 501 needed, min_free_mb says 0");
    assert_eq!(there(&artifacts, &ids), [true, false, true, false, false, false]);
    assert_eq!(artifacts.counts(), (4, 1));
    Ok(())
}

#[test]
fn what_is_no_file_is_set_aside_and_foreign_files_are_left_alone() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let sha256 = Sha256::from_bytes([7; 32]);
    let artifacts = dir.path().join("artifacts");
    fs::create_dir_all(artifacts.join(format!("{sha256}.wasm/below")))?;
    fs::create_dir_all(artifacts.join("x.part"))?;
    fs::write(artifacts.join("README"), b"mine")?;
    std::os::unix::fs::symlink("/nowhere", artifacts.join(format!("{sha256}.cwasm")))?;
    let opened = Artifacts::open(dir.path(), ANY)?;
    assert!(!opened.has(&sha256) && fs::symlink_metadata(opened.compiled(&sha256)).is_err());
    assert!(dir.path().join(format!("{sha256}.wasm.damaged/below")).exists());
    assert!(artifacts.join("README").exists() && !artifacts.join("x.part").exists());
    // A file in the place of the directory.
    fs::remove_dir_all(&artifacts)?;
    fs::write(&artifacts, b"a file")?;
    Artifacts::open(dir.path(), ANY)?;
    assert!(artifacts.is_dir() && dir.path().join("artifacts.damaged").is_file());
    Ok(())
}
