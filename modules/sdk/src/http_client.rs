//! Outbound HTTP, to the URLs that the function's `permissions.http` names and to no others.
//!
//! ```
//! use std::time::Duration;
//! use twinlet_guest::{Response, http_client, testing::Host};
//!
//! let host = Host::new();
//! host.set_http(|request| {
//!     assert_eq!(request.url(), "https://api.example.com/rate");
//!     Ok(Response::ok().text("1.07"))
//! });
//!
//! let answer = http_client::get("https://api.example.com/rate").timeout(Duration::from_secs(2)).send().unwrap();
//! assert_eq!(answer.body_text(), "1.07");
//! ```

use std::time::Duration;

use crate::agent;
use crate::headers::Headers;
use crate::response::Response;

/// Why no response came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No pattern in `permissions.http` covers the URL, or its host resolves to an address (loopback, private,
    /// link-local, multicast) that no pattern names outright. Says which.
    #[error("outbound HTTP is not permitted: {0}")]
    NotPermitted(String),
    /// The method, the URL or a header is malformed. Says which.
    #[error("the outbound request is malformed: {0}")]
    InvalidRequest(String),
    /// The name did not resolve, or the connection was refused or broke. Safe to try again later.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The peer's certificate did not verify.
    #[error("TLS: {0}")]
    Tls(String),
    /// No whole response within the deadline.
    #[error("no whole response within the deadline")]
    Timeout,
    /// The response's body is larger than the limit, given in bytes.
    #[error("the response is larger than {0} bytes")]
    TooLarge(u64),
    /// The function has used up its share of requests or of bytes for this moment. Try again later.
    #[error("outbound HTTP is rate-limited")]
    RateLimited,
}

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request is sent by `send`"]
pub struct OutgoingRequest {
    method: String,
    url: String,
    headers: Headers,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

/// A `GET` of an absolute `http://` or `https://` URL.
pub fn get(url: impl Into<String>) -> OutgoingRequest {
    request("GET", url)
}

/// A `POST` to an absolute `http://` or `https://` URL.
pub fn post(url: impl Into<String>) -> OutgoingRequest {
    request("POST", url)
}

/// A request with any method to an absolute `http://` or `https://` URL.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> OutgoingRequest {
    OutgoingRequest {
        method: method.into(),
        url: url.into(),
        headers: Headers::default(),
        body: Vec::new(),
        timeout: None,
    }
}

impl OutgoingRequest {
    /// Sets a header, in place of any of the same name. `host`, `content-length`, `transfer-encoding` and `connection`
    /// are set by the agent.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.set(name, value.as_ref());
        self
    }

    /// Sets the body, and the content type to plain text.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.header("content-type", "text/plain; charset=utf-8").bytes(text.into().into_bytes())
    }

    /// Sets the body and nothing else.
    pub fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a value's JSON, and the content type to it. (Feature `json`.)
    ///
    /// # Errors
    /// [`json::ToJsonError`](crate::json::ToJsonError) if the value has no JSON form.
    #[cfg(feature = "json")]
    pub fn json(self, value: &impl serde::Serialize) -> Result<Self, crate::json::ToJsonError> {
        let body = crate::json::to_string(value)?;
        Ok(self.header("content-type", "application/json").bytes(body))
    }

    /// How long to wait for the whole response. Never longer than what is left of the caller's own deadline, which is
    /// also the default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request and waits for the whole response. A redirect is a response like any other, and so is a status
    /// of 400 and above.
    ///
    /// # Errors
    /// [`Error`] says why no response came.
    pub fn send(self) -> Result<Response, Error> {
        agent::send_http(self)
    }
}

/// Reading what is to be sent, which is what tests do.
impl OutgoingRequest {
    /// The method, such as `POST`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first header of this name (in any case), if it is UTF-8.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.text(name)
    }

    /// The body; empty for none.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl From<OutgoingRequest> for crate::bindings::imports::twinlet::device::http_client::OutgoingRequest {
    fn from(request: OutgoingRequest) -> Self {
        Self {
            method: request.method,
            url: request.url,
            headers: request.headers.0,
            body: request.body,
            timeout_ms: request.timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)),
        }
    }
}
