//! The files and directories that the settings name: whether they can be read, and are what they should be.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Given;
use super::finding::Finding;
use crate::fetch::Fetcher;
use crate::mqtt::probe;

/// All of them; nothing is said of what the settings do not name.
pub(super) fn check(given: &Given) -> Vec<Finding> {
    let config = &given.config;
    let mut found = Vec::new();
    if config.mqtt.tls {
        found.push(Finding::of(
            "mqtt_ca_file",
            probe::files(&config.mqtt).map(|()| "usable for the broker".into()),
        ));
        found.extend(
            config.mqtt.client_cert.iter().filter_map(|(_, key)| open_to_others("mqtt_key_file", key)),
        );
    }
    if config.fetch.ca_file.is_some() {
        let read = Fetcher::new(config.fetch.clone()).tls();
        let read = read.map(|_| "usable for downloads".to_owned()).map_err(|error| error.to_string());
        found.push(Finding::of("artifact_ca_file", read));
    }
    if let Some((cert, key)) = &config.http.tls {
        found.push(Finding::of("http_tls", server_certificate(cert, key)));
        found.extend(open_to_others("http_tls_key_file", key));
    }
    if let Some(keys) = &config.api.keys_file {
        let read = fs::read_to_string(keys).map_err(|error| format!("{}: {error}", keys.display()));
        found.push(Finding::of("api_keys_file", read.map(|_| format!("{} can be read", keys.display()))));
        found.extend(open_to_others("api_keys_file", keys));
    }
    found.extend(config.api.wasm_roots.iter().map(|root| wasm_root(root)));
    found
}

/// Whether certificates and key can be read and belong together.
fn server_certificate(cert: &PathBuf, key: &PathBuf) -> Result<String, String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: not PEM: {error}", cert.display()))?;
    if certificates.is_empty() {
        return Err(format!("{}: it holds no certificate", cert.display()));
    }
    let count = certificates.len();
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| format!("{}: it holds no private key: {error}", key.display()))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private))
        .map_err(|error| format!("{} with {}: {error}", cert.display(), key.display()))?;
    Ok(format!("{count} certificates, and the key of the first"))
}

/// A warning where a secret can be read by everyone.
fn open_to_others(name: &'static str, path: &Path) -> Option<Finding> {
    let mode = fs::metadata(path).ok()?.mode() & 0o777;
    let text = format!("{} can be read by everyone (mode {mode:o})", path.display());
    (mode & 0o004 != 0).then(|| Finding::warning(name, text))
}

fn wasm_root(root: &Path) -> Finding {
    let listed = fs::read_dir(root).map(|_| format!("{} can be read", root.display()));
    Finding::of("wasm_roots", listed.map_err(|error| format!("{}: {error}", root.display())))
}
