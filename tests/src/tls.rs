//! TLS as a client of the public door speaks it, by hand where a test must see which version or certificate it got.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::piecewise::Wire;
use crate::wait::DEADLINE;

/// A connection whose bytes go over TLS.
pub type TlsWire = Wire<StreamOwned<ClientConnection, TcpStream>>;

/// What a client trusts and offers.
#[derive(Debug, Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Trusts this authority, and speaks these versions.
    pub fn new(ca: &Path, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// Trusts this authority, and speaks what it can.
    pub fn trusting(ca: &Path) -> Self {
        Self::new(ca, rustls::ALL_VERSIONS, &["http/1.1"])
    }

    /// A connection whose handshake is done; an error says why there is none.
    pub fn connect(&self, address: &str) -> std::io::Result<TlsWire> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut tls = ClientConnection::new(self.0.clone(), "localhost".try_into().unwrap()).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Wire::over(StreamOwned::new(tls, stream)))
    }
}

/// The certificate that a server showed, in DER.
pub fn shown(wire: &TlsWire) -> Vec<u8> {
    wire.stream().conn.peer_certificates().unwrap()[0].to_vec()
}
