//! `twinlet run`: runs the agent, and turns signals into what they ask for.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use log::LevelFilter;
use simple_logger::SimpleLogger;
use tokio::signal::unix::{SignalKind, signal};

use super::settings::{self, Invocation, Unusable, resolve};
use crate::agent::{self, Agent};
use crate::config::{Resolved, reload_differences};
use crate::logs::Kept;
use crate::process::{keep_no_large_buffers, raise_file_limit};
use crate::state_dir::StateDirError;

/// Libraries whose own debugging says little about this agent.
const QUIET: &[&str] =
    &["cranelift", "hyper", "rumqttc", "rustls", "sled", "tiny_http", "ureq", "ureq_proto", "wasmtime"];

const LONG_ABOUT: &str = "\
Run the agent

Every setting can be given in a TOML file, by an environment variable or by a flag; a flag is stronger than the
environment, which is stronger than the file. An empty value counts as not given.";

const MORE: &str = "Every limit and time-out, with its environment variable and default: twinlet run --help";

const EXAMPLES: &str = "\
Examples:
  Run against a broker on this machine, and keep state in ./state:
      twinlet run --node-id bench-1 --cache-dir ./state

  Run against a hub over TLS, with its own authority and a client certificate:
      twinlet run --mqtt-broker mqtts://hub.example:8883 --mqtt-ca-file ca.pem \\
                  --mqtt-cert-file node.pem --mqtt-key-file node.key

  Run from a file, with one setting changed and the password out of the process list:
      MQTT_PASSWORD=… twinlet run --config /etc/twinlet/twinlet.toml --log-level debug

Signals:
  SIGTERM, SIGINT   finish running requests (SHUTDOWN_TIMEOUT_SECS), say offline, exit 0
  SIGHUP            read file and environment again; apply what can change without a restart";

pub(super) fn command() -> Command {
    settings::with_keys(Command::new("run"))
        .about("Run the agent")
        .long_about(LONG_ABOUT)
        .after_help(MORE)
        .after_long_help(EXAMPLES)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let invocation = settings::invocation(matches);
    let settings = resolve(&invocation).map_err(Unusable)?;
    match serve(&invocation, settings) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            log::error!("{error:#}");
            // Files that the configuration names belong to it.
            let newer = matches!(error.downcast_ref(), Some(StateDirError::Newer { .. }));
            Ok(if newer || error.is::<agent::Unusable>() {
                settings::EX_CONFIG.into()
            } else {
                ExitCode::FAILURE
            })
        }
    }
}

fn serve(invocation: &Invocation, mut settings: Resolved) -> anyhow::Result<()> {
    start_log(settings.config.log_level)?;
    // Before anything starts: a signal that comes meanwhile is answered, not fatal.
    let signals = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut term, mut int, mut hup) = {
        let _runtime = signals.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
    };
    keep_no_large_buffers();
    raise_file_limit();
    let mut agent = Agent::start(&settings.config)?;
    loop {
        let asked = signals.block_on(async {
            tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
                _ = hup.recv() => "SIGHUP",
            }
        });
        log::info!("{asked}");
        if asked != "SIGHUP" {
            break;
        }
        reload(invocation, &mut settings, &mut agent);
    }
    agent.stop();
    Ok(())
}

/// Reads everything anew and applies what can change; what is wrong changes nothing.
fn reload(invocation: &Invocation, settings: &mut Resolved, agent: &mut Agent) {
    let new = match resolve(invocation) {
        Ok(new) => new,
        Err(error) => {
            log::error!("nothing is changed: {error:#}");
            return;
        }
    };
    let differences = reload_differences(settings, &new);
    if !differences.needs_restart.is_empty() {
        log::warn!("these wait for a restart: {}", differences.needs_restart.join(", "));
    }
    log::info!("reloaded; changed: {}", differences.applied.join(", "));
    agent.reload(&new.config);
    *settings = new;
}

fn start_log(level: LevelFilter) -> anyhow::Result<()> {
    let mut logger =
        SimpleLogger::new().with_level(LevelFilter::Trace).with_utc_timestamps().with_threads(true);
    for name in QUIET {
        logger = logger.with_module_level(name, LevelFilter::Warn);
    }
    log::set_boxed_logger(Box::new(Kept(logger)))?;
    log::set_max_level(level);
    Ok(())
}
