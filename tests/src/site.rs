//! One broker, one hub, one artifact server and one agent, wired together: where most tests begin.

use crate::agent::{Agent, AgentBuilder};
use crate::artifacts::{Artifact, ArtifactServer, Fault};
use crate::broker::Broker;
use crate::desired::{Desired, Function};
use crate::hub::Hub;

/// The node that [`AgentBuilder::new`] starts.
pub const NODE: &str = "node-1";

/// Fields are in the order in which they must go: the agent first, the broker last.
pub struct Site {
    /// The agent.
    pub agent: Agent,
    /// The operator.
    pub hub: Hub,
    /// Where artifacts are.
    pub artifacts: ArtifactServer,
    /// The broker.
    pub broker: Broker,
}

impl Site {
    /// Starts everything around a plain broker, and returns when the node is online.
    pub fn start(agent: AgentBuilder) -> Self {
        Self::at(Broker::plain(), agent)
    }

    /// As `start`, with a broker of one's choice.
    pub fn at(broker: Broker, agent: AgentBuilder) -> Self {
        let artifacts = ArtifactServer::start();
        let hub = Hub::at(&broker, NODE);
        let agent = agent.env("CP_URL", artifacts.base()).with(&broker).start();
        hub.status_after(0, "online");
        Self { agent, hub, artifacts, broker }
    }

    /// Serves bytes under `name`.wasm.
    pub fn artifact(&self, name: &str, bytes: impl Into<Vec<u8>>) -> Artifact {
        self.artifacts.serve(&format!("{name}.wasm"), bytes)
    }

    /// Serves bytes under `name`.wasm, wrongly.
    pub fn faulty(&self, name: &str, bytes: impl Into<Vec<u8>>, fault: Fault) -> Artifact {
        self.artifacts.serve_with(&format!("{name}.wasm"), bytes, fault)
    }

    /// A function whose artifact is served under its name.
    pub fn function(&self, id: &str, bytes: impl Into<Vec<u8>>) -> Function {
        Function::of(id, &self.artifact(id, bytes))
    }

    /// Publishes a desired state and waits until it is reported as applied.
    pub fn apply(&self, version: u64, desired: impl FnOnce(Desired) -> Desired) {
        self.hub.publish_desired(desired(Desired::version(version)));
        self.hub.applied(version);
    }

    /// Applies version 1 with one function `id` on the route `/{id}`.
    pub fn serving(self, id: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let function = self.function(id, bytes);
        self.apply(1, |d| d.serving(function));
        self
    }
}
