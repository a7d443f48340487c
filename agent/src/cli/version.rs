//! `twinlet version`: what this build is.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

pub(super) fn command() -> Command {
    Command::new("version").about("Say which build this is")
}

#[allow(clippy::print_stdout, reason = "what was asked for goes to standard output")]
pub(super) fn run(_: &ArgMatches) -> anyhow::Result<ExitCode> {
    println!("twinlet {}", env!("CARGO_PKG_VERSION"));
    Ok(ExitCode::SUCCESS)
}
