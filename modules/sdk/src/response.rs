//! The responses that a function and its peers give; knows nothing of how they travel.

use std::borrow::Cow;

use crate::bindings::imports::twinlet::device::types as raw;
use crate::headers::Headers;

/// A whole HTTP response: what a function answers, and what [`http_client`](crate::http_client) brings back.
///
/// ```
/// use twinlet_guest::Response;
///
/// let response = Response::status(201).header("location", "/things/7").text("made");
/// assert_eq!(response.status_code(), 201);
/// assert_eq!(response.header_value("Content-Type"), Some("text/plain; charset=utf-8"));
/// assert_eq!(response.body(), b"made");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Headers,
    body: Vec<u8>,
}

/// Making responses.
impl Response {
    /// An empty response of a status, from 200 to 599. The agent answers 500 in place of any other.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Headers::default(), body: Vec::new() }
    }

    /// An empty 200.
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// An empty 404.
    pub fn not_found() -> Self {
        Self::status(404)
    }

    /// Sets a header, in place of any of the same name. The agent frames the body: `content-length`,
    /// `transfer-encoding` and `connection` are left out.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.set(name, value.as_ref());
        self
    }

    /// Adds a header beside those of the same name, such as a second `set-cookie`.
    pub fn append_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.append(name, value.as_ref());
        self
    }

    /// Removes all headers of a name.
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
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
    /// [`json::ToJsonError`](crate::json::ToJsonError) if the value has no JSON form, such as a map whose keys are no
    /// strings.
    #[cfg(feature = "json")]
    pub fn json(self, value: &impl serde::Serialize) -> Result<Self, crate::json::ToJsonError> {
        let body = crate::json::to_string(value)?;
        Ok(self.header("content-type", "application/json").bytes(body))
    }
}

/// Reading responses.
impl Response {
    /// The status.
    pub fn status_code(&self) -> u16 {
        self.status
    }

    /// Whether the status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name (in any case), if it is UTF-8.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.text(name)
    }

    /// All headers in order; names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter()
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    pub fn body_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Takes the body, for passing it on without a copy.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The body as JSON of the type that is asked for. (Feature `json`.)
    ///
    /// # Errors
    /// [`json::ParseError`](crate::json::ParseError), naming the field.
    #[cfg(feature = "json")]
    pub fn body_json<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::json::ParseError> {
        crate::json::parse(&self.body)
    }
}

impl From<Response> for raw::Response {
    fn from(response: Response) -> Self {
        Self { status: response.status, headers: response.headers.0, body: response.body }
    }
}

impl From<raw::Response> for Response {
    fn from(raw: raw::Response) -> Self {
        Self { status: raw.status, headers: Headers(raw.headers), body: raw.body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_header_is_replaced_unless_appended() {
        let response = Response::ok().text("x").header("Content-Type", "text/html");
        assert_eq!(response.headers().count(), 1);
        let response = Response::ok().append_header("set-cookie", "a").append_header("set-cookie", "b");
        assert_eq!(response.headers().count(), 2);
    }
}
