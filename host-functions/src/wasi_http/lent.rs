//! The body of a request that is answered, lent for one call. A guest that is called again and again may keep a handle
//! to it, as one does whose language collects its garbage later; the client's connection must not wait for that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use wasmtime_wasi_http::{Error, WasiBody};

type Shared = Arc<Mutex<Option<WasiBody>>>;

/// Takes the body back when it is dropped.
pub(super) struct Lender(Shared);

/// What the guest has of it.
pub(super) struct Lent(Shared);

/// Lends a body.
pub(super) fn lend(body: WasiBody) -> (Lender, Lent) {
    let shared = Arc::new(Mutex::new(Some(body)));
    (Lender(shared.clone()), Lent(shared))
}

impl Drop for Lender {
    fn drop(&mut self) {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(body);
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(Some(Err(Error::ConnectionTerminated))),
        }
    }
}
