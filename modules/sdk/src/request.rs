//! The requests that a function receives; knows nothing of how they travel.

use crate::bindings::imports::twinlet::device::types as raw;
use crate::error::BadRequest;
use crate::headers::Headers;
use crate::percent;

/// A whole HTTP request, as the agent passed it on.
///
/// ```
/// use twinlet_guest::Request;
///
/// let request = Request::get("/hello/Ann?greeting=good%20day").with_param("name", "Ann");
/// assert_eq!(request.param("name"), Some("Ann"));
/// assert_eq!(request.query("greeting").as_deref(), Some("good day"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: String,
    path: String,
    query: Option<String>,
    host: String,
    headers: Headers,
    params: Vec<(String, String)>,
    body: Vec<u8>,
    request_id: String,
}

impl Request {
    /// The method in upper case, such as `GET`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path as the client sent it, percent-encoding untouched, without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host the client asked for, in lower case and without a port; empty if it named none.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The id that the agent's log and the response's `x-request-id` carry for this request.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// What the route's `{name}` segment stood for, percent-decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// What stood behind the `?`, undecoded; none where there was no `?`.
    pub fn query_string(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The first value of a query parameter, percent-decoded; empty for `?name` alone.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The query's `name=value` pairs in order, with `%XX` and `+` decoded. What is no valid `%XX` stays as it is, and
    /// bytes that are no UTF-8 become U+FFFD.
    pub fn query_pairs(&self) -> impl Iterator<Item = (String, String)> {
        percent::pairs(self.query.as_deref().unwrap_or_default())
    }

    /// The first header of this name (in any case), if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.text(name)
    }

    /// Every header of this name (in any case), as the bytes that stood on the wire.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers.all(name)
    }

    /// All headers in order; names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter()
    }

    /// The body as it came; empty where there was none.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Takes the body, for passing it on without a copy.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`BadRequest`] if it is no UTF-8; returned with `?` it becomes a 400.
    pub fn text(&self) -> Result<&str, BadRequest> {
        std::str::from_utf8(&self.body).map_err(|_| BadRequest::new("the body is not UTF-8"))
    }

    /// The body as JSON of the type that is asked for. (Feature `json`.)
    ///
    /// # Errors
    /// [`BadRequest`], naming the field; returned with `?` it becomes a 400.
    #[cfg(feature = "json")]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, BadRequest> {
        crate::json::parse(&self.body).map_err(|error| BadRequest::new(error.to_string()))
    }
}

/// Making requests, which is what tests do.
impl Request {
    /// A request with a method and a target such as `/hello?name=Ann`.
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query,
            host: String::new(),
            headers: Headers::default(),
            params: Vec::new(),
            body: Vec::new(),
            request_id: "test".to_owned(),
        }
    }

    /// A `GET` of a target such as `/hello?name=Ann`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST` to a target.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).with_body(body)
    }

    /// The same request with one more header.
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.append(name, value.as_ref());
        self
    }

    /// The same request with one more route parameter.
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same request with another body.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<raw::Request> for Request {
    fn from(raw: raw::Request) -> Self {
        Self {
            method: raw.method,
            path: raw.path,
            query: raw.query,
            host: raw.host,
            headers: Headers(raw.headers),
            params: raw.params,
            body: raw.body,
            request_id: raw.request_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_what_is_malformed_stays_as_it_came() {
        let request = Request::get("/?a=1+2&&b=%c3%a9%&a=3&c&d=%zz%4&e=%ff");
        let pairs: Vec<(String, String)> = request.query_pairs().collect();
        let expected = [("a", "1 2"), ("b", "é%"), ("a", "3"), ("c", ""), ("d", "%zz%4"), ("e", "\u{fffd}")];
        assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(request.query("a").as_deref(), Some("1 2"));
        assert_eq!(request.query("z"), None);
    }

    #[test]
    fn headers_are_found_in_any_case_and_bytes_survive() {
        let request = Request::get("/").with_header("X-Tag", "one").with_header("x-tag", [0xff]);
        assert_eq!(request.header("x-TAG"), Some("one"));
        let all: Vec<&[u8]> = request.header_values("X-tag").collect();
        assert_eq!(all, [b"one".as_slice(), &[0xff]]);
    }
}
