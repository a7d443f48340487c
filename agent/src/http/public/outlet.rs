//! The body of a streamed answer, as hyper writes it. Hyper drops a body as soon as no more of it may be written: after
//! `content-length` bytes, and at once under `HEAD` or a status without a body. To the guest that still writes or
//! flushes this would look as if the client had gone away, so here such a body is taken to its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use tokio::runtime::Handle;
use twinlet_host::wasi_http::HyperOutgoingBody;

use crate::http::patience::Exchange;

/// A body on its way to a client.
pub(super) struct Outlet {
    runtime: Handle,
    body: Option<HyperOutgoingBody>,
    /// Bytes that the client is still to get, where that is known.
    left: Option<u64>,
    exchange: Exchange,
}

impl Outlet {
    /// The body behind this head; the exchange ends with it.
    pub(super) fn new(
        body: HyperOutgoingBody,
        (status, headers): (StatusCode, &HeaderMap),
        head_only: bool,
        exchange: Exchange,
    ) -> Self {
        let bodiless = head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let told = || headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
        let left = if bodiless { Some(0) } else { told() };
        Self { runtime: Handle::current(), body: Some(body), left, exchange }
    }
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = <HyperOutgoingBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(length));
            }
            Poll::Ready(_) => self.body = None,
            Poll::Pending => {}
        }
        frame
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.exchange.ends();
        if let (Some(0), Some(mut body)) = (self.left, self.body.take()) {
            // It ends with the guest, which has a deadline.
            self.runtime.spawn(async move { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} });
        }
    }
}
