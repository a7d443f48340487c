//! `twinlet delete`: takes away a function that was put on this device by hand.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::client::{Client, DURABLE, encoded};
use super::output::{Output, json_flag};
use super::socket::with_agent;
use super::why::{function, function_of};
use super::words::text;

const EXAMPLES: &str = "\
Examples:
  twinlet delete hello

What the hub asks for can not be deleted here; it would be back with the next desired state.";

pub(super) fn command() -> Command {
    with_agent(Command::new("delete").about("Take away a function that was put on this device by hand"))
        .arg(function())
        .arg(json_flag())
        .after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (output, client) = (Output::of(matches), Client::of(matches)?);
    let function = function_of(matches);
    let path = format!("/twinlet/functions/{}", encoded(function));
    let answer = client.call("DELETE", &path, None, DURABLE)?.done_with(function)?.json()?;
    if output.json {
        output.json(&answer)?;
    } else {
        output.text(&format!("{} is deleted, with its routes", text(&answer, "/id")))?;
    }
    Ok(ExitCode::SUCCESS)
}
