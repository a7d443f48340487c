//! `twinlet check`: whether this node's settings will work here and now. It changes nothing, and an agent that runs
//! meanwhile notices nothing of it.
//!
//! | file | what is checked |
//! | --- | --- |
//! | `state` | the state directory and the local socket |
//! | `machine` | address space, the compiler, the clock |
//! | `files` | certificates, keys and directories that the settings name |
//! | `door` | the address of the public door |
//! | `broker` | the way to the broker, step by step |
//! | `stored` | the desired state on the disk |
//! | `finding` | what is found, and how it is told |

mod broker;
mod door;
mod files;
mod finding;
mod machine;
mod state;
mod stored;

use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::finding::{Finding, Report};
use super::output::json_flag;
use super::settings::{self, EX_CONFIG};
use crate::config::Config;
use crate::state_dir;

/// How long one check may take.
const DEADLINE: Duration = Duration::from_secs(5);

const AFTER: &str = "\
Run it as the user that the agent runs as, with the same settings. Each check has 5 seconds.

Examples:
  sudo -u twinlet twinlet check --config /etc/twinlet/twinlet.toml
  twinlet check --no-network --json | jq '.findings[] | select(.result == \"wrong\")'

Exit codes: 0 all will work (there may be warnings), 1 something will not, 2 the command line is wrong, 78 the
configuration is.";

/// What every check may look at.
struct Given {
    config: Config,
    /// Whether an agent works in the state directory.
    running: bool,
}

/// A group of checks that belong together, and the name by which a time-out is told.
type Check = (&'static str, fn(&Given) -> Vec<Finding>);

const CHECKS: &[Check] = &[
    ("cache_dir", state::directory),
    ("local_socket", state::socket),
    ("desired state", stored::check),
    ("address space", machine::address_space),
    ("compiler", machine::compiler),
    ("clock", machine::clock),
    ("files", files::check),
    ("listen address", door::check),
];

pub(super) fn command() -> Command {
    let no_network = Arg::new("no-network")
        .long("no-network")
        .action(ArgAction::SetTrue)
        .help("Leave out what needs the network: the broker");
    settings::with_keys(Command::new("check"))
        .about("Say whether this node's settings will work")
        .args([no_network, json_flag()])
        .after_help(AFTER)
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let mut report = Report::of(matches);
    let config = match settings::resolve(&settings::invocation(matches)) {
        Ok(resolved) => resolved.config,
        Err(error) => {
            report.add(Finding::wrong("configuration", format!("{error:#}")))?;
            report.end()?;
            return Ok(ExitCode::from(EX_CONFIG));
        }
    };
    report.add(Finding::ok("configuration", "readable and valid"))?;
    // Who may not look at the lock is told so by the checks of the directory.
    let running = state_dir::in_use(&config.cache_dir).unwrap_or(false);
    let given = Arc::new(Given { config, running });
    for (name, check) in CHECKS {
        let of_thread = given.clone();
        let found = in_time(move || Ok(check(&of_thread)));
        for finding in found.unwrap_or_else(|why| vec![Finding::wrong(name, why)]) {
            report.add(finding)?;
        }
    }
    if !matches.get_flag("no-network") {
        broker::check(&given.config, &mut report)?;
    }
    report.end()
}

/// Does work on a thread of its own, which is left behind where it takes too long.
fn in_time<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (done, result) = mpsc::sync_channel(1);
    let started = thread::Builder::new().name("check".to_owned()).spawn(move || {
        // Nobody waits for it any more where it has taken too long.
        done.send(work()).ok();
    });
    started.map_err(|error| error.to_string())?;
    match result.recv_timeout(DEADLINE) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("no end within {} s", DEADLINE.as_secs())),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("the check itself failed".to_owned()),
    }
}
