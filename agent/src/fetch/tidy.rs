//! Bounds what is kept of downloads that did not get through: by age, by number and by bytes, the oldest go first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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
    let mut partials = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(partial) = name.strip_suffix(".json").filter(|name| name.ends_with(".partial")) {
            if !path.with_file_name(partial).exists() {
                remove(&path)?;
            }
        } else if name.ends_with(".partial") && !busy.contains(&path) {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            partials.push((metadata.modified()?, metadata.len(), path));
        }
    }
    // A time that lies ahead, written before the clock was set back, counts as now.
    let now = SystemTime::now();
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
