//! Stands before tiny_http, which is not made for what may happen at a socket: it ends for good when it can accept no
//! connection, panics when a descriptor is missing for one or its peer has gone at once, and makes room for whatever
//! length an unread body claims to have. So connections are accepted here, counted, looked at and passed on to it over
//! a socket of its own. Knows bytes and heads, and nothing of what is asked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::heads::{Framing, Seen};
use crate::process::{file_limit, open_files};

/// Connections at once, where there are descriptors for as many.
const PLACES: usize = 32;
/// Descriptors that each may take: its own, and tiny_http's three.
const FILES_EACH: usize = 4;
/// Descriptors that are left for everything else.
const FILES_LEFT: usize = 4;
/// After a failed accept.
const PAUSE: Duration = Duration::from_millis(100);
/// Of a head.
const HEAD_BYTES: usize = 64 << 10;
/// A connection that is kept open without a request holds its place for so long; no operation takes longer.
const IDLE: Duration = Duration::from_secs(600);
const PIECE: usize = 8 << 10;

/// Where connections come from.
pub(super) enum Outer {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

/// What the gate lets pass, and where to.
pub(super) struct Gate {
    /// The socket that tiny_http listens on.
    pub(super) inner: PathBuf,
    /// The longest body that a head may announce.
    pub(super) longest: u64,
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

impl Gate {
    /// Lets connections in until it is aborted.
    pub(super) fn open(self, outer: Outer, runtime: &Handle) -> io::Result<AbortHandle> {
        let _runtime = runtime.enter();
        let listener = match outer {
            Outer::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Listener::Unix(UnixListener::from_std(listener)?)
            }
            Outer::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?)
            }
        };
        Ok(runtime.spawn(Arc::new(self).serve(listener)).abort_handle())
    }

    async fn serve(self: Arc<Self>, listener: Listener) {
        let most = PLACES.min(file_limit() / 16).max(1);
        let places = Arc::new(Semaphore::new(most));
        let mut failing = false;
        while let Ok(place) = places.clone().acquire_owned().await {
            let accepted = listener.accept().await.and_then(|client| match open_files() {
                open if open + most * FILES_EACH + FILES_LEFT > file_limit() => Err(io::Error::other(
                    format!("{open} of {} files are open, which leaves too few", file_limit()),
                )),
                _ => Ok(client),
            });
            match accepted {
                Ok(client) => {
                    failing = false;
                    let gate = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = gate.pass(client).await {
                            log::debug!("local: a connection ended: {error}");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        log::warn!("local: accepting connections, which is tried on: {error}");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Passes bytes both ways until one side has ended.
    async fn pass(&self, client: Box<dyn Duplex>) -> io::Result<()> {
        let (mut from_inner, to_inner) = UnixStream::connect(&self.inner).await?.into_split();
        let (from_client, mut to_client) = tokio::io::split(client);
        let answered = AtomicBool::new(false);
        let refusal = {
            let down = async {
                let mut piece = vec![0; PIECE];
                loop {
                    let read = from_inner.read(&mut piece).await?;
                    if read == 0 {
                        return io::Result::Ok(());
                    }
                    answered.store(true, Relaxed);
                    to_client.write_all(piece.get(..read).unwrap_or_default()).await?;
                }
            };
            tokio::pin!(down);
            tokio::select! {
                ended = &mut down => ended.map(|()| None)?,
                refusal = self.up(from_client, to_inner) => match refusal? {
                    // In the midst of an answer another would be taken for a part of it.
                    Some(_) if answered.load(Relaxed) => None,
                    Some(refusal) => Some(refusal),
                    // It has sent all it will send, and may still read.
                    None => down.await.map(|()| None)?,
                },
            }
        };
        if let Some(refusal) = refusal {
            let answer = format!("HTTP/1.1 {refusal}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            to_client.write_all(answer.as_bytes()).await?;
        }
        to_client.shutdown().await
    }

    /// Passes on what the client sends; returns why there is no more, if that is the client's fault.
    async fn up(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<Option<&'static str>> {
        let mut framing = Framing::new(HEAD_BYTES);
        let mut piece = vec![0; PIECE];
        loop {
            // Who sends nothing for so long sends nothing more.
            let read = timeout(IDLE, from.read(&mut piece)).await.unwrap_or(Ok(0))?;
            let bytes = piece.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return to.shutdown().await.map(|()| None);
            }
            let mut longest = 0;
            let outcome = framing.read(bytes, &mut |seen| {
                if let Seen::Head { length, .. } = seen {
                    longest = longest.max(length);
                }
            });
            if outcome.is_err() {
                return Ok(Some("400 Bad Request"));
            }
            if longest > self.longest {
                return Ok(Some("413 Payload Too Large"));
            }
            to.write_all(bytes).await?;
        }
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Duplex>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }
}
