//! Which format the state directory has: the file `format`, a number and its checksum. What is newer than this program
//! is refused and left as it is; what is older is brought up step by step. Each step can be done again: after a power
//! cut the number still says that it is to be done.
//!
//! | format | what changed |
//! | --- | --- |
//! | 0 | no file `format`; `node_id` and `device.key` without a checksum |
//! | 1 | `node_id.check` beside `node_id`, a checksum in `device.key`, `desired.copy` beside the database |

use std::fs;
use std::io;
use std::path::Path;

use super::{StateDirError, identity, read_small, write_durably};

/// The format that this program writes.
pub const FORMAT: u32 = 1;
const FILE: &str = "format";

/// What brings a directory from one format to the next.
type Step = fn(&Path) -> io::Result<()>;
/// The first leads from 0 to 1, and so on.
const STEPS: [Step; FORMAT as usize] = [identity::add_checksums];

/// Brings a directory to the present format, or refuses it.
pub(super) fn bring_up(dir: &Path) -> Result<(), StateDirError> {
    let failed = |source| StateDirError::Io { path: dir.join(FILE).display().to_string(), source };
    let found = match read_small(&dir.join(FILE)).map_err(failed)? {
        // A directory of before there were formats, or a new one: the steps find nothing to do there.
        None => 0,
        Some(text) => read(&text).unwrap_or_else(|| {
            log::error!("{} is damaged; it is made anew", dir.join(FILE).display());
            0
        }),
    };
    if found > FORMAT {
        return Err(StateDirError::Newer { path: dir.display().to_string(), found });
    }
    if found == FORMAT {
        return Ok(());
    }
    for (step, number) in STEPS.iter().zip(1..).skip(usize::try_from(found).unwrap_or_default()) {
        let done = step(dir).and_then(|()| write_durably(&dir.join(FILE), shown(number).as_bytes()));
        if let Err(error) = done {
            // As on a full disk, on which the agent is to serve all the same. What reads knows both formats.
            log::error!(
                "bringing {} to format {number}: {error}; tried again at the next start",
                dir.display()
            );
            return Ok(());
        }
        log::info!("{} has format {number} now", dir.display());
    }
    Ok(())
}

/// The format that a directory says it has, as far as it can be told without changing anything.
pub fn of(dir: &Path) -> Option<u32> {
    read(&fs::read(dir.join(FILE)).ok()?)
}

fn shown(format: u32) -> String {
    let number = format.to_string();
    format!("{number} {:08x}\n", crc32fast::hash(number.as_bytes()))
}

/// Nothing, where the checksum does not fit: a flipped bit must not look like a newer format.
fn read(text: &[u8]) -> Option<u32> {
    let number: u32 = std::str::from_utf8(text).ok()?.split_whitespace().next()?.parse().ok()?;
    (shown(number).as_bytes() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused_and_a_damaged_one_is_not_taken_for_one() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join(FILE);
        bring_up(dir.path()).map_err(io::Error::other)?;
        assert_eq!(of(dir.path()), Some(FORMAT));
        fs::write(&path, shown(FORMAT + 1))?;
        let refused = bring_up(dir.path());
        assert!(matches!(&refused, Err(StateDirError::Newer { found, .. }) if *found == FORMAT + 1));
        assert_eq!(of(dir.path()), Some(FORMAT + 1), "nothing was changed");
        let whole = fs::read(&path)?;
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                fs::write(&path, flipped)?;
                bring_up(dir.path()).map_err(io::Error::other)?;
                assert_eq!(of(dir.path()), Some(FORMAT));
            }
        }
        Ok(())
    }
}
