//! The file of API keys as an operator writes it, and requests as one of its holders signs them.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

use crate::artifacts::sha256;
use crate::http::{Request, Response};

/// An entry for a key that is sent; `more` is what it opens.
pub fn entry(name: &str, key: &str, more: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\nsha256 = \"{}\"\n{more}\n", sha256(key.as_bytes()))
}

/// Puts a file of keys in its place at once, as mode 0600.
pub fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    fs::rename(new, path).unwrap();
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A nonce that nobody has had.
pub fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{started:024x}-{:08x}", NEXT.fetch_add(1, Relaxed))
}

/// Who signs requests.
#[derive(Debug, Clone)]
pub struct Signer {
    name: String,
    secret: Vec<u8>,
}

/// A request that is signed for what it says, whatever is sent with it.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    /// The method that is signed for.
    pub method: String,
    /// The path that is signed for.
    pub path: String,
    /// The query that is signed for, or nothing.
    pub query: String,
    /// The body that is signed for.
    pub body: Vec<u8>,
    /// When it says that it was signed.
    pub timestamp: u64,
    /// Its nonce.
    pub nonce: String,
}

impl Signer {
    /// Who signs with this secret under this name.
    pub fn new(name: &str, secret: &[u8]) -> Self {
        Self { name: name.to_owned(), secret: secret.to_owned() }
    }

    /// Its entry; `more` is what it opens.
    pub fn entry(&self, more: &str) -> String {
        format!("[[key]]\nname = \"{}\"\nhmac_secret = \"{}\"\n{more}\n", self.name, hex(&self.secret))
    }

    /// The five headers of a signed request, by the documentation.
    pub fn headers(&self, request: &SignedRequest) -> Vec<(&'static str, String)> {
        let SignedRequest { method, path, query, body, timestamp, nonce } = request;
        let content = sha256(body);
        let text = format!("twinlet-hmac-sha256\n{method}\n{path}\n{query}\n{content}\n{timestamp}\n{nonce}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        vec![
            ("x-twinlet-key", self.name.clone()),
            ("x-twinlet-timestamp", timestamp.to_string()),
            ("x-twinlet-nonce", nonce.clone()),
            ("x-twinlet-content-sha256", content),
            ("x-twinlet-signature", signature),
        ]
    }

    /// Sends what was signed for, to the public door at this base URL.
    pub fn send(&self, base: &str, request: &SignedRequest) -> Response {
        self.send_as(base, request, request)
    }

    /// Sends another request than was signed for.
    pub fn send_as(&self, base: &str, signed: &SignedRequest, sent: &SignedRequest) -> Response {
        let query = if sent.query.is_empty() { String::new() } else { format!("?{}", sent.query) };
        let request =
            Request::new(&sent.method, &format!("{base}{}{query}", sent.path)).body(sent.body.clone());
        let headers = self.headers(signed).into_iter();
        headers.fold(request, |request, (name, value)| request.header(name, value)).send()
    }
}

impl SignedRequest {
    /// A request as it is signed now, with a nonce of its own.
    pub fn new(method: &str, path: &str, query: &str, body: &[u8]) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: body.to_owned(),
            timestamp: now(),
            nonce: nonce(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
