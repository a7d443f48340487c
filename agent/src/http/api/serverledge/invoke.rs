//! `/invoke/{func}` and `/poll/{reqId}`: a function is called now, or its result is asked for later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use twinlet_host::bindings::twinlet::device::types::Request;

use super::super::super::answer::{Answer, Failure};
use super::super::super::exchange::Target;
use super::super::super::proxy::Shared;
use super::super::super::{Outgoing, Reply, Service, host_name};
use super::super::Call;
use super::super::call::json;
use super::refused;
use super::report::{self, Ended, Invocation};
use super::results::{Found, Refused};
use crate::desired::{Object, Problems};
use crate::engine::Answerer;
use crate::store::Table;
use crate::thread::STACK;
use crate::workers::Turn;

/// Bytes of a body; it is read by the thread of a door.
const MAX_BYTES: usize = 1 << 20;
/// Asynchronous invocations that are being made durable, each on a thread.
const MAX_BEGINNING: usize = 32;
/// By when an asynchronous invocation is durable.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// How long a worker may take for what is left to do once a function has ended.
const ENDED_AFTER: Duration = Duration::from_secs(6);
const SATURATED: &str = "Not served because of excessive load";
const FAILED: &str = "Invocation failed";
const UNREADABLE: &str = "Could not retrieve results";

/// What is asked for beside the function.
struct Asked {
    /// The function's params, as JSON.
    params: Vec<u8>,
    later: bool,
    prints: bool,
    /// How long the caller would wait.
    patience: Option<Duration>,
}

pub(in crate::http::api) fn invoke(service: &Arc<Service>, mut call: Call, reply: Reply) -> Option<Instant> {
    let began = Instant::now();
    match prepare(service, &mut call, began) {
        Err(answer) => {
            reply(Outgoing::Whole(answer));
            None
        }
        Ok((invocation, true)) => Some(begin(invocation, reply)),
        Ok((invocation, false)) => Some(run(invocation, reply)),
    }
}

pub(in crate::http::api) fn poll(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let id = call.name.as_deref().unwrap_or_default();
    Ok(match service.api.results.find(&table(service), id, Instant::now()) {
        Found::Report(report) => json(200, &report),
        Found::Nothing => Answer::text(404, "Results not found."),
        Found::Unreadable => Answer::text(500, UNREADABLE),
    })
}

/// The invocation that is asked for, and whether only for later; or why there is none.
fn prepare(service: &Arc<Service>, call: &mut Call, began: Instant) -> Result<(Invocation, bool), Answer> {
    let snapshot = service.serving.load_full();
    let known = call.function().and_then(|id| Some((snapshot.functions.get(&id)?.clone(), id)));
    let (ready, id) = known.ok_or_else(|| Answer::text(404, "Function unknown."))?;
    let told = |failure: Failure| failure.answer(&call.request_id);
    if call.body.len() > MAX_BYTES {
        return Err(told(Failure::TooLarge(MAX_BYTES)));
    }
    let request_id = call.request_id.clone();
    let asked = call.fields(Asked::read).map_err(|failure| failure.answer(&request_id))?;
    let function = ready.ok_or_else(|| refused(429, SATURATED, "the function is not ready yet"))?;
    if function.exports().answerer() == Answerer::None {
        return Err(refused(500, FAILED, "the function is middleware and answers no requests"));
    }
    let max_execution = function.spec.max_execution;
    let deadline = began + asked.patience.map_or(max_execution, |patience| patience.min(max_execution));
    let target = Target::new(function, Vec::new(), &service.actors)
        .map_err(|_| refused(429, SATURATED, "the actor is not ready yet"))?;
    let headers = [
        ("host", call.host.clone()),
        ("content-type", "application/json".to_owned()),
        ("content-length", asked.params.len().to_string()),
    ];
    let request = Request {
        method: "POST".to_owned(),
        path: format!("/invoke/{id}"),
        query: None,
        host: host_name(&call.host),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect(),
        params: Vec::new(),
        body: asked.params,
        request_id,
    };
    let service = service.clone();
    let invocation = Invocation { service, snapshot, target, request, prints: asked.prints, began, deadline };
    Ok((invocation, asked.later))
}

impl Asked {
    fn read(fields: &mut Object<'_>, problems: &mut Problems) -> Option<Self> {
        let params = fields.required("Params", problems);
        if let Some(params) = params {
            Object::of(&fields.path("Params"), params, problems);
        }
        // A device that knows no other nodes offloads nothing, whatever its callers would allow.
        fields.flag("CanDoOffloading", problems);
        let class = fields.get("QoSClass").is_some_and(|class| class.as_i64().is_none());
        if class {
            problems.add(&fields.path("QoSClass"), "a whole number is wanted");
        }
        let patience = patience(fields, problems);
        let (later, prints) = (fields.flag("Async", problems), fields.flag("ReturnOutput", problems));
        Some(Self { params: params?.to_string().into_bytes(), later, prints, patience: patience? })
    }
}

