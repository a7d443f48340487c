//! An HTTP server for components on loopback, with the faults of real networks; knows nothing of components.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

use crate::wait::Journal;

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Promises the whole length, and closes after this many bytes.
    CutAfter(usize),
    /// Sends the file again and again in chunks, without end.
    Endless,
    /// Sends the head and the first byte, then nothing more.
    Stall,
    /// Answers 404.
    NotFound,
    /// Answers 500 to the first so many requests, then serves.
    FailFirst(usize),
}

/// Where something is served, and what it is.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Its URL.
    pub url: String,
    /// The sha256 of the bytes, in hex.
    pub sha256: String,
    /// The length of the bytes.
    pub size: usize,
}

struct File {
    bytes: Vec<u8>,
    fault: Fault,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, File>>,
    requests: Journal<String>,
    /// Connections that a [`Fault::Stall`] keeps open.
    stalled: Mutex<Vec<TcpStream>>,
    closing: AtomicBool,
}

/// A running server; ends when dropped.
pub struct ArtifactServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl ArtifactServer {
    /// Listens on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let server = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = Arc::clone(&server.shared);
        let accept = move || {
            for stream in listener.incoming() {
                if shared.closing.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A client that goes away is its own affair.
                std::thread::spawn(move || stream.and_then(|s| answer(s, &shared)).ok());
            }
        };
        std::thread::Builder::new().name("artifacts".to_owned()).spawn(accept).unwrap();
        server
    }

    /// The base of its URLs, without a slash at the end.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves bytes under a name.
    pub fn serve(&self, name: &str, bytes: impl Into<Vec<u8>>) -> Artifact {
        self.serve_with(name, bytes, Fault::None)
    }

    /// Serves bytes under a name, wrongly.
    pub fn serve_with(&self, name: &str, bytes: impl Into<Vec<u8>>, fault: Fault) -> Artifact {
        let bytes = bytes.into();
        let artifact =
            Artifact { url: format!("{}/{name}", self.base()), sha256: sha256(&bytes), size: bytes.len() };
        self.shared.files.lock().unwrap().insert(format!("/{name}"), File { bytes, fault });
        artifact
    }

    /// How many requests there were for a name.
    pub fn requests(&self, name: &str) -> usize {
        let path = format!("/{name}");
        self.shared.requests.all().iter().filter(|p| **p == path).count()
    }

    /// Waits until there were so many requests for a name.
    pub fn requested(&self, name: &str, times: usize) {
        let (path, mut seen) = (format!("/{name}"), 0);
        let what = format!("{times} requests for {path}");
        self.shared.requests.wait(0, crate::DEADLINE, &what, |p| {
            seen += usize::from(*p == path);
            (seen >= times).then_some(())
        });
    }
}

impl Drop for ArtifactServer {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.stalled.lock().unwrap().clear();
        TcpStream::connect(self.address).ok(); // wakes accept, so that the port is closed
    }
}

/// The sha256 of some bytes, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let file = shared.files.lock().unwrap().get_mut(&path).map(|f| (f.bytes.clone(), step(&mut f.fault)));
    let outcome = match file {
        None | Some((_, Fault::NotFound)) => plain(&mut stream, "404 Not Found", b"no such artifact"),
        Some((_, Fault::FailFirst(_))) => plain(&mut stream, "500 Internal Server Error", b"try again"),
        Some((bytes, Fault::None)) => plain(&mut stream, "200 OK", &bytes),
        Some((bytes, Fault::CutAfter(n))) => cut(&mut stream, &bytes, n),
        Some((bytes, Fault::Endless)) => endless(&mut stream, &bytes, shared),
        Some((bytes, Fault::Stall)) => {
            let sent = cut(&mut stream, &bytes, 1);
            shared.stalled.lock().unwrap().push(stream);
            sent
        }
    };
    shared.requests.push(path);
    outcome
}

/// The fault that holds for this request; the next may have another.
fn step(fault: &mut Fault) -> Fault {
    let now = if *fault == Fault::FailFirst(0) { Fault::None } else { *fault };
    if let Fault::FailFirst(left) = fault {
        *left = left.saturating_sub(1);
    }
    now
}

fn plain(stream: &mut TcpStream, status: &str, bytes: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len())?;
    stream.write_all(bytes)
}

fn cut(stream: &mut TcpStream, bytes: &[u8], after: usize) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len())?;
    stream.write_all(&bytes[..after.min(bytes.len())])
}

fn endless(stream: &mut TcpStream, bytes: &[u8], shared: &Shared) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n")?;
    while !shared.closing.load(Ordering::SeqCst) {
        write!(stream, "{:x}\r\n", bytes.len())?;
        stream.write_all(bytes)?;
        stream.write_all(b"\r\n")?;
    }
    Ok(())
}
