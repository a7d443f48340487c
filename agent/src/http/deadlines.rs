//! A connection's bytes, with deadlines for slow peers: how long a head may take from its first byte, and how long a
//! peer may take to read. Knows nothing of HTTP; the door says when a request is whole.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Between a door and the bytes of its connection: whether a request is being answered, and how many have been.
#[derive(Clone, Default)]
pub(super) struct Exchange(Arc<Counts>);

#[derive(Default)]
struct Counts {
    answering: AtomicBool,
    heads: AtomicU32,
}

impl Exchange {
    /// A head is whole: the next one has a deadline of its own.
    pub(super) fn begins(&self) {
        self.0.heads.fetch_add(1, Relaxed);
        self.0.answering.store(true, Relaxed);
    }

    /// The answer is made; what is read from now on is the next head.
    pub(super) fn ends(&self) {
        self.0.answering.store(false, Relaxed);
    }
}

pub(super) struct Deadlines {
    stream: TcpStream,
    exchange: Exchange,
    heads_seen: u32,
    head_timeout: Duration,
    head: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
    write: Option<Pin<Box<Sleep>>>,
}

impl Deadlines {
    pub(super) fn new(
        stream: TcpStream,
        exchange: Exchange,
        head_timeout: Duration,
        write_timeout: Duration,
    ) -> Self {
        Self { stream, exchange, heads_seen: 0, head_timeout, head: None, write_timeout, write: None }
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

    fn written<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write = None;
            return outcome;
        }
        let timeout = self.write_timeout;
        self.write.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        Self::check(&mut self.write, "the peer does not read", cx).map(Err)
    }
}

impl AsyncRead for Deadlines {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.stream).poll_read(cx, buf);
        let heads = this.exchange.0.heads.load(Relaxed);
        if heads != this.heads_seen {
            this.heads_seen = heads;
            this.head = None;
        }
        if this.exchange.0.answering.load(Relaxed) {
            return outcome;
        }
        if buf.filled().len() > before {
            let deadline = Instant::now() + this.head_timeout;
            this.head.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        }
        match Self::check(&mut this.head, "the head does not end", cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => outcome,
        }
    }
}

impl AsyncWrite for Deadlines {
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
