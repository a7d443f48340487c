//! Takes what the hub asks for, and what is asked for on the device: reads it, keeps what is new on the disk, and only
//! then lets the house know. Runs on a thread of its own, since making durable blocks. Knows nothing of how anything is
//! carried out.

mod dry_run;

use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use twinlet_host::twin::depth;

pub use dry_run::DryRun;
use dry_run::DryRuns;

use crate::board::Board;
use crate::desired::{
    Accepted, Ask, AskError, Change, Defaults, Desired, Done, Problems, Refused, Trust, is_dry_run,
};
use crate::metrics::{Metrics, Taken};
use crate::mqtt::{Inbound, Message};
use crate::status::DesiredStatus;
use crate::store::Store;

/// Levels of a message. JSON is read to 128, and what is stored lies a few levels deeper than it came.
pub const MAX_DEPTH: usize = 32;
/// Between two tries to keep a message on a disk that does not take it.
const KEEP_AGAIN: Duration = Duration::from_secs(1);
/// Characters of a refused message's problems in one log line.
const MAX_SHOWN: usize = 1_024;

/// Asks that may wait; each holds up a thread of whoever asks.
const ASKS: usize = 16;

/// Where those on the device ask for changes.
#[derive(Clone)]
pub struct Desk {
    asks: mpsc::Sender<Asked>,
}

/// What comes in over the desk.
pub struct Asks {
    asks: mpsc::Receiver<Asked>,
}

struct Asked {
    ask: Ask,
    answer: std_mpsc::SyncSender<Result<Done, AskError>>,
}

/// A desk, and where it is served.
pub fn desk() -> (Desk, Asks) {
    let (sender, asks) = mpsc::channel(ASKS);
    (Desk { asks: sender }, Asks { asks })
}

impl Desk {
    /// Asks for a change. When this returns it is on the disk, or nothing has changed. Blocks; not
    /// for threads of a runtime.
    pub fn ask(&self, ask: Ask) -> Result<Done, AskError> {
        let (answer, answered) = std_mpsc::sync_channel(1);
        self.asks.blocking_send(Asked { ask, answer }).map_err(|_| AskError::Stopping)?;
        answered.recv().unwrap_or(Err(AskError::Stopping))
    }
}

/// What stands, and where changes go.
pub struct Twin {
    accepted: Arc<Accepted>,
    defaults: Defaults,
    trust: watch::Receiver<Trust>,
    store: Arc<Store>,
    desired: watch::Sender<Arc<Desired>>,
    dry_runs: DryRuns,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
}

impl Twin {
    /// Begins with what the store has. That it can not be read, or means nothing any more, is reported, and the agent
    /// waits for the hub's next word.
    pub fn restore(
        mut defaults: Defaults,
        mut trust: watch::Receiver<Trust>,
        store: Arc<Store>,
        board: Arc<Board>,
        metrics: Arc<Metrics>,
    ) -> Self {
        defaults.trust = trust.borrow_and_update().clone();
        let accepted = store.accepted().unwrap_or_else(|error| {
            log::error!("stored desired state: {error}; waiting for the hub to say it again");
            board.desired(None, DesiredStatus::new(500, format!("stored desired state: {error}")));
            Some(Accepted::lost())
        });
        // What serves was noted, and what was accepted is gone without a trace.
        let accepted = accepted.or_else(|| {
            let served = store.rollout().map_or(true, |noted| noted.is_some_and(|noted| !noted.is_bare()));
            served.then(|| {
                let told = "the accepted desired state is lost; what served before goes on until the hub says it again";
                log::error!("{told}");
                board.desired(None, DesiredStatus::new(500, told));
                Accepted::lost()
            })
        });
        let desired = match &accepted {
            Some(accepted) if accepted.is_lost() => accepted.desired_here(&defaults),
            Some(accepted) => stands(accepted, &defaults, &board),
            None => Desired { trust: defaults.trust.clone(), ..Desired::default() },
        };
        let accepted = desired.source.clone();
        let desired = watch::Sender::new(Arc::new(desired));
        let dry_runs = DryRuns::new(board.clone());
        Self { accepted, defaults, trust, store, desired, dry_runs, board, metrics }
    }

