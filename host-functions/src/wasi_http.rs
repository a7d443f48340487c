//! `wasi:http` 0.2: requests that a guest sends, by the gate and under the limits of [`crate::http_client`], and
//! requests that it answers. Bodies are streamed both ways, with a few pieces between the two ends and no more.
//!
//! Who serves a component that exports `wasi:http/incoming-handler` does this on a thread that may block, with a tokio
//! runtime entered that runs elsewhere:
//!
//! 1. [`incoming`] puts the request into the store and returns what `handle` takes.
//! 2. [`IncomingHandler::call_handle`] runs the guest. In the middle of it `on_response` is called, from this thread,
//!    as soon as the guest has set its response; the guest then goes on to write the body.
//! 3. [`end`], whatever came of the call. It says whether there was a response. Where there was none, `on_response` was
//!    dropped unused, and the server answers for itself. Where there was one and the guest did not finish its body, by a
//!    trap or by leaving it, the body ends with an error, so that the client sees a broken response and not a short
//!    one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;
use wasmtime::Store;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

pub use wasmtime_wasi_http::Error;
pub use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
pub use wasmtime_wasi_http::p2::bindings::sync::exports::wasi::http::incoming_handler::{
    Guest as IncomingHandler, GuestIndices as IncomingHandlerIndices,
};
pub use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::guest::{Environment, Guest};

mod endings;
mod lent;
mod outgoing;
mod request_body;
mod response_body;

use endings::Endings;
pub(crate) use endings::add_endings;
use lent::{Lender, lend};
use outgoing::Outgoing;

/// Bytes of the fields of one resource, as they lie in memory. A guest that makes more traps.
const MAX_FIELDS_BYTES: usize = 16 << 10;

/// What `wasi:http` keeps for one instance.
pub(crate) struct HttpState {
    context: WasiHttpCtx,
    outgoing: Outgoing,
    endings: Endings,
    /// The body of the request that is being answered.
    lent: Option<Lender>,
    /// Takes back `on_response`, and says whether it was used.
    unanswered: Option<Box<dyn FnOnce() -> bool + Send>>,
}

impl HttpState {
    pub(crate) fn new(environment: Arc<Environment>) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(MAX_FIELDS_BYTES);
        let outgoing = Outgoing::new(environment);
        Self { context, outgoing, endings: Endings::default(), lent: None, unanswered: None }
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.outgoing.deadline = deadline;
    }

    fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table, ctx: &mut self.context }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (state, table) = self.http_state();
        state.view(table)
    }
}

/// Puts a request into an instance's store, and returns what its `handle` takes. `on_response` is called at most once,
/// with the response or with the error that the guest gave in its place.
///
/// An error of the request's body that is a [`Error`] reaches the guest as it is, any other as `connection-terminated`.
pub fn incoming<B>(
    store: &mut Store<Guest>,
    request: http::Request<B>,
    scheme: Scheme,
    on_response: impl FnOnce(Result<http::Response<HyperOutgoingBody>, ErrorCode>) + Send + Sync + 'static,
) -> wasmtime::Result<(Resource<HostIncomingRequest>, Resource<HostResponseOutparam>)>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let (lender, body) = lend(body.map_err(|error| broken(error.into())).boxed_unsync());
    let mut request = http::Request::from_parts(head, body);
    let named = request.headers().get(HOST).is_some_and(|host| host.to_str().is_ok());
    if request.uri().authority().is_none() && !named {
        // As HTTP/1.0 may. To the guest the authority is empty.
        request.headers_mut().insert(HOST, HeaderValue::from_static(""));
    }
    let kept = Arc::new(Mutex::new(Some(on_response)));
    let take = move |kept: &Mutex<Option<_>>| kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (state, table) = store.data_mut().http_state();
    state.endings = Endings::default();
    state.lent = Some(lender);
    let unused = kept.clone();
    state.unanswered = Some(Box::new(move || take(&unused).is_none()));
    let mut view = state.view(table);
    let request = view.new_incoming_request(scheme, request)?;
    let answer = view.new_response_outparam_from_callback(move |response| {
        if let Some(on_response) = take(&kept) {
            on_response(response);
        }
    })?;
    Ok((request, answer))
}

/// Ends what [`incoming`] began, when the guest's call has returned or trapped: what the guest has kept of the request's
/// body leads nowhere any more. True where there was a response.
pub fn end(store: &mut Store<Guest>) -> bool {
    let Some(state) = store.data_mut().used_http_state() else { return false };
    state.endings = Endings::default();
    state.lent = None;
    state.unanswered.take().is_some_and(|taken_back| taken_back())
}

fn broken(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<Error>() {
        Ok(known) => *known,
        Err(other) if other.is::<http_body_util::LengthLimitError>() => Error::HttpRequestBodySize(None),
        Err(_) => Error::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests;
