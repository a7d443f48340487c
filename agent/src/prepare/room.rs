//! Asks for room on the disk before anything is written to it: a download or a compilation that would not fit does not
//! begin.

use std::fs;

use super::{PrepareError, Preparer, failed};
use crate::desired::{FunctionSpec, Sha256};
use crate::status::Phase;

/// What a compiled form takes beside a multiple of the component's bytes, and that multiple: small components are seen
/// to take three times their size and a few pages, large ones less than twice.
const COMPILED_BASE: u64 = 64 << 10;
const COMPILED_TIMES: u64 = 3;

impl Preparer {
    /// Room for a download, as far as its size is known.
    pub(super) fn room_to_fetch(&self, spec: &FunctionSpec) -> Result<(), PrepareError> {
        let room = self.artifacts.make_room("the download", &spec.sha256, spec.size.unwrap_or_default());
        room.map_err(|error| failed(Phase::Fetching, error, true))
    }

    /// Room for what a compilation is likely to make.
    pub(super) fn room_to_compile(&self, sha256: &Sha256) -> Result<(), PrepareError> {
        let length = fs::metadata(self.artifacts.wasm(sha256)).map_or(0, |metadata| metadata.len());
        let needed = length.saturating_mul(COMPILED_TIMES).saturating_add(COMPILED_BASE);
        let room = self.artifacts.make_room("the compiled form", sha256, needed);
        room.map_err(|error| failed(Phase::Compiling, error, true))
    }
}
