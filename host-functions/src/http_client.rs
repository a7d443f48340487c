//! `twinlet:device/http-client`: outbound HTTP through the [`Gate`], with whole requests and whole responses.

use std::time::Duration;

use http::{Request, Uri};

pub use crate::bindings::twinlet::device::http_client::Error;

use crate::Guest;
use crate::bindings::twinlet::device::http_client::{Host, OutgoingRequest};
use crate::bindings::twinlet::device::types::Response;
use crate::rates::{Kind, Rates};

mod address;
mod connector;
mod failure;
mod gate;
mod pattern;
mod proxy;
mod resolver;

pub use connector::agent;
pub(crate) use connector::connector;
pub(crate) use failure::{Failure, Phase};
pub use gate::Gate;
pub(crate) use gate::{Patience, Payload, Received};
pub use pattern::{Pattern, PatternError};
pub use proxy::Proxies;

/// Bytes of a response's body.
const MAX_BODY_BYTES: u64 = 4 << 20;
/// Bytes that are read at once.
pub(crate) const READ_BYTES: usize = 16 << 10;
/// Headers that belong to the connection, so that a guest must not set them.
const OWN_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "proxy-authorization",
    "proxy-connection",
];

impl Host for Guest {
    fn send(&mut self, request: OutgoingRequest) -> Result<Response, Error> {
        if !self.may(Kind::Http, size(&request)) {
            return Err(Error::RateLimited);
        }
        let time_left = self.time_left();
        self.waiting(|guest| send(&guest.environment.http, &guest.environment.rates, request, time_left))
    }
}

/// Bytes of a whole request, more or less as they go over the wire.
fn size(request: &OutgoingRequest) -> usize {
    let headers = request.headers.iter().map(|(name, value)| name.len() + value.len());
    request.url.len() + request.body.len() + headers.sum::<usize>()
}

fn send(gate: &Gate, rates: &Rates, request: OutgoingRequest, left: Duration) -> Result<Response, Error> {
    let url: Uri =
        request.url.parse().map_err(|e| Error::InvalidRequest(format!("url `{}`: {e}", request.url)))?;
    gate.permits(&url)?;
    let asked = request.timeout_ms.map_or(left, |ms| Duration::from_millis(ms.into()));
    let patience = Patience { whole: asked.min(left), ..Patience::default() };
    let answer = gate.exchange(checked(request, url)?, patience)?;
    let (head, mut body) = answer.into_parts();
    let headers = head.headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())).collect();
    let mut bytes = Vec::new();
    let read = read_whole(&mut body, &mut bytes);
    // Known only now, and so perhaps more than there is: the next request waits for it.
    rates.charge(Kind::Http, bytes.len());
    read?;
    Ok(Response { status: head.status.as_u16(), headers, body: bytes })
}

fn checked(request: OutgoingRequest, url: Uri) -> Result<Request<Payload>, Error> {
    let mut builder = Request::builder().method(request.method.as_str()).uri(url);
    for (name, value) in &request.headers {
        if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Err(Error::InvalidRequest(format!("header `{name}` is set by the agent")));
        }
        builder = builder.header(name.as_str(), value.as_slice());
    }
    builder.body(Payload::Whole(request.body)).map_err(|e| Error::InvalidRequest(e.to_string()))
}

fn read_whole(body: &mut Received, bytes: &mut Vec<u8>) -> Result<(), Error> {
    if body.length.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(Error::TooLarge(MAX_BODY_BYTES));
    }
    let mut piece = vec![0; READ_BYTES];
    loop {
        let read = body.read(&mut piece)?;
        bytes.extend(piece.get(..read).unwrap_or_default());
        if bytes.len() as u64 > MAX_BODY_BYTES {
            return Err(Error::TooLarge(MAX_BODY_BYTES));
        }
        if read == 0 {
            return Ok(());
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let text = failure.to_string();
        match failure {
            Failure::NotCovered(_) | Failure::ForbiddenAddress(_) => Error::NotPermitted(text),
            Failure::Malformed(_) => Error::InvalidRequest(text),
            Failure::Certificate(_) | Failure::Tls(_) => Error::Tls(text),
            Failure::Late(_) => Error::Timeout,
            Failure::Unresolved(_)
            | Failure::Refused(_)
            | Failure::Unreachable(_)
            | Failure::Broken(_)
            | Failure::Protocol(_)
            | Failure::Busy(_) => Error::Unreachable(text),
        }
    }
}

#[cfg(test)]
mod tests;
