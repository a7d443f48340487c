//! `twinlet version`: what this build is.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use serde_json::json;

use super::output::{Output, json_flag};
use crate::agent::VERSION;
use crate::engine::WASMTIME_VERSION;

const EXAMPLES: &str = "\
Examples:
  twinlet version
  twinlet version --json | jq -r .version";

pub(super) fn command() -> Command {
    Command::new("version").about("Say which build this is").arg(json_flag()).after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let output = Output::of(matches);
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let features: Vec<&str> =
        FEATURES.iter().filter(|(_, built_in)| *built_in).map(|(name, _)| *name).collect();
    if output.json {
        output.json(&json!({ "version": VERSION, "target": target, "features": features,
                             "wasmtime": WASMTIME_VERSION }))?;
    } else {
        output.text(&format!("twinlet {VERSION}"))?;
        output.text(&format!("target    {target}"))?;
        output.text(&format!("features  {}", features.join(", ")))?;
        output.text(&format!("wasmtime  {WASMTIME_VERSION}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The features that a build may have.
const FEATURES: &[(&str, bool)] = &[
    ("compiler", cfg!(feature = "compiler")),
    ("pulley", cfg!(feature = "pulley")),
    ("public-door", cfg!(feature = "public-door")),
];
