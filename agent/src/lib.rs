//! twinlet: a device agent that reads a desired state over MQTT, makes the device match it, and reports what is so.
//! What it runs are WebAssembly components: fetched, verified, cached, compiled, limited, routed and watched.
//!
//! # The map, in the order data flows
//!
//! | module | what it is | what it does not know |
//! | --- | --- | --- |
//! | [`config`] | the node's settings: one table of keys, file < environment < flag | files and the environment themselves |
//! | [`state_dir`] | the directory of all state, the node's name and key | what is stored |
//! | [`hub`] | what goes between node and hub | what carries it |
//! | [`mqtt`] | bytes on topics, reconnects, TLS | documents, functions |
//! | [`desired`] | what the hub wants, valid by construction | how it arrives, how it is carried out |
//! | [`twin`] | takes what is asked for, by the hub or on the device: reads, keeps on disk, then publishes | what becomes of it |
//! | [`store`] | durable records in sled | what they mean |
//! | [`plan`] | the difference between wanted and so | how it is carried out |
//! | [`reconciler`] | makes it so, whole or not at all; takes back what fails its trial; owns what is so | MQTT, HTTP |
//! | [`rehearsal`] | what would become of a dry run; changes nothing that runs | what carries it out |
//! | [`prepare`] | one function from URL to running instance | what served before |
//! | [`fetch`], [`artifacts`], [`compile`], [`seal`] | bytes, files, machine code, its seal | each other |
//! | [`engine`] | wasmtime, its clock and linker | functions |
//! | [`pool`] | one function version and its instances | routes, callers |
//! | [`workers`], [`thread`] | threads and the queue before them | what the work is |
//! | [`actors`] | mailboxes, turns, timers and kept state | routes, deployment |
//! | [`routes`], [`chains`], [`serving`] | which function, which middleware; the snapshot that is served | requests |
//! | [`http`] | one service, two doors, and the management API behind them | how anything is carried out |
//! | [`outbox`], [`keyvalue`] | telemetry on its way; what functions keep | MQTT; what it means |
//! | [`board`], [`status`], [`metrics`], [`process`], [`logs`] | what is so, in words and numbers | who reads it |
//! | [`reporter`] | reported state and heartbeats | how they travel |
//! | [`backoff`], [`moment`] | how long until the next try; a moment in writing | of what |
//! | [`clock`] | keeps what the device knows of the time, notices that its clock was set | who needs the time |
//! | [`agent`] | wiring: starts, reloads and stops all of the above | what they do |
//! | [`cli`] | the command line | the rest |
//!
//! What guests call is the crate `twinlet_host`; their contract is the WIT package in `wit/`.
//!
//! # Threads
//!
//! `net` (one tokio runtime: MQTT, the public door, the reporter), `twin`, `reconciler`, `guest-N` (guests run there
//! and only there), `timers` (delayed casts and restarts of actors), `epoch` (the guests' deadline clock), `local` (the
//! local door). [`agent::Agent`] owns them all.
//! Short-lived beside them: `fetch` (one download, at most four that are needed), `look-up` (a guest's name look-up), `http-out` (a request that a guest
//! sends by `wasi:http`), `local-read` and `local-write` (what a slow local client sends or gets), `api` (one operation
//! of the management API), `rehearsal` (one dry run), `tending`
//! (one look after the database).

pub mod actors;
pub mod agent;
pub mod artifacts;
pub mod backoff;
pub mod board;
pub mod chains;
pub mod cli;
pub mod clock;
pub mod compile;
pub mod config;
pub mod desired;
pub mod engine;
pub mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod http;
pub mod hub;
pub mod keyvalue;
pub mod logs;
pub mod metrics;
pub mod moment;
pub mod mqtt;
pub mod outbox;
pub mod plan;
pub mod pool;
pub mod prepare;
pub mod process;
pub mod reconciler;
pub mod rehearsal;
pub mod reporter;
pub mod routes;
pub mod seal;
pub mod serving;
pub mod state_dir;
pub mod status;
pub mod store;
pub mod thread;
pub mod twin;
pub mod workers;
