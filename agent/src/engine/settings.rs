//! A digest of all that compiled code depends on: wasmtime's version, the target and its features, the tunables. Knows
//! nothing of what is sealed with it.

use std::hash::{Hash, Hasher};

use ring::digest::{Context, SHA256};
use wasmtime::Engine;

/// What an engine compiles with. Of two engines with the same digest, one runs what the other compiled.
pub(super) fn digest(engine: &Engine) -> Option<[u8; 32]> {
    let mut all = Feed(Context::new(&SHA256));
    engine.precompile_compatibility_hash().hash(&mut all);
    all.0.finish().as_ref().try_into().ok()
}

/// Takes what is hashed into a digest that is the same in every process, which a `HashMap`'s need not be.
struct Feed(Context);

impl Hasher for Feed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Nobody asks for the short form.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tunables;

    #[test]
    fn settings_that_code_depends_on_change_it_and_a_second_engine_does_not() {
        let of = |config: wasmtime::Config| digest(&Engine::new(&config).unwrap()).unwrap();
        let mut other = tunables();
        other.epoch_interruption(false);
        assert_eq!(of(tunables()), of(tunables()));
        assert_ne!(of(tunables()), of(other));
    }
}
