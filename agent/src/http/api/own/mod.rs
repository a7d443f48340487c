//! The agent's own operations, below `/twinlet/`: what the command line asks for. Shapes are in `openapi.json`.

mod deploy;
mod facts;
mod why;

use std::time::Instant;

use serde_json::{Value, json};

pub(super) use deploy::{deploy, remove};

use super::super::Service;
use super::super::answer::{Answer, Failure};
use super::Call;
use super::call;
use crate::desired::{AttachPoint, Desired, FunctionId, RouteSpec};
use crate::hub::Connection;
use crate::logs::{Line, RING};
use crate::process::resident_bytes;
use crate::status::{FunctionStatus, Phase};
use facts::Facts;

/// Lines of the log that are given where the caller does not say how many.
const LINES: usize = 200;
/// The most.
const MAX_LINES: usize = 5_000;

/// `GET /twinlet/status`: the node on one page.
pub(super) fn status(service: &Service, _: &Call) -> Result<Answer, Failure> {
    let api = &service.api;
    let board = service.board.now();
    let (connected, error) = match &*api.connection.borrow() {
        Connection::Up { .. } => (true, None),
        Connection::Down { error } => (false, error.clone()),
    };
    let outbox = api.outbox.counts();
    let running = board.functions.values().filter(|function| function.phase == Phase::Running).count();
    let body = json!({
        "version": api.node.version,
        "node_id": api.node.id.as_str(),
        "pop_id": api.node.pop_id,
        "uptime_secs": api.node.started.elapsed().as_secs(),
        "broker": { "connected": connected, "error": error },
        "desired": {
            "version": board.last_desired_version,
            "code": board.last_desired_status.code,
            "description": board.last_desired_status.description,
        },
        "dry_run": board.dry_run.as_deref().map(|dry_run| {
            json!({ "version": dry_run.version, "code": dry_run.code, "description": dry_run.description })
        }),
        "functions": { "total": board.functions.len(), "running": running },
        "memory_bytes": resident_bytes(),
        "outbox": { "messages": outbox.messages, "bytes": outbox.bytes },
        "artifact_bytes": service.metrics.artifact_bytes.get(),
        "disk_free_bytes": api.store.free_bytes().ok(),
        "queue": service.workers.waiting(),
        "state_dir": api.node.state.display().to_string(),
    });
    Ok(call::json(200, &body))
}

/// `GET /twinlet/functions`: all that are wanted or still here.
pub(super) fn functions(service: &Service, _: &Call) -> Result<Answer, Failure> {
    let (desired, board) = (service.api.desired.borrow().clone(), service.board.now());
    let listed: Vec<Value> =
        board.functions.iter().map(|(id, status)| function(service, &desired, id, status)).collect();
    Ok(call::json(200, &json!({ "functions": listed })))
}

fn function(service: &Service, desired: &Desired, id: &FunctionId, status: &FunctionStatus) -> Value {
    let wanted = desired.functions.get(id);
    let snapshot = service.serving.load();
    let serving = snapshot.functions.get(id).and_then(Option::as_ref);
    let counts = serving.map(|function| function.metrics.counts()).unwrap_or_default();
    let routes: Vec<Value> = desired
        .routes
        .iter()
        .filter(|(_, r)| r.function_id == *id)
        .map(|(id, r)| route(id.as_str(), r))
        .collect();
    let mut attached: Vec<AttachPoint> =
        desired.middleware.values().filter(|m| m.function_id == *id).flat_map(|m| m.attach.clone()).collect();
    attached.sort();
    attached.dedup();
    json!({
        "id": id.as_str(),
        "origin": status.origin,
        "version": status.version,
        "serving_version": status.serving_version,
        "phase": status.phase,
        "since": status.since,
        "last_error": status.last_error,
        "restart_count": status.restart_count,
        "next_try_secs": status.again.map(|at| at.saturating_duration_since(Instant::now()).as_secs()),
        "routes": routes,
        "middleware": attached.iter().map(|point| point.as_str()).collect::<Vec<_>>(),
        "hot_instances": serving.map_or(0, |function| function.metrics.instances.get()),
        "instances": wanted.map(|spec| json!({ "min": spec.instances.min, "max": spec.instances.max })),
        "invocations": counts.invocations,
        "errors": counts.errors,
        "sha256": wanted.map(|spec| spec.sha256.to_string()),
        "memory_pages": wanted.map(|spec| spec.memory_pages),
        "max_execution_ms": wanted.map(|spec| u64::try_from(spec.max_execution.as_millis()).unwrap_or(u64::MAX)),
    })
}

fn route(id: &str, route: &RouteSpec) -> Value {
    json!({
        "id": id,
        "host": route.host.to_string(),
        "path": route.path.to_string(),
        "methods": route.methods,
    })
}

/// `GET /twinlet/why/{id}`: how a function came to be as it is, in words.
pub(super) fn why(service: &Service, call: &mut Call) -> Result<Answer, Failure> {
    let facts = call.function().and_then(|id| Facts::of(service, id)).ok_or(Failure::UnknownFunction)?;
    let (conclusion, steps) = why::explain(&facts);
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| json!({ "step": step.name, "state": step.state.as_str(), "detail": step.detail }))
        .collect();
    let body = json!({ "id": facts.id.as_str(), "conclusion": conclusion, "steps": steps });
    Ok(call::json(200, &body))
}

/// `GET /twinlet/logs`: the last lines of the log, of all or of one function.
pub(super) fn logs(_: &Service, call: &Call) -> Result<Answer, Failure> {
    let after = number(call, "after", 0, u64::MAX)?;
    let limit = number(call, "limit", LINES as u64, MAX_LINES as u64)?;
    let level = match call.parameter("level") {
        None => log::LevelFilter::Trace,
        Some(text) => text.parse().map_err(|_| {
            Failure::Invalid("level: is none of `error`, `warn`, `info`, `debug` and `trace`".into())
        })?,
    };
    let function = match call.parameter("function") {
        None => None,
        Some(text) => {
            Some(text.parse::<FunctionId>().map_err(|e| Failure::Invalid(format!("function: {e}")))?)
        }
    };
    let wanted = |line: &Line| {
        line.level <= level && function.as_ref().is_none_or(|function| line.is_of(function.as_str()))
    };
    let (lines, last) = RING.after(after, usize::try_from(limit).unwrap_or(usize::MAX), wanted);
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({ "seq": line.seq, "unix_ms": line.unix_ms, "level": line.level.as_str().to_lowercase(),
                    "target": line.target, "text": line.text })
        })
        .collect();
    Ok(call::json(200, &json!({ "lines": lines, "last": last })))
}

/// A whole number of the query.
fn number(call: &Call, name: &str, default: u64, most: u64) -> Result<u64, Failure> {
    match call.parameter(name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| *number <= most)
            .ok_or_else(|| Failure::Invalid(format!("{name}: a whole number from 0 to {most} is wanted"))),
    }
}
