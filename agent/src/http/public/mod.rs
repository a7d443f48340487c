//! The public door: hyper on `LISTEN_ADDR:LISTEN_PORT`, on the `net` runtime. It accepts, frames, limits and times
//! out; requests go to the service, whole or with a body that follows.

mod exchange;
mod outlet;
mod peers;
mod tls;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Either;
use hyper::Request;
use hyper::body::{Body, Incoming as Streaming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Service;
pub use super::access::{Access, KeysFileError, Rules};
use super::deadlines::{Deadlines, Limits};
use super::patience::Exchange;
use crate::config::Http;
use crate::process::file_limit;
use exchange::{exchange, to_hyper};
use peers::Peers;
use tls::Stream;
pub use tls::{Tls, TlsError};

/// After a failed accept, as when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// File descriptors that are left for everything but this door.
const OTHER_FILES: usize = 160;

/// What all connections of the door share.
pub struct Door {
    /// What answers.
    pub service: Arc<Service>,
    /// The limits.
    pub limits: Http,
    /// Who may do what.
    pub access: Arc<Access>,
    /// The certificate; none where it is plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

/// Serves until `stop` changes, then lets what was begun end; the caller bounds how long that may take.
pub async fn serve(listener: TcpListener, door: Arc<Door>, mut stop: watch::Receiver<bool>) {
    let peers = Peers::new(places(door.limits.max_connections), door.limits.max_connections_per_peer);
    let mut connections = JoinSet::new();
    let (mut id, mut failing) = (0_u64, false);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = peers.room.heavy.notified() => {
                peers.lighten().await;
                continue;
            }
            _ = stop.changed() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    log::warn!("public: accepting connections, which is tried on: {error}");
                }
                peers.relieve();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        failing = false;
        id += 1;
        let peer = peer.ip().to_canonical();
        let admitted = tokio::select! {
            admitted = peers.admit(peer, id) => admitted,
            _ = stop.changed() => break,
        };
        match admitted {
            Some((seat, state)) => {
                let connection = connection(stream, state, door.clone(), stop.clone());
                let task = connections.spawn(async move {
                    connection.await;
                    drop(seat);
                });
                peers.served_by(peer, id, task);
            }
            None => log::debug!("public: {peer} has as many connections as one peer may have"),
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// How many connections there may be: what is asked for, or as many as the limit of file descriptors leaves.
fn places(wanted: usize) -> usize {
    let limit = file_limit();
    let most = limit.saturating_sub(OTHER_FILES).max(limit / 4).max(1);
    if most < wanted {
        log::warn!(
            "http_max_connections is {wanted}, of which the limit of {limit} open files leaves {most}"
        );
    }
    wanted.min(most)
}

async fn connection(stream: TcpStream, state: Exchange, door: Arc<Door>, mut stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("public: a connection without TCP_NODELAY: {error}");
    }
    let stream = match &door.tls {
        None => Stream::Plain(stream),
        Some(tls) => {
            let accepted = tokio::select! {
                accepted = tls.accept(stream, door.limits.head_timeout) => accepted,
                _ = stop.changed() => return,
            };
            match accepted {
                Ok(stream) => stream,
                Err(error) => return log::debug!("public: a TLS handshake ended: {error}"),
            }
        }
    };
    let limits = Limits {
        head_bytes: door.limits.max_head_bytes,
        head_timeout: door.limits.head_timeout,
        write_timeout: door.limits.idle_timeout,
    };
    let io = Deadlines::new(stream, state.clone(), limits);
    let of_requests = door.clone();
    let handler = service_fn(move |request: Request<Streaming>| {
        state.begins();
        let (door, state) = (of_requests.clone(), state.clone());
        async move {
            let head_only = request.method() == hyper::Method::HEAD;
            let answer = exchange(request, &door, &state).await;
            let mut response = to_hyper(answer, head_only, state.clone());
            if let Either::Left(whole) = response.body() {
                state.answers(usize::try_from(whole.size_hint().lower()).unwrap_or(usize::MAX));
            }
            if !state.lasts() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // Counts from the end of the last exchange, so it bounds idle connections; `Deadlines` bounds heads.
        .header_read_timeout(door.limits.idle_timeout)
        .max_header_size(door.limits.max_head_bytes)
        .max_buf_size(door.limits.max_head_bytes.max(16 << 10))
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
