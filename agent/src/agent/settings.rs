//! The settings that can change while the agent runs, on their way to those who follow them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use log::LevelFilter;
use tokio::sync::watch;

use crate::actors::Actors;
use crate::config::{Config, Mqtt};
use crate::desired::Desired;
use crate::hub::Connection;
use crate::metrics::Metrics;
use crate::mqtt::Counters;
use crate::outbox::Outbox;
use crate::process;

/// How often the broker's counters are copied to the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Bytes that the outbox must have held for it to be worth giving memory back once it is empty.
const WORTH_GIVING_BACK: usize = 256 << 10;

/// Where changed settings are told.
pub struct Live {
    mqtt: watch::Sender<Arc<Mqtt>>,
    heartbeat_interval: watch::Sender<Duration>,
    log_level: watch::Sender<LevelFilter>,
}

/// Where they are followed.
pub(super) struct Followed {
    pub(super) mqtt: watch::Receiver<Arc<Mqtt>>,
    pub(super) heartbeat_interval: watch::Receiver<Duration>,
    pub(super) log_level: watch::Receiver<LevelFilter>,
}

impl Live {
    pub(super) fn new(config: &Config) -> (Self, Followed) {
        let (mqtt, of_mqtt) = watch::channel(Arc::new(config.mqtt.clone()));
        let (heartbeat_interval, of_reporter) = watch::channel(config.heartbeat_interval);
        let (log_level, of_log) = watch::channel(config.log_level);
        let followed = Followed { mqtt: of_mqtt, heartbeat_interval: of_reporter, log_level: of_log };
        (Self { mqtt, heartbeat_interval, log_level }, followed)
    }

    /// Tells what changed. A connection with certificates begins anew in any case: a rotated certificate stands
    /// under the same name.
    pub(super) fn reload(&self, config: &Config) {
        let certificates = config.mqtt.ca_file.is_some() || config.mqtt.client_cert.is_some();
        if certificates || **self.mqtt.borrow() != config.mqtt {
            self.mqtt.send_replace(Arc::new(config.mqtt.clone()));
        }
        self.heartbeat_interval.send_if_modified(|interval| replace(interval, config.heartbeat_interval));
        self.log_level.send_if_modified(|level| replace(level, config.log_level));
    }
}

pub(super) fn replace<T: PartialEq>(old: &mut T, new: T) -> bool {
    let changed = *old != new;
    *old = new;
    changed
}

/// Logs at the level that the hub sets, or else the configuration, until the agent ends.
pub(super) async fn follow_log_level(
    mut configured: watch::Receiver<LevelFilter>,
    mut desired: watch::Receiver<Arc<Desired>>,
) {
    loop {
        let hub = desired.borrow_and_update().settings.log_level;
        log::set_max_level(hub.unwrap_or(*configured.borrow_and_update()));
        let changed = tokio::select! {
            changed = configured.changed() => changed,
            changed = desired.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Keeps the metrics of the broker's connection, the outbox and the timers, until the agent ends.
pub(super) async fn count_hub(
    mut connection: watch::Receiver<Connection>,
    counters: Arc<Counters>,
    outbox: Arc<Outbox>,
    actors: Arc<Actors>,
    metrics: Arc<Metrics>,
) {
    // At most, since the outbox was empty.
    let mut held = 0;
    loop {
        let is_up = matches!(*connection.borrow_and_update(), Connection::Up { .. });
        metrics.mqtt_connected.set(i64::from(is_up));
        metrics.timers.set(i64::try_from(actors.timers()).unwrap_or(i64::MAX));
        let counts = outbox.counts();
        metrics.outbox_messages.set(i64::try_from(counts.messages).unwrap_or(i64::MAX));
        metrics.outbox_bytes.set(i64::try_from(counts.bytes).unwrap_or(i64::MAX));
        metrics.set_outbox_lost("full", counts.dropped);
        metrics.set_outbox_lost("damaged", counts.lost);
        held = held.max(counts.bytes);
        let drained = counts.bytes == 0 && held > WORTH_GIVING_BACK;
        if drained || outbox.wants_tidying() {
            let outbox = outbox.clone();
            // It waits for the disk, which this thread must not.
            tokio::task::spawn_blocking(move || {
                outbox.tidy();
                if drained {
                    process::give_memory_back();
                }
            });
        }
        if drained {
            held = 0;
        }
        for (event, total) in [
            ("connect", counters.connects.load(Relaxed)),
            ("connect_failure", counters.connect_failures.load(Relaxed)),
            ("message_in", counters.messages_in.load(Relaxed)),
            ("oversize_dropped", counters.oversize_dropped.load(Relaxed)),
            ("report_acked", counters.reports_acked.load(Relaxed)),
            ("telemetry_acked", counters.telemetry_acked.load(Relaxed)),
            ("telemetry_refused", counts.refused),
            ("unsendable_dropped", counters.unsendable_dropped.load(Relaxed)),
        ] {
            metrics.set_mqtt(event, total);
        }
        if let Ok(Err(_gone)) = tokio::time::timeout(COUNT_EVERY, connection.changed()).await {
            return;
        }
    }
}
