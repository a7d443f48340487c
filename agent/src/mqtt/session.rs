//! One connection's conversation with the broker, from CONNACK on: what is sent, and what each event means. Never
//! waits; knows nothing of sockets, back-off or what messages say.

use std::sync::atomic::Ordering::Relaxed;

use rumqttc::{AsyncClient, Event, Outgoing, Packet, QoS, SubscribeFilter};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::in_flight::{InFlight, Sent};
use super::message::{Ack, Message, Receipt};
use super::options::{MAX_OUTGOING, OFFLINE, ONLINE};
use super::subscriptions::Subscriptions;
use super::topics::{Inbound, Topics};
use super::{Counters, Publish};
use crate::outbox::Outbox;

/// Outbox entries on their way at once. Few, so that a heartbeat never queues behind much on a slow link.
const TELEMETRY_WINDOW: usize = 16;
/// Bytes of their payloads past which no other is added: what a heartbeat may have to wait for on such a link.
const TELEMETRY_WINDOW_BYTES: usize = 64 << 10;
/// Heartbeats and reported states on their way at once.
const REPORT_WINDOW: usize = 4;
/// Requests in rumqttc's queue past which nothing optional is added. Half of `options::REQUESTS`, so that status,
/// subscriptions and the goodbye always find a place.
pub(super) const ROOM: usize = 64;

/// Where the goodbye is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    NotYet,
    Saying,
    Said,
}

/// What the session works on, beside its own state.
pub(super) struct Parts<'a> {
    pub(super) topics: &'a Topics,
    pub(super) subscriptions: Subscriptions<'a>,
    pub(super) counters: &'a Counters,
    pub(super) outbox: &'a Outbox,
    pub(super) max_message_bytes: usize,
    /// Where the acknowledgements of this connection's messages come together.
    pub(super) receipts: mpsc::UnboundedSender<Receipt>,
}

/// State of one connection; a new one for each.
pub(super) struct Session<'a> {
    client: AsyncClient,
    parts: Parts<'a>,
    /// Requests put in rumqttc's queue and not taken from it yet.
    queued: usize,
    in_flight: InFlight,
    last_telemetry: Option<u64>,
    goodbye: Goodbye,
}

/// Why the session cannot go on.
pub(super) type Broken = String;

impl<'a> Session<'a> {
    /// To be made right after CONNACK: says `online` and subscribes.
    pub(super) fn start(client: AsyncClient, parts: Parts<'a>) -> Result<Self, Broken> {
        let mut session = Self {
            client,
            parts,
            queued: 0,
            in_flight: InFlight::default(),
            last_telemetry: None,
            goodbye: Goodbye::NotYet,
        };
        session.publish(session.parts.topics.status(), true, ONLINE.into(), Sent::Online)?;
        let first = session.parts.subscriptions.start(Instant::now());
        session.subscribe(&first)?;
        Ok(session)
    }

