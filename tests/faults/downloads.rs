//! Downloads that are cut, stand still or drip: the function serves in the end, and no byte is asked for often.

use std::time::Duration;

use twinlet_tests::wait::within;
use twinlet_tests::{Agent, AgentBuilder, Broker, Desired, Function, Hub, guests, site::NODE};

use crate::row::{Bed, Notes, Row, Tries, agent, everywhere};
use crate::server::{Server, Way};

pub(crate) const TRUNCATED: Row = Row {
    name: "truncated",
    fault: "download cut at a random offset, once to thrice",
    short: 24,
    full: 500,
    per_bed: 200,
    // No more than the agent keeps beginnings of.
    at_once: 8,
    left_out: everywhere,
    bed: || Box::new(Downloads::prepared(1_000)),
};

pub(crate) const STALLED: Row = Row {
    name: "stalled",
    fault: "download that stands still, or drips",
    short: 4,
    full: 40,
    per_bed: 20,
    at_once: 1,
    left_out: everywhere,
    bed: || Box::new(Stalled(Downloads::prepared(256_000))),
};

/// Until a function serves whose download is cut three times; the waits between tries grow.
const SERVED: Duration = Duration::from_secs(90);
/// Bytes of the smallest artifact beyond the least.
const SPREAD: usize = 64 << 10;

struct Downloads {
    running: Agent,
    builder: AgentBuilder,
    hub: Hub,
    server: Server,
    _broker: Broker,
    version: u64,
    least: usize,
}

impl Downloads {
    fn prepared(least: usize) -> Self {
        let (broker, server) = (Broker::plain(), Server::start());
        let hub = Hub::at(&broker, NODE);
        let builder = agent()
            .with(&broker)
            .env("FETCH_STALL_TIMEOUT_SECS", 1)
            .env("FETCH_MIN_RATE_BYTES", 1_024)
            .env("FETCH_MIN_RATE_SECS", 1);
        let running = builder.start();
        hub.status_after(0, "online");
        Self { running, builder, hub, server, _broker: broker, version: 0, least }
    }

    /// A component of its own that answers with its name, and how its first downloads go.
    fn function(&self, id: &str, padding: usize, ways: &[Way]) -> Function {
        let bytes = guests::padded(guests::answers(id), self.least + padding);
        Function::of(id, &self.server.serve(id, bytes, ways))
    }

    fn publish(&mut self, functions: Vec<Function>) {
        self.version += 1;
        let desired = functions.into_iter().fold(Desired::version(self.version), Desired::serving);
        self.hub.publish_desired(desired);
    }

    /// Waits until a function serves, and sees to it that it did not cost more than twice its size.
    fn serves(&self, id: &str, size: usize, notes: &mut Notes) {
        within(SERVED, &format!("{id} to serve"), || {
            let answer = self.running.request("GET", &format!("/{id}")).try_send().ok()?;
            (answer.status == 200).then(|| assert_eq!(answer.text(), id))
        });
        let (sent, requests) = self.server.sent(id);
        assert!(sent <= 2 * size, "{sent} bytes in {requests} requests for {id}, which has {size}");
        notes.add("bytes", size);
        notes.add("bytes sent", sent);
        notes.add("requests", requests);
    }
}

impl Bed for Downloads {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let mut functions = Vec::new();
        let mut sizes = Vec::new();
        for number in tries.numbers() {
            let mut dice = tries.dice_of(number);
            let padding = dice.index(SPREAD);
            let size = guests::padded(guests::answers(&format!("f{number}")), self.least + padding).len();
            let cuts: Vec<_> = (0..=dice.throw(3)).map(|_| Way::Cut(dice.index(size))).collect();
            functions.push(self.function(&format!("f{number}"), padding, &cuts));
            sizes.push(size);
        }
        self.publish(functions);
        for (number, size) in tries.numbers().zip(sizes) {
            tries.blame(number);
            self.serves(&format!("f{number}"), size, tries.notes);
        }
    }
}

struct Stalled(Downloads);

impl Bed for Stalled {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let (mut dice, id) = (tries.dice(), format!("s{}", tries.number()));
        let size = guests::padded(guests::answers(&id), self.0.least).len();
        let drips = tries.number() % 2 == 1;
        let way = if drips { Way::Drip } else { Way::Stall(dice.index(size)) };
        let function = self.0.function(&id, 0, &[way]);
        self.0.publish(vec![function]);
        if !drips && dice.throw(2) == 0 {
            // The one that goes on with it is another agent.
            within(SERVED, "the download to begin", || (self.0.server.sent(&id).1 > 0).then_some(()));
            self.0.running.kill9();
            self.0.running = self.0.builder.start();
            tries.notes.add("killed in between", 1u64);
        }
        self.0.serves(&id, size, tries.notes);
    }
}
