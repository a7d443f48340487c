//! The middleware of one request: each called on this worker, in the lane of its function, and what it says applied.

use std::time::Instant;

use twinlet_host::bindings::twinlet::device::middleware_types::{Action, Failure as Told, Modification};
use twinlet_host::bindings::twinlet::device::types::{Request, Response};

use super::answer::{Answer, Failure};
use super::exchange::Exchange;
use super::withheld::shown;
use super::{HOP_BY_HOP, ON_ERROR_TIME};
use crate::board::unix_millis;
use crate::chains::Link;
use crate::desired::{AttachPoint, FunctionId, OnFailure};
use crate::pool::{CallError, Function};

/// Bytes of a body that a middleware puts in another's place.
const MAX_BODY_BYTES: usize = 8 << 20;

/// Headers as guests have them.
type Headers = Vec<(String, Vec<u8>)>;

impl Exchange<'_> {
    /// The middleware before a request, in order. An answer, where one of them rejects it.
    pub(super) fn before(&self, path: &str, request: &mut Request) -> Result<Option<Answer>, Failure> {
        for link in self.links(AttachPoint::Request, path) {
            let began = Instant::now();
            let called = self.call(link, AttachPoint::Request, |f, by| {
                shown(request, &f.spec.permissions, |seen| f.on_request(seen, by))
            });
            let done = called.and_then(|action| match action {
                Action::Continue => Ok(Said::Continue),
                Action::Reject(status) => rejection(status).map(Said::Answer),
                Action::Modify(change) => {
                    change_request(request, change)?;
                    Ok(Said::Changed)
                }
            });
            if let Said::Answer(answer) =
                self.settle(&link.function_id, link.on_failure, AttachPoint::Request, began, done)?
            {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// The middleware after a response, in order.
    pub(super) fn after(&self, path: &str, mut answer: Answer, request_id: &str) -> Result<Answer, Failure> {
        for link in self.links(AttachPoint::Response, path) {
            let mut seen = Response {
                status: answer.status,
                headers: answer.headers.clone(),
                body: answer.body.clone(),
            };
            seen.headers.retain(|(name, _)| name != "x-request-id");
            seen.headers.push(("x-request-id".to_owned(), request_id.as_bytes().to_vec()));
            let began = Instant::now();
            let called = self.call(link, AttachPoint::Response, |f, by| f.on_response(&seen, by));
            let done = called.and_then(|action| match action {
                Action::Continue => Ok(Said::Continue),
                Action::Reject(status) => rejection(status).map(Said::Answer),
                Action::Modify(change) => changed(&mut answer, change).map(|()| Said::Changed),
            });
            if let Said::Answer(rejected) =
                self.settle(&link.function_id, link.on_failure, AttachPoint::Response, began, done)?
            {
                return Ok(rejected);
            }
        }
        Ok(answer)
    }

    /// The middleware on errors, in order. There is nothing left to guard: one that fails is passed over.
    pub(super) fn on_failure(
        &self,
        path: &str,
        failure: &Failure,
        request: &Request,
        mut answer: Answer,
    ) -> Answer {
        for link in self.links(AttachPoint::Error, path) {
            let (_, kind, _, message) = failure.told();
            let told = Told {
                request_id: request.request_id.clone(),
                method: request.method.clone(),
                path: request.path.clone(),
                status: answer.status,
                kind: kind.to_owned(),
                message,
            };
            let began = Instant::now();
            let called = self.call(link, AttachPoint::Error, |f, by| f.on_error(&told, by));
            let done = called.and_then(|action| match action {
                Action::Continue => Ok(Said::Continue),
                Action::Reject(status) => rejection(status).map(Said::Answer),
                Action::Modify(change) => changed(&mut answer, change).map(|()| Said::Changed),
            });
            let settled = self.settle(&link.function_id, OnFailure::Open, AttachPoint::Error, began, done);
            if let Ok(Said::Answer(rejected)) = settled {
                answer = rejected;
            }
        }
        answer
    }

    /// Calls one middleware, in its own lane.
    fn call(
        &self,
        link: &Link,
        point: AttachPoint,
        call: impl FnOnce(&Function, Instant) -> Result<Action, CallError>,
    ) -> Result<Action, CallError> {
        let busy = |why: &str| CallError::Exhausted(why.to_owned());
        let function = match self.snapshot.functions.get(&link.function_id) {
            Some(Some(function)) => function,
            Some(None) => return Err(busy("it is not ready yet")),
            None => return Err(busy("it is not in desired state")),
        };
        if !function.exports().attaches(point) {
            return Err(CallError::Guest(format!("it does not export twinlet:device/{point}@0.1.0")));
        }
        let now = Instant::now();
        let own = now + function.spec.max_execution;
        let deadline = match point {
            AttachPoint::Error => own.min(self.deadline.max(now) + ON_ERROR_TIME),
            _ => own.min(self.deadline),
        };
        let visit = self.service.workers.visit(&function.lane, deadline);
        let visit = visit.ok_or_else(|| busy("all its instances are busy"))?;
        let action = call(function, deadline);
        drop(visit);
        function.refill();
        action
    }

    /// Counts how it ended and how long that took, and decides what a failure means.
    fn settle(
        &self,
        id: &FunctionId,
        on_failure: OnFailure,
        point: AttachPoint,
        began: Instant,
        done: Result<Said, CallError>,
    ) -> Result<Said, Failure> {
        let known = self.snapshot.functions.get(id);
        let (took, now) = (began.elapsed(), unix_millis());
        self.service.metrics.executions.count(took, done.is_err(), now);
        if let Some(Some(function)) = known {
            function.metrics.executions.count(took, done.is_err(), now);
            // For want of a place it is not the function that fails, nor where the request had less time than it has.
            if !matches!(done, Err(CallError::Exhausted(_) | CallError::Late(_))) {
                function.metrics.tally.invoked(done.is_err());
            }
        }
        let count = |outcome| {
            // What no function has would stay for good.
            if known.is_some() {
                self.service.metrics.middleware(id, point.as_str(), outcome);
            }
        };
        let error = match done {
            Ok(said) => {
                count(match said {
                    Said::Continue => "continue",
                    Said::Changed => "modify",
                    Said::Answer(_) => "reject",
                });
                return Ok(said);
            }
            Err(error) => error,
        };
        let open = on_failure == OnFailure::Open;
        count(if open { "failed_open" } else { "failed_closed" });
        self.service.board.invocation_failed(id, &format!("{point}: {error}"));
        let may_complain = match known {
            Some(Some(function)) => function.may_complain(),
            _ => self.service.may_complain(),
        };
        let level = if may_complain { log::Level::Warn } else { log::Level::Debug };
        let then = if open { "passed over" } else { "the request fails" };
        log::log!(level, "middleware {id}, {point}: {error}; {then}");
        if open { Ok(Said::Continue) } else { Err(Failure::from(error)) }
    }
}

/// What a middleware has said, once it is carried out.
enum Said {
    Continue,
    Changed,
    Answer(Answer),
}

fn rejection(status: u16) -> Result<Answer, CallError> {
    let response = Response { status, headers: Vec::new(), body: Vec::new() };
    Answer::from_guest(response).map_err(CallError::Guest)
}

fn change_request(request: &mut Request, change: Modification) -> Result<(), CallError> {
    let mut headers = request.headers.clone();
    change_headers(&mut headers, &change)?;
    request.headers = headers;
    if let Some(body) = body_of(change)? {
        request.body = body;
    }
    Ok(())
}

fn changed(answer: &mut Answer, change: Modification) -> Result<(), CallError> {
    let mut headers = answer.headers.clone();
    change_headers(&mut headers, &change)?;
    let status = change.status.unwrap_or(answer.status);
    let body = body_of(change)?;
    // Held to the same rules as a function's own answer, all at once.
    let checked =
        Answer::from_guest(Response { status, headers, body: Vec::new() }).map_err(CallError::Guest)?;
    (answer.status, answer.headers) = (checked.status, checked.headers);
    if let Some(body) = body {
        answer.body = body;
    }
    Ok(())
}

fn body_of(change: Modification) -> Result<Option<Vec<u8>>, CallError> {
    match change.body_replace {
        Some(body) if body.len() > MAX_BODY_BYTES => Err(CallError::Guest(format!(
            "it gave a body of {} bytes; at most {MAX_BODY_BYTES} pass",
            body.len()
        ))),
        body => Ok(body),
    }
}

/// Replaces, adds and removes, in this order; names become lower case, and those of the connection are left alone.
fn change_headers(headers: &mut Headers, change: &Modification) -> Result<(), CallError> {
    let set = plain(&change.headers_set)?;
    headers.retain(|(name, _)| !set.iter().any(|(other, _)| other == name));
    headers.extend(set);
    headers.extend(plain(&change.headers_add)?);
    let removed: Vec<String> = change.headers_remove.iter().map(|name| name.to_ascii_lowercase()).collect();
    headers.retain(|(name, _)| !removed.contains(name));
    Ok(())
}

fn plain(headers: &[(String, Vec<u8>)]) -> Result<Headers, CallError> {
    let mut plain = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = http::HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(_)) = (name, http::HeaderValue::from_bytes(value)) else {
            return Err(CallError::Guest("it set a header that is none".into()));
        };
        if !HOP_BY_HOP.contains(&name.as_str()) {
            plain.push((name.as_str().to_owned(), value.clone()));
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> (String, Vec<u8>) {
        (name.to_owned(), value.as_bytes().to_vec())
    }

    fn nothing() -> Modification {
        Modification {
            status: None,
            headers_set: Vec::new(),
            headers_add: Vec::new(),
            headers_remove: Vec::new(),
            body_replace: None,
        }
    }

    #[test]
    fn headers_are_set_then_added_then_removed() {
        let mut headers = vec![header("a", "1"), header("a", "2"), header("b", "3"), header("c", "4")];
        let change = Modification {
            headers_set: vec![header("A", "5")],
            headers_add: vec![header("b", "6"), header("Content-Length", "7")],
            headers_remove: vec!["C".into()],
            ..nothing()
        };
        change_headers(&mut headers, &change).unwrap();
        assert_eq!(headers, [header("b", "3"), header("a", "5"), header("b", "6")]);
    }

    #[test]
    fn a_change_that_is_not_valid_changes_nothing() {
        let before = Answer::text(200, "x");
        for change in [
            Modification { status: Some(99), body_replace: Some(b"y".to_vec()), ..nothing() },
            Modification { headers_set: vec![header("a b", "1")], ..nothing() },
            Modification { headers_add: vec![header("a", "1\r\nb: 2")], ..nothing() },
            Modification { body_replace: Some(vec![0; MAX_BODY_BYTES + 1]), ..nothing() },
        ] {
            let mut answer = before.clone();
            assert!(changed(&mut answer, change).is_err());
            assert_eq!(answer, before);
        }
        let mut answer = before;
        changed(&mut answer, Modification { status: Some(503), body_replace: Some(Vec::new()), ..nothing() })
            .unwrap();
        assert_eq!((answer.status, answer.body.len()), (503, 0));
        assert!(rejection(700).is_err() && rejection(401).is_ok());
    }
}
