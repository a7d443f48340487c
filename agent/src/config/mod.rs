//! What the operator asks of this node: one table of keys, merged from defaults, a TOML file, the environment and
//! flags into one validated [`Config`]. It reads no file and no environment: texts and pairs are its arguments.
//!
//! ```text
//!  keys ──► layers ──► reader ──► resolve ──► Config      every step may add Problems; all are reported at once
//!  (table)  (merge)    (parse)    (build and cross-check)
//!     └──► show, document: `config show`, the README's table, the commented default file
//! ```
//! `api_keys` and `trusted_keys` read the files that `api_keys_file` and `trusted_keys_file` name.
//! `values` and `url` hold the validated types that the reader makes: [`NodeId`], [`Secret`], broker and base URLs.

mod api_keys;
mod document;
mod key;
mod keys;
mod layers;
mod problems;
mod reader;
mod resolve;
mod show;
#[cfg(test)]
mod tests;
mod trusted_keys;
mod url;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use api_keys::{ApiKey, ApiKeys};
pub use document::{commented_toml, markdown_table};
pub use key::{Group, Key, Kind, Unit};
pub use keys::{KEYS, key};
pub use layers::{FileText, Layers};
pub use problems::{Problem, Problems, Source};
pub use resolve::Resolved;
pub use show::{ReloadDifferences, Row, reload_differences, show};
pub use trusted_keys::trusted_keys;
pub use values::{NodeId, NodeIdError, Secret};

/// The settings of one node, validated: the only form of the configuration that travels through the house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `node_id`; `None` means: none was given, use the one stored on the disk or make a UUID.
    pub node_id: Option<NodeId>,
    /// `pop_id`: the point of presence, 1 to 128 characters.
    pub pop_id: String,
    /// `cp_url`: an `http://` or `https://` URL without credentials, query, fragment or trailing slash.
    pub cp_url: String,
    /// `cache_dir`: where database and artifacts live. May be relative to the working directory.
    pub cache_dir: PathBuf,
    /// `cache_size_gb`, in bytes (1 GB is 2^30): the most that artifacts may take on disk.
    pub cache_bytes: u64,
    /// `min_free_mb`, in bytes: what artifacts leave free on the disk.
    pub min_free_bytes: u64,
    /// `local_socket`: path of the Unix socket, at most 103 bytes.
    pub local_socket: PathBuf,
    /// `heartbeat_interval_secs`: the time between two heartbeats.
    pub heartbeat_interval: Duration,
    /// `log_level`: the most verbose level that is written.
    pub log_level: log::LevelFilter,
    /// `shutdown_timeout_secs`: how long running requests may take after SIGTERM. Zero cuts them off at once.
    pub shutdown_timeout: Duration,
    /// What a function gets whose desired state names no instance counts.
    pub instances: InstanceDefaults,
    /// The broker, and how to speak to it.
    pub mqtt: Mqtt,
    /// The public door.
    pub http: Http,
    /// How artifacts are downloaded.
    pub fetch: Fetch,
    /// What all functions together, and one compilation, may take.
    pub guests: Guests,
    /// The management API.
    pub api: Api,
    /// Who may sign the hub's functions.
    pub signatures: Signatures,
    /// `outbox_bytes`: the most that unsent telemetry may take on the disk.
    pub outbox_bytes: usize,
}

/// What a function gets whose desired state names no instance counts of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceDefaults {
    /// `min_hot_instances`: kept ready even when idle; never more than `max`.
    pub min: u32,
    /// `max_hot_instances`: the most at one time, at least 1.
    pub max: u32,
    /// `idle_timeout_secs`: an instance above `min` that served nothing for so long is dropped.
    pub idle_timeout: Duration,
}

/// The broker and how to speak to it. Comparable, so that a reload can see whether to reconnect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Host name or address out of `mqtt_broker`; an IPv6 address stands here without brackets.
    pub host: String,
    /// Port out of `mqtt_broker`; 1883 for `mqtt://` and 8883 for `mqtts://` where it names none.
    pub port: u16,
    /// Whether the URL says `mqtts://`.
    pub tls: bool,
    /// `mqtt_ca_file`: PEM file of the authorities to trust instead of the system's. Only with `tls`.
    pub ca_file: Option<PathBuf>,
    /// `mqtt_cert_file` and `mqtt_key_file`, PEM: the client certificate and its key. Only with `tls`.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// `mqtt_username`, or the user in the broker's URL.
    pub username: Option<String>,
    /// `mqtt_password`, or the password in the broker's URL. Never without `username`.
    pub password: Option<Secret>,
    /// `mqtt_keep_alive_secs`: the time between two pings, 1 s to 65535 s.
    pub keep_alive: Duration,
    /// `mqtt_max_message_bytes`: a larger message is counted and dropped.
    pub max_message_bytes: usize,
}

