//! TLS at the public door: certificates from their files, and a connection's bytes with or without it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why certificate and key can not be served with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can not be read.
    #[error("{key}: cannot read {}: {source}", path.display())]
    Read {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not PEM, or holds nothing of what is wanted.
    #[error("{key}: no {wanted} in {}: {source}", path.display())]
    Pem {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What the parser said.
        source: PemError,
    },
    /// They do not belong together, or one is not usable.
    #[error("{CERT} and {KEY}: {} with key {} is not usable: {source}", cert.display(), key.display())]
    Pair {
        /// The file of certificates.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
}

const CERT: &str = "http_tls_cert_file";
const KEY: &str = "http_tls_key_file";

/// Bytes of an answer that are encrypted before its client has taken those before them.
const BUFFERED: usize = 32 << 10;

/// The certificate that new connections get.
pub struct Tls(ArcSwap<ServerConfig>);

impl Tls {
    /// Reads certificate and key.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::new(server_config(cert, key)?)))
    }

    /// Reads both anew, for connections from now on; what is wrong changes nothing.
    pub fn reload(&self, cert: &Path, key: &Path) -> Result<(), TlsError> {
        self.0.store(server_config(cert, key)?);
        Ok(())
    }

    /// A connection with its handshake done.
    pub(super) async fn accept(&self, io: TcpStream, within: Duration) -> io::Result<Stream> {
        let accept = TlsAcceptor::from(self.0.load_full())
            .accept_with(io, |session| session.set_buffer_limit(Some(BUFFERED)));
        let stream = timeout(within, accept).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// TLS 1.3, or 1.2 for who knows no better.
fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let pair = |source| TlsError::Pair { cert: cert.to_owned(), key: key.to_owned(), source };
    let pem = |key, wanted, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { key, path, wanted, source }
    };
    let bytes = read(CERT, cert)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = match certificates.map_err(pem(CERT, "certificate", cert))? {
        none if none.is_empty() => return Err(pem(CERT, "certificate", cert)(PemError::NoItemsFound)),
        some => some,
    };
    let private = PrivateKeyDer::from_pem_slice(&read(KEY, key)?).map_err(pem(KEY, "private key", key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { key, path: path.to_owned(), source })
}

/// A connection's bytes as HTTP sees them. One type for both, so that there is one HTTP server in the binary.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Plain($inner) => $call,
            Stream::Tls($inner) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, inner => inner.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_names_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let error = || server_config(&cert, &key).unwrap_err().to_string();
        assert!(error().starts_with("http_tls_cert_file: cannot read "), "{}", error());
        std::fs::write(&cert, "no PEM").unwrap();
        assert!(error().starts_with("http_tls_cert_file: no certificate in "), "{}", error());
        std::fs::write(&cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(error().starts_with("http_tls_key_file: cannot read "), "{}", error());
        std::fs::write(&key, "").unwrap();
        assert!(error().starts_with("http_tls_key_file: no private key in "), "{}", error());
        std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(error().starts_with("http_tls_cert_file and http_tls_key_file: "), "{}", error());
    }
}
