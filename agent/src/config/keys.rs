//! The table of every setting. It knows nothing of files, environment or flags.

use super::key::Group::{self, Artifacts, Functions, Http, Management, Mqtt, Node};
use super::key::Kind::{
    self, BrokerUrl, Directory, File, Flag, Gigabytes, HttpUrl, IpAddress, Level, NodeId, Text,
};
use super::key::{Key, Unit};

/// Every setting, in the order in which help and documentation list them; groups are contiguous.
#[rustfmt::skip] // Two lines per key: a table, not code.
pub const KEYS: &[Key] = &[
    none(Node, "node_id", NodeId,
        "Name of this node in its MQTT topics; without one, a UUID made once and kept in CACHE_DIR").common(),
    some(Node, "pop_id", "default-pop", Text,
        "Point of presence that the node belongs to; part of every heartbeat").common(),
    some(Node, "cp_url", "http://localhost:8080", HttpUrl,
        "Control plane; the base of relative artifact URLs").common(),
    some(Node, "cache_dir", "/tmp/wasm-cache", Directory,
        "Where artifacts and the node's state are kept; put it on a disk that survives a restart").common(),
    none(Node, "local_socket", File,
        "Unix socket for the command line and curl, mode 0600; without one, twinlet.sock in CACHE_DIR"),
    some(Node, "heartbeat_interval_secs", "30", secs(1, DAY),
        "Seconds between two heartbeats").reload(),
    some(Node, "outbox_bytes", "1048576", bytes(64 * KIB, GIB),
        "Bytes of telemetry kept on the disk for a broker that is away, 128 more for each message; past it the oldest go"),
    some(Node, "shutdown_timeout_secs", "10", secs(0, HOUR),
        "Seconds that running requests get to finish after SIGTERM; keep it 6 below TimeoutStopSec").reload(),
    some(Node, "log_level", "info", Level,
        "Most verbose level that is logged: off, error, warn, info, debug or trace").reload().common(),

    some(Mqtt, "mqtt_broker", "mqtt://localhost:1883", BrokerUrl,
        "Broker: mqtt://[user:password@]host[:1883], or mqtts://…[:8883] for TLS").reload().common(),
    none(Mqtt, "mqtt_ca_file", File,
        "PEM file of the authorities to trust instead of the system's; only with mqtts://").reload().common(),
    none(Mqtt, "mqtt_cert_file", File,
        "PEM file of this node's certificate; only with mqtts://, and with MQTT_KEY_FILE").reload().common(),
    none(Mqtt, "mqtt_key_file", File,
        "PEM file of that certificate's private key").reload().common(),
    none(Mqtt, "mqtt_username", Text,
        "User name for the broker").reload().common(),
    none(Mqtt, "mqtt_password", Text,
        "Password for the broker; a flag shows in the process list: prefer file or environment").secret().reload(),
    some(Mqtt, "mqtt_keep_alive_secs", "30", secs(1, 65_535),
        "Seconds between two pings to the broker").reload(),
    some(Mqtt, "mqtt_max_message_bytes", "262144", bytes(KIB, 256 * MIB - 1),
        "Bytes of the largest message that is read; a larger one is counted and dropped").reload(),

    some(Http, "listen_addr", "0.0.0.0", IpAddress,
        "Address to serve functions on; :: serves IPv6 as well").common(),
    some(Http, "listen_port", "3000", port(0, 65_535),
        "Port to serve functions on; 0 takes any free port").common(),
    some(Http, "http_queue", "64", count(1, 65_536),
        "Requests that may wait for a worker; one more gets 503 with Retry-After"),
    some(Http, "http_max_connections", "256", count(1, 65_536),
        "Open connections at one time"),
    some(Http, "http_max_connections_per_peer", "64", count(1, 65_536),
        "Open connections of one address at one time"),
    // hyper panics where its read buffer is set below 8 KiB.
    some(Http, "http_max_head_bytes", "16384", bytes(8 * KIB, MIB),
        "Bytes of request line and headers"),
    some(Http, "http_head_timeout_secs", "5", secs(1, HOUR),
        "Seconds in which request line and headers must have arrived"),
    some(Http, "http_max_body_bytes", "1048576", bytes(1, GIB),
        "Bytes of a request body; a larger one gets 413"),
    some(Http, "http_body_timeout_secs", "15", secs(1, HOUR),
        "Seconds in which a request body must have arrived"),
    some(Http, "http_idle_timeout_secs", "30", secs(1, HOUR),
        "Seconds that a connection is kept open without a request"),
    none(Http, "http_tls_cert_file", File,
        "PEM file of the certificates to serve HTTPS with, this node's first; without one, plain HTTP").reload().common(),
    none(Http, "http_tls_key_file", File,
        "PEM file of the first certificate's private key").reload().common(),

    none(Management, "api_keys_file", File,
        "TOML file of who may do what at LISTEN_PORT; without one, routes are open there and the API is not").reload().common(),
    some(Management, "api_max_body_bytes", "33554432", bytes(KIB, GIB),
        "Bytes of a request body of the management API; a larger one gets 413"),
    none(Management, "wasm_roots", Text,
        "Directories, separated by `:`, that POST /wasm may read components from; without any, it reads none"),

    some(Artifacts, "cache_size_gb", "10", Gigabytes,
        "GB (2^30 bytes) of artifacts kept on disk; decimals are accepted, such as 0.5"),
    some(Artifacts, "min_free_mb", "16", megabytes(0, 65_536),
        "MB (2^20 bytes) that artifacts leave free on the disk for all else; no download or compilation goes below"),
    some(Artifacts, "artifact_max_bytes", "67108864", bytes(KIB, 4 * GIB - 1),
        "Bytes of the largest artifact that is fetched"),
    none(Artifacts, "artifact_ca_file", File,
        "PEM file of the authorities to trust for https://, in downloads and functions' requests, not the system's"),
    some(Artifacts, "fetch_connect_timeout_secs", "10", secs(1, HOUR),
        "Seconds to reach an artifact server: name look-up, TCP and TLS together"),
    some(Artifacts, "fetch_stall_timeout_secs", "30", secs(1, HOUR),
        "Seconds that a download may stand still before it is tried again"),
    some(Artifacts, "fetch_min_rate_bytes", "1024", bytes(0, GIB),
        "Bytes a second that a download must bring over FETCH_MIN_RATE_SECS, or it is tried again; 0 for any"),
    some(Artifacts, "fetch_min_rate_secs", "30", secs(1, HOUR),
        "Seconds over which that is looked at"),
    some(Artifacts, "minio_endpoint", "http://localhost:9000", HttpUrl,
        "Object store for s3:// artifact URLs"),
    some(Artifacts, "minio_access_key", "minioadmin", Text,
        "Access key of the object store"),
    some(Artifacts, "minio_secret_key", "minioadmin", Text,
        "Secret key of the object store; a flag shows in the process list: prefer file or environment").secret(),
    some(Artifacts, "minio_region", "us-east-1", Text,
        "Region of the object store, which its signatures name"),
    none(Artifacts, "oci_registry", Text,
        "Registry of oci:// artifact URLs, host or host:port, that gets the user and password below; no other does"),
    none(Artifacts, "oci_username", Text,
        "User name for OCI_REGISTRY"),
    none(Artifacts, "oci_password", Text,
        "Password for OCI_REGISTRY; a flag shows in the process list: prefer file or environment").secret(),
    none(Artifacts, "oci_plain_http", Text,
        "Registries, host or host:port, separated by `,`, that are spoken to without TLS, as those on this device are"),
    none(Artifacts, "trusted_keys_file", File,
        "File of the public keys, a line each, that may sign the hub's functions; see `twinlet keygen`").reload().common(),
    some(Artifacts, "require_signatures", "false", Flag,
        "Whether every function of the hub's must be signed by a key in TRUSTED_KEYS_FILE: true or false").reload().common(),

    some(Functions, "min_hot_instances", "1", count(0, 4096),
        "Instances of a function kept ready, where its desired state does not say"),
    some(Functions, "max_hot_instances", "10", count(1, 4096),
        "Instances of a function at one time, where its desired state does not say"),
    some(Functions, "idle_timeout_secs", "300", secs(1, 30 * DAY),
        "Seconds until an idle instance above the minimum is dropped, where the desired state does not say"),
    // One worker always stays free for the other functions, so that fewer than two could run none.
    some(Functions, "max_workers", "16", count(2, 256),
        "Threads that run functions; as many as there are cores run, the others wait in host calls"),
    some(Functions, "max_memory_pages", "1024", pages(1, 65_536),
        "Pages of 64 KiB; the most memory that one function may ask for"),
    some(Functions, "compile_timeout_secs", "60", secs(1, HOUR),
        "Seconds of processor time that compiling one artifact may take"),
    some(Functions, "compile_memory_mb", "1024", megabytes(64, 65_536),
        "MB (2^20 bytes) of address space that compiling one artifact may take, at most half of the memory there is"),
];

