//! Whose signatures count: reads the file of keys at the start and at SIGHUP. Knows nothing of what is signed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Unusable;
use crate::config::{Config, trusted_keys};
use crate::desired::Trust;

/// Bytes of the file: room for all its keys, with comments.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// The permission that others must not have: whoever can write to the file can let anyone in.
const OTHERS_WRITE: u32 = 0o002;

/// What the configuration says of signatures, with the keys in its file.
pub fn trust(config: &Config) -> Result<Trust, Unusable> {
    let Some(file) = &config.signatures.keys_file else { return Ok(Trust::default()) };
    let told = |why: String| Unusable(format!("trusted_keys_file, {}: {why}", file.display()));
    let text = read(file).map_err(|error| told(error.to_string()))?;
    let keys = trusted_keys(&text).map_err(|problems| told(problems.to_string()))?;
    Ok(Trust { keys: keys.into(), required: config.signatures.required })
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        return Err(io::Error::other(format!("everyone may write to it (mode {mode:o}); chmod o-w")));
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it has more than {} KB", MAX_FILE_BYTES >> 10)));
    }
    Ok(text)
}
