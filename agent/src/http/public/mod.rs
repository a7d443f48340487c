//! The public door: hyper on `LISTEN_ADDR:LISTEN_PORT`, on the `net` runtime. It accepts, frames, limits and times
//! out; requests go to the service, whole or with a body that follows.

mod exchange;
mod outlet;
mod peers;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::Service;
pub use super::access::{Access, KeysFileError, Rules};
use super::deadlines::{Deadlines, Exchange};
use crate::config::Http;
use exchange::{exchange, to_hyper};
use peers::Peers;
use tls::Stream;
pub use tls::{Tls, TlsError};

/// After a failed accept, as when all file descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
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
    let places = Arc::new(Semaphore::new(door.limits.max_connections));
    let peers = Peers::new(door.limits.max_connections_per_peer);
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
                    let connection = connection(stream, door.clone(), stop.clone());
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

async fn connection(stream: TcpStream, door: Arc<Door>, mut stop: watch::Receiver<bool>) {
    let state = Exchange::default();
    let io = Deadlines::new(stream, state.clone(), door.limits.head_timeout, door.limits.idle_timeout);
    let io = match &door.tls {
        None => Stream::Plain(io),
        Some(tls) => {
            let accepted = tokio::select! {
                accepted = tls.accept(io, door.limits.head_timeout) => accepted,
                _ = stop.changed() => return,
            };
            // The bytes of a handshake are none of a head's.
            state.begins();
            state.ends();
            match accepted {
                Ok(stream) => stream,
                Err(error) => return log::debug!("public: a TLS handshake ended: {error}"),
            }
        }
    };
    let of_requests = door.clone();
    let handler = service_fn(move |request| {
        state.begins();
        let (door, state) = (of_requests.clone(), state.clone());
        async move {
            let head_only = request.method() == hyper::Method::HEAD;
            let answer = exchange(request, &door).await;
            Ok::<_, Infallible>(to_hyper(answer, head_only, state))
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
