//! The command line: one command for each thing that an operator, a technician or a module author does. A command is
//! one file with `command`, its part of the help, and `run`.

mod api_key;
mod run;
mod settings;
mod version;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::compile;

/// One command: its help, and what it does.
type Entry = (fn() -> Command, fn(&ArgMatches) -> anyhow::Result<ExitCode>);

/// All commands, in the order in which the help lists them.
const COMMANDS: &[Entry] =
    &[(run::command, run::run), (api_key::command, api_key::run), (version::command, version::run)];

const ABOUT: &str = "A small device agent that runs WebAssembly components as its twin's desired state says.";

const LONG_ABOUT: &str = "\
A small device agent that runs WebAssembly components as its twin's desired state says.

It connects to an MQTT broker, fetches, verifies and compiles the functions that the desired state names, serves them
over HTTP, and reports what is so. What is applied stays on disk: after a restart it serves without the network.";

/// The whole program.
pub fn main() -> ExitCode {
    if let Some(code) = compile::child_main() {
        return code;
    }
    let matches = command().get_matches();
    let Some((name, matches)) = matches.subcommand() else { return ExitCode::FAILURE };
    let found = COMMANDS.iter().find(|(command, _)| command().get_name() == name);
    match found.map_or(Ok(ExitCode::FAILURE), |(_, run)| run(matches)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("twinlet {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command line as clap sees it.
pub fn command() -> Command {
    Command::new("twinlet")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(COMMANDS.iter().map(|(command, _)| command()))
}
