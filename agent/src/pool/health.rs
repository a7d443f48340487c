//! The request that a function must answer before it serves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http_body_util::{BodyExt, Empty};
use twinlet_host::bindings::twinlet::device::types::Request;

use super::{CallError, Function};
use crate::desired::Health;
use crate::engine::Answerer;

/// What health requests name as their host.
const HOST: &str = "localhost";

impl Function {
    /// Sends the function its health request, on this thread, which must be a worker's.
    pub fn check_health(&self, health: &Health) -> Result<(), CallError> {
        let deadline = Instant::now() + health.timeout.min(self.spec.max_execution);
        let status = match self.exports().answerer() {
            Answerer::Http => self.handle(&plain(health), deadline, None)?.status,
            Answerer::WasiHttp => self.streamed_status(health, deadline)?,
            // Refused before it comes to this, see `Function::can_be_checked`.
            Answerer::Actor | Answerer::None => 404,
        };
        match status {
            200..=299 => Ok(()),
            status => {
                let Health { method, path, .. } = health;
                Err(CallError::Guest(format!(
                    "its health request {method} {path} was answered with {status}"
                )))
            }
        }
    }

    /// Whether it is one that answers health requests.
    pub fn can_be_checked(&self) -> bool {
        matches!(self.exports().answerer(), Answerer::Http | Answerer::WasiHttp)
    }

    fn streamed_status(&self, health: &Health, deadline: Instant) -> Result<u16, CallError> {
        let request = http::Request::builder()
            .method(health.method.as_str())
            .uri(format!("http://{HOST}{}", health.path))
            .header(http::header::HOST, HOST)
            .body(Empty::new().map_err(|never| match never {}).boxed_unsync())
            .map_err(|error| CallError::Guest(format!("its health request can not be made: {error}")))?;
        let status = Arc::new(Mutex::new(None));
        let of_guest = status.clone();
        // What it goes on to write is nobody's.
        self.serve(request, deadline, None, move |response| {
            *of_guest.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(response.map(|response| response.status().as_u16()));
        })?;
        let status = status.lock().unwrap_or_else(PoisonError::into_inner).take();
        match status {
            Some(Ok(status)) => Ok(status),
            Some(Err(code)) => Err(CallError::Guest(format!("it answered its health request with {code:?}"))),
            None => Err(CallError::Guest("it did not answer its health request".into())),
        }
    }
}

fn plain(health: &Health) -> Request {
    let (path, query) = match health.path.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (health.path.as_str(), None),
    };
    Request {
        method: health.method.clone(),
        path: path.to_owned(),
        query,
        host: HOST.to_owned(),
        headers: vec![("host".to_owned(), HOST.as_bytes().to_vec())],
        params: Vec::new(),
        body: Vec::new(),
        request_id: format!("health-{}", uuid::Uuid::new_v4()),
    }
}
