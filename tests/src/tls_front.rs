//! TLS in front of an HTTP server on loopback, with the certificate and the answers of one's choice. One request for
//! each connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certs::Pair;

struct Shared {
    behind: String,
    config: Mutex<Arc<ServerConfig>>,
    /// Answered in place of the server behind, such as `401 Unauthorized`.
    refusal: Mutex<Option<&'static str>>,
    closing: AtomicBool,
}

/// A running front; ends when dropped.
pub struct TlsFront {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl TlsFront {
    /// Listens on a free port, for the server at this base, such as `http://127.0.0.1:80`.
    pub fn start(base: &str, pair: &Pair) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            behind: base.trim_start_matches("http://").to_owned(),
            config: Mutex::new(config(pair)),
            refusal: Mutex::new(None),
            closing: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        let accept = move || {
            for stream in listener.incoming() {
                if of_thread.closing.load(Ordering::SeqCst) {
                    return;
                }
                let shared = of_thread.clone();
                // A client that goes away, or that does not trust it, is its own affair.
                std::thread::spawn(move || stream.and_then(|stream| answer(stream, &shared)).ok());
            }
        };
        std::thread::Builder::new().name("tls-front".to_owned()).spawn(accept).unwrap();
        Self { address, shared }
    }

    /// The base of its URLs, without a slash at the end.
    pub fn base(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Shows another certificate from now on.
    pub fn show(&self, pair: &Pair) {
        *self.shared.config.lock().unwrap() = config(pair);
    }

    /// Answers this in place of the server behind, or with none lets it answer again.
    pub fn refuse(&self, status: Option<&'static str>) {
        *self.shared.refusal.lock().unwrap() = status;
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok(); // wakes accept, so that the port is closed
    }
}

fn config(pair: &Pair) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap())
}

fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let session = ServerConnection::new(shared.config.lock().unwrap().clone());
    let mut client = StreamOwned::new(session.map_err(std::io::Error::other)?, stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let mut response = Vec::new();
    let refusal = *shared.refusal.lock().unwrap();
    match refusal {
        Some(status) => {
            write!(response, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?
        }
        None => {
            let mut server = TcpStream::connect(&shared.behind)?;
            server.write_all(&head)?;
            server.read_to_end(&mut response)?;
        }
    }
    client.write_all(&response)?;
    client.conn.send_close_notify();
    client.flush()
}
