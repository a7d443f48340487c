//! What a component exports of what the agent calls.

use twinlet_host::Guest;
use twinlet_host::bindings::exports::twinlet::device::{
    actor, http_handler, on_error, on_request, on_response,
};
use twinlet_host::wasi_http::{IncomingHandler, IncomingHandlerIndices};
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::EngineError;
use crate::desired::{AttachPoint, Entrypoint};

/// Where a component's exports are, as far as its function uses them.
#[derive(Clone, Default)]
pub struct Exports {
    http: Option<http_handler::GuestIndices>,
    wasi_http: Option<IncomingHandlerIndices>,
    actor: Option<actor::GuestIndices>,
    on_request: Option<on_request::GuestIndices>,
    on_response: Option<on_response::GuestIndices>,
    on_error: Option<on_error::GuestIndices>,
}

/// The same of one instance, ready to be called.
pub struct Handlers {
    /// `twinlet:device/http-handler`
    pub http: Option<http_handler::Guest>,
    /// `wasi:http/incoming-handler`
    pub wasi_http: Option<IncomingHandler>,
    /// `twinlet:device/actor`
    pub actor: Option<actor::Guest>,
    /// `twinlet:device/on-request`
    pub on_request: Option<on_request::Guest>,
    /// `twinlet:device/on-response`
    pub on_response: Option<on_response::Guest>,
    /// `twinlet:device/on-error`
    pub on_error: Option<on_error::Guest>,
}

/// What answers the requests of a function's routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// `twinlet:device/http-handler`
    Http,
    /// `wasi:http/incoming-handler`
    WasiHttp,
    /// `twinlet:device/actor`
    Actor,
    /// Nothing: it is middleware alone.
    None,
}

impl Exports {
    /// Looks at what a component exports, and takes what `entrypoint` names.
    pub(super) fn of(pre: &InstancePre<Guest>, entrypoint: Entrypoint) -> Result<Self, EngineError> {
        let of = |wanted: Entrypoint| matches!(entrypoint, Entrypoint::Main) || entrypoint == wanted;
        let mut exports = Self::default();
        if of(Entrypoint::HttpHandler) {
            exports.http = find(pre, "twinlet:device/http-handler@0.1.0", http_handler::GuestIndices::new)?;
        }
        if of(Entrypoint::WasiHttp) && exports_wasi_http(pre) {
            let misfit =
                |e| EngineError::Misfit(format!("its wasi:http/incoming-handler does not fit: {e:#}"));
            exports.wasi_http = Some(IncomingHandlerIndices::new(pre).map_err(misfit)?);
        }
        if of(Entrypoint::Actor) {
            exports.actor = find(pre, "twinlet:device/actor@0.1.0", actor::GuestIndices::new)?;
        }
        if of(Entrypoint::Middleware) {
            exports.on_request = find(pre, "twinlet:device/on-request@0.1.0", on_request::GuestIndices::new)?;
            exports.on_response =
                find(pre, "twinlet:device/on-response@0.1.0", on_response::GuestIndices::new)?;
            exports.on_error = find(pre, "twinlet:device/on-error@0.1.0", on_error::GuestIndices::new)?;
        }
        if exports.is_empty() {
            let what = match entrypoint {
                Entrypoint::Main => {
                    "twinlet:device/http-handler@0.1.0, nor anything else that the agent calls"
                }
                Entrypoint::HttpHandler => "twinlet:device/http-handler@0.1.0, which `entrypoint` names",
                Entrypoint::WasiHttp => "wasi:http/incoming-handler@0.2, which `entrypoint` names",
                Entrypoint::Actor => "twinlet:device/actor@0.1.0, which `entrypoint` names",
                Entrypoint::Middleware => {
                    "twinlet:device/on-request@0.1.0, nor on-response or on-error, which `entrypoint` names"
                }
            };
            return Err(EngineError::Misfit(format!("it exports no {what}")));
        }
        Ok(exports)
    }

    fn is_empty(&self) -> bool {
        self.answerer() == Answerer::None && !self.attaches_anywhere()
    }

    fn attaches_anywhere(&self) -> bool {
        [AttachPoint::Request, AttachPoint::Response, AttachPoint::Error].iter().any(|p| self.attaches(*p))
    }

    /// What answers requests; an http-handler goes before `wasi:http`, and that before an actor.
    pub fn answerer(&self) -> Answerer {
        match (&self.http, &self.wasi_http, &self.actor) {
            (Some(_), ..) => Answerer::Http,
            (None, Some(_), _) => Answerer::WasiHttp,
            (None, None, Some(_)) => Answerer::Actor,
            (None, None, None) => Answerer::None,
        }
    }

    /// Whether it is an actor, perhaps among other things.
    pub fn is_actor(&self) -> bool {
        self.actor.is_some()
    }

    /// Whether it can be attached at a point.
    pub fn attaches(&self, point: AttachPoint) -> bool {
        match point {
            AttachPoint::Request => self.on_request.is_some(),
            AttachPoint::Response => self.on_response.is_some(),
            AttachPoint::Error => self.on_error.is_some(),
        }
    }

    /// The handlers of an instance.
    pub fn load(&self, store: &mut Store<Guest>, instance: &Instance) -> wasmtime::Result<Handlers> {
        Ok(Handlers {
            http: self.http.as_ref().map(|at| at.load(&mut *store, instance)).transpose()?,
            wasi_http: self.wasi_http.as_ref().map(|at| at.load(&mut *store, instance)).transpose()?,
            actor: self.actor.as_ref().map(|at| at.load(&mut *store, instance)).transpose()?,
            on_request: self.on_request.as_ref().map(|at| at.load(&mut *store, instance)).transpose()?,
            on_response: self.on_response.as_ref().map(|at| at.load(&mut *store, instance)).transpose()?,
            on_error: self.on_error.as_ref().map(|at| at.load(&mut *store, instance)).transpose()?,
        })
    }
}

/// Any version of 0.2 will do.
fn exports_wasi_http(pre: &InstancePre<Guest>) -> bool {
    let component = pre.component().component_type();
    component.exports(pre.engine()).any(|(name, _)| name.starts_with("wasi:http/incoming-handler@0.2."))
}

/// An export of this name, if it is there; an error where it is there in another shape.
fn find<T>(
    pre: &InstancePre<Guest>,
    name: &str,
    at: impl Fn(&InstancePre<Guest>) -> wasmtime::Result<T>,
) -> Result<Option<T>, EngineError> {
    if pre.component().get_export_index(None, name).is_none() {
        return Ok(None);
    }
    at(pre).map(Some).map_err(|e| EngineError::Misfit(format!("its export {name} does not fit: {e:#}")))
}
