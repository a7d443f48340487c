//! One service behind two doors. [`Service`] knows routes, functions, metrics and what every outcome is called; the
//! doors only accept, frame and limit. Functions are called on workers, never on a door's thread.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | requests in, answers out: [`Service::handle`] |
//! | `answer` | the contract's errors, and the agent's own pages |
//! | `local` | tiny_http on a Unix socket of mode 0600 |
//! | `public` | hyper on `LISTEN_ADDR:LISTEN_PORT`, with `deadlines` for slow peers |

mod answer;
#[cfg(feature = "public-door")]
mod deadlines;
pub mod local;
#[cfg(feature = "public-door")]
pub mod public;

use std::sync::Arc;
use std::time::Instant;

use twinlet_host::bindings::twinlet::device::types::{Request, Response};

pub use answer::Answer;
use answer::Failure;

use crate::board::Board;
use crate::metrics::{Metrics, Outcome};
use crate::pool::{CallError, Function};
use crate::process::resident_bytes;
use crate::routes::NoRoute;
use crate::serving::Serving;
use crate::workers::{Turn, Workers};

/// Headers that concern one connection, not the message; they pass in neither direction.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
];
/// The longest `x-request-id` that is taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// A whole request, framed and limited by its door.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The method, in upper case.
    pub method: String,
    /// The path as it came, without the query.
    pub path: String,
    /// The query, undecoded.
    pub query: Option<String>,
    /// The host that was asked for, as it came.
    pub host: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
    /// From [`request_id`].
    pub request_id: String,
}

/// The `{name}` segments of a route, by name.
type Params = Vec<(String, String)>;
/// Takes the answer, once.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

/// What both doors stand before.
pub struct Service {
    serving: Arc<Serving>,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
}

impl Service {
    /// A service from what the rest of the house publishes.
    pub fn new(
        serving: Arc<Serving>,
        workers: Arc<Workers>,
        metrics: Arc<Metrics>,
        board: Arc<Board>,
    ) -> Self {
        Self { serving, workers, metrics, board }
    }

    /// Answers a request: at once where no function is called, else from a worker. Never blocks. Returns by when the
    /// answer is there, where it is to come.
    pub fn handle(&self, incoming: Incoming, reply: Reply) -> Option<Instant> {
        match self.own_page(&incoming) {
            Some(page) => {
                reply(page);
                None
            }
            None => self.call(incoming, reply),
        }
    }

    /// What a door does with every answer before it writes it: it is counted, and carries the request's id.
    fn leaves_by(&self, door: &'static str, answer: Answer, request_id: &str) -> Answer {
        self.metrics.response(door, answer.status);
        answer.with_header("x-request-id", request_id.as_bytes())
    }

    /// What the agent answers itself; functions can not stand in front of these.
    fn own_page(&self, incoming: &Incoming) -> Option<Answer> {
        let page: fn(&Self) -> Answer = match incoming.path.as_str() {
            "/metrics" => Self::metrics_page,
            "/healthz" => |_| Answer::text(200, "ok\n"),
            "/readyz" => Self::readiness,
            _ => return None,
        };
        if matches!(incoming.method.as_str(), "GET" | "HEAD") {
            return Some(page(self));
        }
        let methods = vec!["GET".to_owned(), "HEAD".to_owned()];
        Some(Failure::MethodNotAllowed(methods).answer(&incoming.request_id))
    }

    fn metrics_page(&self) -> Answer {
        self.metrics.queue_depth.set(i64::try_from(self.workers.waiting()).unwrap_or(i64::MAX));
        match self.metrics.render(resident_bytes()) {
            Ok(page) => Answer::new(200, "text/plain; version=0.0.4", page),
            Err(error) => {
                log::error!("/metrics: {error}");
                Answer::text(500, "the metrics could not be written\n")
            }
        }
    }

    fn readiness(&self) -> Answer {
        if self.serving.load().applied {
            Answer::text(200, "ready\n")
        } else {
            Answer::text(503, "desired state is not applied yet\n")
        }
    }

