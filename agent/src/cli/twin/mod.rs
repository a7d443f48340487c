//! `twinlet twin`: an operator's side of a node's twin, at any broker. It needs no agent on this machine.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | the four commands and their flags |
//! | `broker` | which broker and which node is meant |
//! | `document` | desired state from a file, checked before it is sent |
//! | `change` | `set` and `patch`: publishes, and notices others who do so at the same moment |
//! | `dry_run` | asks what would become of a document, and shows the answer |
//! | `outcome` | waits for what the node says to it |
//! | `watch` | all that a node says, as it comes |

mod broker;
mod change;
mod document;
mod dry_run;
mod outcome;
mod watch;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use self::broker::with_broker;
use super::output::{Output, json_flag, note};

const AFTER: &str = "\
The password is best given as MQTT_PASSWORD: a flag shows in the process list. NODE_ID, MQTT_BROKER and the other
MQTT_* variables stand for their flags as well.";

const GET_EXAMPLES: &str = "\
Examples:
  twinlet twin get --broker mqtts://hub.example.com --node gw-7
  twinlet twin get --node gw-7 --desired > desired.json

Exit codes: 0 found, 1 the broker has nothing of the kind, 2 the command line is wrong.";

const SET_EXAMPLES: &str = "\
The document replaces all that came before, on any topic. Without `$version` it gets the next one. It is checked before it
is sent, and kept by the broker, so that a node that is away finds it when it is back.

Examples:
  twinlet twin set desired.json --broker mqtts://hub.example.com --node gw-7
  jq '.settings.log_level = \"debug\"' desired.json | twinlet twin set - --node gw-7
  twinlet twin set desired.json --node gw-7 --dry-run

Exit codes: 0 applied, 1 not valid, refused or failed on the node, or not confirmed in time; 2 the command line is wrong.";

const PATCH_EXAMPLES: &str = "\
The patch is merged (RFC 7396: null removes) into the document that the broker keeps, and the whole document is published
with the next `$version`. A patch by itself would be lost to a node that is away. Where another operator publishes at the
same moment, the patch is merged once more into what they published; who publishes after that is not waited for.

Examples:
  twinlet twin patch '{\"settings\":{\"log_level\":\"debug\"}}' --node gw-7
  twinlet twin patch '{\"functions\":{\"old\":null}}' --node gw-7 --wait 0

Exit codes: as of `twin set`.";

const WATCH_EXAMPLES: &str = "\
Examples:
  twinlet twin watch --broker mqtt://localhost --node gw-7
  twinlet twin watch --node gw-7 --json | jq 'select(.kind == \"telemetry\")'";

pub(super) fn command() -> Command {
    Command::new("twin")
        .about("Read, change and watch a node's twin")
        .after_long_help(AFTER)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands([get_command(), set_command(), patch_command(), watch_command()])
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(ExitCode::FAILURE) };
    let place = match broker::of(matches) {
        Ok(place) => place,
        Err(problems) => {
            problems.iter().for_each(|problem| note(&format!("twinlet twin {name}: {problem}")));
            return Ok(ExitCode::from(2));
        }
    };
    match name {
        "set" => change::set(&place, matches),
        "patch" => change::patch(&place, matches),
        "watch" => watch::watch(&place, matches),
        _ => get(&place, matches),
    }
}

fn get_command() -> Command {
    let only = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    with_broker(
        Command::new("get").about("Print the desired and the reported state that the broker keeps, as JSON"),
    )
    .args([
        only("desired", "Print the desired state alone").conflicts_with("reported"),
        only("reported", "Print the reported state alone"),
    ])
    .after_help(GET_EXAMPLES)
}

fn set_command() -> Command {
    let file = Arg::new("document")
        .value_name("FILE")
        .required(true)
        .help("The document, JSON; - is standard input");
    with_change(with_broker(Command::new("set").about("Publish a whole desired state")).arg(file))
        .after_help(SET_EXAMPLES)
}

fn patch_command() -> Command {
    let patch = Arg::new("document")
        .value_name("PATCH")
        .required(true)
        .help("The patch: JSON, a file of it, or - for standard input");
    with_change(with_broker(Command::new("patch").about("Change a part of the desired state")).arg(patch))
        .after_help(PATCH_EXAMPLES)
}

fn watch_command() -> Command {
    with_broker(Command::new("watch").about("Print what a node says, as it comes, until Ctrl-C"))
        .arg(json_flag().help("Print one JSON object per line"))
        .after_help(WATCH_EXAMPLES)
}

/// The flags that `set` and `patch` share.
fn with_change(command: Command) -> Command {
    command.args([
        Arg::new("wait")
            .long("wait")
            .value_name("SECONDS")
            .value_parser(value_parser!(u32))
            .default_value("30")
            .help("How long to wait for what the node says to it; 0 for not at all"),
        Arg::new("force")
            .long("force")
            .action(ArgAction::SetTrue)
            .help("Send it even where it is not valid here; the node has limits of its own"),
        Arg::new("dry-run")
            .long("dry-run")
            .action(ArgAction::SetTrue)
            .help("Ask only what would happen: downloads, disk, memory, refused imports, new permissions")
            .long_help(
                "Ask only what would happen: downloads, disk, memory, refused imports, new permissions. Nothing that runs \
                 changes, the broker keeps nothing of it, and the same `$version` stays free for the real document. It \
                 exits with 0 where the document would be applied.",
            ),
        json_flag(),
    ])
}

fn get(place: &broker::Place, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let output = Output::of(matches);
    let mut operator = place.connect()?;
    let kept = operator.retained(Instant::now() + broker::PATIENCE)?;
    let read = |bytes: &Option<Vec<u8>>, what: &str| -> anyhow::Result<Value> {
        let Some(bytes) = bytes else { return Ok(Value::Null) };
        serde_json::from_slice(bytes).with_context(|| format!("the {what} that the broker keeps is not JSON"))
    };
    let (desired, reported) =
        (read(&kept.desired, "desired state")?, read(&kept.reported, "reported state")?);
    let status = kept.status.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if status.is_none() && desired.is_null() && reported.is_null() {
        anyhow::bail!("{} keeps nothing of a node {}: is this its name?", place.broker(), place.node);
    }
    let (value, what) = match (matches.get_flag("desired"), matches.get_flag("reported")) {
        (true, _) => (desired, "desired"),
        (_, true) => (reported, "reported"),
        _ => (json!({ "status": status, "desired": desired, "reported": reported }), ""),
    };
    if value.is_null() {
        anyhow::bail!("{} keeps no {what} state of node {}", place.broker(), place.node);
    }
    output.json(&value)?;
    Ok(ExitCode::SUCCESS)
}
