//! A connection's bytes, with deadlines for slow peers: how long a head may take from its first byte, and how long a
//! peer may take to read. Hyper gets only what [`heads`](super::heads) lets pass.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::heads::{Framing, Seen};
use super::patience::Exchange;

/// What hyper gets in place of a head that is refused: no head that it could take what it has for, so that it answers
/// 400 and closes.
const NO_HEAD: &[u8] = b"\0\r\n\r\n";

/// How long a peer may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) head_bytes: usize,
    pub(super) head_timeout: Duration,
    pub(super) write_timeout: Duration,
}

pub(super) struct Deadlines<S> {
    stream: S,
    exchange: Exchange,
    framing: Framing,
    /// Heads that were read, and those of them that the door has got.
    heads: (u32, u32),
    refused: bool,
    limits: Limits,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Deadlines<S> {
    pub(super) fn new(stream: S, exchange: Exchange, limits: Limits) -> Self {
        let framing = Framing::new(limits.head_bytes);
        Self { stream, exchange, framing, heads: (0, 0), refused: false, limits, head: None, write: None }
    }

    /// Turns a wait that has lasted too long into an error.
    fn check(
        timer: &mut Option<Pin<Box<Sleep>>>,
        what: &'static str,
        cx: &mut Context<'_>,
    ) -> Poll<io::Error> {
        let over = timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if over { Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, what)) } else { Poll::Pending }
    }

    fn written(&mut self, outcome: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(outcome) = outcome {
            if self.write.take().is_some() {
                self.exchange.reads_again();
            }
            self.exchange.has_read(*outcome.as_ref().unwrap_or(&0));
            return Poll::Ready(outcome);
        }
        if self.write.is_none() {
            self.exchange.does_not_read();
        }
        let timeout = self.limits.write_timeout;
        self.write.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        Self::check(&mut self.write, "the peer does not read", cx).map(Err)
    }

    /// Looks at what was read from `before` on, and leaves hyper what may be a request.
    fn look(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        let read = buf.filled().get(before..).unwrap_or_default();
        let (exchange, heads) = (&self.exchange, &mut self.heads.0);
        let outcome = self.framing.read(read, &mut |seen| match seen {
            Seen::Head { lasting, .. } => {
                *heads = heads.wrapping_add(1);
                if !lasting {
                    exchange.ends_with(*heads);
                }
            }
            Seen::Body(bytes) => exchange.gets(bytes),
        });
        let Err(passes) = outcome else { return Ok(()) };
        self.refused = true;
        buf.set_filled(before + passes);
        if buf.remaining() < NO_HEAD.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no head"));
        }
        buf.put_slice(NO_HEAD);
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Deadlines<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.refused {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buf);
        let heads = this.exchange.heads();
        if heads != this.heads.1 {
            this.heads.1 = heads;
            this.head = None;
        }
        if buf.filled().len() > before {
            this.look(buf, before)?;
        }
        if this.exchange.is_answering() {
            return outcome;
        }
        if buf.filled().len() > before {
            let deadline = Instant::now() + this.limits.head_timeout;
            this.head.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        }
        match Self::check(&mut this.head, "the head does not end", cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => outcome,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Deadlines<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.written(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // With TLS these write as well.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.written(outcome.map_ok(|()| 0), cx).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.written(outcome.map_ok(|()| 0), cx).map_ok(|_| ())
    }
}
