//! What the agent costs and gives: `cargo bench -p twinlet-tests --bench agent`. It prints figures and judges none. Machines are noisy:
//! compare figures of one run only, and ratios rather than times.
//!
//! | file | what it measures |
//! | --- | --- |
//! | `basics` | memory at rest, requests, deployments and starts |
//! | `layers` | what middleware and `wasi:http` add to a request |
//! | `messages` | telemetry and actors |
//! | `neighbours` | a function beside others that take what they can get |
//! | `load` | the load itself |
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod basics;
mod layers;
mod load;
mod messages;
mod neighbours;

use twinlet_tests::{AgentBuilder, Site};

/// A broker, a hub, an artifact server and an agent that logs what it does by default.
fn site() -> Site {
    Site::start(AgentBuilder::new(env!("CARGO_BIN_EXE_twinlet-agent")).env("LOG_LEVEL", "info"))
}

fn kb(bytes: u64) -> u64 {
    bytes / 1_024
}

fn main() {
    basics::measure(site());
    layers::measure(&site());
    messages::measure(&site());
    neighbours::measure(&site());
}
