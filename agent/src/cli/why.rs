//! `twinlet why`: how a function came to be as it is, from what is wanted to what serves.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use super::client::{Client, SOON, encoded};
use super::output::{Output, Style, json_flag, span};
use super::socket::with_agent;
use super::table::{Align, Table};
use super::words::{list, text};

const EXAMPLES: &str = "\
Examples:
  twinlet why hello
  twinlet why hello --json | jq -r .conclusion

The chain is in the order of cause and effect: look at the first link that does not hold.";

pub(super) fn command() -> Command {
    with_agent(Command::new("why").about("Say in words why a function runs, or why it does not"))
        .arg(function())
        .arg(json_flag())
        .after_help(EXAMPLES)
}

/// The argument that names a function.
pub(super) fn function() -> Arg {
    Arg::new("function").value_name("FUNCTION").required(true).help("The function's id")
}

/// What it is.
pub(super) fn function_of(matches: &ArgMatches) -> &str {
    matches.get_one::<String>("function").map_or("", String::as_str)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (output, client) = (Output::of(matches), Client::of(matches)?);
    let function = function_of(matches);
    let reply = client.call("GET", &format!("/twinlet/why/{}", encoded(function)), None, SOON)?;
    let answer = reply.done_with(function)?.json()?;
    if output.json {
        output.json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    output.line(&[span(Style::Bold, text(&answer, "/conclusion"))])?;
    output.text("")?;
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left), ("", Align::Left)]).whole();
    for step in list(&answer, "/steps") {
        let mark = match text(step, "/state") {
            "ok" => span(Style::Good, output.mark("✓", "ok")),
            "wait" => span(Style::Warn, output.mark("…", "wait")),
            _ => span(Style::Bad, output.mark("✗", "BAD")),
        };
        table.row(vec![mark, text(step, "/step").into(), text(step, "/detail").into()]);
    }
    table.write(&output)?;
    Ok(ExitCode::SUCCESS)
}
