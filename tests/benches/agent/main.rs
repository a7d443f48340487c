//! What the agent costs and gives: `cargo bench -p twinlet-tests --bench agent`. It prints figures and judges none. Machines are noisy:
//! compare figures of one run only, and ratios rather than times. The names of files behind `--` are what is measured.
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
    let asked: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|arg| arg == name);
    if wanted("basics") {
        basics::measure(site());
    }
    if wanted("layers") {
        layers::measure(&site());
    }
    if wanted("messages") {
        messages::measure(&site());
    }
    if wanted("neighbours") {
        neighbours::measure(&site());
    }
}
