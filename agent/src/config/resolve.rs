//! Builds the [`Config`] out of the merged layers, and checks what keys say together. It knows nothing of how a
//! single text is read.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::layers::{Layers, Setting, merge};
use super::problems::Problems;
use super::reader::Reader;
use super::{
    Api, Config, Fetch, Guests, Http, InstanceDefaults, Minio, Mqtt, NodeId, Oci, Secret, Signatures, url,
};

/// The longest path that a Unix socket can be bound to on Linux, in bytes.
const SOCKET_PATH_MAX: usize = 103;

/// The most characters of `pop_id`, which stands in every heartbeat.
const POP_ID_MAX: usize = 128;

/// A configuration that remembers each value's text and source: for showing it, and for reloads.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The validated settings.
    pub config: Config,
    pub(super) settings: Vec<Setting>,
}

impl Resolved {
    /// Merges the layers (default < file < environment < flag) and validates the result.
    ///
    /// # Errors
    /// Every problem of every layer at once, each with its key and source.
    pub fn from_layers(layers: Layers) -> Result<Self, Problems> {
        let mut merged = merge(layers);
        derive_local_socket(&mut merged.settings);
        let mut reader = Reader { merged };
        let config = reader.config();
        Problems::check(reader.merged.problems)?;
        Ok(Self { config, settings: reader.merged.settings })
    }
}

/// `local_socket` stands in `cache_dir` unless a layer says otherwise.
fn derive_local_socket(settings: &mut [Setting]) {
    let text =
        |name: &str| settings.iter().find(|setting| setting.key.name == name).and_then(|it| it.text.clone());
    let socket = text("cache_dir").map(|dir| format!("{}/twinlet.sock", dir.trim_end_matches('/')));
    if let Some(setting) = settings.iter_mut().find(|setting| setting.key.name == "local_socket") {
        setting.text = setting.text.take().or(socket);
    }
}

/// A registry as `oci://` URLs name it.
fn registry(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    match text {
        "" => Err("names a registry that is empty".to_owned()),
        _ if text.bytes().all(plain) => Ok(text.to_owned()),
        _ => Err("is not a registry as host or host:port".to_owned()),
    }
}

impl Reader {
    fn config(&mut self) -> Config {
        let cp_url = self.base_url("cp_url");
        Config {
            node_id: self.optional("node_id", |_, text| text.parse::<NodeId>().map_err(|e| e.to_string())),
            pop_id: self.pop_id(),
            cache_dir: self.path("cache_dir").unwrap_or_default(),
            cache_bytes: self.gigabytes("cache_size_gb"),
            min_free_bytes: self.number::<u64>("min_free_mb") << 20,
            local_socket: self.local_socket(),
            heartbeat_interval: self.seconds("heartbeat_interval_secs"),
            log_level: self
                .parsed("log_level", "one of off, error, warn, info, debug, trace")
                .unwrap_or(log::LevelFilter::Off),
            shutdown_timeout: self.seconds("shutdown_timeout_secs"),
            instances: self.instances(),
            mqtt: self.mqtt(),
            http: self.http(),
            fetch: Fetch {
                base_url: cp_url.clone(),
                ca_file: self.path("artifact_ca_file"),
                max_bytes: self.number("artifact_max_bytes"),
                connect_timeout: self.seconds("fetch_connect_timeout_secs"),
                stall_timeout: self.seconds("fetch_stall_timeout_secs"),
                min_rate_bytes: self.number("fetch_min_rate_bytes"),
                min_rate_window: self.seconds("fetch_min_rate_secs"),
                minio: Minio {
                    endpoint: self.base_url("minio_endpoint"),
                    access_key: self.text("minio_access_key").unwrap_or_default(),
                    secret_key: Secret::new(self.text("minio_secret_key").unwrap_or_default()),
                    region: self.text("minio_region").unwrap_or_default(),
                },
                oci: self.oci(),
            },
            guests: Guests {
                max_workers: self.number("max_workers"),
                max_memory_pages: self.number("max_memory_pages"),
                compile_timeout: self.seconds("compile_timeout_secs"),
                compile_memory_bytes: self.number::<u64>("compile_memory_mb") << 20,
            },
            api: Api {
                keys_file: self.path("api_keys_file"),
                max_body_bytes: self.number("api_max_body_bytes"),
                wasm_roots: self.wasm_roots(),
                max_artifact_bytes: self.number("artifact_max_bytes"),
                max_memory_pages: self.number("max_memory_pages"),
            },
            signatures: self.signatures(),
            outbox_bytes: self.number("outbox_bytes"),
            cp_url,
        }
    }

    fn base_url(&mut self, name: &str) -> String {
        self.optional(name, |_, text| url::base(text)).unwrap_or_default()
    }

    fn pop_id(&mut self) -> String {
        let short_enough = |text: &str| match text.chars().count() {
            count if count > POP_ID_MAX => {
                Err(format!("has {count} characters; at most {POP_ID_MAX} are accepted"))
            }
            _ => Ok(text.to_owned()),
        };
        self.optional("pop_id", |_, text| short_enough(text)).unwrap_or_default()
    }

    fn local_socket(&mut self) -> PathBuf {
        let short_enough = |text: &str| match text.len() {
            length if length > SOCKET_PATH_MAX => Err(format!(
                "has {length} bytes, but the path of a Unix socket has at most {SOCKET_PATH_MAX}; set a shorter one"
            )),
            _ => Ok(PathBuf::from(text)),
        };
        self.optional("local_socket", |_, text| short_enough(text)).unwrap_or_default()
    }

