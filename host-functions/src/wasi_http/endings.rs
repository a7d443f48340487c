//! Whether a guest finished the body of its response. wasmtime-wasi-http ends a body in the same way when the guest has
//! finished it and when the guest is gone, so that a client would take half a response for a whole one. Here two of its
//! functions are replaced: `outgoing-response.body` watches the body, and `outgoing-body.finish` says that it is whole.
//!
//! So is `http-error-code`, which in wasmtime-wasi-http 48 does not know the errors of bodies that are read.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::IoError;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, HostOutgoingBody as _, HostOutgoingResponse as _,
};
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, HyperOutgoingBody};
use wasmtime_wasi_http::p2::types::HostOutgoingResponse;
use wasmtime_wasi_http::{Error, FieldMap, WasiHttpView};

use crate::Guest;

/// The interface that is patched, as wasmtime-wasi-http names it; components of other patch versions are linked to it.
const TYPES: &str = "wasi:http/types@0.2.12";

/// The bodies that are not finished yet, by their place in the table. Dropped, it breaks them.
pub(super) type Endings = HashMap<u32, oneshot::Sender<()>>;

/// Replaces the three functions. The linker must allow shadowing.
pub(crate) fn add_endings(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap("[method]outgoing-response.body", watched)?;
    types.func_wrap("[static]outgoing-body.finish", finished)?;
    types.func_wrap("http-error-code", error_code)
}

fn error_code(
    mut store: StoreContextMut<'_, Guest>,
    (error,): (Resource<IoError>,),
) -> wasmtime::Result<(Option<ErrorCode>,)> {
    let error = store.data_mut().table().get(&error)?;
    let written = || error.downcast_ref::<ErrorCode>().cloned();
    Ok((error.downcast_ref::<Error>().map_or_else(written, read_error),))
}

/// What can happen to a body that a guest reads, from its own client or from a server that it asked.
fn read_error(error: &Error) -> Option<ErrorCode> {
    Some(match error {
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        _ => return None,
    })
}

type Opened = Result<Resource<HostOutgoingBody>, ()>;

pub(super) fn watched(
    mut store: StoreContextMut<'_, Guest>,
    (response,): (Resource<HostOutgoingResponse>,),
) -> wasmtime::Result<(Opened,)> {
    let guest = store.data_mut();
    let place = response.rep();
    let Ok(opened) = guest.http().body(response)? else { return Ok((Err(()),)) };
    let (state, table) = guest.http_state();
    let response = table.get_mut(&Resource::<HostOutgoingResponse>::new_borrow(place))?;
    let (sender, whole) = oneshot::channel();
    response.body = response.body.take().map(|body| Watched { body, whole: Some(whole) }.boxed_unsync());
    state.endings.insert(opened.rep(), sender);
    Ok((Ok(opened),))
}

type Finish = (Resource<HostOutgoingBody>, Option<Resource<FieldMap>>);

pub(super) fn finished(
    mut store: StoreContextMut<'_, Guest>,
    (body, trailers): Finish,
) -> wasmtime::Result<(Result<(), ErrorCode>,)> {
    let guest = store.data_mut();
    let (state, _) = guest.http_state();
    // Said before it is so: whoever reads the body may see its end at once.
    if let Some(watcher) = state.endings.remove(&body.rep())
        && watcher.send(()).is_err()
    {
        log::debug!("nobody reads the response of {} any more", guest.environment.function_id);
    }
    match guest.http().finish(body, trailers) {
        Ok(()) => Ok((Ok(()),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

/// The body of a response that must be finished.
struct Watched {
    body: HyperOutgoingBody,
    /// Told when the guest has finished it, closed when it never will; none once that is known.
    whole: Option<oneshot::Receiver<()>>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(_)) = frame {
            return frame;
        }
        let Some(whole) = &mut self.whole else { return frame };
        match Pin::new(whole).poll(context) {
            Poll::Ready(Ok(())) => {
                self.whole = None;
                frame
            }
            Poll::Pending if frame.is_pending() => Poll::Pending,
            _ => {
                self.whole = None;
                Poll::Ready(Some(Err(Error::HttpResponseIncomplete)))
            }
        }
    }
}
