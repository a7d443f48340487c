//! No network at the start: the last accepted desired state serves at once, and the network is taken up when it comes.

use std::time::{Duration, Instant};

use twinlet_tests::loaded::Loaded;
use twinlet_tests::wait::within;
use twinlet_tests::whole::{SET, Whole};
use twinlet_tests::{AgentBuilder, Link};

use crate::row::{Bed, Row, Tries, agent, everywhere};

pub(crate) const OFFLINE: Row = Row {
    name: "offline",
    fault: "no network at the start",
    short: 4,
    full: 50,
    per_bed: 10,
    at_once: 1,
    left_out: everywhere,
    bed: || Box::new(Offline::prepared()),
};

/// A generous bound on a start from the disk; the goal itself is measured by the benchmark.
const START: Duration = Duration::from_secs(5);
/// The longest wait between two attempts is a minute; this leaves some time to make one.
const TAKEN_UP: Duration = Duration::from_secs(75);
/// Starts without a network, one after the other, at most.
const STARTS: u64 = 3;

struct Offline {
    node: Loaded,
    link: Link,
    builder: AgentBuilder,
    latest: u64,
}

impl Offline {
    fn prepared() -> Self {
        let node = Loaded::around(agent());
        let link = Link::to(&node.broker);
        let builder = node.builder.clone().env("MQTT_BROKER", link.url());
        let mut running = builder.start();
        node.roll_out(1);
        node.hub.applied(1);
        running.kill9();
        Self { node, link, builder, latest: 1 }
    }

    /// Requests for the set that is to be served from the disk.
    fn fetched(&self) -> usize {
        SET.iter().map(|id| self.node.artifacts.requests(&format!("{id}-{}.wasm", self.latest))).sum()
    }
}

impl Bed for Offline {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let mut dice = tries.dice();
        let mut whole = Whole::seen(self.latest);
        let fetched = self.fetched();
        self.link.cut();
        for _ in 0..dice.throw(STARTS) {
            let mut earlier = self.builder.start();
            dice.pause(START / 10);
            earlier.kill9();
        }
        let began = Instant::now();
        let mut running = self.builder.start();
        whole.check(&running, self.latest);
        running.answers("/readyz", 200);
        assert!(began.elapsed() < START, "{:?} to the first answers", began.elapsed());
        tries.notes.most("ms to serve at most", began.elapsed().as_millis());
        let told = format!("told while offline {}", tries.number());
        assert_eq!(running.post("/one", told.as_str()).status, 200);
        assert_eq!(self.fetched(), fetched, "what is on the disk was fetched again");
        // What the hub asks for meanwhile is found when the network comes.
        self.latest += 1;
        self.node.roll_out(self.latest);
        self.link.mend(0);
        within(TAKEN_UP, "the new document to serve", || {
            whole.round(&running, self.latest);
            (whole.newest() == self.latest).then_some(())
        });
        whole.reaches(&running, self.latest);
        let topic = self.node.hub.topic("telemetry", "/one");
        self.node.hub.wait_after(0, &topic, &told, |message| message.text() == told);
        running.kill9();
    }
}
