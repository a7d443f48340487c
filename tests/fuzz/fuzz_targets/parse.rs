//! Feeds the target that `TWINLET_FUZZ` names; see `agent/src/fuzzing.rs`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("TWINLET_FUZZ").unwrap_or_default();
    let found = twinlet::fuzzing::TARGETS.iter().find(|(name, _)| *name == wanted);
    let names: Vec<_> = twinlet::fuzzing::TARGETS.iter().map(|(name, _)| *name).collect();
    found.unwrap_or_else(|| panic!("TWINLET_FUZZ must be one of {names:?}")).1
});

fuzz_target!(|data: &[u8]| TARGET(data));