/// The public door's address and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// `listen_addr` and `listen_port`; port 0 takes any free port.
    pub listen: SocketAddr,
    /// `http_queue`: requests that may wait for a worker; one more gets 503.
    pub queue: usize,
    /// `http_max_connections`: open connections at one time.
    pub max_connections: usize,
    /// `http_max_connections_per_peer`: open connections of one address at one time.
    pub max_connections_per_peer: usize,
    /// `http_max_head_bytes`: request line and headers; at least 8192.
    pub max_head_bytes: usize,
    /// `http_head_timeout_secs`: from the first byte to the end of the head.
    pub head_timeout: Duration,
    /// `http_max_body_bytes`: a larger request body gets 413.
    pub max_body_bytes: usize,
    /// `http_body_timeout_secs`: from the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// `http_idle_timeout_secs`: a kept-alive connection without a request for so long is closed.
    pub idle_timeout: Duration,
    /// `http_tls_cert_file` and `http_tls_key_file`, PEM: what to serve HTTPS with; `None` is plain HTTP.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// The management API, and who may do what at the public door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// `api_keys_file`: who may do what at the public door.
    pub keys_file: Option<PathBuf>,
    /// `api_max_body_bytes`: a larger request body gets 413.
    pub max_body_bytes: usize,
    /// `wasm_roots`: where `POST /wasm` may read components; absolute, none by default.
    pub wasm_roots: Vec<PathBuf>,
    /// The same as [`Fetch::max_bytes`].
    pub max_artifact_bytes: u64,
    /// The same as [`Guests::max_memory_pages`].
    pub max_memory_pages: u32,
}

/// How artifacts are downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Base of relative artifact URLs: the same text as [`Config::cp_url`], without a trailing slash.
    pub base_url: String,
    /// `artifact_ca_file`: PEM file of the authorities to trust for `https://`, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// `artifact_max_bytes`: a larger artifact is refused.
    pub max_bytes: u64,
    /// `fetch_connect_timeout_secs`: name look-up, TCP and TLS together.
    pub connect_timeout: Duration,
    /// `fetch_stall_timeout_secs`: a download without one byte for so long is given up and tried again.
    pub stall_timeout: Duration,
    /// `fetch_min_rate_bytes`: bytes a second that must come over `min_rate_window`; 0 for any.
    pub min_rate_bytes: u64,
    /// `fetch_min_rate_secs`: the time over which the rate is looked at.
    pub min_rate_window: Duration,
    /// The object store for `s3://` artifact URLs.
    pub minio: Minio,
    /// Registries for `oci://` artifact URLs.
    pub oci: Oci,
}

/// Who may sign the hub's functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// `trusted_keys_file`: the public keys that count; without one, signatures are not looked at.
    pub keys_file: Option<PathBuf>,
    /// `require_signatures`: whether a function of the hub's is refused without one. Never without `keys_file`.
    pub required: bool,
}

/// What all functions together, and one compilation, may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guests {
    /// `max_workers`: threads that run functions, at least 2.
    pub max_workers: usize,
    /// `max_memory_pages`: the most pages of 64 KiB that one function may ask for.
    pub max_memory_pages: u32,
    /// `compile_timeout_secs`: processor time of one compilation.
    pub compile_timeout: Duration,
    /// `compile_memory_mb`, in bytes (1 MB is 2^20): address space of the compiling process.
    pub compile_memory_bytes: u64,
}

/// The object store for `s3://` artifact URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minio {
    /// `minio_endpoint`: an `http://` or `https://` URL without credentials, query or trailing slash.
    pub endpoint: String,
    /// `minio_access_key`.
    pub access_key: String,
    /// `minio_secret_key`.
    pub secret_key: Secret,
    /// `minio_region`.
    pub region: String,
}

/// Registries for `oci://` artifact URLs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oci {
    /// `oci_registry`: the one that gets user and password. `None` is: all are asked as anybody.
    pub registry: Option<String>,
    /// `oci_username`. Never without `registry` and `password`.
    pub username: Option<String>,
    /// `oci_password`.
    pub password: Option<Secret>,
    /// `oci_plain_http`: those that are spoken to without TLS.
    pub plain_http: Vec<String>,
}

impl Config {
    /// Merges the layers (default < file < environment < flag) and validates the result.
    ///
    /// # Errors
    /// Every problem of every layer at once, each with its key and source.
    pub fn resolve(layers: Layers) -> Result<Self, Problems> {
        Resolved::from_layers(layers).map(|resolved| resolved.config)
    }
}
