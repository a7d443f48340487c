//! `twinlet api-key`: makes a key, and the entry of the file of keys that lets its holder in. It touches no file.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;

use super::output::{Output, json_flag};
use crate::desired::{FunctionId, PathPattern};

const EXAMPLES: &str = "\
Examples:
  twinlet api-key ops-2026 --admin                 a key for the management API, and for every route
  twinlet api-key web --route '/api/*'             a key for some routes
  twinlet api-key meter --route /readings --hmac   a secret that signs requests and is never sent

The key is shown once: the entry holds only its digest. Append the entry to the file that API_KEYS_FILE names, of mode
0600 or 0640, and send the agent SIGHUP.";

pub(super) fn command() -> Command {
    Command::new("api-key")
        .about("Make an API key, and its entry for the file of keys")
        .after_help(EXAMPLES)
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .required(true)
                .value_parser(name)
                .help("Name of the entry: lower-case letters, digits, `_` and `-`"),
        )
        .arg(
            Arg::new("admin")
                .long("admin")
                .action(ArgAction::SetTrue)
                .help("Let it open the management API, and every route"),
        )
        .arg(
            Arg::new("route")
                .long("route")
                .value_name("PATTERN")
                .action(ArgAction::Append)
                .value_parser(route)
                .help("Let it open these paths, such as '/api/*'; may stand more than once"),
        )
        .arg(
            Arg::new("hmac")
                .long("hmac")
                .action(ArgAction::SetTrue)
                .help("Make a secret to sign requests with, not a key to send"),
        )
        .group(ArgGroup::new("opens").args(["admin", "route"]).required(true).multiple(true))
        .arg(json_flag())
}

fn name(text: &str) -> Result<String, String> {
    text.parse().map(|id: FunctionId| id.as_str().to_owned()).map_err(|error| error.to_string())
}

fn route(text: &str) -> Result<String, String> {
    PathPattern::of_any(text).map(|_| text.to_owned())
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
    let key = hex(&random);
    let name = matches.get_one::<String>("name").map_or("", String::as_str);
    let routes: Vec<&String> = matches.get_many("route").unwrap_or_default().collect();
    let signs = matches.get_flag("hmac");
    let entry = entry(name, &key, signs, matches.get_flag("admin"), &routes);
    let output = Output::of(matches);
    if output.json {
        output.json(&json!({ "name": name, "key": key, "entry": entry }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let what = if signs { "The secret to sign with:" } else { "The key, which is shown only here:" };
    output.raw(format!("{what}\n\n  {key}\n\nIts entry for API_KEYS_FILE:\n\n{entry}\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The entry in the file of keys.
fn entry(name: &str, key: &str, signs: bool, admin: bool, routes: &[&String]) -> String {
    let holds = if signs {
        format!("hmac_secret = \"{key}\"")
    } else {
        format!("sha256 = \"{}\"", hex(digest::digest(&digest::SHA256, key.as_bytes()).as_ref()))
    };
    let mut entry = format!("[[key]]\nname = \"{name}\"\n{holds}\n");
    if admin {
        entry.push_str("admin = true\n");
    }
    if !routes.is_empty() {
        // What JSON makes of a text and of a list of texts, TOML reads as the same.
        entry.push_str(&format!("routes = {}\n", json!(routes)));
    }
    entry
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ApiKeys;

    fn parse(args: &[&str]) -> Result<ArgMatches, clap::Error> {
        command().try_get_matches_from([&["api-key"], args].concat())
    }

    #[test]
    fn what_opens_nothing_or_has_no_name_is_refused() {
        command().debug_assert();
        for wrong in [
            &["ops"][..],
            &["--admin"],
            &["Ops", "--admin"],
            &["ops", "--route", "api"],
            &["ops", "--route", "/a*"],
            &["ops", "--route"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        for right in [&["ops", "--admin"][..], &["ops", "--route", "/a", "--route", "/metrics", "--hmac"]] {
            assert!(parse(right).is_ok(), "{right:?}");
        }
    }

    #[test]
    fn an_entry_is_one_that_the_agent_reads() {
        let odd = "/a\"b\\c/*".to_owned();
        let text =
            entry("a", &"0f".repeat(32), true, true, &[&odd]) + &entry("b", "key", false, false, &[&odd]);
        let keys = ApiKeys::parse(&text).unwrap().keys;
        assert_eq!(keys[0].hmac_secret.as_deref(), Some([15; 32].as_slice()));
        assert_eq!((keys[0].admin, keys[1].admin), (true, false));
        assert_eq!(keys[1].routes, [PathPattern::of_any(&odd).unwrap()]);
        let digest = keys[1].sha256.unwrap().to_string();
        assert_eq!(digest, "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683");
    }
}