    fn instances(&mut self) -> InstanceDefaults {
        let min = self.number::<u32>("min_hot_instances");
        let max = self.number::<u32>("max_hot_instances");
        // A maximum of 0 is one that could not be read, and noted already.
        if max != 0 && min > max {
            self.fault(
                "min_hot_instances",
                format!("`{min}` is more than max_hot_instances, which is {max}"),
            );
        }
        InstanceDefaults { min, max, idle_timeout: self.seconds("idle_timeout_secs") }
    }

    fn signatures(&mut self) -> Signatures {
        let (keys_file, required) = (self.path("trusted_keys_file"), self.flag("require_signatures"));
        if required && keys_file.is_none() && !self.is_given("trusted_keys_file") {
            self.fault("require_signatures", "needs trusted_keys_file as well: who may sign?");
        }
        Signatures { keys_file, required }
    }

    fn http(&mut self) -> Http {
        let addr = self.ip("listen_addr").unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Http {
            listen: SocketAddr::new(addr, self.number("listen_port")),
            queue: self.number("http_queue"),
            max_connections: self.number("http_max_connections"),
            max_connections_per_peer: self.number("http_max_connections_per_peer"),
            max_head_bytes: self.number("http_max_head_bytes"),
            head_timeout: self.seconds("http_head_timeout_secs"),
            max_body_bytes: self.number("http_max_body_bytes"),
            body_timeout: self.seconds("http_body_timeout_secs"),
            idle_timeout: self.seconds("http_idle_timeout_secs"),
            tls: self.certificate("http_tls_cert_file", "http_tls_key_file"),
        }
    }

    /// A user without a registry would be shown to whichever registry desired state names.
    fn oci(&mut self) -> Oci {
        let together = ["oci_registry", "oci_username", "oci_password"];
        if together.iter().any(|name| self.is_given(name)) {
            for name in together {
                if !self.is_given(name) {
                    self.fault(name, "is missing: oci_registry, oci_username and oci_password go together");
                }
            }
        }
        Oci {
            registry: self.optional("oci_registry", |_, text| registry(text)),
            username: self.text("oci_username"),
            password: self.text("oci_password").map(Secret::new),
            plain_http: self
                .optional("oci_plain_http", |_, text| text.split(',').map(|it| registry(it.trim())).collect())
                .unwrap_or_default(),
        }
    }

    fn wasm_roots(&mut self) -> Vec<PathBuf> {
        let roots = self.optional("wasm_roots", |_, text| {
            let roots: Vec<PathBuf> = text.split(':').map(PathBuf::from).collect();
            match roots.iter().find(|root| !root.is_absolute()) {
                Some(root) => Err(format!("has `{}`, which is not an absolute path", root.display())),
                None => Ok(roots),
            }
        });
        roots.unwrap_or_default()
    }

    fn mqtt(&mut self) -> Mqtt {
        let broker = self.optional("mqtt_broker", |_, text| url::broker(text));
        if broker.as_ref().is_some_and(|broker| !broker.tls) {
            self.refuse_tls_files();
        }
        let (username, password) = self.credentials(broker.as_ref());
        let broker = broker.unwrap_or_default();
        Mqtt {
            host: broker.host,
            port: broker.port,
            tls: broker.tls,
            ca_file: self.path("mqtt_ca_file"),
            client_cert: self.certificate("mqtt_cert_file", "mqtt_key_file"),
            username,
            password,
            keep_alive: self.seconds("mqtt_keep_alive_secs"),
            max_message_bytes: self.number("mqtt_max_message_bytes"),
        }
    }

    /// A certificate that would silently not be used is a mistake in the broker's URL.
    fn refuse_tls_files(&mut self) {
        for name in ["mqtt_ca_file", "mqtt_cert_file", "mqtt_key_file"] {
            if self.is_given(name) {
                self.fault(
                    name,
                    "is of no use with mqtt://; write mqtts:// in mqtt_broker, or leave this out",
                );
            }
        }
    }

    /// A certificate and its key: both, or neither.
    fn certificate(&mut self, cert_name: &str, key_name: &str) -> Option<(PathBuf, PathBuf)> {
        match (self.path(cert_name), self.path(key_name)) {
            (Some(cert), Some(key)) => return Some((cert, key)),
            (None, None) => {}
            // An unreadable path was noted already; only what was not given is missing.
            (Some(_), None) if !self.is_given(key_name) => {
                self.fault(cert_name, format!("needs {key_name} as well"));
            }
            (None, Some(_)) if !self.is_given(cert_name) => {
                self.fault(key_name, format!("needs {cert_name} as well"));
            }
            _ => {}
        }
        None
    }

    fn credentials(&mut self, broker: Option<&url::Broker>) -> (Option<String>, Option<Secret>) {
        let username = self.text("mqtt_username");
        let password = self.text("mqtt_password").map(Secret::new);
        if let Some(user) = broker.and_then(|broker| broker.username.clone()) {
            for name in ["mqtt_username", "mqtt_password"] {
                if self.is_given(name) {
                    self.fault(
                        name,
                        "is given beside the user in mqtt_broker; give credentials in one place",
                    );
                }
            }
            return (Some(user), broker.and_then(|broker| broker.password.clone()));
        }
        if broker.is_some() && self.is_given("mqtt_password") && !self.is_given("mqtt_username") {
            self.fault("mqtt_password", "needs mqtt_username as well");
        }
        (username, password)
    }
}
