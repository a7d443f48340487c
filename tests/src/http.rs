//! Requests and responses as a test sees them: by ureq over TCP, by hand over a Unix socket or where the request must
//! be malformed. Knows nothing of what is asked.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use ureq::http;

use crate::wait::DEADLINE;

/// A response, whatever its status.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The first header of this name as text; empty if there is none.
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or_else(String::new, |(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// A request being made up; `send` sends it.
#[derive(Debug)]
pub struct Request(http::request::Builder, Vec<u8>);

impl Request {
    /// Any method, extension methods included.
    pub fn new(method: &str, url: &str) -> Self {
        Self(http::Request::builder().method(method).uri(url), Vec::new())
    }

    /// With a header of any bytes that HTTP allows.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        Self(self.0.header(name, http::HeaderValue::from_bytes(value.as_ref()).unwrap()), self.1)
    }

    /// With a body of any bytes.
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0, body.into())
    }

    /// Sends it over a new connection and panics if no response comes.
    pub fn send(self) -> Response {
        self.try_send().unwrap_or_else(|e| panic!("no response: {e}"))
    }

    /// Sends it over a new connection; an error means that no whole response came.
    pub fn try_send(self) -> Result<Response, ureq::Error> {
        self.send_by(&client())
    }

    /// Sends it by a client of one's own, for instance to keep the connection.
    pub fn send_by(self, client: &ureq::Agent) -> Result<Response, ureq::Error> {
        let body = self.1;
        let sent = if body.is_empty() {
            let request = self.0.body(()).unwrap();
            client.run(request)
        } else {
            let request = self.0.body(body).unwrap();
            client.run(request)
        };
        let mut response = sent?;
        let pair = |(n, v): (&http::HeaderName, &http::HeaderValue)| (n.to_string(), v.as_bytes().to_vec());
        Ok(Response {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(pair).collect(),
            body: response.body_mut().with_config().limit(64 << 20).read_to_vec()?,
        })
    }
}

/// A client that keeps its connections, takes every status as it is and follows no redirect.
pub fn client() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(DEADLINE))
        .build()
        .new_agent()
}

/// Sends bytes over TCP, and returns all that came back until the other side closed. The bytes should ask for
/// `connection: close`, or be so wrong that the other side closes by itself.
pub fn raw(address: &str, bytes: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // The other side may have answered and closed before it read everything.
    stream.write_all(bytes).ok();
    read_response(&mut stream)
}

/// Sends one request over a Unix socket.
pub fn over_unix(socket: &Path, method: &str, path: &str, body: &[u8]) -> std::io::Result<Response> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut first = [0];
    if stream.read(&mut first)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(read_response(&mut first.as_slice().chain(stream)))
}

fn read_response(stream: &mut impl Read) -> Response {
    let mut bytes = Vec::new();
    // A reset after the answer, because the other side did not read all of the request, takes nothing away from it.
    stream.read_to_end(&mut bytes).ok();
    let end =
        find(&bytes, b"\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {:?}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|l| l.split(' ').nth(1)).and_then(|s| s.parse().ok());
    let headers: Vec<(String, Vec<u8>)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().as_bytes().to_vec()))
        .collect();
    let body = &bytes[end + 4..];
    let chunked = headers.iter().any(|(n, v)| n == "transfer-encoding" && v.eq_ignore_ascii_case(b"chunked"));
    let body = if chunked { dechunked(body) } else { body.to_vec() };
    Response { status: status.unwrap_or_else(|| panic!("no status: {head}")), headers, body }
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(rest, b"\r\n") {
        let size = usize::from_str_radix(String::from_utf8_lossy(&rest[..end]).trim(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    panic!("the chunked body has no end")
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|w| w == wanted)
}