    fn call(&self, incoming: Incoming, reply: Reply) -> Option<Instant> {
        let (function, params) = match self.find(&incoming) {
            Ok(found) => found,
            Err(failure) => {
                reply(failure.answer(&incoming.request_id));
                return None;
            }
        };
        let began = Instant::now();
        let deadline = began + function.spec.max_execution;
        let lane = function.lane.clone();
        let request = to_guest(incoming, params);
        let board = self.board.clone();
        let work = Box::new(move |turn| {
            let result = match turn {
                Turn::Run => function.handle(&request, deadline),
                Turn::Expired => Err(CallError::Timeout(function.spec.max_execution)),
                Turn::Refused => Err(CallError::Exhausted("the queue is full".into())),
            };
            reply(finish(&function, &board, result, began, &request.request_id));
            function.refill();
        });
        self.workers.submit(&lane, deadline, work);
        Some(deadline)
    }

    fn find(&self, incoming: &Incoming) -> Result<(Arc<Function>, Params), Failure> {
        let snapshot = self.serving.load();
        let host = host_name(&incoming.host);
        let matched =
            snapshot.routes.find(&host, &incoming.path, &incoming.method).map_err(|none| match none {
                NoRoute::NotFound => Failure::NoRoute,
                NoRoute::MethodNotAllowed(methods) => Failure::MethodNotAllowed(methods),
            })?;
        match snapshot.functions.get(matched.function_id) {
            Some(Some(function)) => Ok((function.clone(), matched.params)),
            Some(None) => {
                self.metrics.cache_lookup(false);
                Err(Failure::Busy("the function is not ready yet"))
            }
            None => Err(Failure::UnknownFunction),
        }
    }
}

/// Counts, logs and answers the end of an invocation.
fn finish(
    function: &Function,
    board: &Board,
    result: Result<Response, CallError>,
    began: Instant,
    request_id: &str,
) -> Answer {
    let answer = result.and_then(|response| Answer::from_guest(response).map_err(CallError::Guest));
    let outcome = match &answer {
        Ok(_) => Outcome::Ok,
        Err(CallError::Timeout(_)) => Outcome::Timeout,
        Err(CallError::Exhausted(_)) => Outcome::Rejected,
        Err(_) => Outcome::Error,
    };
    function.metrics.invoked(outcome, began.elapsed());
    answer.unwrap_or_else(|error| {
        if outcome != Outcome::Rejected {
            board.invocation_failed(&function.id, &error.to_string());
        }
        let level = if function.may_complain() { log::Level::Warn } else { log::Level::Debug };
        let version = function.spec.version;
        log::log!(level, "function {} v{version}: request {request_id}: {error}", function.id);
        Failure::from(&error).answer(request_id)
    })
}

fn to_guest(incoming: Incoming, params: Params) -> Request {
    let mut headers = incoming.headers;
    let named = headers
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| value.split(|b| *b == b','));
    let named: Vec<_> = named.map(|name| name.trim_ascii().to_ascii_lowercase()).collect();
    headers.retain(|(name, _)| {
        !HOP_BY_HOP.contains(&name.as_str()) && !named.iter().any(|other| other == name.as_bytes())
    });
    Request {
        method: incoming.method,
        path: incoming.path,
        query: incoming.query,
        host: host_name(&incoming.host),
        headers,
        params,
        body: incoming.body,
        request_id: incoming.request_id,
    }
}

/// The client's own id where it is a sane one, else a new one.
fn request_id(given: Option<&[u8]>) -> String {
    match given.and_then(|id| std::str::from_utf8(id).ok()) {
        Some(id) if (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) => {
            id.to_owned()
        }
        _ => format!("{:016x}", fastrand::u64(..)),
    }
}

/// In lower case and without the port.
fn host_name(host: &str) -> String {
    let end = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => colon,
        _ => host.len(),
    };
    host.get(..end).unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_its_port_and_its_case() {
        for (host, name) in
            [("LocalHost:3000", "localhost"), ("a.b", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")]
        {
            assert_eq!(host_name(host), name);
        }
    }

    #[test]
    fn a_client_can_not_put_what_it_likes_into_the_log() {
        assert_eq!(request_id(Some(b"abc-1")), "abc-1");
        assert_eq!(request_id(None).len(), 16);
        for odd in ["", "a b", "a\nb", "ü", &"x".repeat(129)] {
            assert_eq!(request_id(Some(odd.as_bytes())).len(), 16, "{odd:?}");
        }
    }
}
