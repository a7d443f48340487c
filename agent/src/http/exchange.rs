//! One request on a worker: the middleware before it, what answers it, and the middleware after it.

use std::sync::Arc;
use std::time::Instant;

use twinlet_host::bindings::twinlet::device::types::Request;
use twinlet_host::messaging::CallRet;

use super::answer::{Answer, Failure};
use super::body::Outgoing;
use super::proxy::{self, Shared};
use super::withheld::withhold;
use super::{Incoming, Reply, Service, to_guest};
use crate::actors::{Actors, Found};
use crate::desired::AttachPoint;
use crate::engine::Answerer;
use crate::metrics::Outcome;
use crate::pool::{CallError, Function, Trace};
use crate::serving::Snapshot;
use crate::workers::{Lane, Turn};

/// The `{name}` segments of a route, by name.
type Params = Vec<(String, String)>;

/// What answers a request.
pub(super) struct Target {
    pub(super) function: Arc<Function>,
    /// Where its actor answers.
    actor: Option<Found>,
    params: Params,
}

impl Target {
    pub(super) fn new(function: Arc<Function>, params: Params, actors: &Actors) -> Result<Self, Failure> {
        let actor = match function.exports().answerer() {
            Answerer::Http | Answerer::WasiHttp => None,
            Answerer::Actor => {
                Some(actors.find(&function.id).ok_or(Failure::Busy("the actor is not ready yet"))?)
            }
            // A route to what is middleware and nothing else.
            Answerer::None => return Err(Failure::UnknownFunction),
        };
        Ok(Self { function, actor, params })
    }

    /// Where it is called: in the function's own lane, or in that of its actor.
    pub(super) fn lane(&self) -> &Arc<Lane> {
        self.actor.as_ref().map_or(&self.function.lane, Found::lane)
    }
}

/// What one request has to go by.
pub(super) struct Exchange<'a> {
    pub(super) service: &'a Service,
    pub(super) snapshot: &'a Snapshot,
    /// When the request was accepted.
    pub(super) began: Instant,
    /// When its client is answered at the latest.
    pub(super) deadline: Instant,
    /// Whether the request came over TLS.
    pub(super) secure: bool,
}

