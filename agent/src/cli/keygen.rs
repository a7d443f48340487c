//! `twinlet keygen`: makes a key to sign functions with, and the line by which devices trust it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};
use serde_json::json;

use super::output::{Output, json_flag, note};
use super::signing::Signer;

const EXAMPLES: &str = "\
Examples:
  twinlet keygen --out release.pem >> trusted-keys
  twinlet keygen --out release.pem --json | jq -r .public_key

The private key stays with those who release: `twinlet sign` needs it, and no device and no broker ever does. The line
that is printed is the public key. Append it to the file that TRUSTED_KEYS_FILE names on the devices, and send the agent
SIGHUP; with REQUIRE_SIGNATURES=true it then runs nothing of the hub's that was not signed.";

pub(super) fn command() -> Command {
    Command::new("keygen")
        .about("Make a key to sign functions with")
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .default_value("signing-key.pem")
                .value_parser(ValueParser::path_buf())
                .help("File of the private key, PEM, mode 0600; one that is there is never replaced"),
        )
        .arg(json_flag())
        .after_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let path = matches.get_one::<PathBuf>("out").cloned().unwrap_or_default();
    let public = Signer::create(&path)?.public_key()?.to_string();
    let output = Output::of(matches);
    if output.json {
        output.json(&json!({ "private_key_file": path, "public_key": public }))?;
    } else {
        note(&format!("the private key is in {}; keep it off devices and brokers", path.display()));
        output.text(&public)?;
    }
    Ok(ExitCode::SUCCESS)
}
