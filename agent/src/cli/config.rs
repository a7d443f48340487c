//! `twinlet config show`: every setting, its value and where it comes from.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::output::{Output, Style, json_flag, span};
use super::settings::{self, Unusable};
use super::table::{Align, Table};
use crate::config::{Resolved, show};

const EXAMPLES: &str = "\
Secrets are shown as ***.

Examples:
  twinlet config show --config /etc/twinlet/twinlet.toml
  twinlet config show --json | jq -r .mqtt_broker.value

Exit codes: 0 done, 2 the command line is wrong, 78 the configuration is, with everything that is wrong with it.";

pub(super) fn command() -> Command {
    let about = "Show every setting, its value, and where it comes from";
    Command::new("config")
        .about("Show the settings")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(
            settings::with_keys(Command::new("show")).about(about).arg(json_flag()).after_help(EXAMPLES),
        )
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let Some((_, matches)) = matches.subcommand() else { return Ok(ExitCode::FAILURE) };
    let resolved = settings::resolve(&settings::invocation(matches)).map_err(Unusable)?;
    let output = Output::of(matches);
    if output.json {
        output.json(&object(&resolved))?
    } else {
        table(&resolved).write(&output)?
    }
    Ok(ExitCode::SUCCESS)
}

fn object(resolved: &Resolved) -> Value {
    let entry =
        |row: crate::config::Row| (row.key.to_owned(), json!({ "value": row.value, "source": row.source }));
    Value::Object(show(resolved).into_iter().map(entry).collect::<Map<_, _>>())
}

fn table(resolved: &Resolved) -> Table {
    let mut table = Table::new(&[("KEY", Align::Left), ("VALUE", Align::Left), ("SOURCE", Align::Left)]);
    for row in show(resolved) {
        let style = if row.source == "default" { Style::Dim } else { Style::Plain };
        table.row(vec![row.key.into(), row.value.unwrap_or_default().into(), span(style, row.source)]);
    }
    table
}
