//! Gets the bytes of an artifact from where its URL says, streamed into a file and hashed on the way. Knows nothing
//! of where artifacts are kept or what is in them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256 as Hasher};
use twinlet_host::http_client::agent;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::Fetch;
use crate::desired::{Sha256, is_absolute};

const CHUNK_BYTES: usize = 32 << 10;

/// Why an artifact could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server, or the way to it.
    #[error("{url}: {source}")]
    Network {
        /// The URL, without what may be secret in it.
        url: String,
        /// What ureq says.
        source: ureq::Error,
    },
    /// The server answered with another status than 200.
    #[error("{url}: the server answered {status}")]
    Status {
        /// The URL, without what may be secret in it.
        url: String,
        /// The status.
        status: u16,
    },
    /// Reading from the peer or a local file failed on the way.
    #[error("{url}: after {received} bytes: {source}")]
    Read {
        /// The URL, without what may be secret in it.
        url: String,
        /// Bytes that had come.
        received: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The disk did not take it.
    #[error("writing the download: {0}")]
    Disk(#[source] io::Error),
    /// It ended early, or is not as large as desired state says.
    #[error("{received} bytes came, where `size` says {expected}")]
    Size {
        /// What desired state says.
        expected: u64,
        /// What came.
        received: u64,
    },
    /// It is larger than this device takes.
    #[error("larger than {limit} bytes, the limit of artifact_max_bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It is not what desired state names.
    #[error("the sha256 of what came is {found}, where desired state says {wanted}")]
    Digest {
        /// What desired state says.
        wanted: Sha256,
        /// What came.
        found: Sha256,
    },
    /// It was put on the device by the management API, and can be had nowhere else.
    #[error("it is no longer on this device, to which it was uploaded: upload it again")]
    Uploaded,
    /// A file of certificates is not one.
    #[error("{0}")]
    Roots(String),
    /// A newer desired state came meanwhile.
    #[error("given up for a newer desired state")]
    Superseded,
}

/// What is to be fetched.
pub struct Wanted<'a> {
    /// The artifact's URL from desired state, absolute or relative to the base.
    pub url: &'a str,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
}

/// Fetches artifacts, one at a time.
pub struct Fetcher {
    settings: Fetch,
    tls: OnceLock<TlsConfig>,
}

impl Fetcher {
    /// A fetcher that has touched neither network nor disk yet.
    pub fn new(settings: Fetch) -> Self {
        Self { settings, tls: OnceLock::new() }
    }

    /// Streams an artifact into `file` and makes it durable there. On an error the file's contents mean nothing.
    pub fn fetch(
        &self,
        wanted: &Wanted<'_>,
        file: &mut File,
        superseded: &dyn Fn() -> bool,
    ) -> Result<(), FetchError> {
        let url = self.absolute(wanted.url);
        let mut source = self.open(&url)?;
        let limit = wanted.size.unwrap_or(self.settings.max_bytes).min(self.settings.max_bytes);
        let mut hasher = Hasher::new();
        let mut received = 0u64;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            if superseded() {
                return Err(FetchError::Superseded);
            }
            let n = match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => n,
                Err(source) => return Err(FetchError::Read { url: shown(&url), received, source }),
            };
            received = received.saturating_add(n as u64);
            if received > limit {
                return Err(match wanted.size {
                    Some(expected) if expected < self.settings.max_bytes => {
                        FetchError::Size { expected, received }
                    }
                    _ => FetchError::TooLarge { limit: self.settings.max_bytes },
                });
            }
            let bytes = chunk.get(..n).unwrap_or_default();
            hasher.update(bytes);
            file.write_all(bytes).map_err(FetchError::Disk)?;
        }
        if let Some(expected) = wanted.size.filter(|expected| *expected != received) {
            return Err(FetchError::Size { expected, received });
        }
        let found = Sha256::from_bytes(hasher.finalize().into());
        if found != wanted.sha256 {
            return Err(FetchError::Digest { wanted: wanted.sha256, found });
        }
        file.sync_all().map_err(FetchError::Disk)
    }

    fn absolute(&self, url: &str) -> String {
        if is_absolute(url) {
            url.to_owned()
        } else {
            format!("{}/{}", self.settings.base_url, url.trim_start_matches('/'))
        }
    }

    fn open(&self, url: &str) -> Result<Box<dyn Read>, FetchError> {
        if url.starts_with("upload://") {
            return Err(FetchError::Uploaded);
        }
        if let Some(path) = url.strip_prefix("file://") {
            let unreadable = |source| FetchError::Read { url: url.to_owned(), received: 0, source };
            // Opening a pipe would wait for a writer.
            if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
                return Err(unreadable(io::Error::other("it is not a file")));
            }
            return Ok(Box::new(File::open(path).map_err(unreadable)?));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(self.settings.connect_timeout))
            .timeout_recv_response(Some(self.settings.stall_timeout))
            .timeout_per_read(Some(self.settings.stall_timeout));
        if url.starts_with("https://") {
            config = config.tls_config(self.tls()?);
        }
        // An agent for this one download, so that an idle gateway holds no connection and no buffers.
        let answer = agent(config.build()).get(url).call();
        let answer = answer.map_err(|source| FetchError::Network { url: shown(url), source })?;
        match answer.status().as_u16() {
            200 => Ok(Box::new(answer.into_body().into_reader())),
            status => Err(FetchError::Status { url: shown(url), status }),
        }
    }

    /// TLS that trusts the configured authorities, or else the system's; read on first need, since the system's take
    /// up to a megabyte.
    pub fn tls(&self) -> Result<TlsConfig, FetchError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let roots = match &self.settings.ca_file {
            Some(path) => certificates_of(path)?,
            None => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    log::warn!("no certificate authority of the system was found: {:?}", found.errors);
                }
                found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

/// A URL without user information and query: either may be a secret, and errors go to the log and to the hub.
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_url_is_not_shown() {
        assert_eq!(shown("https://me:pw@host:1/a/b.wasm?X-Signature=1"), "https://host:1/a/b.wasm");
        assert_eq!(shown("file:///a/b"), "file:///a/b");
    }
}
