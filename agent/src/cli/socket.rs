//! Which socket the running agent listens on: `--socket`, else `LOCAL_SOCKET`, else what the configuration says, else
//! that of the service.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

use super::settings::{CONFIG_ENV, Invocation, Unusable, resolve};

/// Where the systemd unit puts it.
const OF_SERVICE: &str = "/run/twinlet/twinlet.sock";

/// A command with the flags that say which agent is meant.
pub(super) fn with_agent(command: Command) -> Command {
    let config = path("config", "FILE")
        .help("The agent's TOML file, which says where the socket is")
        .long_help(format!("The agent's TOML file, which says where the socket is\n[env: {CONFIG_ENV}]"));
    with_socket(command).arg(config)
}

/// The same for a command whose `--config` is another.
pub(super) fn with_socket(command: Command) -> Command {
    let long = format!(
        "The agent's local socket; else LOCAL_SOCKET, else what the agent's settings say, else {OF_SERVICE} if it is there"
    );
    command.arg(path("socket", "PATH").help("The agent's local socket").long_help(long))
}

fn path(name: &'static str, value: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).value_name(value).value_parser(ValueParser::path_buf());
    arg.help_heading("Which agent")
}

/// The path of the socket that is meant.
pub(super) fn of(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    if let Some(path) = matches.get_one::<PathBuf>("socket") {
        return Ok(path.clone());
    }
    let config = matches.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    choose(config, set, Path::new(OF_SERVICE))
}

fn choose(
    config: Option<PathBuf>,
    set: impl Fn(&str) -> Option<OsString>,
    of_service: &Path,
) -> anyhow::Result<PathBuf> {
    if let Some(path) = set("LOCAL_SOCKET") {
        return Ok(path.into());
    }
    let config_file = config.or_else(|| set(CONFIG_ENV).map(PathBuf::from));
    // Whoever may not look there is told so when connecting.
    let there =
        || !std::fs::metadata(of_service).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if config_file.is_none() && set("CACHE_DIR").is_none() && there() {
        return Ok(of_service.to_owned());
    }
    let resolved = resolve(&Invocation { config_file, flags: Vec::new() }).map_err(Unusable)?;
    Ok(resolved.config.local_socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(config: Option<&str>, env: &[(&str, &str)], of_service: &str) -> String {
        let set =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        let path = choose(config.map(PathBuf::from), set, Path::new(of_service)).unwrap();
        path.display().to_string()
    }

    #[test]
    fn the_nearest_word_on_the_socket_counts() {
        let config = std::env::temp_dir().join(format!("twinlet-socket-{}.toml", std::process::id()));
        std::fs::write(&config, "local_socket = \"/of/file.sock\"\n").unwrap();
        let file = config.to_str().unwrap();
        let there = "/proc/self/status";
        assert_eq!(
            chosen(None, &[("LOCAL_SOCKET", "/of/env.sock"), (CONFIG_ENV, file)], there),
            "/of/env.sock"
        );
        assert_eq!(chosen(Some(file), &[(CONFIG_ENV, "/not/there.toml")], there), "/of/file.sock");
        assert_eq!(chosen(None, &[(CONFIG_ENV, file)], there), "/of/file.sock");
        assert_eq!(chosen(None, &[], there), there);
        std::fs::remove_file(&config).unwrap();
        assert!(choose(Some(config), |_| None, Path::new(there)).unwrap_err().is::<Unusable>());
    }
}
