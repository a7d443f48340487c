//! What may stand between an agent and an artifact server: an HTTP proxy, or TLS in front of it. Knows nothing of
//! artifacts.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certs::Pair;
use crate::wait::Journal;

/// An HTTP proxy, which tunnels by `CONNECT`.
pub struct Proxy {
    address: SocketAddr,
    /// The first lines of what it was asked for.
    pub asked: Journal<String>,
}

impl Proxy {
    /// Listens on a free port.
    pub fn start() -> Self {
        let asked = Journal::default();
        let journal = asked.clone();
        let address = accepting("proxy", move |stream| connect(stream, &journal));
        Self { address, asked }
    }

    /// What goes into `HTTP_PROXY`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Listens with this certificate, and hands all that comes to a server that knows no TLS. Returns its port.
pub fn tls_in_front_of(server: SocketAddr, shown: &Pair) -> u16 {
    let certs = CertificateDer::pem_file_iter(&shown.cert).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&shown.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(certs, key).unwrap());
    let serve = move |stream: TcpStream| {
        let mut inside = TcpStream::connect(server)?;
        let mut outside =
            StreamOwned::new(ServerConnection::new(config.clone()).map_err(io::Error::other)?, stream);
        // One request without a body, then its answer.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            outside.read_exact(&mut byte)?;
            head.extend(byte);
        }
        inside.write_all(&head)?;
        io::copy(&mut inside, &mut outside)?;
        outside.conn.send_close_notify();
        outside.flush()
    };
    accepting("tls-front", serve).port()
}

/// Accepts connections for as long as this process lives, each on a thread of its own.
fn accepting(name: &str, serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let accept = move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            // A client that goes away is its own affair.
            thread::spawn(move || serve(stream).ok());
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(accept).unwrap();
    address
}

fn connect(mut client: TcpStream, asked: &Journal<String>) -> io::Result<()> {
    let mut head = BufReader::new(client.try_clone()?);
    let mut first = String::new();
    head.read_line(&mut first)?;
    asked.push(first.trim().to_owned());
    let mut line = first.clone();
    while !line.trim().is_empty() {
        line.clear();
        head.read_line(&mut line)?;
    }
    let to = first.split(' ').nth(1).unwrap_or_default();
    let mut server = TcpStream::connect(to)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut back_from, mut back_to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        io::copy(&mut back_from, &mut back_to).ok();
        back_to.shutdown(Shutdown::Both).ok();
    });
    io::copy(&mut head, &mut server)?;
    Ok(())
}
