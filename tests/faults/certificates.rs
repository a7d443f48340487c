//! Certificates of the broker and of the artifact server that expire, change or are somebody else's: what runs goes on,
//! nobody wrong is spoken to, and once the certificate is right everything is taken up again.

use std::time::Duration;

use twinlet_tests::certs::Pair;
use twinlet_tests::wait::within;
use twinlet_tests::{Agent, Broker, Certs, Desired, Function, Hub, guests, site::NODE};

use crate::row::{Bed, Row, Tries, agent, everywhere};
use crate::server::Server;

pub(crate) const CERTIFICATES: Row = Row {
    name: "certificates",
    fault: "certificate expired, rotated, wrong host, wrong authority",
    short: 8,
    full: 48,
    // A new agent for each, whose waits between attempts have not grown yet.
    per_bed: 1,
    at_once: 1,
    left_out: everywhere,
    bed: || Box::new(Site::prepared()),
};

/// The longest wait between two attempts is a minute; this leaves some time to make one.
const TAKEN_UP: Duration = Duration::from_secs(75);

struct Site {
    agent: Agent,
    hub: Hub,
    server: Server,
    broker: Broker,
    certs: Certs,
    /// A copy of the right pair, since the broker's files change.
    right: Pair,
    version: u64,
}

impl Site {
    fn prepared() -> Self {
        let certs = Certs::generate();
        let right = certs.of_server();
        let (broker, server) = (Broker::tls(&certs), Server::start());
        server.show(&right);
        let hub = Hub::at(&broker, NODE);
        let builder = agent().with(&broker).trusting(&certs.ca).env("ARTIFACT_CA_FILE", certs.ca.display());
        let agent = builder.start();
        hub.status_after(0, "online");
        let mut site = Self { agent, hub, server, broker, certs, right, version: 0 };
        site.publish();
        site.reaches();
        site
    }

    /// The pair of a try, and whether it is to be trusted.
    fn pair(&self, number: u32) -> (Pair, &'static str, bool) {
        match number % 4 {
            0 => (self.certs.expired.clone(), "expired", false),
            1 => (self.certs.brief.clone(), "rotated", true),
            2 => (self.certs.elsewhere.clone(), "of a wrong host", false),
            _ => (self.certs.foreign.clone(), "of a wrong authority", false),
        }
    }

    /// Has the broker show another certificate: it starts anew, with nothing retained.
    fn broker_shows(&mut self, pair: &Pair) {
        let subscriptions = self.hub.subscriptions();
        self.broker.stop();
        self.certs.renew_server(pair);
        self.broker.restart();
        self.hub.subscribed_since(subscriptions);
    }

    /// Publishes the next version of the function.
    fn publish(&mut self) {
        self.version += 1;
        let text = format!("version {}", self.version);
        let artifact = self.server.serve(&format!("fn-{}", self.version), guests::answers(&text), &[]);
        let function = Function::of("fn", &artifact).version(self.version);
        self.hub.publish_desired(Desired::version(self.version).serving(function));
    }

    fn serves(&self, version: u64) -> bool {
        self.agent.get("/fn").text() == format!("version {version}")
    }

    fn reaches(&self) {
        within(TAKEN_UP, "the new version to serve", || self.serves(self.version).then_some(()));
        self.hub.applied(self.version);
    }

    fn with_broker(&mut self, pair: &Pair, good: bool) {
        let mark = self.agent.mark();
        self.broker_shows(pair);
        self.publish();
        if !good {
            self.agent.log_line_after(mark, "the refusal", |line| {
                let line = line.to_lowercase();
                line.contains("warn") && line.contains("mqtt") && line.contains("certificate")
            });
            assert!(self.serves(self.version - 1), "what ran goes on");
            assert_eq!(self.agent.metrics().sum("twinlet_mqtt_connected", &[]), 0.0);
            let right = self.right.clone();
            self.broker_shows(&right);
            self.publish();
        }
        self.reaches();
    }

    fn with_server(&mut self, pair: &Pair, good: bool) {
        let mark = self.hub.mark();
        self.server.show(pair);
        self.publish();
        if !good {
            let version = self.version;
            let report = self.hub.reported_after(mark, "the refusal", |report| {
                let shown = &report["functions"]["fn"];
                shown["version"] == version && shown["lastError"].is_string()
            });
            let why = report["functions"]["fn"]["lastError"].to_string().to_lowercase();
            assert!(why.contains("certificate"), "{why}");
            assert!(self.serves(self.version - 1), "what ran goes on");
            let (_, requests) = self.server.sent(&format!("fn-{version}"));
            assert_eq!(requests, 0, "it asked a server that it must not trust");
            self.server.show(&self.right);
        }
        self.reaches();
    }
}

impl Bed for Site {
    fn attempt(&mut self, tries: &mut Tries<'_>) {
        let (pair, what, good) = self.pair(tries.number());
        let broker = (tries.number() / 4).is_multiple_of(2);
        eprintln!("certificates {}: {what}, {}", tries.number(), if broker { "broker" } else { "artifacts" });
        if broker { self.with_broker(&pair, good) } else { self.with_server(&pair, good) }
    }
}
