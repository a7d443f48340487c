//! An artifact server that counts every byte, answers ranges, and stops, stalls or drips as it is told; with TLS by a
//! certificate that can change. Knows nothing of components.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use twinlet_tests::certs::Pair;
use twinlet_tests::{Artifact, artifacts::sha256};

/// For the pause between the bytes of [`Way::Drip`].
const DRIP: Duration = Duration::from_millis(100);
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// How one request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// So many bytes of what was asked for, then the connection ends.
    Cut(usize),
    /// So many bytes of what was asked for, then nothing more, and the connection stays open.
    Stall(usize),
    /// A byte every tenth of a second.
    Drip,
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    ways: VecDeque<Way>,
    sent: usize,
    requests: usize,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, File>>,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    closing: AtomicBool,
    /// Connections that a stall keeps open.
    stalled: Mutex<Vec<Box<dyn Wire>>>,
}

trait Wire: Read + Write + Send {}
impl<W: Read + Write + Send> Wire for W {}

/// A running server; ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on a free port of loopback, without TLS.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let server = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = server.shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closing.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                // A client that goes away is its own affair.
                std::thread::spawn(move || stream.and_then(|stream| connected(stream, &shared)).ok());
            }
        });
        server
    }

    /// From now on speaks TLS and shows this certificate.
    pub(crate) fn show(&self, pair: &Pair) {
        let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
        *self.shared.tls.lock().unwrap() = Some(Arc::new(config));
    }

    /// Serves bytes under a name: the first requests in these ways, all after them whole.
    pub(crate) fn serve(&self, name: &str, bytes: Vec<u8>, ways: &[Way]) -> Artifact {
        let scheme =
            if self.shared.tls.lock().unwrap().is_some() { "https://localhost" } else { "http://127.0.0.1" };
        let url = format!("{scheme}:{}/{name}", self.address.port());
        let artifact = Artifact { url, sha256: sha256(&bytes), size: bytes.len() };
        let file = File { bytes, ways: ways.iter().copied().collect(), ..File::default() };
        self.shared.files.lock().unwrap().insert(format!("/{name}"), file);
        artifact
    }

    /// Bytes of a file that were sent so far, over all requests, and how many there were.
    pub(crate) fn sent(&self, name: &str) -> (usize, usize) {
        let files = self.shared.files.lock().unwrap();
        files.get(&format!("/{name}")).map_or((0, 0), |file| (file.sent, file.requests))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.stalled.lock().unwrap().clear();
        TcpStream::connect(self.address).ok(); // wakes accept, so that the port is closed
    }
}

fn connected(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    let tls = shared.tls.lock().unwrap().clone();
    match tls {
        None => answer(stream, shared),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
            answer(StreamOwned::new(connection, stream), shared)
        }
    }
}

/// What was asked for: the path, the first byte, and the validator that it holds for.
fn asked(wire: &mut impl Read) -> std::io::Result<(String, usize, Option<String>)> {
    let mut lines = BufReader::new(wire).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let (mut from, mut of) = (0, None);
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let begin = value.trim().strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
                from = begin.and_then(|begin| begin.parse().ok()).unwrap_or(0);
            }
            "if-range" => of = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    Ok((first.split(' ').nth(1).unwrap_or_default().to_owned(), from, of))
}

fn answer(mut wire: impl Wire + 'static, shared: &Shared) -> std::io::Result<()> {
    let (path, from, of) = asked(&mut wire)?;
    let (bytes, way) = {
        let mut files = shared.files.lock().unwrap();
        let Some(file) = files.get_mut(&path) else {
            return wire
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        };
        file.requests += 1;
        (file.bytes.clone(), file.ways.pop_front())
    };
    let (tag, whole) = (format!("\"{}\"", sha256(&bytes)), bytes.len());
    let ranged = from > 0 && from < whole && of.is_none_or(|of| of == tag);
    let from = if ranged { from } else { 0 };
    let status = if ranged {
        format!("206 Partial Content\r\ncontent-range: bytes {from}-{}/{whole}", whole - 1)
    } else {
        "200 OK".to_owned()
    };
    let rest = &bytes[from..];
    write!(
        wire,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: {tag}\r\naccept-ranges: bytes\r\nconnection: close\r\n\r\n",
        rest.len()
    )?;
    let count = |many: usize| {
        if let Some(file) = shared.files.lock().unwrap().get_mut(&path) {
            file.sent += many;
        }
    };
    match way {
        None | Some(Way::Cut(_) | Way::Stall(_)) => {
            let many = match way {
                Some(Way::Cut(many) | Way::Stall(many)) => many.min(rest.len()),
                _ => rest.len(),
            };
            wire.write_all(&rest[..many])?;
            wire.flush()?;
            count(many);
        }
        Some(Way::Drip) => {
            for byte in rest {
                if shared.closing.load(Ordering::SeqCst) {
                    break;
                }
                wire.write_all(&[*byte])?;
                wire.flush()?;
                count(1);
                // This is what makes it drip.
                std::thread::sleep(DRIP);
            }
        }
    }
    if matches!(way, Some(Way::Stall(_))) {
        shared.stalled.lock().unwrap().push(Box::new(wire));
    }
    Ok(())
}
