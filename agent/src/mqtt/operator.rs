//! An operator at the broker: a client that hears what one node says, and publishes what it should be. It blocks; for
//! the command line, never for the agent. Knows nothing of what documents mean.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, ConnectionError, Event, Packet, QoS, SubscribeFilter, SubscribeReasonCode};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::topics::{Inbound, Topics};
use super::{connection, options, reason};
use crate::config::{Mqtt, NodeId};

/// Requests that may wait for the event loop; one operation is under way at a time.
const REQUESTS: usize = 8;
/// How long a broker gets for its retained messages after it has granted everything: some send them late.
const GRACE: Duration = Duration::from_secs(1);

/// What a message of a node is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// `edge/twin/{node_id}/desired`, by an operator.
    Desired,
    /// `edge/twin/{node_id}/reported`
    Reported,
    /// `edge/status/{node_id}`
    Status,
    /// `edge/heartbeat/{node_id}`
    Heartbeat,
    /// `edge/telemetry/{node_id}/{function_id}`, with the function's id.
    Telemetry(String),
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it is about.
    pub said: Said,
    /// Whether the broker had kept it from before.
    pub retained: bool,
    /// The payload, byte for byte.
    pub payload: Vec<u8>,
}

/// What the broker keeps of a node.
#[derive(Clone, Debug, Default)]
pub struct Retained {
    /// The whole desired state that was published last.
    pub desired: Option<Vec<u8>>,
    /// The reported state.
    pub reported: Option<Vec<u8>>,
    /// `online` or `offline`.
    pub status: Option<Vec<u8>>,
}

