//! Requests that a component of `wasi:http` answers: its response begins while it still runs.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use tokio::runtime::Handle;
use twinlet_host::bindings::twinlet::device::types::{Request, Response};
use twinlet_host::wasi_http::{ErrorCode, HyperOutgoingBody};

use super::answer::{Answer, Failure};
use super::body::{Body, Outgoing, Streamed};
use super::exchange::Exchange;
use super::{Incoming, MAX_WHOLE_BYTES, Reply, drop_hop_by_hop};
use crate::pool::{CallError, Function, Trace};

/// After the guest has ended, how long until the last of its body has been put together.
const COLLECTED: Duration = Duration::from_secs(5);

/// A reply that can be taken from two places, once.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Option<Reply>>>);

impl Shared {
    pub(super) fn new(reply: Reply) -> Self {
        Self(Arc::new(Mutex::new(Some(reply))))
    }

    /// Whether someone has answered.
    pub(super) fn is_sent(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Answers, unless someone has already.
    pub(super) fn send(&self, answer: Outgoing) {
        let reply = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            reply(answer);
        }
    }
}

impl Exchange<'_> {
    /// Has the function answer, and the client get each piece of it as it comes. Nothing is returned where the client
    /// has its answer.
    pub(super) fn stream(
        &self,
        function: &Function,
        request: http::Request<Streamed>,
        reply: &Shared,
    ) -> Result<(), CallError> {
        let problem = Arc::new(Mutex::new(None));
        let (of_guest, reply) = (problem.clone(), reply.clone());
        let answered = function.serve(request, self.deadline, None, move |response| {
            let headed = head(response).map(|(answer, body)| {
                let status = answer.status;
                reply.send(Outgoing::Streamed(answer, body));
                status
            });
            *of_guest.lock().unwrap_or_else(PoisonError::into_inner) = Some(headed);
        })?;
        let headed = problem.lock().unwrap_or_else(PoisonError::into_inner).take();
        match headed {
            Some(Err(error)) => Err(error),
            Some(Ok(status)) if answered => {
                function.metrics.tally.answered(status);
                Ok(())
            }
            _ => Err(CallError::Guest("it ended without a response".into())),
        }
    }

    /// Has the function answer, and puts its answer together, for middleware to see it whole.
    pub(super) fn collect(
        &self,
        function: &Function,
        request: http::Request<Streamed>,
        trace: Option<&mut Trace>,
    ) -> Result<Answer, CallError> {
        let (sender, collected) = mpsc::sync_channel(1);
        let runtime = Handle::current();
        let on_response = move |response| match head(response) {
            Ok((answer, body)) => {
                // Beside the guest, which waits until someone takes what it writes.
                runtime.spawn(async move {
                    let answer = whole(answer, body).await;
                    if sender.send(answer).is_err() {
                        log::debug!("nobody waits for a response any more");
                    }
                });
            }
            Err(error) => {
                if sender.send(Err(error)).is_err() {
                    log::debug!("nobody waits for a response any more");
                }
            }
        };
        let answered = function.serve(request, self.deadline, trace, on_response)?;
        match collected.recv_timeout(COLLECTED) {
            Ok(answer) => answer.inspect(|answer| function.metrics.tally.answered(answer.status)),
            Err(_) if answered => Err(CallError::Guest("its response did not end".into())),
            Err(_) => Err(CallError::Guest("it ended without a response".into())),
        }
    }
}

/// A request as `wasi:http` has it, from what the door has read.
pub(super) fn request_of(incoming: Incoming) -> Result<http::Request<Streamed>, Failure> {
    let uri = match &incoming.query {
        Some(query) => format!("{}?{query}", incoming.path),
        None => incoming.path,
    };
    build(&incoming.method, &uri, incoming.headers, incoming.body.streamed(), incoming.secure)
}

/// The same from what middleware has seen.
pub(super) fn request_from(request: &Request, secure: bool) -> Result<http::Request<Streamed>, Failure> {
    let uri = match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let body = Body::Whole(request.body.clone()).streamed();
    build(&request.method, &uri, request.headers.clone(), body, secure)
}

fn build(
    method: &str,
    uri: &str,
    mut headers: Vec<(String, Vec<u8>)>,
    body: Streamed,
    secure: bool,
) -> Result<http::Request<Streamed>, Failure> {
    // The length stays, for the body passes as it came.
    drop_hop_by_hop(&mut headers, &["content-length"]);
    let mut request = http::Request::builder().method(method).uri(uri);
    if secure {
        request = request.extension(http::uri::Scheme::HTTPS);
    }
    for (name, value) in headers {
        request = request.header(name.as_str(), value.as_slice());
    }
    request.body(body).map_err(|_| Failure::Malformed("The request can not be passed on"))
}

/// The head of a response, held to the rules of every function's; the length stays, for the body comes as it is.
fn head(
    response: Result<http::Response<HyperOutgoingBody>, ErrorCode>,
) -> Result<(Answer, HyperOutgoingBody), CallError> {
    let response =
        response.map_err(|code| CallError::Guest(format!("it answered with the error {code:?}")))?;
    let (head, body) = response.into_parts();
    let length = head.headers.get(http::header::CONTENT_LENGTH).map(|length| length.as_bytes().to_vec());
    let headers = head.headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())).collect();
    let response = Response { status: head.status.as_u16(), headers, body: Vec::new() };
    let mut answer = Answer::from_guest(response).map_err(CallError::Guest)?;
    if let Some(length) = length {
        answer.headers.push(("content-length".to_owned(), length));
    }
    Ok((answer, body))
}

async fn whole(mut answer: Answer, body: HyperOutgoingBody) -> Result<Answer, CallError> {
    let collected = Limited::new(body, MAX_WHOLE_BYTES).collect().await;
    let collected =
        collected.map_err(|error| CallError::Guest(format!("its response broke off: {error}")))?;
    answer.headers.retain(|(name, _)| name != "content-length");
    answer.body = collected.to_bytes().to_vec();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_the_connection_stays_with_it() {
        let headers = [
            ("host", "h"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("content-length", "0"),
            ("x-own", "2"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let request = build("GET", "/a?b", headers.to_vec(), Body::default().streamed(), false).unwrap();
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["host", "content-length", "x-own"]);
        assert_eq!(request.uri().path_and_query().unwrap().as_str(), "/a?b");
    }
}
