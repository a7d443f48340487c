//! The files and directories that the settings name: whether they can be read, and are what they should be.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Given;
use super::finding::Finding;
use crate::agent::trust;
use crate::config::Config;
use crate::fetch::Fetcher;
#[cfg(feature = "public-door")]
use crate::http::public::{Rules, Tls};
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
    found.extend(of_public_door(given));
    found.extend(trusted_keys(config));
    found.extend(config.api.wasm_roots.iter().map(|root| wasm_root(root)));
    found
}

/// As the public door reads them when it opens.
#[cfg(feature = "public-door")]
fn of_public_door(given: &Given) -> Vec<Finding> {
    let (http, api) = (&given.config.http, &given.config.api);
    let mut found = Vec::new();
    if let Some((cert, key)) = &http.tls {
        let read = Tls::read(cert, key).map_err(|error| error.to_string());
        found.push(Finding::of("http_tls", read.map(|_| "certificate and key fit".to_owned())));
        found.extend(open_to_others("http_tls_key_file", key));
    }
    if let Some(keys) = &api.keys_file {
        let read = Rules::read(keys).map_err(|error| format!("{}: {error}", keys.display()));
        found.push(Finding::of("api_keys_file", read.map(|_| format!("{} is one", keys.display()))));
    }
    found
}

/// A build without the public door has no use for them, and does not start with them.
#[cfg(not(feature = "public-door"))]
fn of_public_door(given: &Given) -> Vec<Finding> {
    let why = "this build has no public door, which alone uses it: leave it out";
    let named = [
        ("http_tls", given.config.http.tls.is_some()),
        ("api_keys_file", given.config.api.keys_file.is_some()),
    ];
    named.iter().filter(|(_, given)| *given).map(|(name, _)| Finding::wrong(name, why)).collect()
}

/// A warning where a secret can be read by everyone.
fn open_to_others(name: &'static str, path: &Path) -> Option<Finding> {
    let mode = fs::metadata(path).ok()?.mode() & 0o777;
    let text = format!("{} can be read by everyone (mode {mode:o})", path.display());
    (mode & 0o004 != 0).then(|| Finding::warning(name, text))
}

/// Who may sign the hub's functions, and whether they must.
fn trusted_keys(config: &Config) -> Option<Finding> {
    const NAME: &str = "trusted_keys_file";
    config.signatures.keys_file.as_ref()?;
    Some(match trust(config) {
        Err(error) => Finding::wrong(NAME, error.to_string()),
        Ok(trust) => {
            let keys = format!("keys that may sign: {}", trust.keys.len());
            match trust.required {
                true => Finding::ok(NAME, format!("{keys}; what the hub asks for must be signed")),
                false => Finding::warning(
                    NAME,
                    format!("{keys}; without REQUIRE_SIGNATURES=true what is not signed runs as well"),
                ),
            }
        }
    })
}

fn wasm_root(root: &Path) -> Finding {
    let listed = fs::read_dir(root).map(|_| format!("{} can be read", root.display()));
    Finding::of("wasm_roots", listed.map_err(|error| format!("{}: {error}", root.display())))
}