/// The key of this name.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

const fn some(
    group: Group,
    name: &'static str,
    default: &'static str,
    kind: Kind,
    help: &'static str,
) -> Key {
    Key { default: Some(default), ..none(group, name, kind, help) }
}

const fn none(group: Group, name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, default: None, kind, group, help, secret: false, reload: false, common: false }
}

const fn port(min: u64, max: u64) -> Kind {
    Kind::Whole { unit: Unit::Port, min, max }
}

const fn secs(min: u64, max: u64) -> Kind {
    Kind::Whole { unit: Unit::Seconds, min, max }
}

const fn bytes(min: u64, max: u64) -> Kind {
    Kind::Whole { unit: Unit::Bytes, min, max }
}

const fn megabytes(min: u64, max: u64) -> Kind {
    Kind::Whole { unit: Unit::Megabytes, min, max }
}

const fn pages(min: u64, max: u64) -> Kind {
    Kind::Whole { unit: Unit::Pages, min, max }
}

const fn count(min: u64, max: u64) -> Kind {
    Kind::Whole { unit: Unit::Count, min, max }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_groups_contiguous() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(
                KEYS[..index].iter().all(|earlier| earlier.name != key.name),
                "{} stands twice",
                key.name
            );
            let group_began = KEYS[..index].iter().any(|earlier| earlier.group == key.group);
            assert!(
                !group_began || KEYS[index - 1].group == key.group,
                "{} stands outside its group",
                key.name
            );
        }
    }

    #[test]
    fn the_contract_s_variables_have_its_names_and_defaults() {
        let contract = [
            ("NODE_ID", None),
            ("POP_ID", Some("default-pop")),
            ("CP_URL", Some("http://localhost:8080")),
            ("LISTEN_ADDR", Some("0.0.0.0")),
            ("LISTEN_PORT", Some("3000")),
            ("CACHE_DIR", Some("/tmp/wasm-cache")),
            ("CACHE_SIZE_GB", Some("10")),
            ("MIN_HOT_INSTANCES", Some("1")),
            ("MAX_HOT_INSTANCES", Some("10")),
            ("IDLE_TIMEOUT_SECS", Some("300")),
            ("HEARTBEAT_INTERVAL_SECS", Some("30")),
            ("MINIO_ENDPOINT", Some("http://localhost:9000")),
            ("MINIO_ACCESS_KEY", Some("minioadmin")),
            ("MINIO_SECRET_KEY", Some("minioadmin")),
            ("MQTT_BROKER", Some("mqtt://localhost:1883")),
        ];
        for (variable, default) in contract {
            let key = KEYS.iter().find(|key| key.env_name() == variable).unwrap();
            assert_eq!(key.default, default, "{variable}");
        }
    }
}
