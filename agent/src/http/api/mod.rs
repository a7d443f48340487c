//! The management API: what is asked of the agent itself. Serverledge's API, sgl-router's, and the agent's own below
//! `/twinlet/`, which the command line speaks. Whoever gets here is trusted; see `access` for who does.
//!
//! | file | what it is |
//! | --- | --- |
//! | `mod` | which operation a path means, and the threads that carry it out |
//! | `call` | one call: its body read field by field |
//! | `functions` | puts functions on the device and takes them away, for all of them |
//! | `serverledge` | `/create`, `/delete`, `/invoke/{func}`, `/poll/{reqId}`, `/prewarm`, `/status`, `/functions` |
//! | `modules` | sgl-router's `/wasm` |
//! | `own` | `/twinlet/status`, `/twinlet/functions`, `/twinlet/why/{id}`, `/twinlet/logs` |
//! | `openapi` | the description of all of it |

mod call;
mod functions;
mod modules;
mod openapi;
mod own;
mod serverledge;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

pub(super) use call::Call;
pub use serverledge::Results;
#[cfg(fuzzing)]
pub(crate) use serverledge::fuzz_package;

use super::answer::{Answer, Failure};
use super::{Incoming, Outgoing, Reply, Service};
use crate::artifacts::Artifacts;
use crate::config;
use crate::desired::Desired;
use crate::hub::Connection;
use crate::outbox::Outbox;
use crate::store::Store;
use crate::thread::STACK;
use crate::twin::Desk;

/// Operations at once that hold a thread each; invocations run on workers and are not among them.
const MAX_AT_WORK: usize = 8;
/// By when an operation has answered. The longest is a new function, which may have to be fetched and compiled.
const ANSWERED_WITHIN: Duration = Duration::from_secs(180);

/// What the API works with, beside what the service has.
pub struct Api {
    /// Takes changes of desired state.
    pub desk: Desk,
    /// What is desired.
    pub desired: watch::Receiver<Arc<Desired>>,
    /// Keeps components.
    pub artifacts: Arc<Artifacts>,
    /// Keeps results of asynchronous invocations.
    pub store: Arc<Store>,
    /// Telemetry that waits.
    pub outbox: Arc<Outbox>,
    /// The state of the connection to the hub.
    pub connection: watch::Receiver<Connection>,
    /// The limits.
    pub settings: config::Api,
    /// Who and where this node is.
    pub node: NodeInfo,
    /// Runs the waits.
    pub runtime: Handle,
    /// True once the agent ends.
    pub stopping: watch::Receiver<bool>,
    /// Operations that hold a thread now.
    pub at_work: watch::Sender<usize>,
    /// What became of asynchronous invocations.
    pub results: Results,
}

/// What the API tells of the node itself.
pub struct NodeInfo {
    /// Its name.
    pub id: config::NodeId,
    /// Where it is.
    pub pop_id: String,
    /// Its state directory.
    pub state: std::path::PathBuf,
    /// When the agent started.
    pub started: Instant,
    /// `http` or `https`, for its own URL.
    pub scheme: &'static str,
    /// The version of this build.
    pub version: &'static str,
}

impl Api {
    /// Takes one of the places for operations that hold a thread; false where there is none.
    fn begins(&self) -> bool {
        self.at_work.send_if_modified(|at_work| {
            let free = *at_work < MAX_AT_WORK;
            *at_work += usize::from(free);
            free
        })
    }

    fn ends(&self) {
        self.at_work.send_modify(|at_work| *at_work = at_work.saturating_sub(1));
    }
}

impl Service {
    /// Waits until no operation of the API holds a thread. Says whether it came to that before the deadline.
    pub fn rests(&self, deadline: Instant) -> bool {
        let mut at_work = self.api.at_work.subscribe();
        let resting =
            async { tokio::time::timeout_at(deadline.into(), at_work.wait_for(|n| *n == 0)).await.is_ok() };
        self.api.runtime.block_on(resting)
    }
}

/// How an operation is carried out.
#[derive(Clone, Copy)]
pub(super) enum Carried {
    /// At once, on the thread that asks; must not wait for anything.
    Now(fn(&Service, &Call) -> Result<Answer, Failure>),
    /// On a thread of its own; may wait.
    Aside(fn(&Service, &mut Call) -> Result<Answer, Failure>),
    /// By workers, which answer when they are done.
    Later(fn(&Arc<Service>, Call, Reply) -> Option<Instant>),
}

/// One operation: its method, its path with `{}` for one segment, and what carries it out.
struct Operation(&'static str, &'static str, Carried);

