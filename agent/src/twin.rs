//! Takes what the hub asks for: reads each message, keeps what is new on the disk, and only then lets the house know.
//! Runs on a thread of its own, since making durable blocks. Knows nothing of how anything is carried out.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::board::Board;
use crate::desired::{Accepted, Change, Defaults, Desired, Problems, Refused};
use crate::metrics::{Metrics, Taken};
use crate::mqtt::{Inbound, Message};
use crate::status::DesiredStatus;
use crate::store::Store;

/// Characters of a refused message's problems in one log line.
const MAX_SHOWN: usize = 1_024;

/// What stands, and where changes go.
pub struct Twin {
    accepted: Accepted,
    defaults: Defaults,
    store: Arc<Store>,
    desired: watch::Sender<Arc<Desired>>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

impl Twin {
    /// Begins with what the store has. That it can not be read, or means nothing any more, is reported, and the agent
    /// waits for the hub's next word.
    pub fn restore(defaults: Defaults, store: Arc<Store>, board: Arc<Board>, metrics: Arc<Metrics>) -> Self {
        let mut accepted = store.accepted().unwrap_or_else(|error| {
            log::error!("stored desired state: {error}; waiting for the hub to say it again");
            board.desired(None, DesiredStatus::new(500, format!("stored desired state: {error}")));
            None
        });
        let desired = match accepted.as_ref().map(|accepted| accepted.desired(&defaults)) {
            None => Desired::default(),
            Some(Ok(desired)) => {
                let n = desired.functions.len();
                log::info!("desired state version {} with {n} functions is on the device", desired.version);
                board.desired(Some(desired.version), DesiredStatus::new(202, "being applied"));
                desired
            }
            Some(Err(problems)) => {
                log::error!("stored desired state no longer fits this configuration: {problems}");
                board.desired(None, DesiredStatus::new(400, format!("stored desired state: {problems}")));
                accepted = None;
                Desired::default()
            }
        };
        let desired = watch::Sender::new(Arc::new(desired));
        Self { accepted: accepted.unwrap_or_default(), defaults, store, desired, board, metrics }
    }

    /// Follows desired state.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Desired>> {
        self.desired.subscribe()
    }

    /// Takes messages until their sender is gone.
    pub fn run(mut self, mut inbound: mpsc::Receiver<Message>) {
        while let Some(message) = inbound.blocking_recv() {
            let topic = topic(message.kind);
            let (taken, durable) = match self.take(message.kind, &message.payload) {
                Ok(true) => (Taken::Accepted, true),
                Ok(false) => (Taken::Unchanged, true),
                Err(NotTaken::Refused(refused)) => {
                    self.refuse(topic, &message.payload, &refused);
                    (Taken::Refused, true)
                }
                Err(NotTaken::NotKept(why)) => {
                    log::error!("{topic}: keeping it on the disk: {why}; it changes nothing");
                    self.board.desired(None, DesiredStatus::new(500, format!("{topic}: not kept: {why}")));
                    (Taken::Refused, false)
                }
            };
            self.metrics.message(topic, taken);
            // What is not on the disk stays with the broker.
            if durable {
                message.ack.done();
            }
        }
    }

    /// True where it changed something.
    fn take(&mut self, kind: Inbound, payload: &[u8]) -> Result<bool, NotTaken> {
        let value: Value = serde_json::from_slice(payload)
            .map_err(|e| Refused::Invalid(Problems::one("", format_args!("not JSON: {e}"))))?;
        let change = match kind {
            Inbound::Desired => self.accepted.document(value, &self.defaults),
            Inbound::DesiredPatch => self.accepted.patch(&value, &self.defaults),
            Inbound::Deployment => self.accepted.deployment(value, &self.defaults),
            Inbound::Routes => self.accepted.route_list(value, &self.defaults),
        }?;
        let Change::Next(accepted, desired) = change else {
            log::debug!("{}: says what stands already", topic(kind));
            return Ok(false);
        };
        self.store.keep_accepted(&accepted).map_err(|e| NotTaken::NotKept(e.to_string()))?;
        log::info!(
            "{}: accepted; version {}, {} functions, {} routes",
            topic(kind),
            desired.version,
            desired.functions.len(),
            desired.routes.len()
        );
        self.accepted = *accepted;
        self.board.desired(Some(desired.version), DesiredStatus::new(202, "accepted"));
        self.desired.send_replace(Arc::from(desired));
        Ok(true)
    }

    /// Says what is wrong, and of which function where the message names one.
    fn refuse(&self, topic: &str, payload: &[u8], refused: &Refused) {
        let named = serde_json::from_slice::<Value>(payload).ok();
        let named = named.as_ref().and_then(|value| value.get("function_id")?.as_str());
        let of = named.map(|id| format!(" of {}", id.escape_debug().take(80).collect::<String>()));
        let told: String =
            format!("{topic}{}: {refused}", of.unwrap_or_default()).chars().take(MAX_SHOWN).collect();
        log::warn!("refused {told}");
        if let Some(id) = named.and_then(|id| id.parse().ok()) {
            self.board.invocation_failed(&id, &format!("refused {told}"));
        }
        self.board.desired(None, DesiredStatus::new(refused.code(), told));
    }
}

enum NotTaken {
    Refused(Refused),
    NotKept(String),
}

impl From<Refused> for NotTaken {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What a message is called in logs and metrics.
fn topic(kind: Inbound) -> &'static str {
    match kind {
        Inbound::Desired => "desired state",
        Inbound::DesiredPatch => "desired state patch",
        Inbound::Deployment => "deployment",
        Inbound::Routes => "routes",
    }
}
