//! Remembers what was sent on one connection and is not acknowledged yet; pure, knows nothing of topics or sockets.

use std::collections::{HashMap, VecDeque};

/// What a publish was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// `online` on the status topic.
    Online,
    /// `offline` on the status topic, as goodbye.
    Offline,
    /// A heartbeat or the reported state.
    Report,
    /// An entry of the outbox.
    Telemetry {
        /// Its place there.
        id: u64,
        /// The length of its payload.
        bytes: usize,
    },
}

/// Publishes between the request queue and their PUBACK. rumqttc gives a packet its id when it takes the request from
/// its queue, which it does in order, and says so by an event; hence a queue first and a map after.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    submitted: VecDeque<Sent>,
    by_packet_id: HashMap<u16, Sent>,
    reports: usize,
    telemetry: usize,
    telemetry_bytes: usize,
}

impl InFlight {
    /// A publish was put in the request queue.
    pub(super) fn submit(&mut self, sent: Sent) {
        match sent {
            Sent::Report => self.reports += 1,
            Sent::Telemetry { bytes, .. } => {
                self.telemetry += 1;
                self.telemetry_bytes += bytes;
            }
            Sent::Online | Sent::Offline => {}
        }
        self.submitted.push_back(sent);
    }

    /// The oldest publish in the queue went out with this id.
    pub(super) fn took(&mut self, packet_id: u16) {
        if let Some(sent) = self.submitted.pop_front() {
            self.by_packet_id.insert(packet_id, sent);
        }
    }

    /// The broker has it.
    pub(super) fn acknowledge(&mut self, packet_id: u16) -> Option<Sent> {
        let sent = self.by_packet_id.remove(&packet_id)?;
        match sent {
            Sent::Report => self.reports = self.reports.saturating_sub(1),
            Sent::Telemetry { bytes, .. } => {
                self.telemetry = self.telemetry.saturating_sub(1);
                self.telemetry_bytes = self.telemetry_bytes.saturating_sub(bytes);
            }
            Sent::Online | Sent::Offline => {}
        }
        Some(sent)
    }

    /// Heartbeats and reported states without a PUBACK.
    pub(super) fn reports(&self) -> usize {
        self.reports
    }

    /// Outbox entries without a PUBACK.
    pub(super) fn telemetry(&self) -> usize {
        self.telemetry
    }

    /// The bytes of their payloads.
    pub(super) fn telemetry_bytes(&self) -> usize {
        self.telemetry_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_out_of_order_find_what_was_sent() {
        let mut in_flight = InFlight::default();
        let telemetry = |id| Sent::Telemetry { id, bytes: 10 };
        for sent in [Sent::Online, telemetry(7), Sent::Report, telemetry(8)] {
            in_flight.submit(sent);
        }
        for packet_id in [3, 4, 5] {
            in_flight.took(packet_id);
        }
        assert_eq!((in_flight.telemetry(), in_flight.telemetry_bytes(), in_flight.reports()), (2, 20, 1));
        assert_eq!(in_flight.acknowledge(4), Some(telemetry(7)));
        assert_eq!(in_flight.acknowledge(4), None);
        assert_eq!(in_flight.acknowledge(6), None);
        assert_eq!(in_flight.acknowledge(3), Some(Sent::Online));
        in_flight.took(4);
        assert_eq!(in_flight.acknowledge(4), Some(telemetry(8)));
        assert_eq!((in_flight.telemetry(), in_flight.telemetry_bytes(), in_flight.reports()), (0, 0, 1));
    }
}
