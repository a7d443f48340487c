//! The body of a response on its way in: a thread reads, the guest takes, and a few pieces lie between them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Sleep, sleep};
use wasmtime_wasi_http::Error;

use super::outgoing::{Flow, MAX_BODY_BYTES, code};
use crate::http_client::{READ_BYTES, Received};

/// Pieces of up to [`READ_BYTES`] that wait for the guest.
const PIECES: usize = 4;

/// What the guest takes.
pub(super) struct ResponseBody {
    /// From the request's thread. No bytes are the end; a thread that goes without saying so broke the body.
    pieces: Option<Receiver<Result<Bytes, Error>>>,
    /// How long the guest lets the next piece take, and the clock of the present one.
    between: Option<Duration>,
    clock: Option<Pin<Box<Sleep>>>,
}

impl ResponseBody {
    /// A body, and where its pieces go in.
    pub(super) fn new(between: Option<Duration>) -> (Sender<Result<Bytes, Error>>, Self) {
        let (sender, pieces) = channel(PIECES);
        (sender, Self { pieces: Some(pieces), between, clock: None })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
        let Poll::Ready(piece) = pieces.poll_recv(context) else {
            let Some(between) = self.between else { return Poll::Pending };
            let clock = self.clock.get_or_insert_with(|| Box::pin(sleep(between)));
            std::task::ready!(clock.as_mut().poll(context));
            self.pieces = None;
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        self.clock = None;
        match piece.unwrap_or(Err(Error::ConnectionTerminated)) {
            Ok(bytes) if bytes.is_empty() => {
                self.pieces = None;
                Poll::Ready(None)
            }
            Ok(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Err(error) => {
                self.pieces = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

/// Reads a response's body to its end, or until nobody wants it any more.
pub(super) fn pass_on(mut received: Received, flow: &Flow, to: &Sender<Result<Bytes, Error>>) {
    let mut buffer = vec![0; READ_BYTES];
    let mut carried = 0_u64;
    loop {
        let piece = match received.read(&mut buffer) {
            Ok(length) => {
                carried = carried.saturating_add(length as u64);
                flow.pay(length);
                match carried > MAX_BODY_BYTES {
                    true => Err(Error::HttpResponseBodySize(Some(MAX_BODY_BYTES))),
                    false => Ok(Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default())),
                }
            }
            Err(failure) => Err(code(failure)),
        };
        let last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
        let sent = flow.wait(to.send(piece)).is_some_and(|sent| sent.is_ok());
        if last || !sent {
            return;
        }
    }
}
