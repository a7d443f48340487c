//! The component in a `TarFunctionCode`: base64 of a TAR archive that holds one file `*.wasm`, and nothing else but
//! folders. Archives are read in memory and never unpacked, so that what is refused here could have done nothing
//! anyway; what is refused is told why.

use std::ops::Range;
use std::path::{Component, Path};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tar::{Archive, Entry, EntryType};

/// What components begin with: `\0asm`, and the version and layer that tell them from modules.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const GZIP: &[u8] = &[0x1f, 0x8b];
/// An archive is made of blocks of so many bytes.
const BLOCK: usize = 512;
/// Entries, folders included.
const MAX_ENTRIES: usize = 64;

/// An archive, and where in it the component is.
pub(super) struct Package {
    archive: Vec<u8>,
    component: Range<usize>,
}

impl Package {
    /// Reads an archive, or says what is wrong with it.
    pub(super) fn read(text: &str, max_bytes: u64) -> Result<Self, String> {
        let archive = decode(text)?;
        let component = find(&archive, max_bytes)?;
        match archive.get(component.clone()) {
            Some(bytes) if bytes.starts_with(COMPONENT) => Ok(Self { archive, component }),
            _ => Err("the file in it is no WebAssembly component".to_owned()),
        }
    }

    /// The component's bytes.
    pub(super) fn component(&self) -> &[u8] {
        self.archive.get(self.component.clone()).unwrap_or_default()
    }
}

/// Lines are put together, for tools break them.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    for line in text.split(['\r', '\n']).filter(|line| !line.is_empty()) {
        STANDARD.decode_vec(line, &mut bytes).map_err(|error| format!("is not base64: {error}"))?;
    }
    Ok(bytes)
}

/// Where the one component is.
fn find(archive: &[u8], max_bytes: u64) -> Result<Range<usize>, String> {
    let mut found = None;
    let mut end = 0;
    if archive.starts_with(GZIP) {
        return Err("is a compressed archive, and a plain TAR is wanted".to_owned());
    }
    // What exactly could not be read repeats bytes that came.
    let unread = |_| "is not a TAR archive, or is damaged".to_owned();
    for (count, entry) in Archive::new(archive).entries().map_err(unread)?.enumerate() {
        let entry = entry.map_err(unread)?;
        if count == MAX_ENTRIES {
            return Err(format!("has more than {MAX_ENTRIES} entries"));
        }
        let name = name(&entry)?;
        let span = span(&entry, archive.len()).ok_or_else(|| format!("{name} is longer than the archive"))?;
        end = span.end.next_multiple_of(BLOCK);
        match entry.header().entry_type() {
            EntryType::Directory if span.is_empty() => {}
            EntryType::Regular if found.is_some() => return Err(format!("{name} is a second file in it")),
            EntryType::Regular if !entry.path_bytes().ends_with(b".wasm") => {
                return Err(format!("{name} is not a .wasm file"));
            }
            EntryType::Regular if entry.size() > max_bytes => {
                return Err(format!(
                    "{name} is larger than {max_bytes} bytes, the limit of artifact_max_bytes"
                ));
            }
            EntryType::Regular => found = Some(span),
            _ => return Err(format!("{name} is neither a file nor a folder")),
        }
    }
    if archive.get(end..).unwrap_or_default().iter().any(|byte| *byte != 0) {
        return Err("something follows the archive's end".to_owned());
    }
    found.ok_or_else(|| "there is no file in it".to_owned())
}

/// The entry's name as it can be told, where it is one that stays below the archive.
fn name<R: std::io::Read>(entry: &Entry<'_, R>) -> Result<String, String> {
    let bytes = entry.path_bytes();
    let shown: String = String::from_utf8_lossy(&bytes).chars().take(80).collect();
    let plain = std::str::from_utf8(&bytes).is_ok_and(|path| {
        !path.is_empty()
            && !path.contains('\0')
            && Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
    });
    if plain { Ok(format!("{shown:?}")) } else { Err(format!("{shown:?} leads out of the archive")) }
}

/// Where the entry's bytes are, if they are all there.
fn span<R: std::io::Read>(entry: &Entry<'_, R>, length: usize) -> Option<Range<usize>> {
    let begin = usize::try_from(entry.raw_file_position()).ok()?;
    let end = begin.checked_add(usize::try_from(entry.size()).ok()?)?;
    (end <= length).then_some(begin..end)
}

#[cfg(test)]
mod tests;

/// Whatever an archive holds, what is taken for the component is within it.
#[cfg(fuzzing)]
pub(crate) fn fuzz_package(data: &[u8]) {
    if let Ok(component) = find(data, 1 << 20) {
        assert!(component.end <= data.len() && component.len() <= 1 << 20);
    }
    if let Ok(package) = Package::read(&String::from_utf8_lossy(data), 1 << 20) {
        assert!(package.component().starts_with(COMPONENT));
    }
}
