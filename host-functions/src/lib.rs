//! What a guest can call, and nothing of how guests are deployed, pooled or reached.
//!
//! The agent gives each function version one [`Environment`] (its name, config, permissions and the narrow traits
//! below), each instance one [`Guest`] as its store's data, and one [`Linker`](wasmtime::component::Linker) made by
//! [`link()`] to all of them. From there on a guest talks to this crate alone:
//!
//! | WIT interface | file |
//! | --- | --- |
//! | `twinlet:device/http-client` | [`http_client`]: the permission gate, the address check, ureq |
//! | `twinlet:device/telemetry` | [`telemetry`]: hands messages to a [`TelemetrySink`] |
//! | `twinlet:device/metrics` | [`metrics`]: checked numbers for a [`MetricSink`] |
//! | `twinlet:device/messaging` | [`messaging`]: resolves names, hands messages to [`Messages`] |
//! | `twinlet:device/twin` | [`twin`]: reads the config, hands reported values to a [`ReportSink`] |
//! | `twinlet:device/clock` | [`clock`]: the wall clock and how far to trust it |
//! | `wasi:logging/logging`, stdio of `wasi:cli` | [`logging`]: escaped, cut and rate-limited lines in the agent's log |
//! | what stdio prints during one call | [`printed`]: for the caller who asks for it |
//! | `wasi:config/store` | `config`: the function's config, key by key |
//! | `wasi:keyvalue/store` | [`keyvalue`]: hands values to a [`KeyValue`] |
//! | `wasi:http` | [`wasi_http`]: requests in and out with streamed bodies, the latter by the gate of [`http_client`] |
//! | `wasi:io/poll`, `wasi:io/streams` | [`poll`], [`streams`]: waits that end at the caller's deadline and free the worker meanwhile |
//! | the rest of `wasi:*` | wasmtime-wasi, with no directory open and every address denied |
//!
//! [`wall`] is the time of day, which may not be known, and [`tls`] how the certificates of others are verified by it; the
//! agent uses both for itself as well. [`rates`] bounds how often a function may call any of these, [`limits`] bounds what a guest may hold; [`link::refused_imports`] says what it may import.

#[allow(missing_docs, clippy::all)]
pub mod bindings {
    //! Generated from `wit/`.
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "everything",
        imports: { "wasi:keyvalue/store": trappable },
        with: { "wasi:keyvalue/store.bucket": crate::keyvalue::Bucket },
    });
}

pub mod bucket;
pub mod clock;
mod config;
mod guest;
pub mod http_client;
pub mod keyvalue;
pub mod limits;
pub mod link;
pub mod logging;
pub mod messaging;
pub mod metrics;
pub mod poll;
pub mod printed;
pub mod rates;
pub mod streams;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod twin;
pub mod wall;
pub mod wasi_http;

pub use guest::{Environment, Guest, WorkerSlot};
pub use keyvalue::KeyValue;
pub use link::link;
pub use messaging::Messages;
pub use metrics::MetricSink;
pub use telemetry::TelemetrySink;
pub use twin::ReportSink;
