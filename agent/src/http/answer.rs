//! Answers, and the one place where an outcome becomes a status, a type and a body.

use serde_json::json;
use twinlet_host::bindings::twinlet::device::types::Response;
use twinlet_host::logging::escaped;

use super::HOP_BY_HOP;
use crate::pool::CallError;

/// Seconds in `Retry-After`.
const RETRY_AFTER: &[u8] = b"1";
/// Headers of a guest's answer.
const MAX_HEADERS: usize = 128;
/// Bytes of their names and values.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// A whole response, for any door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status, 200 to 599.
    pub status: u16,
    /// The headers, valid and without those that the door sets.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer of the agent's own.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.as_bytes().to_vec())];
        Self { status, headers, body: body.into() }
    }

    /// A plain text.
    pub fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain", text)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    /// What a guest answered, or what is wrong with it.
    pub fn from_guest(response: Response) -> Result<Self, String> {
        if !(200..=599).contains(&response.status) {
            return Err(format!("it answered with the status {}", response.status));
        }
        let bytes: usize = response.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if response.headers.len() > MAX_HEADERS || bytes > MAX_HEAD_BYTES {
            let count = response.headers.len();
            return Err(format!(
                "it answered with {count} headers of {bytes} bytes; at most {MAX_HEADERS} of {MAX_HEAD_BYTES} pass"
            ));
        }
        let mut headers = Vec::with_capacity(response.headers.len() + 1);
        for (name, value) in response.headers {
            let name = http::HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("it answered with the header name {}", escaped(&name)))?;
            http::HeaderValue::from_bytes(&value)
                .map_err(|_| format!("it answered with a value of `{name}` that is not a header's"))?;
            if !HOP_BY_HOP.contains(&name.as_str()) {
                headers.push((name.as_str().to_owned(), value));
            }
        }
        Ok(Self { status: response.status, headers, body: response.body })
    }
}

/// How a request can fail, as the contract's table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request can not be understood.
    #[cfg_attr(not(feature = "public-door"), allow(dead_code))]
    Malformed(&'static str),
    /// The request means something, but not this: the field and what is wrong with it.
    Invalid(String),
    /// No key or signature that opens this, or one that is not valid.
    #[cfg_attr(not(feature = "public-door"), allow(dead_code))]
    Unauthorized,
    /// What is there already stands against it.
    Conflict(String),
    /// What was asked for could not be done, and nothing of it is left.
    NotReady(String),
    /// No route has this host and path.
    NoRoute,
    /// The route's function is not in desired state.
    UnknownFunction,
    /// The path is known, the method is not; those that are.
    MethodNotAllowed(Vec<String>),
    /// The body did not come in time.
    #[cfg_attr(not(feature = "public-door"), allow(dead_code))]
    SlowBody,
    /// The body is larger than so many bytes.
    TooLarge(usize),
    /// The function trapped, returned an error or does not start.
    Execution,
    /// No free place, for want of what it says.
    Busy(&'static str),
    /// The deadline passed.
    Timeout,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout(_) | CallError::Late(_) => Self::Timeout,
            CallError::Exhausted(_) => Self::Busy("no room for another instance"),
            CallError::Start(_) | CallError::Trap(_) | CallError::Guest(_) => Self::Execution,
        }
    }
}

impl Failure {
    /// The answer. It names what the client can act on; the causes are in the log, under the request's id.
    pub(super) fn answer(&self, request_id: &str) -> Answer {
        let (status, kind, retryable, error) = self.told();
        if *self == Self::Timeout {
            // The contract gives this one its plain text.
            return Answer::text(status, &error);
        }
        let body = json!({ "error": error, "type": kind, "retryable": retryable, "request_id": request_id });
        let answer = Answer::new(status, "application/json", body.to_string());
        match self {
            Self::MethodNotAllowed(methods) => answer.with_header("allow", methods.join(", ").as_bytes()),
            Self::Unauthorized => answer.with_header("www-authenticate", b"Bearer"),
            Self::Busy(_) => answer.with_header("retry-after", RETRY_AFTER),
            _ => answer,
        }
    }

    /// Its status, its type, whether trying again can help, and what it is in words.
    pub(super) fn told(&self) -> (u16, &'static str, bool, String) {
        match self {
            Self::Malformed(why) => (400, "ValidationError", false, (*why).to_owned()),
            Self::Invalid(why) => (400, "ValidationError", false, why.clone()),
            Self::Conflict(why) => (409, "ValidationError", false, why.clone()),
            Self::NotReady(why) => (503, "ResourceError", true, why.clone()),
            Self::Unauthorized => (401, "AuthError", false, "Unauthorized".to_owned()),
            Self::NoRoute => (404, "NotFoundError", false, "Route not found".to_owned()),
            Self::UnknownFunction => (404, "NotFoundError", false, "Function not found".to_owned()),
            Self::MethodNotAllowed(_) => (405, "ValidationError", false, "Method not allowed".to_owned()),
            Self::SlowBody => (408, "TimeoutError", true, "The request body did not come in time".to_owned()),
            Self::TooLarge(limit) => {
                (413, "ValidationError", false, format!("The request body is larger than {limit} bytes"))
            }
            Self::Execution => (500, "ExecutionError", true, "Function execution failed".to_owned()),
            Self::Busy(why) => (503, "ResourceError", true, format!("Insufficient resources: {why}")),
            Self::Timeout => (504, "TimeoutError", true, "Gateway Timeout".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &[u8])]) -> Response {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect();
        Response { status, headers, body: vec![0, 255] }
    }

    #[test]
    fn a_guests_answer_passes_whole_but_for_the_framing() {
        let answer =
            Answer::from_guest(response(418, &[("X-A", b"\xff"), ("content-length", b"9"), ("x-a", b"2")]));
        let answer = answer.unwrap();
        assert_eq!(answer.status, 418);
        assert_eq!(answer.headers, [("x-a".into(), vec![255]), ("x-a".into(), b"2".to_vec())]);
        assert_eq!(answer.body, [0, 255]);
    }

    #[test]
    fn a_guest_can_not_break_the_framing() {
        for bad in [
            response(0, &[]),
            response(101, &[]),
            response(600, &[]),
            response(200, &[("a b", b"")]),
            response(200, &[("a", b"x\r\nset-cookie: y")]),
            response(200, &[("", b"")]),
            response(200, &[("a", b"b".as_slice()); MAX_HEADERS + 1]),
        ] {
            assert!(Answer::from_guest(bad).is_err());
        }
    }

    #[test]
    fn errors_carry_the_contracts_fields() {
        let answer = Failure::NoRoute.answer("id-1");
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            body,
            json!({ "error": "Route not found", "type": "NotFoundError", "retryable": false, "request_id": "id-1" })
        );
        assert_eq!(Failure::Timeout.answer("x").body, b"Gateway Timeout");
        let allow = Failure::MethodNotAllowed(vec!["GET".into(), "POST".into()]).answer("x").headers;
        assert!(allow.contains(&("allow".into(), b"GET, POST".to_vec())));
    }
}
