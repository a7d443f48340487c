//! An HTTP server for components on loopback, with ranges and validators, and with the faults of real networks; knows
//! nothing of components.

mod answer;

use std::collections::{HashMap, VecDeque};
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
    /// Promises the whole length, whatever was asked for, and closes after this many bytes.
    CutAfter(usize),
    /// Sends the file again and again in chunks, without end.
    Endless,
    /// Sends the head and the first byte, then nothing more.
    Stall,
    /// Sends so many bytes of what was asked for, then nothing more.
    StallAfter(usize),
    /// Sends so many bytes of what was asked for, then closes.
    CutShort(usize),
    /// Sends what was asked for in so many bytes every twentieth of a second.
    Drip(usize),
    /// Answers 404.
    NotFound,
    /// Answers 500 to the first so many requests, then serves.
    FailFirst(usize),
    /// Says of the file that it is compressed.
    Gzip,
    /// Answers 416 to whoever asks for a range.
    Unsatisfiable,
    /// Answers a range with the one that begins a byte later.
    WrongRange,
    /// Answers any range, whatever `If-Range` says.
    Unconditional,
    /// Knows nothing of ranges and validators.
    Plain,
    /// Redirects to this URL.
    Redirect(&'static str),
    /// Answers 401 with this `WWW-Authenticate` to whoever brings no `Authorization`.
    Asks(&'static str),
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

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    /// All headers, by their names in lower case.
    pub headers: HashMap<String, String>,
}

impl Asked {
    /// A header of this name in lower case, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

struct File {
    bytes: Vec<u8>,
    /// One per request; the last holds for all that come after.
    faults: VecDeque<Fault>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, File>>,
    requests: Journal<Asked>,
    /// Connections that a fault keeps open.
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
                std::thread::spawn(move || stream.and_then(|s| answer::answer(s, &shared)).ok());
            }
        };
        std::thread::Builder::new().name("artifacts".to_owned()).spawn(accept).unwrap();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
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
        self.serve_in_turn(name, bytes, &[fault])
    }

    /// Serves bytes under a name, each request as the next of these says, and all after them as the last.
    pub fn serve_in_turn(&self, name: &str, bytes: impl Into<Vec<u8>>, faults: &[Fault]) -> Artifact {
        let bytes = bytes.into();
        let artifact =
            Artifact { url: format!("{}/{name}", self.base()), sha256: sha256(&bytes), size: bytes.len() };
        let file = File { bytes, faults: faults.iter().copied().collect() };
        self.shared.files.lock().unwrap().insert(format!("/{name}"), file);
        artifact
    }

    /// How many requests there were for a name.
    pub fn requests(&self, name: &str) -> usize {
        self.asked(name).len()
    }

    /// The requests for a name, as they came.
    pub fn asked(&self, name: &str) -> Vec<Asked> {
        let path = format!("/{name}");
        self.shared.requests.all().into_iter().filter(|asked| asked.path == path).collect()
    }

    /// Waits until there were so many requests for a name.
    pub fn requested(&self, name: &str, times: usize) {
        let (path, mut seen) = (format!("/{name}"), 0);
        let what = format!("{times} requests for {path}");
        self.shared.requests.wait(0, crate::DEADLINE, &what, |asked| {
            seen += usize::from(asked.path == path);
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
