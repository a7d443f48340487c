//! One service behind two doors. [`Service`] knows routes, functions, metrics and what every outcome is called; the
//! doors only accept, frame and limit. Functions are called on workers, never on a door's thread.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | requests in, answers out: [`Service::handle`] |
//! | `exchange` | one request on a worker: middleware, then what answers it |
//! | `proxy` | the same where a component of `wasi:http` answers, piece by piece |
//! | `body` | bodies, whole or as they come |
//! | `middleware` | one call of a middleware, and what it changes |
//! | `access` | who may do what at the public door |
//! | `api` | the management API |
//! | `withheld` | the headers that functions see only where they ask |
//! | `answer` | the contract's errors, and the agent's own pages |
//! | `local` | tiny_http on a Unix socket of mode 0600, behind `gate`, with `chunked` for what comes piece by piece |
//! | `heads` | which bytes are a request that has one meaning only |
//! | `public` | hyper on `LISTEN_ADDR:LISTEN_PORT`, with TLS where it is set; `deadlines` and `patience` for slow peers |

#[cfg(feature = "public-door")]
mod access;
mod answer;
pub mod api;
mod body;
mod chunked;
#[cfg(feature = "public-door")]
mod deadlines;
mod exchange;
mod gate;
pub(crate) mod heads;
pub mod local;
mod middleware;
#[cfg(feature = "public-door")]
mod patience;
mod proxy;
#[cfg(feature = "public-door")]
pub mod public;
mod withheld;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use twinlet_host::bindings::twinlet::device::types::Request;
use twinlet_host::bucket::Bucket;

pub use answer::Answer;
use answer::Failure;
use api::Api;
pub use body::{Body, Outgoing};
use exchange::{Exchange, Target};

use crate::actors::Actors;
use crate::board::Board;
use crate::desired::AttachPoint;
#[cfg(feature = "public-door")]
use crate::engine::Answerer;
use crate::metrics::Metrics;
use crate::process::{resident_bytes, written_bytes};
use crate::routes::NoRoute;
use crate::serving::{Serving, Snapshot};
use crate::workers::{Lane, Workers};

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
/// Bytes of a streamed response that someone is to have whole.
const MAX_WHOLE_BYTES: usize = 8 << 20;
/// Requests at once that meet middleware and no function.
const MAX_GUARDS: u32 = 2;
/// Failures of middleware that is not there that are logged at once, and then a second.
const COMPLAINTS: (u32, u32) = (10, 1);
/// The time that middleware on errors has, whatever is left of the request's.
const ON_ERROR_TIME: Duration = Duration::from_millis(250);
/// The time that these have.
const GUARDS_TIME: Duration = Duration::from_secs(5);
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
    pub body: Body,
    /// The client's own where it sent a sane one, else a new one.
    pub request_id: String,
    /// Whether the management API is open to it.
    pub may_manage: bool,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// Takes the answer, once.
pub type Reply = Box<dyn FnOnce(Outgoing) + Send>;

/// What both doors stand before.
pub struct Service {
    serving: Arc<Serving>,
    workers: Arc<Workers>,
    actors: Arc<Actors>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    /// Of requests that meet middleware and no function.
    guards: Arc<Lane>,
    /// Of requests that have been answered and meet middleware.
    aside: Arc<Lane>,
    /// For failures of middleware that is not there.
    complaints: Mutex<Bucket>,
    api: Api,
}

impl Service {
    /// A service from what the rest of the house publishes.
    pub fn new(
        serving: Arc<Serving>,
        workers: Arc<Workers>,
        actors: Arc<Actors>,
        metrics: Arc<Metrics>,
        board: Arc<Board>,
        api: Api,
    ) -> Self {
        let (guards, aside) = (workers.lane(MAX_GUARDS), workers.aside());
        let complaints = Mutex::new(Bucket::new(COMPLAINTS.0, COMPLAINTS.1, Instant::now()));
        Self { serving, workers, actors, metrics, board, guards, aside, complaints, api }
    }

    /// Answers a request: at once where no function is called, else from a worker. Never blocks. Returns by when the
    /// answer is there, where it is to come.
    pub fn handle(self: &Arc<Self>, incoming: Incoming, reply: Reply) -> Option<Instant> {
        if let Some(page) = self.own_page(&incoming) {
            reply(Outgoing::Whole(page));
            return None;
        }
        let meant = incoming.may_manage.then(|| api::meant(&incoming.method, &incoming.path)).flatten();
        match meant {
            Some(meant) => api::handle(self, meant, incoming, reply),
            None => self.call(incoming, reply),
        }
    }

    /// Bytes of the body that a request may have.
    fn body_limit(&self, head: &Incoming, of_routes: usize) -> usize {
        if head.may_manage && api::is_of_api(&head.path) {
            self.api.settings.max_body_bytes
        } else {
            of_routes
        }
    }

