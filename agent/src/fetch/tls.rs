//! Whom `https://` trusts: the authorities of `artifact_ca_file`, or else the system's.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::FetchError;

/// The authorities, read on first need: the system's take up to a megabyte.
#[derive(Default)]
pub(super) struct Trust(OnceLock<TlsConfig>);

impl Trust {
    /// TLS that trusts the authorities of this file, or else the system's.
    pub(super) fn tls(&self, ca_file: Option<&Path>) -> Result<TlsConfig, FetchError> {
        if let Some(tls) = self.0.get() {
            return Ok(tls.clone());
        }
        let roots = match ca_file {
            Some(path) => certificates_of(path)?,
            None => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    log::warn!("no certificate authority of the system was found: {:?}", found.errors);
                }
                found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
            }
        };
        // It may be that they are not there yet, as on a file system that is mounted later: they are looked for again.
        let none = roots.is_empty();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        Ok(if none { tls } else { self.0.get_or_init(|| tls).clone() })
    }
}

fn certificates_of(path: &Path) -> Result<Vec<Certificate<'static>>, FetchError> {
    let wrong = |why: String| FetchError::Roots(format!("artifact_ca_file {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let items =
        ureq::tls::parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(e.to_string()))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            ureq::tls::PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() { Err(wrong("holds no certificate".into())) } else { Ok(certificates) }
}
