//! Asks for room on the disk before anything is written to it: a download or a compilation that would not fit does not
//! begin.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use super::{Again, PrepareError, Preparer, failed};
use crate::artifacts::NoRoom;
use crate::desired::{FunctionSpec, Sha256};
use crate::fetch::Room;
use crate::status::Phase;

/// What a compiled form takes: so many times the component's code and data, and a few pages. It is an estimate, which a
/// compiled form may pass by a little, for below the floor there is still room.
const COMPILED_TIMES: u64 = 2;
const COMPILED_BASE: u64 = 64 << 10;
/// Bytes before the first section.
const PREAMBLE: u64 = 8;
/// The section that holds what is never compiled: names, debug information, whatever a tool has left.
const CUSTOM: u8 = 0;
/// The sections of a component that hold a core module or another component, with sections of their own.
const NESTED: [u8; 2] = [1, 4];
/// How deep components may lie in each other; what lies deeper is counted whole.
const DEEPEST: u32 = 8;

/// What a preparation may take of the disk.
#[derive(Clone, Copy)]
pub enum Take<'a> {
    /// What is free, and what something has that nobody needs.
    Any,
    /// What is free alone.
    Free {
        /// The largest download in bytes.
        download: u64,
        /// Set where that was not enough: nothing is wrong with the function then.
        short: &'a Cell<bool>,
    },
}

impl Take<'_> {
    /// There is no room.
    pub(super) fn refused(self, phase: Phase, why: impl ToString) -> PrepareError {
        if let Self::Free { short, .. } = self {
            short.set(true);
        }
        failed(phase, why, Again::Always)
    }
}

impl Preparer {
    /// Room for a download, as far as its size is known.
    pub(super) fn room_to_fetch(&self, spec: &FunctionSpec, take: Take<'_>) -> Result<(), PrepareError> {
        let room = self.room("the download", &spec.sha256, spec.size.unwrap_or_default(), take);
        room.map_err(|error| take.refused(Phase::Fetching, error))
    }

    /// Whom a download asks for room, once it knows how large it is and while it goes on.
    pub(super) fn room_while_fetching(&self, sha256: Sha256, take: Take<'_>) -> Room {
        let (artifacts, what) = (self.artifacts.clone(), "the download");
        match take {
            Take::Any => {
                let ask = move |bytes| artifacts.make_room(what, &sha256, bytes).map_err(|e| e.to_string());
                Room { ask: Arc::new(ask), modest: false }
            }
            Take::Free { download, .. } => {
                let ask = move |bytes| {
                    if bytes > download {
                        return Err(format!(
                            "it has {bytes} bytes or more, where {download} may be downloaded"
                        ));
                    }
                    artifacts.find_room(what, &sha256, bytes).map_err(|e| e.to_string())
                };
                Room { ask: Arc::new(ask), modest: true }
            }
        }
    }

    /// Room for what a compilation is likely to make.
    pub(super) fn room_to_compile(&self, sha256: &Sha256, take: Take<'_>) -> Result<(), PrepareError> {
        // What can not be read is the compiler's to complain of.
        let bytes = compiled_bytes(&self.artifacts.wasm(sha256)).unwrap_or(COMPILED_BASE);
        let room = self.room("the compiled form", sha256, bytes, take);
        room.map_err(|error| take.refused(Phase::Compiling, error))
    }

    fn room(&self, what: &'static str, sha256: &Sha256, bytes: u64, take: Take<'_>) -> Result<(), NoRoom> {
        match take {
            Take::Any => self.artifacts.make_room(what, sha256, bytes),
            Take::Free { .. } => self.artifacts.find_room(what, sha256, bytes),
        }
    }
}

/// How many bytes the compiled form of a component is likely to take.
fn compiled_bytes(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let needed = sections(&mut BufReader::new(file), length, true, 0)?;
    Ok(needed.saturating_mul(COMPILED_TIMES).saturating_add(COMPILED_BASE))
}

/// Bytes of all sections up to `end` but the custom ones, from the preamble on.
fn sections(file: &mut BufReader<File>, end: u64, is_component: bool, depth: u32) -> io::Result<u64> {
    let mut bytes = 0u64;
    let mut at = file.stream_position()?.saturating_add(PREAMBLE);
    while at < end {
        file.seek(io::SeekFrom::Start(at))?;
        let mut id = [0];
        file.read_exact(&mut id)?;
        let length = leb(file)?;
        let begin = file.stream_position()?;
        at = begin.saturating_add(length).min(end);
        let [id] = id;
        bytes = bytes.saturating_add(if is_component && NESTED.contains(&id) && depth < DEEPEST {
            sections(file, at, id != 1, depth + 1)?
        } else if id == CUSTOM {
            0
        } else {
            at.saturating_sub(begin)
        });
    }
    Ok(bytes)
}

/// A number of WebAssembly's: seven bits a byte, the lowest first.
fn leb(file: &mut impl Read) -> io::Result<u64> {
    let mut number = 0;
    for shift in [0, 7, 14, 21, 28] {
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        let [byte] = byte;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_compiled_counts() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("x.wasm");
        // A component with a core module, in which there are a code section of 3 bytes and a custom one of 2, with a
        // custom section of 200 bytes, and with an instance section of 4.
        let module = [&b"\0asm\x01\0\0\0"[..], &[10, 3, 9, 9, 9], &[0, 2, 9, 9]].concat();
        let mut component =
            [&b"\0asm\x0d\0\x01\0"[..], &[1, u8::try_from(module.len()).unwrap_or(0)], &module].concat();
        component.extend([0, 0xc8, 1]);
        component.extend([7; 200]);
        component.extend([2, 4, 1, 1, 1, 1]);
        std::fs::write(&path, &component)?;
        assert_eq!(compiled_bytes(&path)?, COMPILED_BASE + COMPILED_TIMES * (3 + 4));
        // Lengths that lead beyond the end, and lengths that are none.
        component.extend([5, 0xff, 0xff, 0xff, 0xff, 0x0f]);
        std::fs::write(&path, &component)?;
        assert_eq!(compiled_bytes(&path)?, COMPILED_BASE + COMPILED_TIMES * (3 + 4));
        component.extend([5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        std::fs::write(&path, &component[..component.len() - 13])?;
        assert!(compiled_bytes(&path).is_ok());
        std::fs::write(&path, [&component[..8], &[5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat())?;
        assert!(compiled_bytes(&path).is_err());
        Ok(())
    }
}
