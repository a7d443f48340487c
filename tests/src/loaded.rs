//! A node whose functions all keep promises: telemetry, an actor that counts, timers, and a set of functions that are
//! rolled out together. What it is to keep is in the [`Ledger`]; knows nothing of what befalls the agent.

use serde_json::json;

use crate::ledger::{COUNTER, LATER, Ledger, SENDING, SOON, TIMING};
use crate::site::NODE;
use crate::whole::Whole;
use crate::{Agent, AgentBuilder, ArtifactServer, Broker, Desired, Function, Hub, guests};

/// Everything around the agent, which comes and goes. The broker goes last.
pub struct Loaded {
    /// Starts the agent.
    pub builder: AgentBuilder,
    /// The operator.
    pub hub: Hub,
    /// Where artifacts are.
    pub artifacts: ArtifactServer,
    /// The broker.
    pub broker: Broker,
    /// What `desired` is made of.
    base: Desired,
}

impl Loaded {
    /// Everything but the agent, which this builder is to start.
    pub fn around(builder: AgentBuilder) -> Self {
        let broker = Broker::plain();
        let (hub, artifacts) = (Hub::at(&broker, NODE), ArtifactServer::start());
        let environment = [("LOG_LEVEL", "info"), ("OUTBOX_BYTES", "67108864")];
        let builder = builder.with(&broker).env("CP_URL", artifacts.base());
        let builder = environment.iter().fold(builder, |builder, (key, value)| builder.env(key, value));
        let base = Self::base(&artifacts);
        Self { builder, hub, artifacts, broker, base }
    }

    /// A desired state of this version: functions that send telemetry, an actor that counts, a function that casts to
    /// it, and actors with timers.
    pub fn desired(&self, version: u64) -> Desired {
        self.base.clone().set("$version", version)
    }

    fn base(artifacts: &ArtifactServer) -> Desired {
        let function = |id: &str, bytes: Vec<u8>| {
            Function::of(id, &artifacts.serve(&format!("{id}.wasm"), bytes))
                .set("permissions", json!({ "telemetry": true }))
                .set("outputs", json!({ "to": COUNTER }))
        };
        let sending = SENDING.map(|id| function(id, guests::sends()));
        let desired = sending.into_iter().fold(Desired::version(1), Desired::serving);
        desired
            .serving(function(COUNTER, guests::actors::counts_casts()))
            .serving(function("cast", guests::casts()))
            .serving(function(SOON, guests::actors::sends_later(20)))
            .serving(function(LATER, guests::actors::sends_later(1_200)))
    }

    /// As `desired`, with the set of functions that [`Whole`] looks at. It is published, and who waits for it is told
    /// nothing.
    pub fn roll_out(&self, version: u64) {
        self.hub.publish_desired(Whole::add_to(self.desired(version), &self.artifacts, version));
    }

    /// Starts the agent for the first time, with version 1 of `desired`.
    pub fn first_start(&self) -> Agent {
        let agent = self.builder.start();
        self.hub.publish_desired(self.desired(1));
        self.hub.applied(1);
        agent
    }

    /// Starts the agent, and sees to it that nothing of what was on the disk is missing.
    pub fn start(&self, ledger: &Ledger) -> Agent {
        let agent = self.builder.start();
        Self::nothing_is_missing(&agent, ledger);
        agent
    }

    /// Waits until the agent is ready, and sees to it that nothing of what was on the disk is missing.
    pub fn nothing_is_missing(agent: &Agent, ledger: &Ledger) {
        agent.answers("/readyz", 200);
        ledger.check_count(agent);
        let lost = agent.metrics().sum("twinlet_outbox_lost_total", &[]);
        assert!(lost == 0.0, "{lost} messages were missing at the start");
    }

    /// What the hub has had of a function, in order, and some of it perhaps more than once.
    pub fn arrived(&self, function: &str) -> Vec<String> {
        let topic = self.hub.topic("telemetry", &format!("/{function}"));
        self.hub.received(&topic).iter().map(crate::hub::Message::text).collect()
    }

    /// Has each function send one message more, and waits for it and all before it.
    pub fn drain(&self, agent: &Agent, ledger: &Ledger) {
        agent.metrics_where("an empty outbox", |m| m.sum("twinlet_outbox_messages", &[]) == 0.0);
        for function in SENDING.into_iter().chain(TIMING) {
            let last = ledger.last(agent, function);
            let topic = self.hub.topic("telemetry", &format!("/{function}"));
            self.hub.wait_after(0, &topic, "the last message", |m| m.text() == last);
        }
    }

    /// Sees to it that all that was acknowledged has arrived; to be called after `drain`. Says what there was.
    pub fn check(&self, agent: &Agent, ledger: &Ledger) -> String {
        let telemetry = SENDING.map(|id| format!("{id}: {}", ledger.check_telemetry(id, &self.arrived(id))));
        let timers = TIMING.map(|id| format!("{id}: {}", ledger.check_timers(id, &self.arrived(id))));
        format!("{}\n{}\n{COUNTER}: {}", telemetry.join("\n"), timers.join("\n"), ledger.check_count(agent))
    }
}