const OPERATIONS: &[Operation] = &[
    Operation("POST", "/create", Carried::Aside(serverledge::create)),
    Operation("POST", "/delete", Carried::Aside(serverledge::delete)),
    Operation("POST", "/invoke/{}", Carried::Later(serverledge::invoke)),
    Operation("GET", "/poll/{}", Carried::Aside(serverledge::poll)),
    Operation("POST", "/prewarm", Carried::Aside(serverledge::prewarm)),
    Operation("GET", "/status", Carried::Now(serverledge::status)),
    Operation("GET", "/functions", Carried::Now(serverledge::functions)),
    Operation("POST", "/wasm", Carried::Aside(modules::add)),
    Operation("GET", "/wasm", Carried::Now(modules::list)),
    Operation("DELETE", "/wasm/{}", Carried::Aside(modules::remove)),
    Operation("GET", "/openapi.json", Carried::Now(openapi::document)),
    Operation("GET", "/twinlet/status", Carried::Now(own::status)),
    Operation("GET", "/twinlet/functions", Carried::Now(own::functions)),
    Operation("PUT", "/twinlet/functions/{}", Carried::Aside(own::deploy)),
    Operation("DELETE", "/twinlet/functions/{}", Carried::Aside(own::remove)),
    Operation("GET", "/twinlet/why/{}", Carried::Aside(own::why)),
    Operation("GET", "/twinlet/logs", Carried::Now(own::logs)),
];

/// What a request means to the API.
pub(super) enum Meant {
    /// This, and of the function or result of that name.
    Operation(Carried, Option<String>),
    /// Something, by one of these methods.
    OtherMethods(Vec<String>),
}

/// Whether a path is the API's, whatever the method.
pub(super) fn is_of_api(path: &str) -> bool {
    path.starts_with("/twinlet/")
        || OPERATIONS.iter().any(|Operation(_, pattern, _)| fits(pattern, path).is_some())
}

/// Carries out what a request was found to mean. Returns by when the answer is there, where it is to come.
pub(super) fn handle(
    service: &Arc<Service>,
    meant: Meant,
    incoming: Incoming,
    reply: Reply,
) -> Option<Instant> {
    let (carried, call) = match meant {
        Meant::OtherMethods(methods) => {
            let answer = Failure::MethodNotAllowed(methods).answer(&incoming.request_id);
            reply(Outgoing::Whole(answer));
            return None;
        }
        Meant::Operation(carried, name) => (carried, Call::new(incoming, name)),
    };
    match carried {
        Carried::Now(operation) => {
            let answer = operation(service, &call);
            reply(Outgoing::Whole(answer.unwrap_or_else(|failure| failure.answer(&call.request_id))));
            None
        }
        Carried::Aside(operation) => aside(service, operation, call, reply),
        Carried::Later(operation) => operation(service, call, reply),
    }
}

/// Carries an operation out on a thread of its own.
fn aside(
    service: &Arc<Service>,
    operation: fn(&Service, &mut Call) -> Result<Answer, Failure>,
    mut call: Call,
    reply: Reply,
) -> Option<Instant> {
    if !service.api.begins() {
        let busy = Failure::Busy("too many operations of the management API at once");
        reply(Outgoing::Whole(busy.answer(&call.request_id)));
        return None;
    }
    let of_thread = service.clone();
    let id = call.request_id.clone();
    let reply = super::proxy::Shared::new(reply);
    let on_thread = reply.clone();
    let work = move || {
        let answer = operation(&of_thread, &mut call);
        on_thread.send(Outgoing::Whole(answer.unwrap_or_else(|failure| failure.answer(&call.request_id))));
        of_thread.api.ends();
    };
    if let Err(error) = std::thread::Builder::new().name("api".into()).stack_size(STACK).spawn(work) {
        service.api.ends();
        log::warn!("no thread for the management API: {error}");
        reply.send(Outgoing::Whole(Failure::Busy("no thread").answer(&id)));
    }
    Some(Instant::now() + ANSWERED_WITHIN)
}

/// What a request means to the API, if it means anything.
pub(super) fn meant(method: &str, path: &str) -> Option<Meant> {
    let found: Vec<_> = OPERATIONS
        .iter()
        .filter_map(|Operation(method, pattern, carried)| Some((*method, *carried, fits(pattern, path)?)))
        .collect();
    // Who answers GET answers HEAD; the door leaves the body out.
    let asked = if method == "HEAD" { "GET" } else { method };
    if let Some((_, carried, name)) = found.iter().find(|(method, ..)| *method == asked) {
        return Some(Meant::Operation(*carried, name.clone()));
    }
    let mut methods: Vec<String> = found.iter().map(|(method, ..)| (*method).to_owned()).collect();
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    (!methods.is_empty()).then_some(Meant::OtherMethods(methods))
}

/// What stands for `{}` where a pattern fits; an inner none where it has no `{}`.
fn fits(pattern: &str, path: &str) -> Option<Option<String>> {
    match pattern.strip_suffix("{}") {
        None => (pattern == path).then_some(None),
        Some(begin) => {
            let name = path.strip_prefix(begin)?;
            (!name.is_empty() && !name.contains('/')).then(|| Some(name.to_owned()))
        }
    }
}
