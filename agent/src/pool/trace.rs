//! What one call took and printed, for whoever asks. Whoever does not ask pays nothing for it.

use std::time::{Duration, Instant};

use super::Instance;

/// One call, as it was measured.
#[derive(Debug, Default)]
pub struct Trace {
    /// Whether what the guest prints is to be collected.
    pub prints: bool,
    /// Whether an instance was there already.
    pub warm: bool,
    /// How long a new instance took to start; zero where one was there.
    pub init: Duration,
    /// How long the guest ran, its waits in host calls included.
    pub duration: Duration,
    /// What it printed, at most [`twinlet_host::printed::MAX_BYTES`] of it.
    pub output: String,
}

impl Trace {
    /// Measures a call into an instance.
    pub fn around<R>(&mut self, instance: &mut Instance, call: impl FnOnce(&mut Instance) -> R) -> R {
        if self.prints {
            instance.begin_printing();
        }
        let began = Instant::now();
        let result = call(instance);
        self.duration = began.elapsed();
        if self.prints {
            self.output = instance.printed();
        }
        result
    }
}