    /// Whether another failure of middleware that is not there may be logged.
    fn may_complain(&self) -> bool {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }

    /// What a door does with every answer before it writes it: it is counted, and carries the request's id.
    fn leaves_by(&self, door: &'static str, answer: Outgoing, request_id: &str) -> Outgoing {
        answer.map(|answer| {
            self.metrics.response(door, answer.status);
            answer.with_header("x-request-id", request_id.as_bytes())
        })
    }

    /// Whether the body of this request is to be passed on as it comes; its own is not looked at.
    #[cfg(feature = "public-door")]
    fn streams(&self, head: &Incoming) -> bool {
        // What is asked of the API is read whole, whatever route its path fits besides.
        if head.may_manage && api::is_of_api(&head.path) {
            return false;
        }
        let snapshot = self.serving.load();
        if !snapshot.any_streams || !snapshot.chains.leave_alone(&head.path) {
            return false;
        }
        let found = snapshot.routes.find(&host_name(&head.host), &head.path, &head.method);
        let function = found.ok().and_then(|matched| snapshot.functions.get(matched.function_id)?.as_ref());
        function.is_some_and(|function| function.exports().answerer() == Answerer::WasiHttp)
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
        match self.metrics.render(resident_bytes(), written_bytes()) {
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

    fn call(self: &Arc<Self>, incoming: Incoming, reply: Reply) -> Option<Instant> {
        let snapshot = self.serving.load_full();
        let guarded = !snapshot.chains.leave_alone(&incoming.path);
        let target = self.target(&snapshot, &incoming);
        let (lane, max_execution) = match &target {
            // Middleware is called before a place of the function is taken: both may be wanted by others.
            Ok(target) if guarded => (target.function.front.clone(), target.function.spec.max_execution),
            Ok(target) => (target.lane().clone(), target.function.spec.max_execution),
            Err(failure) if !guarded => {
                reply(Outgoing::Whole(failure.answer(&incoming.request_id)));
                return None;
            }
            // Who may not enter learns nothing of what is there.
            Err(_) => (self.guards.clone(), GUARDS_TIME),
        };
        let began = Instant::now();
        let deadline = began + max_execution;
        let service = self.clone();
        let on_errors = !snapshot.chains.of(AttachPoint::Error, &incoming.path).is_empty();
        let work = Box::new(move |turn| {
            let secure = incoming.secure;
            let exchange = Exchange { service: &service, snapshot: &snapshot, began, deadline, secure };
            exchange.run(turn, target, incoming, guarded, reply);
        });
        self.workers.submit(&lane, deadline, work);
        // Past the deadline there is still something to say.
        Some(if on_errors { deadline + ON_ERROR_TIME } else { deadline })
    }

    /// What answers a request, or why nothing does.
    fn target(&self, snapshot: &Snapshot, incoming: &Incoming) -> Result<Target, Failure> {
        let host = host_name(&incoming.host);
        let matched =
            snapshot.routes.find(&host, &incoming.path, &incoming.method).map_err(|none| match none {
                NoRoute::NotFound => Failure::NoRoute,
                NoRoute::MethodNotAllowed(methods) => Failure::MethodNotAllowed(methods),
            })?;
        match snapshot.functions.get(matched.function_id) {
            Some(Some(function)) => Target::new(function.clone(), matched.params, &self.actors),
            Some(None) => {
                self.metrics.cache_lookup(false);
                Err(Failure::Busy("the function is not ready yet"))
            }
            None => Err(Failure::UnknownFunction),
        }
    }
}

/// The request as guests see it, but for the params of its route.
fn to_guest(incoming: Incoming) -> Result<Request, Failure> {
    let Body::Whole(body) = incoming.body else {
        // It was for a function that takes bodies as they come, until this moment.
        return Err(Failure::Busy("the function is being replaced"));
    };
    let mut headers = incoming.headers;
    drop_hop_by_hop(&mut headers, &[]);
    Ok(Request {
        method: incoming.method,
        path: incoming.path,
        query: incoming.query,
        host: host_name(&incoming.host),
        headers,
        params: Vec::new(),
        body,
        request_id: incoming.request_id,
    })
}

/// Drops what concerns one connection, `Connection`'s own list included, but for what is to be kept.
fn drop_hop_by_hop(headers: &mut Vec<(String, Vec<u8>)>, keep: &[&str]) {
    let named = headers
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| value.split(|b| *b == b','));
    let named: Vec<_> = named.map(|name| name.trim_ascii().to_ascii_lowercase()).collect();
    headers.retain(|(name, _)| {
        let hop = HOP_BY_HOP.contains(&name.as_str()) || named.iter().any(|other| other == name.as_bytes());
        !hop || keep.contains(&name.as_str())
    });
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
