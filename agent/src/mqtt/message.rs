//! An incoming message and its acknowledgement; knows nothing of what the message says.

use rumqttc::QoS;
use tokio::sync::mpsc;

use super::topics::Inbound;

/// A message from the broker, no larger than `max_message_bytes`.
#[derive(Debug)]
pub struct Message {
    /// What it is about, by its topic.
    pub kind: Inbound,
    /// The payload, byte for byte.
    pub payload: Vec<u8>,
    /// To be called when the message is durable, or was found bad.
    pub ack: Ack,
}

/// The broker's permission to forget a message. Dropping it without `done` leaves the message unacknowledged.
#[derive(Debug)]
pub struct Ack {
    to: Option<(mpsc::UnboundedSender<Receipt>, Receipt)>,
}

/// Which packet of the current connection to acknowledge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receipt {
    pub(super) qos: QoS,
    pub(super) packet_id: u16,
}

impl Ack {
    /// An acknowledgement that goes nowhere, for messages that did not come from a broker.
    #[must_use]
    pub fn none() -> Self {
        Self { to: None }
    }

    /// The channel belongs to one connection. Its capacity is not limited here: it holds at most one receipt for
    /// each message that the broker has in flight, and the broker limits those.
    pub(super) fn new(to: mpsc::UnboundedSender<Receipt>, receipt: Receipt) -> Self {
        Self { to: (receipt.qos != QoS::AtMostOnce).then_some((to, receipt)) }
    }

    /// Acknowledges the message. Does not block; may be called from any thread.
    pub fn done(self) {
        if let Some((to, receipt)) = self.to
            && to.send(receipt).is_err()
        {
            // Packet ids are worth nothing on another connection; the broker sends again what it still has.
            log::debug!("mqtt: acknowledgement dropped, its connection is gone");
        }
    }
}
