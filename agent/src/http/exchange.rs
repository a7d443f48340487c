//! One request on a worker: the middleware before it, what answers it, and the middleware after it.

use std::sync::Arc;
use std::time::Instant;

use twinlet_host::bindings::twinlet::device::types::{Request, Response};
use twinlet_host::messaging::CallRet;

use super::answer::{Answer, Failure};
use super::{Reply, Service};
use crate::actors::Actors;
use crate::desired::AttachPoint;
use crate::engine::Answerer;
use crate::metrics::Outcome;
use crate::pool::{CallError, Function};
use crate::serving::Snapshot;
use crate::workers::{Lane, Turn};

/// The `{name}` segments of a route, by name.
type Params = Vec<(String, String)>;

/// What answers a request.
pub(super) struct Target {
    pub(super) function: Arc<Function>,
    /// Where it is called: the function's own, or that of its actor.
    pub(super) lane: Arc<Lane>,
    params: Params,
}

impl Target {
    pub(super) fn new(function: Arc<Function>, params: Params, actors: &Actors) -> Result<Self, Failure> {
        let lane = match function.exports().answerer() {
            Answerer::Http => function.lane.clone(),
            Answerer::Actor => {
                actors.lane(&function.id).ok_or(Failure::Busy("the actor is not ready yet"))?
            }
            // A route to what is middleware and nothing else.
            Answerer::None => return Err(Failure::UnknownFunction),
        };
        Ok(Self { function, lane, params })
    }
}

/// What one request has to go by.
pub(super) struct Exchange<'a> {
    pub(super) service: &'a Service,
    pub(super) snapshot: &'a Snapshot,
    /// The lane that this worker works for.
    pub(super) lane: &'a Arc<Lane>,
    /// When the request was accepted.
    pub(super) began: Instant,
    /// When its client is answered at the latest.
    pub(super) deadline: Instant,
}

impl Exchange<'_> {
    /// Answers the request.
    pub(super) fn run(
        &self,
        turn: Turn,
        target: Result<Target, Failure>,
        mut request: Request,
        guarded: bool,
        reply: Reply,
    ) {
        let function = target.as_ref().ok().map(|target| target.function.clone());
        let answer = match target {
            _ if turn == Turn::Refused => self.unserved(function.as_deref(), &request, "the queue is full"),
            target if guarded => self.guarded(turn, target, &mut request),
            Ok(target) => {
                self.answer(turn, &target, &mut request).unwrap_or_else(|f| f.answer(&request.request_id))
            }
            Err(failure) => failure.answer(&request.request_id),
        };
        reply(answer);
        if let Some(function) = function {
            function.refill();
        }
    }

    /// Nothing was run, so nothing of the chain may be either: that needs a place as well.
    fn unserved(&self, function: Option<&Function>, request: &Request, why: &'static str) -> Answer {
        if let Some(function) = function {
            self.note(function, &CallError::Exhausted(why.into()), &request.request_id);
        }
        Failure::Busy(why).answer(&request.request_id)
    }

    fn guarded(&self, turn: Turn, target: Result<Target, Failure>, request: &mut Request) -> Answer {
        let path = request.path.clone();
        let answered = match self.before(&path, request) {
            Err(failure) => Err(failure),
            // A middleware has answered; what is behind it never learns of the request.
            Ok(Some(answer)) => return answer,
            Ok(None) => target.and_then(|target| self.answer(turn, &target, request)),
        };
        match answered.and_then(|answer| self.after(&path, answer, &request.request_id)) {
            Ok(answer) => answer,
            Err(failure) => self.on_error(&path, &failure, request),
        }
    }

    /// Has the target answer.
    fn answer(&self, turn: Turn, target: &Target, request: &mut Request) -> Result<Answer, Failure> {
        request.params.clone_from(&target.params);
        let function = &target.function;
        let result = match turn {
            Turn::Run => self.invoke(function, request),
            Turn::Expired => Err(CallError::Timeout(function.spec.max_execution)),
            Turn::Refused => Err(CallError::Exhausted("the queue is full".into())),
        };
        let answer = result.and_then(|response| Answer::from_guest(response).map_err(CallError::Guest));
        answer.inspect(|_| function.metrics.invoked(Outcome::Ok, self.began.elapsed())).map_err(|error| {
            self.note(function, &error, &request.request_id);
            Failure::from(&error)
        })
    }

    fn invoke(&self, function: &Function, request: &Request) -> Result<Response, CallError> {
        if function.exports().answerer() != Answerer::Actor {
            return function.handle(request, self.deadline);
        }
        match self.service.actors.request(&function.id, &request.body, self.deadline)? {
            CallRet::Noreply => Ok(Response { status: 204, headers: Vec::new(), body: Vec::new() }),
            CallRet::Reply(body) => {
                let content_type = ("content-type".to_owned(), b"application/octet-stream".to_vec());
                Ok(Response { status: 200, headers: vec![content_type], body })
            }
            CallRet::Err => Err(CallError::Guest("handle-call answered `err`".into())),
        }
    }

    /// Counts, shows and logs an invocation that failed.
    fn note(&self, function: &Function, error: &CallError, request_id: &str) {
        let outcome = match error {
            CallError::Timeout(_) => Outcome::Timeout,
            CallError::Exhausted(_) => Outcome::Rejected,
            _ => Outcome::Error,
        };
        function.metrics.invoked(outcome, self.began.elapsed());
        if outcome != Outcome::Rejected {
            self.service.board.invocation_failed(&function.id, &error.to_string());
        }
        let level = if function.may_complain() { log::Level::Warn } else { log::Level::Debug };
        let version = function.spec.version;
        log::log!(level, "function {} v{version}: request {request_id}: {error}", function.id);
    }

    /// What the agent answers in a function's place, as the middleware on errors has it.
    fn on_error(&self, path: &str, failure: &Failure, request: &Request) -> Answer {
        let answer = failure.answer(&request.request_id);
        self.on_failure(path, failure, request, answer)
    }

    /// The links that a path meets at a point.
    pub(super) fn links(&self, point: AttachPoint, path: &str) -> Vec<&crate::chains::Link> {
        self.snapshot.chains.of(point, path)
    }
}
