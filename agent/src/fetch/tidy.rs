//! Bounds what is kept of downloads that did not get through: by age, by number and by bytes, the oldest go first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use twinlet_host::wall::RELEASE_UNIX_MS;

use super::partial::{origin_of, path_of, remove};
use crate::desired::Sha256;

/// How long a partial file is kept that nobody continues.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many there are at most.
const MOST: usize = 8;

/// Removes from a directory the partial files that are too old or too many, or all but the newest `most_bytes` of them;
/// none whose download is under way.
pub(super) fn tidy(dir: &Path, most_bytes: u64, under_way: &[Sha256]) -> io::Result<()> {
    let busy: Vec<PathBuf> =
        under_way.iter().map(|sha256| path_of(&dir.join(format!("{sha256}.wasm")))).collect();
    let (now, mut partials) = (SystemTime::now(), Vec::new());
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(partial) = name.strip_suffix(".json").filter(|name| name.ends_with(".partial")) {
            if !path.with_file_name(partial).exists() {
                remove(&path)?;
            }
        } else if name.ends_with(".partial") && !busy.contains(&path) {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            partials.push((written(metadata.modified()?, now), metadata.len(), path));
        }
    }
    partials.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
    let (mut kept, mut bytes) = (0, 0u64);
    for (modified, len, path) in partials {
        bytes = bytes.saturating_add(len);
        let age = now.duration_since(modified).unwrap_or_default();
        if age <= LONGEST && kept < MOST && bytes <= most_bytes {
            kept += 1;
            continue;
        }
        log::info!("{}: {len} bytes of a download that nobody went on with are removed", path.display());
        remove(&path)?;
        remove(&origin_of(&path))?;
    }
    Ok(())
}

/// When a file was written, as far as that is known: a time that lies ahead, written before the clock was set back, and
/// one before this release, written before it was set at all, count as now.
fn written(modified: SystemTime, now: SystemTime) -> SystemTime {
    let release = UNIX_EPOCH + Duration::from_millis(RELEASE_UNIX_MS);
    if modified < release { now } else { modified.min(now) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn partial(dir: &Path, n: u8, age: Duration) -> io::Result<(Sha256, PathBuf)> {
        let sha256 = Sha256::from_bytes([n; 32]);
        let path = path_of(&dir.join(format!("{sha256}.wasm")));
        fs::write(&path, [n; 100])?;
        fs::write(origin_of(&path), "{}")?;
        File::options().append(true).open(&path)?.set_modified(SystemTime::now() - age)?;
        Ok((sha256, path))
    }

    #[test]
    fn old_ones_go_and_those_under_way_stay() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (_, old) = partial(dir.path(), 1, LONGEST * 2)?;
        let (busy, under_way) = partial(dir.path(), 2, LONGEST * 2)?;
        let (_, young) = partial(dir.path(), 3, LONGEST / 2)?;
        let lone = origin_of(&path_of(&dir.path().join("gone.wasm")));
        fs::write(&lone, "{}")?;
        tidy(dir.path(), 1_000, &[busy])?;
        let there = [&old, &origin_of(&old), &lone, &under_way, &young, &origin_of(&young)];
        assert_eq!(there.map(|path| path.exists()), [false, false, false, true, true, true]);
        Ok(())
    }

    #[test]
    fn what_was_written_before_the_clock_was_set_is_not_old() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let (_, of_1970) = partial(dir.path(), 1, SystemTime::now().duration_since(UNIX_EPOCH).unwrap())?;
        let (_, ahead) = partial(dir.path(), 2, Duration::ZERO)?;
        File::options().append(true).open(&ahead)?.set_modified(SystemTime::now() + LONGEST)?;
        let (_, before) = partial(dir.path(), 3, Duration::from_secs(60))?;
        tidy(dir.path(), 250, &[])?;
        assert_eq!([&of_1970, &ahead, &before].map(|path| path.exists()), [true, true, false]);
        Ok(())
    }

    #[test]
    fn the_oldest_of_too_many_and_of_too_large_ones_go() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let made: Vec<PathBuf> = (0..12)
            .map(|n| partial(dir.path(), n, Duration::from_secs(60 * u64::from(n))).map(|(_, path)| path))
            .collect::<io::Result<_>>()?;
        let left = || made.iter().take_while(|path| path.exists()).count();
        tidy(dir.path(), 10_000, &[])?;
        assert_eq!((left(), fs::read_dir(dir.path())?.count()), (MOST, 2 * MOST));
        tidy(dir.path(), 350, &[])?;
        assert_eq!((left(), fs::read_dir(dir.path())?.count()), (3, 6));
        Ok(())
    }
}