    /// The outbox that this session drains.
    pub(super) fn outbox(&self) -> &'a Outbox {
        self.parts.outbox
    }

    /// Whether the broker granted the subscriptions, so that reports can follow.
    pub(super) fn is_up(&self) -> bool {
        self.parts.subscriptions.is_up() && self.goodbye == Goodbye::NotYet
    }

    /// Whether DISCONNECT went out.
    pub(super) fn said_goodbye(&self) -> bool {
        self.goodbye == Goodbye::Said
    }

    /// Whether one more acknowledgement can be sent.
    pub(super) fn has_room(&self) -> bool {
        self.queued < ROOM
    }

    /// Whether one more heartbeat or reported state can be sent.
    pub(super) fn has_room_for_report(&self) -> bool {
        self.has_room() && self.in_flight.reports() < REPORT_WINDOW
    }

    /// Takes in what rumqttc did or received. Gives the message, if it is one to hand on.
    pub(super) fn on_event(&mut self, event: Event) -> Result<Option<Message>, Broken> {
        match event {
            Event::Incoming(Packet::Publish(publish)) => return Ok(self.received(publish)),
            Event::Incoming(Packet::SubAck(suback)) => {
                let next = self.parts.subscriptions.on_suback(&suback, Instant::now());
                self.subscribe(&next)?;
            }
            Event::Incoming(Packet::PubAck(puback)) => self.acknowledged(puback.pkid)?,
            Event::Outgoing(Outgoing::Publish(packet_id)) => {
                self.queued = self.queued.saturating_sub(1);
                self.in_flight.took(packet_id);
            }
            Event::Outgoing(Outgoing::PubAck(_) | Outgoing::PubRec(_) | Outgoing::Subscribe(_)) => {
                self.queued = self.queued.saturating_sub(1);
            }
            Event::Outgoing(Outgoing::Disconnect) => self.goodbye = Goodbye::Said,
            _ => {}
        }
        Ok(None)
    }

    fn received(&mut self, publish: rumqttc::Publish) -> Option<Message> {
        let receipt = Receipt { qos: publish.qos, packet_id: publish.pkid };
        let ack = Ack::new(self.parts.receipts.clone(), receipt);
        let (counters, size) = (self.parts.counters, publish.payload.len());
        counters.messages_in.fetch_add(1, Relaxed);
        let Some(kind) = self.parts.topics.kind_of(&publish.topic) else {
            log::debug!("mqtt: a message on a topic that is not ours was dropped");
            ack.done();
            return None;
        };
        if size > self.parts.max_message_bytes {
            counters.oversize_dropped.fetch_add(1, Relaxed);
            let limit = self.parts.max_message_bytes;
            log::warn!("mqtt: message on {} dropped: {size} bytes, the limit is {limit}", publish.topic);
            ack.done();
            return None;
        }
        Some(Message { kind, payload: publish.payload.into(), ack })
    }

    fn acknowledged(&mut self, packet_id: u16) -> Result<(), Broken> {
        match self.in_flight.acknowledge(packet_id) {
            Some(Sent::Telemetry { id, .. }) => {
                self.parts.outbox.acknowledge(id);
                self.parts.counters.telemetry_acked.fetch_add(1, Relaxed);
            }
            Some(Sent::Offline) => self.client.try_disconnect().map_err(queue_refused)?,
            Some(Sent::Report) => {
                self.parts.counters.reports_acked.fetch_add(1, Relaxed);
            }
            Some(Sent::Online) | None => {}
        }
        Ok(())
    }

    /// When `on_time` wants to be called.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.parts.subscriptions.wake_at()
    }

    /// The time of `wake_at` has come.
    pub(super) fn on_time(&mut self) -> Result<(), Broken> {
        let next = self.parts.subscriptions.on_time(Instant::now())?;
        self.subscribe(&next)
    }

    /// A packet that cannot be read ended the connection.
    pub(super) fn on_poison(&mut self) {
        self.parts.subscriptions.on_poison(Instant::now());
    }

    /// Fills the window from the outbox, oldest first.
    pub(super) fn send_telemetry(&mut self) -> Result<(), Broken> {
        while self.is_up() && self.has_room() && self.has_room_for_telemetry() {
            let Some(entry) = self.parts.outbox.after(self.last_telemetry) else { break };
            self.last_telemetry = Some(entry.id);
            let topic = self.parts.topics.telemetry(&entry.function_id);
            let Some(topic) = topic.filter(|_| entry.payload.len() <= MAX_OUTGOING) else {
                // It would end the connection each time it is sent, and nothing behind it would ever arrive.
                log::error!(
                    "mqtt: telemetry {} dropped: it cannot be sent ({} bytes)",
                    entry.id,
                    entry.payload.len()
                );
                self.parts.counters.unsendable_dropped.fetch_add(1, Relaxed);
                self.parts.outbox.acknowledge(entry.id);
                continue;
            };
            let sent = Sent::Telemetry { id: entry.id, bytes: entry.payload.len() };
            self.publish(topic, false, entry.payload, sent)?;
        }
        Ok(())
    }

    fn has_room_for_telemetry(&self) -> bool {
        self.in_flight.telemetry() < TELEMETRY_WINDOW
            && self.in_flight.telemetry_bytes() < TELEMETRY_WINDOW_BYTES
    }

    /// Sends a heartbeat or the reported state; `has_room_for_report` was asked before.
    pub(super) fn send_report(&mut self, report: Publish) -> Result<(), Broken> {
        let (topic, retain, payload) = match report {
            Publish::Heartbeat(payload) => (self.parts.topics.heartbeat(), false, payload),
            Publish::Reported(payload) => (self.parts.topics.reported(), true, payload),
        };
        if payload.len() > MAX_OUTGOING {
            log::error!(
                "mqtt: {topic} not sent: {} bytes, at most {MAX_OUTGOING} can be sent",
                payload.len()
            );
            self.parts.counters.unsendable_dropped.fetch_add(1, Relaxed);
            return Ok(());
        }
        self.publish(topic, retain, payload, Sent::Report)
    }

    /// Acknowledges an incoming message; `has_room` was asked before.
    pub(super) fn acknowledge(&mut self, receipt: Receipt) -> Result<(), Broken> {
        // rumqttc acknowledges by the packet; only its quality of service and its id matter.
        let mut packet = rumqttc::Publish::new("", receipt.qos, Vec::new());
        packet.pkid = receipt.packet_id;
        self.client.try_ack(&packet).map_err(queue_refused)?;
        self.queued += 1;
        Ok(())
    }

    /// Publishes `offline`; its PUBACK is answered by DISCONNECT.
    pub(super) fn say_goodbye(&mut self) -> Result<(), Broken> {
        self.goodbye = Goodbye::Saying;
        self.publish(self.parts.topics.status(), true, OFFLINE.into(), Sent::Offline)
    }

    fn subscribe(&mut self, kinds: &[Inbound]) -> Result<(), Broken> {
        if kinds.is_empty() {
            return Ok(());
        }
        let topics = self.parts.topics;
        let filters = kinds.iter().map(|kind| SubscribeFilter::new(topics.inbound(*kind), QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).map_err(queue_refused)?;
        self.queued += 1;
        Ok(())
    }

    fn publish(&mut self, topic: String, retain: bool, payload: Vec<u8>, sent: Sent) -> Result<(), Broken> {
        self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(queue_refused)?;
        self.queued += 1;
        self.in_flight.submit(sent);
        Ok(())
    }
}

/// The queue has room for all that is allowed, so this is a fault of ours; a new connection mends it. The error holds
/// the payload and is not shown.
fn queue_refused(_: rumqttc::ClientError) -> Broken {
    "the request queue refused a packet".to_owned()
}
