//! The public door: hyper on `LISTEN_ADDR:LISTEN_PORT`, on the `net` runtime. It accepts, frames, limits and times
//! out; requests go to the service, whole or with a body that follows.

mod outlet;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming as Streaming};
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::Failure;
use super::deadlines::{Deadlines, Exchange};
use super::{Body, Incoming, Outgoing, Service, request_id};
use crate::config::Http;
use outlet::Outlet;

/// After a failed accept, as when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long past a call's deadline its worker has for an answer of its own.
const ANSWER_GRACE: Duration = Duration::from_millis(30);

/// Serves until `stop` changes, then lets what was begun end; the caller bounds how long that may take.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    limits: Arc<Http>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let peers = Arc::new(Peers { most: limits.max_connections_per_peer, open: Mutex::default() });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, peer, place)) => match peers.admit(peer) {
                Some(seat) => {
                    let connection = connection(stream, service.clone(), limits.clone(), stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop((seat, place));
                    });
                }
                None => log::debug!("public: {peer} has as many connections as one peer may have"),
            },
            Err(error) => {
                log::warn!("public: accepting a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is a place for one more.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer.ip().to_canonical(), place))
}

async fn connection(
    stream: TcpStream,
    service: Arc<Service>,
    limits: Arc<Http>,
    mut stop: watch::Receiver<bool>,
) {
    let state = Exchange::default();
    let io = Deadlines::new(stream, state.clone(), limits.head_timeout, limits.idle_timeout);
    let of_requests = limits.clone();
    let handler = service_fn(move |request| {
        state.begins();
        let (service, limits, state) = (service.clone(), of_requests.clone(), state.clone());
        async move {
            let head_only = request.method() == hyper::Method::HEAD;
            let answer = exchange(request, &service, &limits).await;
            Ok::<_, Infallible>(to_hyper(answer, head_only, state))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // Counts from the end of the last exchange, so it bounds idle connections; `Deadlines` bounds heads.
        .header_read_timeout(limits.idle_timeout)
        .max_header_size(limits.max_head_bytes)
        .max_buf_size(limits.max_head_bytes.max(16 << 10))
        .half_close(false);
    let mut serving = pin!(http.serve_connection(TokioIo::new(io), handler));
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        _ = stop.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        log::debug!("public: a connection ended: {error}");
    }
}

async fn exchange(request: Request<Streaming>, service: &Arc<Service>, limits: &Http) -> Outgoing {
    let id = request_id(request.headers().get("x-request-id").map(HeaderValue::as_bytes));
    let whole = |failure: Failure| Outgoing::Whole(failure.answer(&id));
    let answer = match read(request, id.clone(), service, limits).await {
        Ok(incoming) => answered(incoming, service).await.unwrap_or_else(whole),
        Err(failure) => whole(failure),
    };
    service.leaves_by("public", answer, &id)
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
    service: &Service,
    limits: &Http,
) -> Result<Incoming, Failure> {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > u64::try_from(limits.max_body_bytes).unwrap_or(u64::MAX) {
        return Err(Failure::TooLarge(limits.max_body_bytes));
    }
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
    };
    let body = Limited::new(body, limits.max_body_bytes);
    incoming.body = match service.streams(&incoming) {
        true => Body::Streamed(body.boxed_unsync()),
        false => Body::Whole(whole(body, limits).await?),
    };
    Ok(incoming)
}

async fn whole(body: Limited<Streaming>, limits: &Http) -> Result<Vec<u8>, Failure> {
    match timeout(limits.body_timeout, body.collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::TooLarge(limits.max_body_bytes)),
        Ok(Err(_)) => Err(Failure::Malformed("The request body is malformed")),
        Err(_) => Err(Failure::SlowBody),
    }
}

/// The answer as hyper has it; the exchange ends now where it is whole, else with its body.
fn to_hyper(answer: Outgoing, head_only: bool, exchange: Exchange) -> Response<Either<Full<Bytes>, Outlet>> {
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

/// Connections by address.
struct Peers {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One of an address' connections.
struct Seat {
    peers: Arc<Peers>,
    address: IpAddr,
}

impl Peers {
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { peers: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}