    /// Others are trusted now: what stands is read anew.
    fn trust_anew(&mut self) {
        self.defaults.trust = self.trust.borrow_and_update().clone();
        let desired = match self.accepted.is_lost() {
            true => self.accepted.desired_here(&self.defaults),
            false => stands(&self.accepted, &self.defaults, &self.board),
        };
        self.dry_runs.end();
        self.desired.send_replace(Arc::new(desired));
    }

    /// Follows dry runs; none once desired state has changed since.
    pub fn dry_runs(&self) -> watch::Receiver<Option<Arc<DryRun>>> {
        self.dry_runs.subscribe()
    }

    /// Follows desired state.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Desired>> {
        self.desired.subscribe()
    }

    /// Takes messages and asks until the sender of the messages is gone.
    pub fn run(mut self, mut inbound: mpsc::Receiver<Message>, mut desk: Asks, runtime: &Handle) {
        loop {
            let came = runtime.block_on(async {
                tokio::select! {
                    message = inbound.recv() => message.map(Came::Message),
                    Some(asked) = desk.asks.recv() => Some(Came::Ask(asked)),
                    Ok(()) = self.trust.changed() => Some(Came::Trust),
                }
            });
            match came {
                None => return,
                Some(Came::Ask(asked)) => self.answer(asked),
                Some(Came::Trust) => self.trust_anew(),
                Some(Came::Message(message)) => {
                    if !self.message(message, &inbound, &mut desk) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes one message. False where the agent ends before what it says is on the disk.
    fn message(&mut self, message: Message, inbound: &mpsc::Receiver<Message>, desk: &mut Asks) -> bool {
        let topic = topic(message.kind);
        let taken = match self.take(message.kind, &message.payload) {
            Ok(Change::None) => {
                log::debug!("{topic}: says what stands already");
                Taken::Unchanged
            }
            Ok(Change::Next(accepted, desired)) => {
                if !self.keep(topic, &accepted, inbound, desk) {
                    return false;
                }
                // Others may be trusted by now than when it was read.
                let desired = match desired.trust == self.defaults.trust {
                    true => *desired,
                    false => accepted.desired(&self.defaults).unwrap_or(*desired),
                };
                self.publish(topic, desired);
                Taken::Accepted
            }
            Ok(Change::DryRun(wanted)) => {
                let stands = self.desired.borrow().clone();
                self.dry_runs.take(&message.payload, *wanted, stands);
                Taken::Unchanged
            }
            Err(refused) => {
                self.refuse(topic, &message.payload, &refused);
                Taken::Refused
            }
        };
        self.metrics.message(topic, taken);
        message.ack.done();
        true
    }

    /// Does what was asked for on the device, once: who asked learns how it went, and can ask again.
    fn answer(&mut self, asked: Asked) {
        let id = match &asked.ask {
            Ask::Put(bundle) => Some(bundle.id.clone()),
            Ask::Remove(_) | Ask::TakeBack { .. } => None,
        };
        let before = id.as_ref().and_then(|id| self.accepted.bundle(id)).map(Box::new);
        let done = self.accepted.ask(asked.ask, &self.defaults).and_then(|(accepted, desired)| {
            self.store.keep_accepted(&accepted).map_err(|error| AskError::Disk(error.to_string()))?;
            // The hub's own state may not be readable here, which the board goes on to say.
            let hub = accepted.desired(&self.defaults);
            let said = hub.map_or(true, |d| d.untrusted().next().is_some()).then(|| self.board.now());
            self.publish("management API", *desired);
            if let Some(said) = said {
                self.board.desired(Some(said.last_desired_version), said.last_desired_status);
            }
            let kept = id.and_then(|id| self.accepted.kept(&id).cloned());
            Ok(Done { desired: self.desired.borrow().clone(), before, kept })
        });
        if let Err(error) = &done {
            log::info!("management API: refused: {error}");
        }
        if asked.answer.send(done).is_err() {
            log::debug!("management API: whoever asked is gone");
        }
    }

    fn take(&self, kind: Inbound, payload: &[u8]) -> Result<Change, Refused> {
        let invalid = |what: String| Refused::Invalid(Problems::one("", what));
        let value: Value = serde_json::from_slice(payload).map_err(|e| invalid(format!("not JSON: {e}")))?;
        if depth(&value) > MAX_DEPTH {
            return Err(invalid(format!("nested more than {MAX_DEPTH} levels deep")));
        }
        match kind {
            Inbound::Desired => self.accepted.document(value, &self.defaults),
            Inbound::DesiredPatch => self.accepted.patch(&value, &self.defaults),
            Inbound::Deployment => self.accepted.deployment(value, &self.defaults),
            Inbound::Routes => self.accepted.route_list(value, &self.defaults),
        }
    }

    /// Puts it on the disk, however long that takes: sessions are clean, so the broker would not say it again. False
    /// where the agent ends before it is done.
    fn keep(
        &mut self,
        topic: &str,
        accepted: &Accepted,
        inbound: &mpsc::Receiver<Message>,
        desk: &mut Asks,
    ) -> bool {
        // What an error says differs with the bytes that are free, from one try to the next.
        let mut said = None;
        while let Err(error) = self.store.keep_accepted(accepted) {
            let kind = Some(std::mem::discriminant(&error));
            if kind != said {
                let told = format!("{topic}: not kept on the disk, so not acted on: {error}");
                log::error!("{told}; trying again every {} s", KEEP_AGAIN.as_secs());
                self.board.desired(None, DesiredStatus::new(500, told));
                said = kind;
            }
            if inbound.is_closed() {
                return false;
            }
            // Whoever asks on the device is not to wait for the same disk.
            while let Ok(asked) = desk.asks.try_recv() {
                let told = asked.answer.send(Err(AskError::Disk(error.to_string())));
                if told.is_err() {
                    log::debug!("management API: whoever asked is gone");
                }
            }
            // Who is not trusted any more is not to run until there is room.
            if self.trust.has_changed().unwrap_or(false) {
                self.trust_anew();
            }
            std::thread::sleep(KEEP_AGAIN);
        }
        true
    }

    fn publish(&mut self, topic: &str, desired: Desired) {
        log::info!(
            "{topic}: accepted; version {}, {} functions, {} routes",
            desired.version,
            desired.functions.len(),
            desired.routes.len()
        );
        for (id, why) in &desired.misfits {
            log::warn!("function {id}: it stands, and this device's configuration does not admit it: {why}");
        }
        self.accepted = desired.source.clone();
        self.dry_runs.end();
        self.board.desired(Some(desired.version), DesiredStatus::new(202, "accepted"));
        self.desired.send_replace(Arc::new(desired));
    }

    /// Says what is wrong, and of which function where the message names one.
    fn refuse(&mut self, topic: &str, payload: &[u8], refused: &Refused) {
        let named = serde_json::from_slice::<Value>(payload).ok();
        if let Some(document) = named.as_ref().filter(|document| is_dry_run(document)) {
            self.dry_runs.refuse(payload, document, refused);
            return;
        }
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

/// What a turn of [`Twin::run`] begins with.
enum Came {
    Message(Message),
    Ask(Asked),
    Trust,
}

/// What is on the disk, as far as it is valid here, and tells what is not.
fn stands(accepted: &Accepted, defaults: &Defaults, board: &Board) -> Desired {
    match accepted.desired(defaults) {
        Ok(desired) => {
            let n = desired.functions.len();
            log::info!("desired state version {} with {n} functions is on the device", desired.version);
            let refused = desired.untrusted().map(|(id, why)| format!("functions.{id}: {why}"));
            let refused: Vec<String> = refused.collect();
            let status = match refused.is_empty() {
                true => DesiredStatus::new(202, "being applied"),
                false => {
                    let told: String = refused.join("; ").chars().take(MAX_SHOWN).collect();
                    log::error!("stored desired state, which is left out: {told}");
                    DesiredStatus::new(400, format!("stored desired state: {told}"))
                }
            };
            board.desired(Some(desired.version), status);
            desired
        }
        Err(problems) => {
            log::error!("stored desired state no longer fits this configuration: {problems}");
            board.desired(None, DesiredStatus::new(400, format!("stored desired state: {problems}")));
            // It stays what a patch or a deployment changes.
            accepted.desired_here(defaults)
        }
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
