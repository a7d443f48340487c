//! A broker that comes and goes, and one that holds a message which is too large to be read.

use std::time::{Duration, Instant};

use serde_json::json;
use twinlet_tests::site::NODE;
use twinlet_tests::wait::within;
use twinlet_tests::{ArtifactServer, Broker, Desired, Function, Hub, Link, Site, guests};

use crate::row::{Bed, Notes, Row, Tries, agent, everywhere};

pub(crate) const FLAPPING: Row = Row {
    name: "flapping",
    fault: "broker flapping",
    short: 30,
    full: 300,
    per_bed: 300,
    at_once: 1,
    left_out: everywhere,
    bed: || Box::new(Flapping::prepared()),
};

pub(crate) const OVERSIZE: Row = Row {
    name: "oversize",
    fault: "retained oversize twin",
    short: 2,
    full: 25,
    per_bed: 1,
    at_once: 1,
    left_out: everywhere,
    bed: || Box::new(Oversize(Site::start(agent().env("MQTT_MAX_MESSAGE_BYTES", LIMIT)))),
};

/// The longest that the broker is there, and the longest that it is away.
const LONGEST: Duration = Duration::from_secs(1);
/// The longest wait between two attempts to connect is a minute; this leaves some time to make one.
const RECONNECT: Duration = Duration::from_secs(70);
/// Bytes of the largest message that is read.
const LIMIT: usize = 10_000;
/// The largest message that is sent: beyond what the agent's MQTT client takes in at all.
const LARGEST: usize = 12 << 20;
/// For a topic that is tried alone, and all that is to happen before.
const TRIALS: Duration = Duration::from_secs(90);
/// Between two messages that say the same, since nobody keeps them for a node that is not subscribed.
const AGAIN: Duration = Duration::from_secs(1);

struct Flapping {
    site: Site,
    link: Link,
    began: Instant,
    version: u64,
}

impl Flapping {
    fn prepared() -> Self {
        let broker = Broker::plain();
        let (link, hub, artifacts) = (Link::to(&broker), Hub::at(&broker, NODE), ArtifactServer::start());
        let began = Instant::now();
        let agent = agent().env("CP_URL", artifacts.base()).env("MQTT_BROKER", link.url()).start();
        hub.status_after(0, "online");
        let site = Site { agent, hub, artifacts, broker }.serving("fn", guests::answers("serves"));
        Self { site, link, began, version: 1 }
    }

    /// Sees to it that there was at most one attempt a second, but for the two that there may be at the begin.
    fn not_hammered(&self) -> u64 {
        let (attempts, passed) = (self.link.attempts(), self.began.elapsed().as_secs_f64());
        assert!(attempts as f64 <= passed + 2.0, "{attempts} attempts to connect in {passed:.1} s");
        attempts
    }
}

impl Bed for Flapping {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let mut dice = tries.dice();
        self.link.cut();
        assert_eq!(self.site.agent.get("/fn").text(), "serves");
        dice.pause(LONGEST);
        self.version += 1;
        // Some come while the agent is there, most are found retained once it is.
        let function = self.site.function("fn", guests::answers("serves"));
        self.site.hub.publish_desired(Desired::version(self.version).serving(function));
        self.link.mend(0);
        dice.pause(LONGEST);
        self.not_hammered();
    }

    fn finish(self: Box<Self>, notes: &mut Notes) {
        let healed = Instant::now();
        within(RECONNECT, "the agent to be back with the last document", || {
            (self.site.hub.reported()["lastDesiredVersion"] == self.version).then_some(())
        });
        notes.add("attempts to connect", self.not_hammered());
        notes.add("in seconds", self.began.elapsed().as_secs());
        notes.most("seconds until back at most", healed.elapsed().as_secs());
    }
}

struct Oversize(Site);

impl Bed for Oversize {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let Self(site) = self;
        let function = site.function("good", guests::answers("good"));
        site.apply(1, |desired| desired.serving(function.clone()));
        let (log, bytes) = (site.agent.mark(), LIMIT + tries.dice().index(LARGEST));
        site.hub.publish_desired(Desired::version(2).set("functions", json!({ "x": "y".repeat(bytes) })));
        let line = site.agent.log_line_after(log, "what becomes of the message", |line| {
            line.contains("dropped:") || line.contains("leaving the topic out")
        });
        assert_eq!(site.agent.get("/good").text(), "good");
        // The message still stands: another topic works beside it, and the connection lives.
        let beside = site.function("beside", guests::answers("beside"));
        runs_by_another_topic(site, &beside);
        let connects = site.agent.metrics().sum("twinlet_mqtt_events_total", &["\"connect\""]);
        if line.contains("dropped:") {
            assert!(connects == 1.0, "{connects} connections for a message that was dropped");
            site.apply(3, |desired| desired.serving(function).serving(beside));
            assert_eq!(site.agent.get("/beside").text(), "beside");
            tries.notes.add("dropped", 1u64);
        } else {
            // One that ends the connection, one to find the topic, and one that stays.
            assert!(connects <= 3.0, "{connects} connections for one message");
            tries.notes.add("topic left out", 1u64);
        }
        assert!(site.agent.runs());
    }
}

/// Waits until a deployment message is carried out, saying it again now and then.
fn runs_by_another_topic(site: &Site, function: &Function) {
    let mut said: Option<Instant> = None;
    within(TRIALS, "a function by another topic", || {
        if said.is_none_or(|said| said.elapsed() >= AGAIN) {
            site.hub.deploy(function.notification());
            said = Some(Instant::now());
        }
        let functions = &site.hub.reported()["functions"];
        (functions["beside"]["phase"] == "running").then_some(())
    });
}
