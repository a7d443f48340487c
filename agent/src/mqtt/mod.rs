//! The broker: carries bytes between MQTT topics and channels, and stays connected. Knows nothing of documents,
//! functions or HTTP.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | [`run`]: attempt after attempt, with back-off between |
//! | `connection` | one attempt, from connecting to the end of the connection |
//! | `session` | what is sent on a connection, and what each event means |
//! | `subscriptions` | which topics to ask for next on a connection |
//! | `in_flight` | what was sent and is not acknowledged yet |
//! | `quarantine` | finds the topic whose message keeps ending the connection |
//! | `message` | an incoming message and its acknowledgement |
//! | `topics`, `options`, `tls` | names, rumqttc's options, certificates |
//! | `backoff`, `reason` | how long to wait, and why |
//! | `operator` | [`Operator`]: the other side, for the command line |
//! | `probe` | whether a broker can be reached, step by step |
//!
//! Sessions are clean: after every CONNACK this node says `online`, subscribes again, announces [`Connection::Up`] so
//! that the reporter repeats itself, and sends the outbox from its oldest entry. Everything is QoS 1. An incoming
//! message is acknowledged when its receiver says so ([`Ack::done`]), an outbox entry is deleted on its PUBACK.

mod backoff;
mod connection;
mod in_flight;
mod message;
mod operator;
mod options;
pub mod probe;
mod quarantine;
mod reason;
mod session;
mod subscriptions;
mod tls;
mod topics;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use self::message::{Ack, Message};
pub use self::operator::{Heard, Operator, OperatorError, Retained, Said};
pub use self::topics::Inbound;

use self::backoff::Backoff;
use self::connection::{Ending, Interrupt, Interrupts};
use self::quarantine::Quarantine;
use self::topics::Topics;
use crate::config::{Mqtt, NodeId};
use crate::hub::{Connection, Publish};
use crate::outbox::Outbox;

/// What happened since the start, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that reached CONNACK.
    pub connects: AtomicU64,
    /// Attempts that did not.
    pub connect_failures: AtomicU64,
    /// Messages received, the dropped ones too.
    pub messages_in: AtomicU64,
    /// Messages dropped because they were larger than `max_message_bytes`.
    pub oversize_dropped: AtomicU64,
    /// Topics left out now, because the broker refuses them or their message is too large to receive; a gauge, 0 to 4.
    pub topics_left_out: AtomicU64,
    /// Heartbeats and reported states that the broker acknowledged.
    pub reports_acked: AtomicU64,
    /// Outbox entries that the broker acknowledged.
    pub telemetry_acked: AtomicU64,
    /// Outbox entries and reports dropped because they cannot be sent: above 1 MiB, or the id is not a topic level.
    pub unsendable_dropped: AtomicU64,
}

/// The ends that [`run`] holds of the channels to the rest of the agent.
pub struct Links {
    /// Names this node in every topic.
    pub node: NodeId,
    /// To the twin. When it is full, reading from the broker stops.
    pub inbound: mpsc::Sender<Message>,
    /// From the reporter. Emptied and dropped while not connected.
    pub publish: mpsc::Receiver<Publish>,
    /// Telemetry on its way to the broker.
    pub outbox: Arc<Outbox>,
    /// To the reporter and to metrics.
    pub connection: watch::Sender<Connection>,
    /// Changes when the wall clock was set: certificates that did not verify may do so now.
    pub clock_steps: watch::Receiver<u64>,
    /// To metrics.
    pub counters: Arc<Counters>,
}

/// `None` while the agent runs; then the time by which the goodbye must be over. A dropped sender stops at once.
pub type Stop = watch::Receiver<Option<Instant>>;

/// Stays connected until `stop`: returns after `offline` was acknowledged, or at the latest when `stop` says.
/// A new value in `settings`, even an equal one, reconnects at once and reads the certificate files again.
/// No error ends it. To be run on the `net` runtime, which it never blocks.
pub async fn run(mut links: Links, settings: watch::Receiver<Arc<Mqtt>>, stop: Stop) {
    let topics = Topics::new(&links.node);
    let mut interrupts = Interrupts { settings, stop };
    let mut backoff = Backoff::default();
    let mut quarantine = Quarantine::default();
    let mut complaints = Complaints::default();
    loop {
        let settings = Arc::clone(&interrupts.settings.borrow_and_update());
        let broker = options::broker(&settings);
        links.clock_steps.mark_unchanged();
        let ending =
            connection::attempt(&mut links, &topics, &settings, &mut quarantine, &mut interrupts).await;
        let (error, lived) = match ending {
            Ending::Stopped => break,
            Ending::SettingsChanged => {
                log::info!("mqtt: new settings, connecting again");
                (None, None)
            }
            Ending::Failed { error } => (Some(error), None),
            Ending::Lost { error, lived } => (Some(error), Some(lived)),
        };
        links.connection.send_replace(Connection::Down { error: error.clone() });
        let interrupt = match error {
            None => Interrupt::Settings,
            Some(error) => {
                if lived.is_some_and(|lived| lived >= backoff::STABLE) {
                    backoff.reset();
                }
                let wait = backoff.next(fastrand::f64());
                complaints.log(&broker, &error, lived, wait);
                tokio::select! {
                    interrupt = interrupts.next() => interrupt,
                    () = connection::discard(&mut links.publish) => continue,
                    Ok(()) = links.clock_steps.changed() => {
                        log::info!("mqtt: the clock was set, trying {broker} again");
                        backoff.reset();
                        continue;
                    }
                    () = tokio::time::sleep(wait) => continue,
                }
            }
        };
        match interrupt {
            Interrupt::Stop(_) => break,
            Interrupt::Settings => {
                backoff.reset();
                quarantine = Quarantine::default();
            }
        }
    }
    links.connection.send_replace(Connection::Down { error: None });
    log::info!("mqtt: stopped");
}

/// Every lost connection and every new reason is worth a line; the same failure again and again is not.
#[derive(Debug, Default)]
struct Complaints {
    last: String,
    repeated: u32,
}

impl Complaints {
    const EVERY: u32 = 20;

    fn log(&mut self, broker: &str, error: &str, lived: Option<Duration>, wait: Duration) {
        let wait = wait.as_secs_f32();
        if let Some(lived) = lived {
            self.last.clear();
            let lived = lived.as_secs();
            log::warn!(
                "mqtt: connection to {broker} lost after {lived} s: {error}; next attempt in {wait:.1} s"
            );
            return;
        }
        self.repeated = if self.last == error { self.repeated.saturating_add(1) } else { 0 };
        error.clone_into(&mut self.last);
        let level =
            if self.repeated.is_multiple_of(Self::EVERY) { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "mqtt: cannot connect to {broker}: {error}; next attempt in {wait:.1} s");
    }
}
