//! What systemd is told: ready, a status line, and that the agent still gets on. Where nobody listens, nothing is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::board::Board;
use crate::hub::Connection;
use crate::serving::Serving;
use crate::status::{Phase, Status};

/// Without a watchdog, how often is looked whether the first desired state is applied, and at the status.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_AT_FIRST: Duration = Duration::from_millis(10);
/// How long from now the start may go on, told to systemd again and again while it gets on.
const START_EXTENSION_USEC: u32 = 60_000_000;
/// The reconciler may be this long in one step: a compilation, or a download that stalls.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tells systemd until the agent ends.
pub(super) async fn run(
    serving: Arc<Serving>,
    board: Arc<Board>,
    connection: watch::Receiver<Connection>,
    progress: Arc<AtomicU64>,
) {
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(LOOK_EVERY, |limit| (limit / 3).min(LOOK_EVERY));
    let (mut ready, mut said) = (false, String::new());
    let mut last = (progress.load(Relaxed), Instant::now());
    let mut extended: Option<Instant> = None;
    loop {
        let status = line(&board.now(), &connection.borrow());
        if status != said {
            tell(NotifyState::Status(&status));
            said = status;
        }
        if !ready && serving.load().applied {
            ready = true;
            tell(NotifyState::Ready);
            log::info!("ready: what is on the device is served");
        }
        let now = progress.load(Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        // After an update of the agent all that is on the device is compiled anew, which may take its time.
        if !ready && last.1.elapsed() < PATIENCE && extended.is_none_or(|at| at.elapsed() > LOOK_EVERY) {
            tell(NotifyState::ExtendTimeoutUsec(START_EXTENSION_USEC));
            extended = Some(Instant::now());
        }
        // That this task runs shows that `net` gets on; the count shows it of the reconciler.
        if watchdog.is_some() && last.1.elapsed() < PATIENCE {
            tell(NotifyState::Watchdog);
        }
        tokio::time::sleep(if ready { every } else { LOOK_AT_FIRST }).await;
    }
}

/// Tells systemd that the end has begun.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::debug!("telling systemd: {error}");
    }
}

fn line(status: &Status, connection: &Connection) -> String {
    let total = status.functions.len();
    let running = status.functions.values().filter(|function| function.phase == Phase::Running).count();
    let broker = match connection {
        Connection::Up { .. } => "connected",
        Connection::Down { .. } => "not connected",
    };
    let version = status.last_desired_version;
    format!("version {version}: {running} of {total} functions running; broker {broker}")
}
