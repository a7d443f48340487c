//! The agent's settings on the command line: a flag for every key of the table, `--config`, and what they resolve to
//! together with file and environment. It knows nothing of what the values mean.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{FileText, KEYS, Key, Layers, Resolved};

/// The environment variable that stands for `--config` where that flag is not given.
pub(super) const CONFIG_ENV: &str = "TWINLET_CONFIG";

const CONFIG: &str = "config";

/// The exit code for a configuration that can not be used, from sysexits.h.
pub(super) const EX_CONFIG: u8 = 78;

/// What the command line says.
pub(super) struct Invocation {
    /// Path of the TOML file, from `--config` or else `TWINLET_CONFIG`; a file that is not there is an error.
    pub(super) config_file: Option<PathBuf>,
    /// Key names, as in [`KEYS`], with the texts of the flags that were given.
    pub(super) flags: Vec<(&'static str, String)>,
}

/// A command with `--config` and a flag for every key.
pub(super) fn with_keys(command: Command) -> Command {
    let config = Arg::new(CONFIG)
        .long("config")
        .value_name("FILE")
        .value_parser(ValueParser::path_buf())
        .help("TOML file to read settings from")
        .long_help(format!("TOML file to read settings from\n[env: {CONFIG_ENV}]"));
    command.arg(config).args(KEYS.iter().map(flag))
}

/// Reads what clap matched, and `TWINLET_CONFIG` from the environment.
pub(super) fn invocation(matches: &ArgMatches) -> Invocation {
    invocation_with(matches, std::env::var_os(CONFIG_ENV))
}

fn invocation_with(matches: &ArgMatches, config_env: Option<OsString>) -> Invocation {
    let config_flag = matches.get_one::<PathBuf>(CONFIG).cloned();
    let config_file = config_flag.or(config_env.filter(|path| !path.is_empty()).map(PathBuf::from));
    // A command may have `--config` alone.
    let given = |key: &'static Key| Some((key.name, matches.try_get_one::<String>(key.name).ok()??.clone()));
    Invocation { config_file, flags: KEYS.iter().filter_map(given).collect() }
}

/// A configuration that can not be used; the program ends with 78.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(super) struct Unusable(pub(super) anyhow::Error);

/// Reads file, environment and flags.
pub(super) fn resolve(invocation: &Invocation) -> anyhow::Result<Resolved> {
    let file = match &invocation.config_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
            Some(FileText { path: path.clone(), text })
        }
        None => None,
    };
    let layers = Layers { file, env: std::env::vars_os().collect(), flags: invocation.flags.clone() };
    Resolved::from_layers(layers).map_err(|problems| {
        let list: Vec<String> = problems.to_string().lines().map(|line| format!("\n  {line}")).collect();
        anyhow::anyhow!("the configuration can not be used:{}", list.concat())
    })
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
        let matches =
            with_keys(Command::new("twinlet")).try_get_matches_from([&["twinlet"], args].concat()).unwrap();
        invocation_with(&matches, config_env.map(OsString::from))
    }

    #[test]
    fn the_command_is_sound_and_its_help_names_every_key() {
        let mut command = with_keys(Command::new("twinlet"));
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
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
