//! Builds the TLS side of a connection from certificate files; knows nothing of MQTT.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::config::Mqtt;

/// Why no TLS connection can be attempted with the files as they are now.
#[derive(Debug, Error)]
pub(super) enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not PEM, or holds nothing of what is wanted.
    #[error("no {wanted} in {}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What the parser said.
        source: PemError,
    },
    /// A certificate in the CA file cannot serve as a trust anchor.
    #[error("{} is not usable as a CA: {source}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// No CA file is configured, and the system has no root certificates.
    #[error("no CA file is configured, and the system has no root certificates{detail}")]
    NoSystemRoots {
        /// What went wrong while looking for them, or nothing.
        detail: String,
    },
    /// The certificate and the key do not belong together, or one is not usable.
    #[error("{} with key {} is not usable: {source}", cert.display(), key.display())]
    Client {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The crypto provider offers no usable TLS version.
    #[error("TLS is not usable: {0}")]
    Provider(#[source] rustls::Error),
}

/// A client configuration with TLS 1.3 preferred and 1.2 allowed, the CA file or else the system's roots as trust
/// anchors, and the client certificate if there is one. The server's certificate is verified at the device's time. Reads
/// files, so it is called off the runtime.
pub(super) fn client_config(settings: &Mqtt) -> Result<Arc<ClientConfig>, TlsError> {
    let builder =
        twinlet_host::tls::client(roots(settings.ca_file.as_deref())?).map_err(TlsError::Provider)?;
    let Some((cert, key)) = &settings.client_cert else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let config = builder
        .with_client_auth_cert(certificates(cert)?, private_key(key)?)
        .map_err(|source| TlsError::Client { cert: cert.clone(), key: key.clone(), source })?;
    Ok(Arc::new(config))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|source| TlsError::Ca { path: path.to_owned(), source })?;
        }
        return Ok(roots);
    }
    // One damaged certificate among the system's many must not cost the connection: those that parse are used.
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let detail = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(TlsError::NoSystemRoots { detail });
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { path: path.to_owned(), wanted: "certificate", source };
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>().map_err(pem)?;
    if found.is_empty() { Err(pem(PemError::NoItemsFound)) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| TlsError::Pem {
        path: path.to_owned(),
        wanted: "private key",
        source,
    })
}
