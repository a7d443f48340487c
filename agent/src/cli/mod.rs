//! The command line: reads settings from where they stand, runs the agent, and turns signals into what they ask for.

mod flags;

use std::process::ExitCode;

use anyhow::Context;
use log::LevelFilter;
use simple_logger::SimpleLogger;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::compile;
use crate::config::{FileText, Layers, Resolved, reload_differences};
use flags::Invocation;

/// The exit code for a configuration that can not be used, from sysexits.h.
const EX_CONFIG: u8 = 78;
/// Libraries whose own debugging says little about this agent.
const QUIET: &[&str] =
    &["cranelift", "hyper", "rumqttc", "rustls", "sled", "tiny_http", "ureq", "ureq_proto", "wasmtime"];

/// The whole program.
pub fn main() -> ExitCode {
    if let Some(code) = compile::child_main() {
        return code;
    }
    let matches = flags::command().get_matches();
    let invocation = flags::invocation(&matches);
    let settings = match resolve(&invocation) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("twinlet: {error:#}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    match run(&invocation, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads file, environment and flags.
fn resolve(invocation: &Invocation) -> anyhow::Result<Resolved> {
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

fn run(invocation: &Invocation, mut settings: Resolved) -> anyhow::Result<()> {
    start_log(settings.config.log_level)?;
    // Before anything starts: a signal that comes meanwhile is answered, not fatal.
    let signals = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut term, mut int, mut hup) = {
        let _runtime = signals.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
    };
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
    logger.init()?;
    log::set_max_level(level);
    Ok(())
}
