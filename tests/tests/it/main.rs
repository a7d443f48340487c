//! The whole agent, from outside: one binary, one module per theme. Every test starts its own broker, its own
//! artifact server and its own agent on free ports, so that they run side by side.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod access;
mod access_example;
mod access_headers;
mod access_signed;
mod actors;
mod bad_artifacts;
mod bad_messages;
mod broker_doors;
mod budgets;
mod check;
mod cli_changes;
mod cli_shows;
mod cli_talks;
mod clockless;
mod clockless_tls;
mod compile_bombs;
mod compile_jail;
mod damage;
mod deploying;
mod doors;
mod downloads;
mod dry_run;
mod errors;
mod exchange;
mod hardening;
mod hostile;
mod hostile_middleware;
mod inspect;
mod languages;
mod layers;
mod limits;
mod middleware;
mod neighbour;
mod new_project;
mod operator;
mod origins;
mod power;
mod reports;
mod restarts;
mod rollback;
mod rollout;
mod samples;
mod seals;
mod serverledge;
mod sgl;
mod signals;
mod signatures;
mod slow_outbound;
mod space;
mod standards;
mod systemd;
mod telemetry;
mod tls;
mod twin;
mod wasi_http;

use twinlet_tests::{Agent, AgentBuilder, Cli, Site};

/// An agent of the present build, yet to be started.
fn agent() -> AgentBuilder {
    AgentBuilder::new(env!("CARGO_BIN_EXE_twinlet-agent"))
}

/// A broker, a hub, an artifact server and an agent that is online.
fn site() -> Site {
    Site::start(agent())
}

/// The command line of the present build, which means this agent.
fn twinlet(agent: &Agent) -> Cli {
    Cli::new(env!("CARGO_BIN_EXE_twinlet-agent")).env("LOCAL_SOCKET", agent.socket().display())
}
