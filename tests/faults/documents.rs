//! Malformed twin documents: whatever comes, nothing changes, neither what serves nor what is on the disk.

use serde_json::{Value, json};
use twinlet_tests::{Desired, Site, guests};

use crate::mutations::malformed;
use crate::row::{Bed, Notes, Row, Tries, agent, everywhere};

pub(crate) const MALFORMED: Row = Row {
    name: "malformed",
    fault: "malformed twin documents",
    short: 1_000,
    full: 10_000,
    per_bed: 2_500,
    at_once: 100,
    left_out: everywhere,
    bed: || Box::new(Malformed::prepared()),
};

struct Malformed {
    site: Site,
    /// A document that would be accepted, newer than the one that stands.
    good: Value,
}

impl Malformed {
    fn prepared() -> Self {
        let site = Site::start(agent());
        let function = site
            .function("fn", guests::answers("stands"))
            .set("size", guests::answers("stands").len())
            .set("instances", json!({ "max": 2 }))
            .set("config", json!({}));
        let gate =
            site.function("gate", guests::middleware::continues(&[guests::middleware::Point::Response]));
        let desired = |version| {
            Desired::version(version)
                .serving(function.clone())
                .function(gate.clone())
                .set("settings", json!({ "heartbeat_interval_secs": 3_600, "log_level": "warn" }))
                .set("middleware", json!({ "m0": { "function_id": "gate", "attach": ["on-response"] } }))
        };
        site.hub.publish_desired(desired(1));
        site.hub.applied(1);
        Self { site, good: desired(2).into() }
    }

    /// Messages of the twin's topic that the agent has dealt with, by what became of them.
    fn counted(&self, result: &str) -> u64 {
        let labels = ["topic=\"desired state\"", &format!("result=\"{result}\"")];
        let count = self.site.agent.metrics().sum("twinlet_messages_total", &labels);
        // A counter is a whole number; the sum of none is -0.
        format!("{:.0}", count.abs()).parse().unwrap()
    }

    /// Publishes documents, and waits until the agent has dealt with them.
    fn send(&self, documents: &[Vec<u8>]) {
        let before = self.counted("refused");
        let topic = self.site.hub.topic("twin", "/desired");
        for document in documents {
            self.site.hub.publish(&topic, document.clone(), false);
        }
        let many = u64::try_from(documents.len()).unwrap();
        self.site.agent.metrics_where("as many refused messages", |_| {
            let accepted = self.counted("accepted");
            assert_eq!(accepted, 1, "a malformed document was accepted");
            assert_eq!(
                self.counted("unchanged"),
                0,
                "a malformed document was taken for the one that stands"
            );
            self.counted("refused") >= before + many
        });
    }

    fn stands(&self) {
        assert_eq!(self.site.agent.get("/fn").text(), "stands");
        let reported = self.site.hub.reported();
        assert_eq!(reported["lastDesiredVersion"], 1, "{reported}");
        assert_eq!(reported["functions"]["fn"]["phase"], "running", "{reported}");
        assert_eq!(reported["functions"].as_object().unwrap().len(), 2, "{reported}");
    }
}

impl Bed for Malformed {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let documents: Vec<_> =
            tries.numbers().map(|number| malformed(&self.good, &mut tries.dice_of(number))).collect();
        let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.send(&documents);
            self.stands();
        }));
        if sent.is_ok() {
            return;
        }
        // One of them: a new agent, and one after the other.
        *self = Self::prepared();
        for (number, document) in tries.numbers().zip(documents) {
            tries.blame(number);
            eprintln!(
                "try {number}: {}",
                String::from_utf8_lossy(&document).chars().take(300).collect::<String>()
            );
            self.send(&[document]);
            self.stands();
        }
    }

    /// What is on the disk has not changed either: a start without a broker serves the same.
    fn finish(mut self: Box<Self>, notes: &mut Notes) {
        notes.add("refused", self.counted("refused"));
        self.site.agent.kill9();
        let again = self.site.agent.again(|builder| builder.env("MQTT_BROKER", "mqtt://127.0.0.1:1"));
        again.says("/fn", "stands");
        let functions = again.local("GET", "/twinlet/functions", b"").text();
        assert!(functions.contains("\"fn\"") && functions.contains("gate"), "{functions}");
    }
}
