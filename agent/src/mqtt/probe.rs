//! Whether a broker can be reached, step by step, so that the first step that fails says what is wrong. It blocks; for
//! `twinlet check`. The last step, CONNECT, is [`Operator::connect`](super::Operator::connect).

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ProtocolVersion};

use super::{options, reason, tls};
use crate::config::Mqtt;

/// The broker as a person writes it, without credentials.
pub fn broker(settings: &Mqtt) -> String {
    options::broker(settings)
}

/// The addresses of the broker's name. Takes as long as the system's resolver does.
pub fn look_up(settings: &Mqtt) -> Result<Vec<SocketAddr>, String> {
    let found = (options::bare(&settings.host), settings.port).to_socket_addrs();
    let found: Vec<SocketAddr> =
        found.map_err(|error| format!("the name {} is not known: {error}", settings.host))?.collect();
    if found.is_empty() { Err(format!("the name {} has no address", settings.host)) } else { Ok(found) }
}

/// Opens a TCP connection to the first of the addresses that answers.
pub fn reach(addresses: &[SocketAddr], by: Instant) -> Result<TcpStream, String> {
    let mut failures = Vec::new();
    for address in addresses {
        let left = by.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    Err(failures.join("; "))
}

/// Goes through the TLS handshake, and says what was agreed on.
pub fn shake_hands(settings: &Mqtt, mut stream: TcpStream, by: Instant) -> Result<String, String> {
    let config = tls::client_config(settings).map_err(|error| error.to_string())?;
    let name = options::bare(&settings.host).to_owned();
    let name =
        ServerName::try_from(name).map_err(|_| "the host is not a name that a certificate can carry")?;
    let mut tls = ClientConnection::new(config, name).map_err(|error| reason::explain_tls(&error))?;
    while tls.is_handshaking() {
        let left = by.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("the broker did not answer in time".to_owned());
        }
        let limited = stream.set_read_timeout(Some(left)).and_then(|()| stream.set_write_timeout(Some(left)));
        limited.map_err(|error| error.to_string())?;
        tls.complete_io(&mut stream).map_err(|error| explain(&error))?;
    }
    Ok(match tls.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3".to_owned(),
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2".to_owned(),
        other => format!("{other:?}"),
    })
}

/// What is wrong with the files of certificates that the settings name, if anything is.
pub fn files(settings: &Mqtt) -> Result<(), String> {
    tls::client_config(settings).map(drop).map_err(|error| error.to_string())
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "the broker did not answer in time".to_owned(),
        _ => reason::explain_io(error),
    }
}
