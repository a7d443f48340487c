//! The command line as clap sees it, built from the table of keys. It knows nothing of what the values mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{KEYS, Key};

/// The environment variable that stands for `--config` where that flag is not given.
pub(super) const CONFIG_ENV: &str = "TWINLET_CONFIG";

const CONFIG: &str = "config";

const ABOUT: &str = "A small device agent that runs WebAssembly components as its twin's desired state says.";

const LONG_ABOUT: &str = "\
A small device agent that runs WebAssembly components as its twin's desired state says.

It connects to an MQTT broker, fetches, verifies and compiles the functions that the desired state names, serves them
over HTTP, and reports what is so. What is applied stays on disk: after a restart it serves without the network.

Every setting can be given in a TOML file, by an environment variable or by a flag; a flag is stronger than the
environment, which is stronger than the file. An empty value counts as not given.";

const MORE: &str = "Every limit and time-out, with its environment variable and default: twinlet --help";

const EXAMPLES: &str = "\
Examples:
  Run against a broker on this machine, and keep state in ./state:
      twinlet --node-id bench-1 --cache-dir ./state

  Run against a hub over TLS, with its own authority and a client certificate:
      twinlet --mqtt-broker mqtts://hub.example:8883 --mqtt-ca-file ca.pem \\
              --mqtt-cert-file node.pem --mqtt-key-file node.key

  Run from a file, with one setting changed and the password out of the process list:
      MQTT_PASSWORD=… twinlet --config /etc/twinlet/twinlet.toml --log-level debug

Signals:
  SIGTERM, SIGINT   finish running requests (SHUTDOWN_TIMEOUT_SECS), say offline, exit 0
  SIGHUP            read file and environment again; apply what can change without a restart";

/// What the command line says.
pub(super) struct Invocation {
    /// Path of the TOML file, from `--config` or else `TWINLET_CONFIG`; a file that is not there is an error.
    pub(super) config_file: Option<PathBuf>,
    /// Key names, as in [`KEYS`], with the texts of the flags that were given.
    pub(super) flags: Vec<(&'static str, String)>,
}

/// The command `twinlet`: without a subcommand it runs the agent.
pub(super) fn command() -> Command {
    let config = Arg::new(CONFIG)
        .long("config")
        .value_name("FILE")
        .value_parser(ValueParser::path_buf())
        .help("TOML file to read settings from")
        .long_help(format!("TOML file to read settings from\n[env: {CONFIG_ENV}]"));
    Command::new("twinlet")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .after_help(MORE)
        .after_long_help(EXAMPLES)
        .override_usage("twinlet [--config FILE] [OPTIONS]")
        .arg(config)
        .args(KEYS.iter().map(flag))
}

/// Reads what clap matched, and `TWINLET_CONFIG` from the environment.
pub(super) fn invocation(matches: &ArgMatches) -> Invocation {
    invocation_with(matches, std::env::var_os(CONFIG_ENV))
}

fn invocation_with(matches: &ArgMatches, config_env: Option<OsString>) -> Invocation {
    let config_flag = matches.get_one::<PathBuf>(CONFIG).cloned();
    let config_file = config_flag.or(config_env.filter(|path| !path.is_empty()).map(PathBuf::from));
    let given = |key: &'static Key| matches.get_one::<String>(key.name).map(|text| (key.name, text.clone()));
    Invocation { config_file, flags: KEYS.iter().filter_map(given).collect() }
}

/// The flag of one key. It has no default of clap's: one would outrank file and environment.
fn flag(key: &'static Key) -> Arg {
    let range = key.kind.range().map_or_else(String::new, |range| format!(" ({range})"));
    let default = key.default.map_or_else(String::new, |text| format!("default: {text}, "));
    // clap without its feature `string` takes static names; the command is built once, and these are 1 KB in all.
    let long: &'static str = key.flag_name().leak();
    Arg::new(key.name)
        .long(long)
        .value_name(key.kind.value_name())
        .action(ArgAction::Set)
        .allow_negative_numbers(true)
        .help_heading(key.group.title())
        .hide_short_help(!key.common)
        .help(key.help)
        .long_help(format!("{}{range}\n[{default}env: {}]", key.help, key.env_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoke(args: &[&str], config_env: Option<&str>) -> Invocation {
        let matches = command().try_get_matches_from([&["twinlet"], args].concat()).unwrap();
        invocation_with(&matches, config_env.map(OsString::from))
    }

    #[test]
    fn the_command_is_sound_and_its_help_names_every_key() {
        command().debug_assert();
        let help = command().render_long_help().to_string();
        for key in KEYS {
            assert!(help.contains(&format!("--{} <", key.flag_name())), "{}", key.name);
            assert!(help.contains(&format!("env: {}]", key.env_name())), "{}", key.name);
        }
    }

    #[test]
    fn only_given_flags_are_passed_on() {
        let invoked = invoke(&["--listen-port", "0", "--idle-timeout-secs", "-5", "--pop-id="], None);
        let expected = [
            ("pop_id", String::new()),
            ("listen_port", "0".to_owned()),
            ("idle_timeout_secs", "-5".to_owned()),
        ];
        assert_eq!(invoked.flags, expected);
        assert_eq!(invoked.config_file, None);
    }

    #[test]
    fn the_config_flag_is_stronger_than_its_variable() {
        let path = |args: &[&str], env| invoke(args, env).config_file;
        assert_eq!(path(&["--config", "a.toml"], Some("b.toml")), Some("a.toml".into()));
        assert_eq!(path(&[], Some("b.toml")), Some("b.toml".into()));
        assert_eq!(path(&[], Some("")), None);
    }
}
