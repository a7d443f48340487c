//! One request at the public door: its head checked, its body read as far as it is to be whole, its answer made hyper's.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming as Streaming};
use hyper::header::HeaderValue;
use hyper::{Request, Response};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Door;
use super::outlet::Outlet;
use crate::http::answer::Failure;
use crate::http::patience::Exchange;
use crate::http::{Body, Incoming, Outgoing, Service, request_id};

/// How long past a call's deadline its worker has for an answer of its own.
const ANSWER_GRACE: Duration = Duration::from_millis(30);

pub(super) async fn exchange(request: Request<Streaming>, door: &Door, state: &Exchange) -> Outgoing {
    let id = request_id(request.headers().get("x-request-id").map(HeaderValue::as_bytes));
    let whole = |failure: Failure| Outgoing::Whole(failure.answer(&id));
    let answer = match read(request, id.clone(), door, state).await {
        Ok(incoming) => answered(incoming, &door.service).await.unwrap_or_else(whole),
        Err(failure) => whole(failure),
    };
    door.service.leaves_by("public", answer, &id)
}

async fn answered(incoming: Incoming, service: &Arc<Service>) -> Result<Outgoing, Failure> {
    let (sender, answer) = oneshot::channel();
    let reply = Box::new(move |answer| {
        if sender.send(answer).is_err() {
            log::debug!("public: the client did not wait for its answer");
        }
    });
    // The workers stopped while it ran: its reply is gone.
    let gone = |_| Failure::Execution;
    match service.handle(incoming, reply) {
        None => answer.await.map_err(gone),
        Some(deadline) => match tokio::time::timeout_at((deadline + ANSWER_GRACE).into(), answer).await {
            Ok(answer) => answer.map_err(gone),
            // A worker is late, or has not come to it; it counts the invocation when it does.
            Err(_) => Err(Failure::Timeout),
        },
    }
}

/// Takes the request, its body included where that is to be whole, or says why not.
async fn read(
    request: Request<Streaming>,
    request_id: String,
    door: &Door,
    state: &Exchange,
) -> Result<Incoming, Failure> {
    let (head, body) = request.into_parts();
    let mut headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let asked = head.uri.authority().map(|authority| authority.as_str().to_owned());
    if let Some(authority) = &asked {
        // It stands above the header, so nobody may see another.
        headers.retain(|(name, _)| name != "host");
        headers.push(("host".to_owned(), authority.as_bytes().to_vec()));
    }
    let host = asked.unwrap_or_else(|| {
        head.headers
            .get("host")
            .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
            .unwrap_or_default()
    });
    let mut incoming = Incoming {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        host,
        headers,
        body: Body::default(),
        request_id,
        may_manage: false,
        secure: door.tls.is_some(),
    };
    let signed = door.access.admit(&mut incoming)?;
    let limit = door.service.body_limit(&incoming, door.limits.max_body_bytes);
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(Failure::TooLarge(limit));
    }
    if limit > door.limits.max_body_bytes {
        state.trusts();
    }
    let body = Limited::new(body, limit);
    // What is signed must be had whole before anyone acts on its first byte.
    incoming.body = match signed.is_none() && door.service.streams(&incoming) {
        true => Body::Streamed(body.boxed_unsync()),
        // Who may send more gets more time for it.
        false => {
            let times = u32::try_from(limit.div_ceil(door.limits.max_body_bytes)).unwrap_or(u32::MAX);
            Body::Whole(whole(body, limit, door.limits.body_timeout.saturating_mul(times)).await?)
        }
    };
    // Its place is not given away once its nonce is being used.
    state.works();
    match signed {
        Some(signed) => door.access.settle(signed, incoming).await,
        None => Ok(incoming),
    }
}

async fn whole(body: Limited<Streaming>, limit: usize, within: Duration) -> Result<Vec<u8>, Failure> {
    match timeout(within, body.collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::TooLarge(limit)),
        Ok(Err(_)) => Err(Failure::Malformed("The request body is malformed")),
        Err(_) => Err(Failure::SlowBody),
    }
}

/// The answer as hyper has it; the exchange ends now where it is whole, else with its body.
pub(super) fn to_hyper(
    answer: Outgoing,
    head_only: bool,
    exchange: Exchange,
) -> Response<Either<Full<Bytes>, Outlet>> {
    let (answer, streamed) = match answer {
        Outgoing::Whole(answer) => (answer, None),
        Outgoing::Streamed(head, body) => (head, Some(body)),
    };
    let mut head = Response::new(());
    *head.status_mut() = hyper::StatusCode::from_u16(answer.status).unwrap_or_default();
    let (status, headers) = (head.status(), head.headers_mut());
    for (name, value) in answer.headers {
        // Both were checked when the answer was made.
        if let (Ok(name), Ok(value)) =
            (hyper::header::HeaderName::try_from(name), HeaderValue::from_maybe_shared(Bytes::from(value)))
        {
            // Never more than an answer may have, far below what the map holds.
            if headers.try_append(name, value).is_err() {
                log::warn!("public: an answer has too many headers");
            }
        }
    }
    let body = match streamed {
        Some(body) => Either::Right(Outlet::new(body, (status, headers), head_only, exchange)),
        None => {
            exchange.ends();
            let mut body = Bytes::from(answer.body);
            if head_only {
                headers.insert(hyper::header::CONTENT_LENGTH, HeaderValue::from(body.len()));
                body.clear();
            }
            Either::Left(Full::new(body))
        }
    };
    head.map(|()| body)
}
