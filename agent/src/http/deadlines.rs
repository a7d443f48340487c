//! A connection's bytes, with deadlines for slow peers: how long a head may take from its first byte, and how long a
//! peer may take to read. Hyper gets one head at a time, and only one that [`heads`](super::heads) lets pass; the door
//! says how much of a body follows it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::heads::{Head, Seen};
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

/// What the next bytes are.
enum Next {
    /// Of a head.
    Head(Head),
    /// Of whatever the door says, once hyper has given it the head that it has.
    AsTold,
    /// So many bytes of a body.
    Body(u64),
    /// The rest of the connection, on which no other request is answered.
    Rest,
    /// Nothing that is looked at.
    Nothing,
}

pub(super) struct Deadlines<S> {
    stream: S,
    exchange: Exchange,
    heads_seen: u32,
    next: Next,
    /// What came behind what hyper may have now, and how much of it hyper has got since.
    behind: (Vec<u8>, usize),
    limits: Limits,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Deadlines<S> {
    pub(super) fn new(stream: S, exchange: Exchange, limits: Limits) -> Self {
        let (next, behind) = (Next::Head(Head::default()), (Vec::new(), 0));
        Self { stream, exchange, heads_seen: 0, next, behind, limits, head: None, write: None }
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

    /// Takes note of a head that the door has got since.
    fn follow(&mut self) {
        let heads = self.exchange.heads();
        if heads != self.heads_seen {
            self.heads_seen = heads;
            self.head = None;
            self.next = match self.exchange.body() {
                _ if !self.exchange.lasts() => Next::Rest,
                Some(0) => Next::Head(Head::default()),
                Some(length) => Next::Body(length),
                None => Next::Rest,
            };
        }
    }

    /// Reads what is there: what came before and was held back, or else from the peer.
    fn fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (bytes, got) = &mut self.behind;
        let waiting = bytes.get(*got..).unwrap_or_default();
        if waiting.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let now = waiting.len().min(buf.remaining());
        buf.put_slice(waiting.get(..now).unwrap_or(waiting));
        *got += now;
        if *got == bytes.len() {
            self.behind = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Of what was read from `before` on, leaves hyper as much as it may have now.
    fn pass(&mut self, buf: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        let read = buf.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Ok(());
        }
        let passes = match &mut self.next {
            Next::Head(head) => match head.read(read, self.limits.head_bytes) {
                Seen::More => read.len(),
                Seen::Whole { ends, lasting } => {
                    self.exchange.lasts_if(lasting);
                    self.next = Next::AsTold;
                    ends
                }
                Seen::Refused => {
                    self.next = Next::Nothing;
                    buf.set_filled(before);
                    if buf.remaining() < NO_HEAD.len() {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "no head"));
                    }
                    buf.put_slice(NO_HEAD);
                    return Ok(());
                }
            },
            Next::Body(left) => {
                let passes = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left -= passes as u64;
                self.exchange.holds(passes);
                if *left == 0 {
                    self.next = Next::Head(Head::default());
                }
                passes
            }
            Next::Rest => {
                self.exchange.holds(read.len());
                read.len()
            }
            Next::AsTold | Next::Nothing => 0,
        };
        if let Some(rest) = read.get(passes..).filter(|rest| !rest.is_empty()) {
            let (bytes, got) = &mut self.behind;
            // What is held back came from there, or that was empty.
            *got -= if bytes.is_empty() { 0 } else { rest.len() };
            if bytes.is_empty() {
                bytes.extend_from_slice(rest);
            }
            buf.set_filled(before + passes);
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Deadlines<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.follow();
        match this.next {
            // Hyper does not ask before it has given the head that it has.
            Next::AsTold => return Poll::Pending,
            Next::Nothing => return Poll::Ready(Ok(())),
            _ => {}
        }
        let before = buf.filled().len();
        let outcome = this.fill(cx, buf);
        if let Poll::Ready(Ok(())) = outcome {
            this.pass(buf, before)?;
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
