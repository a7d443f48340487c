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
    /// An entry of the outbox, by its id.
    Telemetry(u64),
}

/// Publishes between the request queue and their PUBACK. rumqttc gives a packet its id when it takes the request from
/// its queue, which it does in order, and says so by an event; hence a queue first and a map after.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    submitted: VecDeque<Sent>,
    by_packet_id: HashMap<u16, Sent>,
    reports: usize,
    telemetry: usize,
}

impl InFlight {
    /// A publish was put in the request queue.
    pub(super) fn submit(&mut self, sent: Sent) {
        match sent {
            Sent::Report => self.reports += 1,
            Sent::Telemetry(_) => self.telemetry += 1,
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
            Sent::Telemetry(_) => self.telemetry = self.telemetry.saturating_sub(1),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_out_of_order_find_what_was_sent() {
        let mut in_flight = InFlight::default();
        for sent in [Sent::Online, Sent::Telemetry(7), Sent::Report, Sent::Telemetry(8)] {
            in_flight.submit(sent);
        }
        for packet_id in [3, 4, 5] {
            in_flight.took(packet_id);
        }
        assert_eq!((in_flight.telemetry(), in_flight.reports()), (2, 1));
        assert_eq!(in_flight.acknowledge(4), Some(Sent::Telemetry(7)));
        assert_eq!(in_flight.acknowledge(4), None);
        assert_eq!(in_flight.acknowledge(6), None);
        assert_eq!(in_flight.acknowledge(3), Some(Sent::Online));
        in_flight.took(4);
        assert_eq!(in_flight.acknowledge(4), Some(Sent::Telemetry(8)));
        assert_eq!((in_flight.telemetry(), in_flight.reports()), (0, 1));
    }
}
