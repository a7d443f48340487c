//! `twinlet logs`: the last lines of the agent's log, and on request those that follow.

use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::client::{Client, encoded};
use super::output::{Output, Style, json_flag, note, span};
use super::socket::with_agent;
use super::words::{list, number, text};
use crate::moment::rfc3339;

/// How often a followed log is asked for more.
const EVERY: Duration = Duration::from_millis(250);
/// The most lines that one answer has.
const MOST: u64 = 5_000;

const EXAMPLES: &str = "\
Examples:
  twinlet logs                     the last 200 lines
  twinlet logs -f hello            what `hello` writes, and what is said of it, until Ctrl-C
  twinlet logs -n 20 --level warn
  twinlet logs --json | jq -r .text

The agent keeps its last lines in memory, about 128 KB of them since it was started. Times are UTC. With --json each
line is one JSON object on a line of its own.";

pub(super) fn command() -> Command {
    let lines =
        Arg::new("lines").short('n').long("lines").value_name("LINES").help("How many of the last lines");
    let level = Arg::new("level").long("level").value_name("LEVEL").ignore_case(true);
    with_agent(Command::new("logs").about("Show the last lines of the log, and follow it"))
        .arg(Arg::new("function").value_name("FUNCTION").help("Only lines of this function, and about it"))
        .arg(
            Arg::new("follow")
                .short('f')
                .long("follow")
                .action(ArgAction::SetTrue)
                .help("Go on with the lines that follow, until Ctrl-C or the agent ends"),
        )
        .arg(lines.value_parser(value_parser!(u64).range(..=MOST)).default_value("200"))
        .arg(
            level
                .value_parser(PossibleValuesParser::new(["error", "warn", "info", "debug", "trace"]))
                .help("Only lines as grave as this, or graver"),
        )
        .arg(json_flag())
        .after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (output, client) = (Output::of(matches), Client::of(matches)?);
    let mut filter = String::new();
    for name in ["function", "level"] {
        if let Some(value) = matches.get_one::<String>(name) {
            filter.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    let lines = matches.get_one::<u64>("lines").copied().unwrap_or(MOST);
    let answer = client.get(&format!("/twinlet/logs?limit={lines}{filter}"))?;
    show(&output, &answer)?;
    if matches.get_flag("follow") {
        follow(&output, &client, &filter, number(&answer, "/last"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what comes after a line, until it can not.
fn follow(output: &Output, client: &Client, filter: &str, mut after: u64) -> anyhow::Result<()> {
    loop {
        std::thread::sleep(EVERY);
        let answer = client
            .get(&format!("/twinlet/logs?limit={MOST}&after={after}{filter}"))
            .map_err(|error| error.context("the log ends here"))?;
        let last = number(&answer, "/last");
        if last < after {
            note("--- the agent has been started again ---");
            after = 0;
            continue;
        }
        let first = list(&answer, "/lines").first().map_or(last, |line| number(line, "/seq"));
        if filter.is_empty() && first > after + 1 {
            note(&format!("--- {} lines came too fast to be shown ---", first - after - 1));
        }
        show(output, &answer)?;
        after = last;
    }
}

fn show(output: &Output, answer: &Value) -> anyhow::Result<()> {
    for line in list(answer, "/lines") {
        if output.json {
            output.json_line(line)?;
            continue;
        }
        let level = text(line, "/level");
        let style = match level {
            "error" => Style::Bad,
            "warn" => Style::Warn,
            "info" => Style::Good,
            _ => Style::Dim,
        };
        let target = text(line, "/target");
        let target = target.strip_prefix("twinlet::").unwrap_or(target);
        output.line(&[
            span(Style::Dim, rfc3339(number(line, "/unix_ms"))),
            span(style, format!(" {:<5} ", level.to_ascii_uppercase())),
            span(Style::Dim, format!("{target} ")),
            text(line, "/text").into(),
        ])?;
    }
    Ok(())
}
