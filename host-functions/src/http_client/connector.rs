//! ureq's way to a server, with TLS as [`crate::tls`] has it: ureq's own verifies by the system's clock alone.

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::config::Config;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector as Connects, Either, LazyBuffers,
    NextTimeout, TcpConnector, Transport, TransportAdapter, time as ticks,
};
use ureq::{Agent, Error};

use crate::tls;

/// An agent of ureq that verifies certificates at the device's time. Of ureq's TLS settings it takes the authorities of
/// `RootCerts::Specific`; it knows no others.
pub fn agent(config: Config) -> Agent {
    Agent::with_parts(config, connector(), DefaultResolver::default())
}

/// The way itself: by a proxy where one is set, TCP, TLS.
pub(crate) fn connector() -> impl Connects {
    ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default()).chain(Connector::default())
}

/// Puts TLS over a connection where the URL wants it.
#[derive(Debug, Default)]
struct Connector {
    /// Made for the first connection; all requests of one agent trust the same authorities.
    client: OnceLock<Arc<ClientConfig>>,
}

impl<In: Transport> Connects<In> for Connector {
    type Out = Either<In, Session>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        // Behind an https proxy it is there already.
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Tls("the host is not a name that a certificate can carry"))?;
        let client = match self.client.get() {
            Some(client) => client.clone(),
            None => {
                let made = client(details.config.tls_config())?;
                self.client.get_or_init(|| made).clone()
            }
        };
        let mut session = ClientConnection::new(client, name)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(left(details));
        session.complete_io(&mut socket)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Session { buffers, stream: StreamOwned::new(session, socket) })))
    }
}

/// What is left for the handshake, once the connection is there.
fn left(details: &ConnectionDetails<'_>) -> NextTimeout {
    let mut left = details.timeout;
    if let (ticks::Duration::Exact(whole), ticks::Instant::Exact(began), ticks::Instant::Exact(now)) =
        (left.after, details.now, (details.current_time)())
    {
        left.after = ticks::Duration::Exact(whole.saturating_sub(now.saturating_duration_since(began)));
    }
    left
}

fn client(settings: &TlsConfig) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    if let RootCerts::Specific(authorities) = settings.root_certs() {
        roots.add_parsable_certificates(authorities.iter().map(|one| CertificateDer::from(one.der())));
    }
    Ok(Arc::new(tls::client(roots)?.with_no_client_auth()))
}

/// A connection under TLS.
pub(crate) struct Session {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for Session {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
