//! What a function answers when it cannot answer: who is to blame, the client or the function.

use std::any::Any;
use std::fmt;

use crate::request::Request;
use crate::response::Response;

/// The client sent what the function cannot use. Returned from a function with `?`, it becomes a 400 that carries the
/// text: do not put secrets into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest {
    text: String,
}

impl BadRequest {
    /// Says what is wrong, naming the field.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for BadRequest {}

/// Why a function has no response of its own.
///
/// Every standard error becomes one by `?`. A [`BadRequest`] is the client's fault: the client gets 400 and the text,
/// as JSON in the shape of the agent's own errors. Anything else is for the operator: it is logged and shown as the
/// function's last error, and the client gets 500 without the text.
///
/// ```
/// use twinlet_guest::prelude::*;
///
/// fn double(request: Request) -> Result<Response, Error> {
///     let number: u64 = request.text()?.parse().map_err(|_| BadRequest::new("the body is no number"))?;
///     let double = number.checked_mul(2).ok_or_else(|| Error::new("too large to double"))?;
///     Ok(Response::ok().text(double.to_string()))
/// }
///
/// let answer = twinlet_guest::testing::call(double, Request::post("/", "21"));
/// assert_eq!(answer.unwrap().body(), b"42");
/// let answer = twinlet_guest::testing::call(double, Request::post("/", "many"));
/// assert_eq!(answer.unwrap().status_code(), 400);
/// let answer = twinlet_guest::testing::call(double, Request::post("/", u64::MAX.to_string()));
/// assert_eq!(answer.unwrap_err(), "too large to double");
/// ```
// Not a standard error itself: that is what lets every standard error become one by `?`.
#[derive(Debug)]
pub struct Error(pub(crate) Blame);

#[derive(Debug)]
pub(crate) enum Blame {
    Client(BadRequest),
    Function(String),
}

impl Error {
    /// An error for the operator. The agent cuts it at 1,024 characters.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Blame::Function(text.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Blame::Client(error) => error.fmt(f),
            Blame::Function(text) => f.write_str(text),
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let mut error = Some(error);
        let as_bad_request = (&mut error as &mut dyn Any).downcast_mut::<Option<BadRequest>>();
        match as_bad_request.and_then(Option::take) {
            Some(bad_request) => Self(Blame::Client(bad_request)),
            None => Self::new(error.map(|error| error.to_string()).unwrap_or_default()),
        }
    }
}

/// Runs a handler as the agent's call does: a [`BadRequest`] is answered, any other error is handed back as text.
pub fn answer(
    handler: impl FnOnce(Request) -> Result<Response, Error>,
    request: Request,
) -> Result<Response, String> {
    let request_id = request.request_id().to_owned();
    match handler(request) {
        Ok(response) => Ok(response),
        Err(Error(Blame::Client(error))) => Ok(bad_request(&error.text, &request_id)),
        Err(Error(Blame::Function(text))) => Err(text),
    }
}

fn bad_request(text: &str, request_id: &str) -> Response {
    let mut body = br#"{"error":"#.to_vec();
    push_json_string(&mut body, text);
    body.extend_from_slice(br#","type":"ValidationError","retryable":false,"request_id":"#);
    push_json_string(&mut body, request_id);
    body.push(b'}');
    Response::status(400).header("content-type", "application/json").bytes(body)
}

// By hand, so that a function without the `json` feature needs no serde to say what is wrong.
fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                let low = byte & 0xf;
                let digit = if low < 10 { b'0' + low } else { b'a' - 10 + low };
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), digit]);
            }
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_request_is_answered_in_the_shape_of_the_agents_errors() {
        let response = answer(|_| Err(BadRequest::new("a \"b\"\n\u{1f}\\").into()), Request::get("/"));
        let response = response.unwrap();
        assert_eq!(response.status_code(), 400);
        let expected = concat!(
            r#"{"error":"a \"b\"\u000a\u001f\\","type":"ValidationError","#,
            r#""retryable":false,"request_id":"test"}"#
        );
        assert_eq!(response.body_text(), expected);
    }
}
