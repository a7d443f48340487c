//! How the agent ends: in the reverse order of its start, each part with a deadline.

use std::time::{Duration, Instant};

use super::{Agent, notify};
use crate::hub::Connection;

/// After requests have ended: for telemetry that waits, and then for saying goodbye to the broker.
const GOODBYE: Duration = Duration::from_secs(2);

impl Agent {
    /// Ends in the order of the house: the doors let what was begun end, the hub is told, the threads are joined.
    /// Says whether all that had begun was let end.
    pub fn stop(mut self) -> bool {
        notify::stopping();
        let deadline = Instant::now() + self.shutdown_timeout;
        // A client that is slow must leave time for the actors' last events.
        let of_doors = deadline - self.shutdown_timeout / 4;
        self.stop_doors.send_replace(true);
        let mut whole = match self.public.take() {
            Some(public) => {
                let ended = async { tokio::time::timeout_at(of_doors.into(), public).await };
                self.net.handle().block_on(ended).is_ok()
            }
            None => true,
        };
        for local in std::mem::take(&mut self.local) {
            local.close_by(of_doors);
        }
        whole &= self.service.rests(of_doors);
        whole &= self.actors.stop(deadline);
        whole &= self.workers.stop(deadline);
        if !whole {
            log::warn!(
                "some requests or actors did not end within {} s and are cut off",
                self.shutdown_timeout.as_secs()
            );
        }
        self.time.keep_now();
        self.drain_outbox();
        let goodbye = Instant::now() + GOODBYE;
        self.stop_mqtt.send_replace(Some(goodbye.into()));
        let said = async { tokio::time::timeout_at((goodbye + GOODBYE).into(), self.mqtt).await };
        if self.net.handle().block_on(said).is_err() {
            log::warn!("the broker was not told");
        }
        // MQTT held the twin's messages, and the twin the reconciler's desired state: each ends the next.
        for thread in [self.timers, self.twin, self.reconciler] {
            thread.join_by(goodbye + GOODBYE);
        }
        let rested = async { tokio::time::timeout_at((goodbye + GOODBYE).into(), self.rehearsals).await };
        if self.net.handle().block_on(rested).is_err() {
            log::warn!("a dry run did not end in time");
        }
        if whole {
            self.store.close();
            self.net.stop();
        } else {
            // A guest that still waits in a host call needs the runtime until the process ends.
            std::mem::forget(self.net);
        }
        log::info!("stopped");
        whole
    }

    /// Gives what guests have sent a moment to reach a broker that is there. The rest stays for the next start.
    fn drain_outbox(&self) {
        if matches!(*self.connection.borrow(), Connection::Up { .. }) {
            let drained = async { tokio::time::timeout(GOODBYE, self.outbox.drained()).await };
            if self.net.handle().block_on(drained).is_err() {
                log::debug!("the outbox did not drain within {} s", GOODBYE.as_secs());
            }
        }
        self.outbox.tidy();
        match self.outbox.counts().messages {
            0 => {}
            waiting => log::info!("{waiting} telemetry messages wait on the disk for the next start"),
        }
    }
}
