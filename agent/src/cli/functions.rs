//! `twinlet functions`: a table of all functions that are wanted or still here.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use serde_json::Value;

use super::client::Client;
use super::output::{Output, Span, Style, json_flag, span};
use super::socket::with_agent;
use super::status::style_of;
use super::table::{Align, Table};
use super::words::{list, number, text};

const EXAMPLES: &str = "\
Examples:
  twinlet functions
  twinlet functions --json | jq -r '.functions[] | select(.phase != \"running\") | .id'

VERSION is the wanted one; `2→3` means that 2 serves while 3 is wanted. HOT counts the instances that are ready.";

const COLUMNS: &[(&str, Align)] = &[
    ("FUNCTION", Align::Left),
    ("PHASE", Align::Left),
    ("VERSION", Align::Right),
    ("ORIGIN", Align::Left),
    ("ROUTES", Align::Left),
    ("HOT", Align::Right),
    ("CALLS", Align::Right),
    ("ERRORS", Align::Right),
    ("LAST ERROR", Align::Left),
];

pub(super) fn command() -> Command {
    with_agent(Command::new("functions").about("List the functions, their phases and their counts"))
        .arg(json_flag())
        .after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (output, client) = (Output::of(matches), Client::of(matches)?);
    let answer = client.get("/twinlet/functions")?;
    if output.json {
        output.json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(COLUMNS);
    for function in list(&answer, "/functions") {
        table.row(row(&output, function));
    }
    if table.is_empty() {
        output.text("no functions; `twinlet deploy FILE.wasm --route /PATH` puts one on this device")?;
    } else {
        table.write(&output)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(output: &Output, function: &Value) -> Vec<Span> {
    let phase = text(function, "/phase");
    let errors = number(function, "/errors");
    vec![
        span(Style::Bold, text(function, "/id")),
        span(style_of(phase), phase),
        version(output, function).into(),
        text(function, "/origin").into(),
        routes(function).into(),
        number(function, "/hot_instances").to_string().into(),
        number(function, "/invocations").to_string().into(),
        span(if errors == 0 { Style::Plain } else { Style::Warn }, errors.to_string()),
        text(function, "/last_error").into(),
    ]
}

fn version(output: &Output, function: &Value) -> String {
    let wanted = number(function, "/version");
    match function.pointer("/serving_version").and_then(Value::as_u64) {
        Some(serving) if serving != wanted => format!("{serving}{}{wanted}", output.mark("→", "->")),
        _ => wanted.to_string(),
    }
}

/// Where requests come from: the paths, with the host where only one is meant, else the points of middleware.
fn routes(function: &Value) -> String {
    let path = |route: &Value| match text(route, "/host") {
        "*" => text(route, "/path").to_owned(),
        host => format!("{host}{}", text(route, "/path")),
    };
    let routes: Vec<String> = list(function, "/routes").iter().map(path).collect();
    let points =
        list(function, "/middleware").iter().filter_map(Value::as_str).map(|point| format!("({point})"));
    routes.into_iter().chain(points).collect::<Vec<_>>().join(",")
}
