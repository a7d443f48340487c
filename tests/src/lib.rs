//! The harness: everything around one agent that is real. It knows the agent only from outside, by its environment,
//! its sockets, its log and its topics.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`wait`] | waiting for conditions under a deadline |
//! | [`certs`] | a small certificate authority, good and bad |
//! | [`broker`] | mosquitto in five set-ups; rumqttd where it is missing |
//! | [`link`] | what lies between the agent and the broker, cut or slow |
//! | [`hub`] | the operator's side of the broker |
//! | [`artifacts`] | an HTTP server for components, with faults |
//! | [`object_store`] | an S3 server that checks signatures |
//! | [`registry`] | Debian's docker-registry, and who gives out its tokens |
//! | [`tunnel`] | a proxy, and TLS in front of a server |
//! | [`desired`] | desired state, as the operator writes it |
//! | [`guests`] | components that behave, and components that do not |
//! | [`http`] | requests and responses, over TCP and over a Unix socket |
//! | [`keys`] | API keys, and requests that are signed |
//! | [`tls`] | TLS as a client of the public door speaks it |
//! | [`piecewise`] | an exchange over HTTP by hand, piece by piece |
//! | [`tls_front`] | TLS in front of an HTTP server, with certificates that change |
//! | [`faketime`] | a wall clock of the agent's own, by libfaketime |
//! | [`agent`] | the process under test |
//! | `figures` | what that process takes of the machine |
//! | `state` | copies of a state directory |
//! | [`cli`] | the command line beside a running agent, piped and on a terminal |
//! | [`metrics`] | the text of `/metrics`, parsed |
//! | [`scripted`] | a local socket whose answers a test makes up |
//! | [`slow`] | a server that takes five seconds for each answer |
//! | [`small_disk`] | a disk of a few megabytes, to be filled |
//! | [`site`] | one of each, wired together |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a harness panics: that is how a test fails"
)]

pub mod agent;
pub mod artifacts;
pub mod broker;
pub mod certs;
pub mod cli;
pub mod desired;
pub mod dice;
pub mod faketime;
mod figures;
pub mod guests;
pub mod http;
pub mod hub;
pub mod keys;
pub mod ledger;
pub mod link;
pub mod loaded;
pub mod metrics;
pub mod object_store;
pub mod piecewise;
pub mod registry;
pub mod scripted;
pub mod site;
pub mod slow;
pub mod small_disk;
mod state;
pub mod supervisor;
pub mod tls;
pub mod tls_front;
pub mod tunnel;
pub mod wait;
pub mod whole;

pub use agent::{Agent, AgentBuilder};
pub use artifacts::{Artifact, ArtifactServer, Asked, Fault};
pub use broker::{Broker, needs_mosquitto};
pub use certs::Certs;
pub use cli::Cli;
pub use desired::{Desired, Function};
pub use http::Response;
pub use hub::Hub;
pub use link::Link;
pub use object_store::ObjectStore;
pub use registry::{Registry, needs_registry};
pub use site::Site;
pub use small_disk::SmallDisk;
pub use wait::{DEADLINE, eventually};