impl Exchange<'_> {
    /// Answers the request.
    pub(super) fn run(
        &self,
        turn: Turn,
        target: Result<Target, Failure>,
        incoming: Incoming,
        guarded: bool,
        reply: Reply,
    ) {
        let function = target.as_ref().ok().map(|target| target.function.clone());
        let reply = Shared::new(reply);
        let id = incoming.request_id.clone();
        let answer = match target {
            _ if turn == Turn::Refused => Some(self.unserved(function.as_deref(), &id, "the queue is full")),
            target if guarded => match to_guest(incoming) {
                Ok(mut request) => self.guarded(turn, target, &mut request, &reply),
                Err(failure) => Some(failure.answer(&id)),
            },
            Ok(target) => match self.answer(turn, &target, incoming, &reply) {
                Ok(answer) => answer,
                Err(failure) => Some(failure.answer(&id)),
            },
            Err(failure) => Some(failure.answer(&id)),
        };
        if let Some(answer) = answer {
            reply.send(Outgoing::Whole(answer));
        }
        // Not by whoever was refused: that is no worker.
        if let Some(function) = function.filter(|_| turn != Turn::Refused) {
            function.refill();
        }
    }

    /// Nothing was run, so nothing of the chain may be either: that needs a place as well.
    fn unserved(&self, function: Option<&Function>, request_id: &str, why: &'static str) -> Answer {
        if let Some(function) = function {
            self.note(function, &CallError::Exhausted(why.into()), request_id);
        }
        Failure::Busy(why).answer(request_id)
    }

    /// The answer to a request that meets middleware; none where its client has it already.
    fn guarded(
        &self,
        turn: Turn,
        target: Result<Target, Failure>,
        request: &mut Request,
        reply: &Shared,
    ) -> Option<Answer> {
        let path = request.path.clone();
        let answered = match (turn, &target) {
            (Turn::Run, _) => self.before(&path, request),
            (_, Ok(target)) => {
                let late = CallError::Timeout(target.function.spec.max_execution);
                self.note(&target.function, &late, &request.request_id);
                Err(Failure::Timeout)
            }
            (_, Err(_)) => Err(Failure::Timeout),
        };
        let answered = match answered {
            Err(failure) => Err(failure),
            // A middleware has answered; what is behind it never learns of the request.
            Ok(Some(answer)) => return Some(answer),
            Ok(None) => target.and_then(|target| self.answer_guarded(&target, request, reply)),
        };
        // Whoever comes after the function needs its place no more. This lane has room for all.
        self.service.workers.go_over(&self.service.aside, self.deadline);
        match answered
            .and_then(|answer| answer.map(|a| self.after(&path, a, &request.request_id)).transpose())
        {
            Ok(answer) => answer,
            // A response that broke off is past mending.
            Err(_) if reply.is_sent() => None,
            Err(failure) => {
                let answer = failure.answer(&request.request_id);
                Some(self.on_failure(&path, &failure, request, answer))
            }
        }
    }

    /// Has the target answer what no middleware sees; none where its client has the answer already.
    fn answer(
        &self,
        turn: Turn,
        target: &Target,
        mut incoming: Incoming,
        reply: &Shared,
    ) -> Result<Option<Answer>, Failure> {
        let id = incoming.request_id.clone();
        withhold(&mut incoming.headers, &target.function.spec.permissions);
        if target.function.exports().answerer() == Answerer::WasiHttp {
            let request = proxy::request_of(incoming)?;
            let answered =
                self.counted(turn, &target.function, &id, || self.stream(&target.function, request, reply));
            return Ok(answered.map(|()| None)?);
        }
        let mut request = to_guest(incoming)?;
        request.params.clone_from(&target.params);
        Ok(self.counted(turn, &target.function, &id, || self.invoke(target, &request, None).map(Some))?)
    }

    /// Has the target answer a request of the agent's own, whole and measured, past all middleware.
    pub(super) fn traced(
        &self,
        turn: Turn,
        target: &Target,
        request: &Request,
        trace: &mut Trace,
    ) -> Result<Answer, CallError> {
        let function = &target.function;
        self.counted(turn, function, &request.request_id, || {
            if function.exports().answerer() != Answerer::WasiHttp {
                return self.invoke(target, request, Some(trace));
            }
            let unfit = |_| CallError::Guest("the request can not be passed on".into());
            self.collect(function, proxy::request_from(request, self.secure).map_err(unfit)?, Some(trace))
        })
    }

    /// Has the target answer what middleware has seen, and perhaps will.
    fn answer_guarded(
        &self,
        target: &Target,
        request: &mut Request,
        reply: &Shared,
    ) -> Result<Option<Answer>, Failure> {
        let function = &target.function;
        request.params.clone_from(&target.params);
        // Nobody behind it sees the request any more.
        withhold(&mut request.headers, &function.spec.permissions);
        if !self.service.workers.go_over(target.lane(), self.deadline) {
            let busy = || Err(CallError::Exhausted("all its instances are busy".into()));
            return Ok(self.counted(Turn::Run, function, &request.request_id, busy)?);
        }
        if function.exports().answerer() != Answerer::WasiHttp {
            return Ok(self.counted(Turn::Run, function, &request.request_id, || {
                self.invoke(target, request, None).map(Some)
            })?);
        }
        let for_proxy = proxy::request_from(request, self.secure)?;
        let nobody_after = self.links(AttachPoint::Response, &request.path).is_empty();
        Ok(self.counted(Turn::Run, function, &request.request_id, || match nobody_after {
            true => self.stream(function, for_proxy, reply).map(|()| None),
            false => self.collect(function, for_proxy, None).map(Some),
        })?)
    }

    /// Runs an invocation where its time has come, and counts how it ended.
    fn counted<T>(
        &self,
        turn: Turn,
        function: &Function,
        request_id: &str,
        invoke: impl FnOnce() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let max_execution = function.spec.max_execution;
        let result = match turn {
            Turn::Run => invoke(),
            Turn::Expired => Err(CallError::Timeout(max_execution)),
            Turn::Refused => Err(CallError::Exhausted("the queue is full".into())),
        };
        match result {
            Ok(answer) => {
                function.metrics.invoked(Outcome::Ok, self.began.elapsed());
                function.metrics.tally.invoked(false);
                Ok(answer)
            }
            Err(error) => {
                let given = self.deadline.saturating_duration_since(self.began);
                let error = match error {
                    // Not by its own fault.
                    CallError::Timeout(_) if given < max_execution => CallError::Late(given),
                    other => other,
                };
                let is_its_fault = !matches!(error, CallError::Late(_) | CallError::Exhausted(_));
                if turn == Turn::Run && is_its_fault {
                    function.metrics.tally.invoked(true);
                }
                self.note(function, &error, request_id);
                Err(error)
            }
        }
    }

    /// What a function that takes whole requests answers.
    fn invoke(
        &self,
        target: &Target,
        request: &Request,
        trace: Option<&mut Trace>,
    ) -> Result<Answer, CallError> {
        let Some(actor) = &target.actor else {
            let response = target.function.handle(request, self.deadline, trace)?;
            let answer = Answer::from_guest(response).map_err(CallError::Guest)?;
            target.function.metrics.tally.answered(answer.status);
            return Ok(answer);
        };
        let answer = self.service.actors.request(actor, &request.body, self.deadline, trace)?;
        // What it has begun it ends, but the client has waited for long enough.
        if Instant::now() >= self.deadline {
            return Err(CallError::Timeout(target.function.spec.max_execution));
        }
        match answer {
            CallRet::Noreply => Ok(Answer { status: 204, headers: Vec::new(), body: Vec::new() }),
            CallRet::Reply(body) => Ok(Answer::new(200, "application/octet-stream", body)),
            CallRet::Err => Err(CallError::Guest("handle-call answered `err`".into())),
        }
    }

    /// Counts, shows and logs an invocation that failed.
    fn note(&self, function: &Function, error: &CallError, request_id: &str) {
        let outcome = match error {
            CallError::Timeout(_) | CallError::Late(_) => Outcome::Timeout,
            CallError::Exhausted(_) => Outcome::Rejected,
            _ => Outcome::Error,
        };
        function.metrics.invoked(outcome, self.began.elapsed());
        if outcome != Outcome::Rejected && !matches!(error, CallError::Late(_)) {
            self.service.board.invocation_failed(&function.id, &error.to_string());
        }
        let level = if function.may_complain() { log::Level::Warn } else { log::Level::Debug };
        let version = function.spec.version;
        log::log!(level, "function {} v{version}: request {request_id}: {error}", function.id);
    }

    /// The links that a path meets at a point.
    pub(super) fn links(&self, point: AttachPoint, path: &str) -> Vec<&crate::chains::Link> {
        self.snapshot.chains.of(point, path)
    }
}
