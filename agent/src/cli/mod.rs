//! The command line: one command for each thing that an operator, a technician or a module author does. A command is
//! one file with `command`, its part of the help, and `run`.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | the commands, their order in the help, and exit codes |
//! | `output`, `table`, `words` | what a command says: tables, JSON, colour, progress, amounts and times |
//! | `socket`, `client` | which agent is meant, and requests to it over its local socket |
//! | `settings` | the agent's settings as flags |
//! | `run` | the agent itself |
//! | `status`, `functions`, `why`, `logs`, `metrics` | what the running agent says of itself |
//! | `deploy`, `delete`, `invoke` | what it is asked to do |
//! | `check` | whether this node's settings will work, without an agent |
//! | `new`, `inspect` | for authors of modules, without an agent |
//! | `twin` | an operator's side of any node, at any broker |
//! | `keygen`, `sign`, `signing` | keys for signing functions, and signatures |
//! | `config`, `version` | what the settings and this build are |
//!
//! Exit codes: 0 done, 1 failed or refused by the agent, 2 the command line is wrong, 78 the configuration is.

mod api_key;
mod check;
mod client;
mod config;
mod delete;
mod deploy;
mod functions;
mod inspect;
mod invoke;
mod keygen;
mod logs;
mod metrics;
mod new;
mod output;
mod run;
mod scratch;
mod settings;
mod sign;
mod signing;
mod socket;
mod status;
mod table;
mod twin;
mod version;
mod why;
mod words;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::{compile, store};

/// One command: its help, and what it does.
struct Entry {
    group: Group,
    command: fn() -> Command,
    run: fn(&ArgMatches) -> anyhow::Result<ExitCode>,
}

/// Under which heading the help lists a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Agent,
    Show,
    Ask,
    Modules,
    Broker,
    Program,
}

/// The headings, in the order in which the help has them.
const GROUPS: &[(Group, &str)] = &[
    (Group::Agent, "The agent on this device"),
    (Group::Show, "What the running agent says"),
    (Group::Ask, "What the running agent is asked to do"),
    (Group::Modules, "For authors of modules"),
    (Group::Broker, "For operators, away from the device"),
    (Group::Program, "This program"),
];

/// All commands, in the order in which the help lists them.
const COMMANDS: &[Entry] = &[
    Entry { group: Group::Agent, command: run::command, run: run::run },
    Entry { group: Group::Agent, command: check::command, run: check::run },
    Entry { group: Group::Show, command: status::command, run: status::run },
    Entry { group: Group::Show, command: functions::command, run: functions::run },
    Entry { group: Group::Show, command: why::command, run: why::run },
    Entry { group: Group::Show, command: logs::command, run: logs::run },
    Entry { group: Group::Show, command: metrics::command, run: metrics::run },
    Entry { group: Group::Ask, command: deploy::command, run: deploy::run },
    Entry { group: Group::Ask, command: delete::command, run: delete::run },
    Entry { group: Group::Ask, command: invoke::command, run: invoke::run },
    Entry { group: Group::Modules, command: new::command, run: new::run },
    Entry { group: Group::Modules, command: inspect::command, run: inspect::run },
    Entry { group: Group::Broker, command: twin::command, run: twin::run },
    Entry { group: Group::Broker, command: keygen::command, run: keygen::run },
    Entry { group: Group::Broker, command: sign::command, run: sign::run },
    Entry { group: Group::Program, command: config::command, run: config::run },
    Entry { group: Group::Program, command: api_key::command, run: api_key::run },
    Entry { group: Group::Program, command: version::command, run: version::run },
];

const ABOUT: &str = "A small device agent that runs WebAssembly components as its twin's desired state says.";

const LONG_ABOUT: &str = "\
A small device agent that runs WebAssembly components as its twin's desired state says.

It connects to an MQTT broker, fetches, verifies and compiles the functions that the desired state names, serves them
over HTTP, and reports what is so. What is applied stays on disk: after a restart it serves without the network.";

/// The overview has the commands under headings of its own.
const TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}";

/// The whole program.
pub fn main() -> ExitCode {
    if let Some(code) = compile::child_main().or_else(store::child_main) {
        return code;
    }
    let matches = command().get_matches();
    let Some((name, matches)) = matches.subcommand() else { return ExitCode::FAILURE };
    let found = COMMANDS.iter().find(|entry| (entry.command)().get_name() == name);
    let Some(entry) = found else { return ExitCode::FAILURE };
    (entry.run)(matches).unwrap_or_else(|error| failed(name, &error))
}

/// Says why a command failed, and with which code.
fn failed(name: &str, error: &anyhow::Error) -> ExitCode {
    if error.is::<output::Closed>() {
        return ExitCode::SUCCESS;
    }
    output::note(&format!("twinlet {name}: {error:#}"));
    if error.is::<settings::Unusable>() { ExitCode::from(settings::EX_CONFIG) } else { ExitCode::FAILURE }
}

/// The command line as clap sees it.
pub fn command() -> Command {
    Command::new("twinlet")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(COMMANDS.iter().map(|entry| (entry.command)()))
        .help_template(TEMPLATE)
        .after_help(overview())
}

/// All commands under their headings, each with its line of help.
fn overview() -> String {
    let mut text = String::new();
    for (group, title) in GROUPS {
        let entries: Vec<_> = COMMANDS.iter().filter(|entry| entry.group == *group).collect();
        if entries.is_empty() {
            continue;
        }
        text.push_str(&format!("{title}:\n"));
        for entry in entries {
            let command = (entry.command)();
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("  {:<12}{about}\n", command.get_name()));
        }
        text.push('\n');
    }
    text + "`twinlet COMMAND --help` says more, with examples."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_the_overview_has_every_command() {
        command().debug_assert();
        let help = command().render_help().to_string();
        for entry in COMMANDS {
            let name = (entry.command)().get_name().to_owned();
            assert!(help.lines().any(|line| line.split_whitespace().next() == Some(&name)), "{name}");
        }
    }
}
