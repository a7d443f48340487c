//! What is in the directory of artifacts, by artifact. Knows what a name means; changes nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::order;
use crate::desired::Sha256;

/// Characters of a digest.
const DIGEST: usize = 64;

/// What a file in the directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A component, fetched or compiled.
    Whole(Sha256),
    /// A download that can be resumed.
    Partial(Sha256),
    /// What is being written, or was when the agent ended; a start removes it.
    Temporary,
    /// Not ours.
    Foreign,
}

/// The files of one artifact.
#[derive(Default)]
pub(super) struct Files {
    /// The largest count of uses that any of them has.
    pub(super) used: u64,
    pub(super) bytes: u64,
    pub(super) paths: Vec<PathBuf>,
}

/// All of the directory.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) whole: BTreeMap<Sha256, Files>,
    pub(super) partial: BTreeMap<Sha256, Files>,
    /// Bytes of everything, also of what is not ours.
    pub(super) bytes: u64,
}

impl Listing {
    /// Reads the directory. What vanishes meanwhile is left out.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() {
                continue;
            }
            listing.bytes = listing.bytes.saturating_add(metadata.len());
            let files = match kind(&entry.file_name()) {
                Kind::Whole(sha256) => listing.whole.entry(sha256).or_default(),
                Kind::Partial(sha256) => listing.partial.entry(sha256).or_default(),
                Kind::Temporary | Kind::Foreign => continue,
            };
            files.used = files.used.max(metadata.modified().map_or(0, order::count));
            files.bytes = files.bytes.saturating_add(metadata.len());
            files.paths.push(entry.path());
        }
        Ok(listing)
    }

    /// The artifacts of a kind in the order of their use, but for those of which `spared` says so.
    pub(super) fn by_use(
        files: &BTreeMap<Sha256, Files>,
        spared: impl Fn(&Sha256) -> bool,
    ) -> Vec<(Sha256, &Files)> {
        let mut some: Vec<_> = files
            .iter()
            .filter(|(sha256, _)| !spared(sha256))
            .map(|(sha256, files)| (*sha256, files))
            .collect();
        some.sort_by_key(|(sha256, files)| (files.used, *sha256));
        some
    }
}

/// What a file is, by its name.
pub(super) fn kind(name: &OsStr) -> Kind {
    let name = name.to_str().unwrap_or_default();
    if name.ends_with(".part") {
        return Kind::Temporary;
    }
    let split = name.split_at_checked(DIGEST);
    match split.and_then(|(digest, rest)| Some((digest.parse().ok()?, rest))) {
        Some((sha256, rest)) if rest.starts_with(".wasm.partial") => Kind::Partial(sha256),
        Some((sha256, rest)) if rest.starts_with('.') => Kind::Whole(sha256),
        _ => Kind::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_file_is() {
        let sha256 = Sha256::from_bytes([0xab; 32]);
        let of = |rest: &str| kind(OsStr::new(&format!("{sha256}{rest}")));
        assert_eq!((of(".wasm"), of(".cwasm")), (Kind::Whole(sha256), Kind::Whole(sha256)));
        assert_eq!(
            (of(".wasm.partial"), of(".wasm.partial.3")),
            (Kind::Partial(sha256), Kind::Partial(sha256))
        );
        assert_eq!((of(".wasm.1.part"), of("")), (Kind::Temporary, Kind::Foreign));
        assert_eq!((kind(OsStr::new("README")), kind(OsStr::new("é.wasm"))), (Kind::Foreign, Kind::Foreign));
    }
}
