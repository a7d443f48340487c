//! `twinlet metrics`: what `/metrics` says, whole or by the beginning of the names.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Arg, ArgMatches, Command};

use super::client::{Client, SOON};
use super::output::Output;
use super::socket::with_agent;

const EXAMPLES: &str = "\
Examples:
  twinlet metrics
  twinlet metrics twinlet_mqtt     only those whose names begin so
  twinlet metrics | grep -v '^#'";

pub(super) fn command() -> Command {
    with_agent(Command::new("metrics").about("Print the metrics, as Prometheus reads them"))
        .arg(Arg::new("prefix").value_name("PREFIX").help("Only metrics whose names begin so"))
        .after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (output, client) = (Output::of(matches), Client::of(matches)?);
    let page = client.call("GET", "/metrics", None, SOON)?.done()?.text();
    let prefix = matches.get_one::<String>("prefix").map_or("", String::as_str);
    let wanted: String = page.split_inclusive('\n').filter(|line| name(line).starts_with(prefix)).collect();
    if wanted.is_empty() {
        bail!("no metric's name begins with `{prefix}`");
    }
    output.verbatim(&wanted)?;
    Ok(ExitCode::SUCCESS)
}

/// A line without what stands before the metric's name in comments.
fn name(line: &str) -> &str {
    line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")).unwrap_or(line)
}