/// Why an operator can not go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No connection came about.
    #[error("cannot connect to {broker}: {why}")]
    Connect {
        /// The broker, without credentials.
        broker: String,
        /// Why, in words.
        why: String,
    },
    /// The connection ended.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
    /// The broker refuses a subscription.
    #[error("the broker refuses to let this client read the topics of {0}; its rules for this user say so")]
    Forbidden(NodeId),
    /// The broker did not do something in time.
    #[error("the broker did not {0} in time")]
    Late(&'static str),
    /// The message is larger than can be sent.
    #[error("a document of {0} bytes can not be sent; the most is {max}", max = options::MAX_OUTGOING)]
    TooLarge(usize),
    /// This process lacks what it needs.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A connected operator of one node. Its client id is its own, so that it ends nobody else's connection.
pub struct Operator {
    runtime: Runtime,
    client: AsyncClient,
    events: mpsc::Receiver<Result<Event, ConnectionError>>,
    topics: Topics,
    node: NodeId,
    /// What came while something else was waited for.
    heard: VecDeque<Heard>,
}

impl Operator {
    /// Connects within this time. `role` becomes part of the client id.
    pub fn connect(
        settings: &Mqtt,
        node: &NodeId,
        role: &str,
        within: Duration,
    ) -> Result<Self, OperatorError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let refused = |why: String| OperatorError::Connect { broker: options::broker(settings), why };
        // Brokers need to take 23 characters and no more.
        let id = format!("twinlet-{role}-{:08x}", fastrand::u32(..));
        let connecting = async {
            let options = options::client(settings, id).await.map_err(|error| error.to_string())?;
            let (client, mut eventloop) = AsyncClient::new(options, REQUESTS);
            eventloop.set_network_options(options::network());
            // The first event is CONNACK; any other outcome is an error.
            eventloop.poll().await.map_err(|error| reason::explain(&error))?;
            Ok((client, eventloop))
        };
        let connected = runtime.block_on(async { timeout(within, connecting).await });
        let connected = connected.unwrap_or_else(|_| Err("the broker did not answer in time".to_owned()));
        let (client, eventloop) = connected.map_err(refused)?;
        let (to, events) = mpsc::channel(1);
        // Runs while something is waited for, and only then.
        runtime.spawn(connection::poll(eventloop, to));
        let topics = Topics::new(node);
        Ok(Self { runtime, client, events, topics, node: node.clone(), heard: VecDeque::new() })
    }

    /// What the broker keeps of the node. From here on every change of it is heard. `by` bounds it all.
    pub fn retained(&mut self, by: Instant) -> Result<Retained, OperatorError> {
        let topics = [self.topics.inbound(Inbound::Desired), self.topics.reported()];
        self.subscribe(&topics, by)?;
        // A second round trip: what the broker kept of the first two was sent before its end.
        self.subscribe(&[self.topics.status()], by)?;
        let mut kept = Retained::default();
        let grace = (Instant::now() + GRACE).min(by);
        while kept.desired.is_none() || kept.reported.is_none() || kept.status.is_none() {
            let Some(heard) = self.next(Some(grace))? else { break };
            match heard.said {
                Said::Desired => kept.desired = Some(heard.payload),
                Said::Reported => kept.reported = Some(heard.payload),
                Said::Status => kept.status = Some(heard.payload),
                Said::Heartbeat | Said::Telemetry(_) => {}
            }
        }
        // An empty message is how a retained one is taken away.
        let there = |bytes: &Vec<u8>| !bytes.is_empty();
        kept.desired = kept.desired.filter(there);
        kept.reported = kept.reported.filter(there);
        Ok(kept)
    }

    /// Hears everything that the node says, what the broker kept included.
    pub fn follow(&mut self, by: Instant) -> Result<(), OperatorError> {
        let topics = &self.topics;
        let all = [
            topics.status(),
            topics.reported(),
            topics.inbound(Inbound::Desired),
            topics.heartbeat(),
            topics.all_telemetry(),
        ];
        self.subscribe(&all, by)
    }

    /// Publishes the desired state, retained. When this returns the broker has it.
    pub fn publish_desired(&mut self, document: Vec<u8>, by: Instant) -> Result<(), OperatorError> {
        self.publish(document, true, by)
    }

    /// Publishes a dry run, which the broker does not keep: what it keeps is what the node is to be.
    pub fn publish_dry_run(&mut self, document: Vec<u8>, by: Instant) -> Result<(), OperatorError> {
        self.publish(document, false, by)
    }

    fn publish(&mut self, document: Vec<u8>, retain: bool, by: Instant) -> Result<(), OperatorError> {
        if document.len() > options::MAX_OUTGOING {
            return Err(OperatorError::TooLarge(document.len()));
        }
        let topic = self.topics.inbound(Inbound::Desired);
        let asked = self.client.try_publish(topic, QoS::AtLeastOnce, retain, document);
        asked.map_err(|_| OperatorError::Late("take the message before it"))?;
        self.until(by, "acknowledge the message", |packet| matches!(packet, Packet::PubAck(_)))?;
        Ok(())
    }

    /// The next message, `None` where none comes until then.
    pub fn next(&mut self, until: Option<Instant>) -> Result<Option<Heard>, OperatorError> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(Some(heard));
            }
            let Some(event) = self.event(until)? else { return Ok(None) };
            self.take(event);
        }
    }

    fn subscribe(&mut self, topics: &[String], by: Instant) -> Result<(), OperatorError> {
        let filters = topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
        let asked = self.client.try_subscribe_many(filters);
        asked.map_err(|_| OperatorError::Late("take the subscription before it"))?;
        let granted =
            self.until(by, "grant the subscription", |packet| matches!(packet, Packet::SubAck(_)))?;
        match granted {
            Packet::SubAck(suback) if suback.return_codes.contains(&SubscribeReasonCode::Failure) => {
                Err(OperatorError::Forbidden(self.node.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Waits for a packet, and keeps the messages that come before it.
    fn until(
        &mut self,
        by: Instant,
        what: &'static str,
        wanted: impl Fn(&Packet) -> bool,
    ) -> Result<Packet, OperatorError> {
        loop {
            match self.event(Some(by))? {
                None => return Err(OperatorError::Late(what)),
                Some(Event::Incoming(packet)) if wanted(&packet) => return Ok(packet),
                Some(event) => self.take(event),
            }
        }
    }

    fn take(&mut self, event: Event) {
        let Event::Incoming(Packet::Publish(publish)) = event else { return };
        if let Some(said) = self.topics.said(&publish.topic) {
            let (retained, payload) = (publish.retain, publish.payload.into());
            self.heard.push_back(Heard { said, retained, payload });
        }
    }

    fn event(&mut self, until: Option<Instant>) -> Result<Option<Event>, OperatorError> {
        let events = &mut self.events;
        let received = self.runtime.block_on(async {
            match until {
                Some(until) => {
                    timeout(until.saturating_duration_since(Instant::now()), events.recv()).await.ok()
                }
                None => Some(events.recv().await),
            }
        });
        match received {
            None => Ok(None),
            Some(Some(Ok(event))) => Ok(Some(event)),
            Some(Some(Err(error))) => Err(OperatorError::Lost(reason::explain(&error))),
            Some(None) => Err(OperatorError::Lost("the event loop ended".to_owned())),
        }
    }
}

impl Drop for Operator {
    /// Says goodbye, so that the broker's log shows no error; briefly, since nothing depends on it.
    fn drop(&mut self) {
        if self.client.try_disconnect().is_err() {
            return;
        }
        let by = Instant::now() + Duration::from_millis(200);
        while let Ok(Some(event)) = self.event(Some(by)) {
            if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
                return;
            }
        }
    }
}