/// How long the caller would wait; an inner none where it does not say.
fn patience(fields: &mut Object<'_>, problems: &mut Problems) -> Option<Option<Duration>> {
    let Some(value) = fields.get("QoSMaxRespT") else { return Some(None) };
    match value.as_f64() {
        // What clients of Serverledge send that do not say.
        Some(-1.0) => Some(None),
        Some(seconds) if seconds > 0.0 => {
            Some(Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
        }
        _ => {
            problems.add(&fields.path("QoSMaxRespT"), "a number of seconds above 0 is wanted, or -1 for any");
            None
        }
    }
}

/// Makes an invocation whose caller waits. Returns by when it is answered.
fn run(invocation: Invocation, reply: Reply) -> Instant {
    let (service, deadline) = (invocation.service.clone(), invocation.deadline);
    let lane = invocation.target.lane().clone();
    // What has begun in time ends by itself: an actor by its own limit, a response when it is put together.
    let ended = deadline + invocation.target.function.spec.max_execution + ENDED_AFTER;
    let reply = Shared::new(reply);
    // What waits in the queue is only found late to be late; its caller is told in time.
    let in_time = reply.clone();
    let waiting = service.api.runtime.spawn(async move {
        tokio::time::sleep_until(deadline.into()).await;
        in_time.send(Outgoing::Whole(refused(429, SATURATED, report::WAITED)));
    });
    let work = Box::new(move |turn| {
        waiting.abort();
        let answer = match invocation.run(turn) {
            Ended::Served(report) => json(200, &report.json()),
            Ended::Failed(report) => refused(500, FAILED, report.result),
            Ended::Saturated(why) => refused(429, SATURATED, why),
        };
        reply.send(Outgoing::Whole(answer));
        // Not by whoever was refused: that is no worker.
        if turn != Turn::Refused {
            invocation.refill();
        }
    });
    service.workers.submit(&lane, deadline, work);
    ended
}

/// Makes an invocation whose caller asks for the result later. Returns by when it is begun.
fn begin(invocation: Invocation, reply: Reply) -> Instant {
    let service = invocation.service.clone();
    let busy = || Outgoing::Whole(refused(429, SATURATED, "too many are being accepted"));
    let until = Instant::now() + BEGUN_WITHIN;
    if service.api.results.beginning.fetch_add(1, Relaxed) >= MAX_BEGINNING {
        service.api.results.beginning.fetch_sub(1, Relaxed);
        reply(busy());
        return until;
    }
    let reply = Shared::new(reply);
    let (on_thread, of_thread) = (reply.clone(), service.clone());
    // The disk is waited for, so by no thread of a door or of a guest.
    let work = move || {
        let answer = accept(&of_thread, invocation);
        of_thread.api.results.beginning.fetch_sub(1, Relaxed);
        on_thread.send(Outgoing::Whole(answer));
    };
    if let Err(error) = thread::Builder::new().name("api".into()).stack_size(STACK).spawn(work) {
        service.api.results.beginning.fetch_sub(1, Relaxed);
        log::warn!("no thread for an asynchronous invocation: {error}");
        reply.send(busy());
    }
    until
}

/// Promises a result, then queues the invocation that brings it.
fn accept(service: &Arc<Service>, mut invocation: Invocation) -> Answer {
    let table = table(service);
    let results = &service.api.results;
    let function = invocation.target.function.id.clone();
    let id = match results.begin(&table, &function, invocation.prints, Instant::now()) {
        Ok(id) => id,
        Err(Refused::Full) => return refused(429, SATURATED, "too many results are kept"),
        Err(Refused::Store(error)) => {
            return refused(500, FAILED, format_args!("its result could not be kept: {error}"));
        }
    };
    // The disk may have been slow, which is not the function's fault.
    let given = invocation.deadline.saturating_duration_since(invocation.began);
    invocation.began = Instant::now();
    invocation.deadline = invocation.began + given;
    let (lane, deadline) = (invocation.target.lane().clone(), invocation.deadline);
    let was_refused = Arc::new(AtomicBool::new(false));
    let (of_work, of_worker) = (was_refused.clone(), id.clone());
    service.workers.submit(
        &lane,
        deadline,
        Box::new(move |turn| {
            let ended = invocation.run(turn);
            if turn == Turn::Refused {
                // Where it was promised already the agent is about to end, and tells of it after its next start.
                of_work.store(true, Relaxed);
            } else {
                keep(&invocation, &of_worker, ended);
            }
        }),
    );
    if was_refused.load(Relaxed) {
        results.take_back(&table, &id);
        return refused(429, SATURATED, "the queue is full");
    }
    json(200, &json!({ "ReqId": id }))
}

/// Keeps what became of an asynchronous invocation, on the worker that made it.
fn keep(invocation: &Invocation, id: &str, ended: Ended) {
    let service = &invocation.service;
    invocation.refill();
    let report = match ended {
        Ended::Served(report) => report,
        Ended::Failed(mut report) => {
            report.result = format!("{FAILED}: {}", report.result);
            report
        }
        Ended::Saturated(why) => invocation.unserved(format!("{SATURATED}: {why}")),
    };
    // The function's place is free for the next while this waits for the disk; so is the worker's own.
    service.workers.go_over(&service.aside, invocation.deadline);
    let slot = service.workers.slot();
    slot.leave();
    service.api.results.end(&table(service), id, report, Instant::now());
    slot.enter();
}

fn table(service: &Service) -> Table {
    service.api.store.table("results")
}
