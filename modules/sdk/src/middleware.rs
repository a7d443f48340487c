//! What a middleware makes of requests, responses and failures; knows nothing of how it is attached.
//!
//! A middleware is a plain function, made a component's export by [`on_request!`](crate::on_request!),
//! [`on_response!`](crate::on_response!) or [`on_error!`](crate::on_error!). It returns an [`Action`], a
//! [`Modification`], or a `Result` of either, and is tested by calling it:
//!
//! ```
//! use twinlet_guest::prelude::*;
//!
//! on_request!(guard);
//! on_response!(brand);
//!
//! fn guard(request: &Request) -> Action {
//!     match request.header("x-api-key") {
//!         Some("secret") => Action::cont(),
//!         _ => Action::reject(401),
//!     }
//! }
//!
//! fn brand(_response: &Response) -> Modification {
//!     Action::modify().set_header("x-served-by", "edge")
//! }
//!
//! assert_eq!(guard(&Request::get("/")), Action::reject(401));
//! assert_eq!(guard(&Request::get("/").with_header("X-Api-Key", "secret")), Action::cont());
//! let branded = brand(&Response::ok()).applied(Response::ok());
//! assert_eq!(branded.header_value("x-served-by"), Some("edge"));
//! ```
//!
//! The macros add up: a component that uses several of them, [`http_function!`](crate::http_function!) and
//! [`actor!`](crate::actor!) among them, exports each; each at most once.

use crate::bindings::request_middleware::twinlet::device::middleware_types as raw;
use crate::error::{Blame, Error};
use crate::log::{self, Level};
use crate::response::Response;

/// What a middleware makes of a request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave it as it is.
    Continue,
    /// Answer with this status (200 to 599) and an empty body, and go no further.
    Reject(u16),
    /// Change it.
    Modify(Modification),
}

impl Action {
    /// Leave it as it is.
    pub fn cont() -> Self {
        Self::Continue
    }

    /// Answer with this status (200 to 599) and an empty body, and go no further.
    pub fn reject(status: u16) -> Self {
        Self::Reject(status)
    }

    /// Change it, in the ways that are called on what this returns.
    pub fn modify() -> Modification {
        Modification::default()
    }
}

/// Changes to a request or a response. In whatever order they are written, they are made in this one: the status, the
/// headers that are set, those that are added, those that are removed, the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a modification is what a middleware returns"]
pub struct Modification {
    status: Option<u16>,
    set: Vec<(String, Vec<u8>)>,
    added: Vec<(String, Vec<u8>)>,
    removed: Vec<String>,
    body: Option<Vec<u8>>,
}

impl Modification {
    /// Another status; of no meaning on a request.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets a header, in place of all of its name.
    pub fn set_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.set.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Adds a header to what there is of its name.
    pub fn add_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.added.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Removes all headers of a name.
    pub fn remove_header(mut self, name: &str) -> Self {
        self.removed.push(name.to_ascii_lowercase());
        self
    }

    /// Another body, and nothing else: its content type is a header like any other.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// What becomes of a response by this, as the agent does it; for tests.
    pub fn applied(self, response: Response) -> Response {
        let status = self.status.unwrap_or(response.status_code());
        let mut changed = Response::status(status);
        for (name, value) in response.headers() {
            changed = changed.append_header(name, value);
        }
        for (name, value) in &self.set {
            changed = changed.header(name, value);
        }
        for (name, value) in &self.added {
            changed = changed.append_header(name, value);
        }
        for name in &self.removed {
            changed = changed.without_header(name);
        }
        changed.bytes(self.body.unwrap_or_else(|| response.into_body()))
    }
}

impl From<Modification> for Action {
    fn from(modification: Modification) -> Self {
        Self::Modify(modification)
    }
}

/// An answer that the agent gives in a function's place, such as 504.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The id in the agent's log.
    pub request_id: String,
    /// The method of the request.
    pub method: String,
    /// The path of the request, without its query.
    pub path: String,
    /// The status that the client is to get: 404, 405, 500, 503 or 504.
    pub status: u16,
    /// The kind of error, as in the answer's `type`, such as `ExecutionError`.
    pub kind: String,
    /// The same in words, as in the answer's `error`.
    pub message: String,
}

impl Failure {
    /// The failure of a `GET /` with a status and a kind, which is what tests start from.
    pub fn of(status: u16, kind: &str) -> Self {
        Self {
            request_id: "test".to_owned(),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            status,
            kind: kind.to_owned(),
            message: "test".to_owned(),
        }
    }
}

/// What a middleware may return.
pub trait IntoAction {
    /// The action, or why there is none.
    ///
    /// # Errors
    /// A [`BadRequest`](crate::BadRequest) rejects with 400. Anything else is for the operator: it is logged and the
    /// call fails, and `on_failure` in desired state says whether the request goes on (`open`) or not (`closed`).
    fn into_action(self) -> Result<Action, Error>;
}

impl IntoAction for Action {
    fn into_action(self) -> Result<Action, Error> {
        Ok(self)
    }
}

impl IntoAction for Modification {
    fn into_action(self) -> Result<Action, Error> {
        Ok(self.into())
    }
}

impl<T: IntoAction> IntoAction for Result<T, Error> {
    fn into_action(self) -> Result<Action, Error> {
        self.and_then(IntoAction::into_action)
    }
}

/// What the agent is told of what a middleware returned; an error's text if the call is to fail.
#[doc(hidden)]
pub fn decide(outcome: impl IntoAction) -> Result<Action, String> {
    match outcome.into_action() {
        Ok(action) => Ok(action),
        Err(Error(Blame::Client(_))) => Ok(Action::Reject(400)),
        Err(Error(Blame::Function(text))) => {
            log::write_text(Level::Error, "middleware", &text);
            Err(text)
        }
    }
}

impl From<Action> for raw::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Continue => Self::Continue,
            Action::Reject(status) => Self::Reject(status),
            Action::Modify(Modification { status, set, added, removed, body }) => {
                Self::Modify(raw::Modification {
                    status,
                    headers_set: set,
                    headers_add: added,
                    headers_remove: removed,
                    body_replace: body,
                })
            }
        }
    }
}

impl From<raw::Failure> for Failure {
    fn from(raw: raw::Failure) -> Self {
        let raw::Failure { request_id, method, path, status, kind, message } = raw;
        Self { request_id, method, path, status, kind, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BadRequest, testing::Host};

    #[test]
    fn changes_are_made_in_the_order_that_the_contract_has() {
        let before =
            Response::status(500).append_header("a", "1").append_header("a", "2").header("b", "3").text("x");
        let change =
            Action::modify().add_header("A", "5").set_header("a", "4").remove_header("B").status(503);
        let after = change.applied(before.clone());
        assert_eq!((after.status_code(), after.body()), (503, b"x".as_slice()));
        let headers: Vec<_> = after.headers().filter(|(name, _)| *name != "content-type").collect();
        assert_eq!(headers, [("a", b"4".as_slice()), ("a", b"5".as_slice())]);
        assert_eq!(Action::modify().body("").applied(before).body(), b"");
    }

    #[test]
    fn a_bad_request_rejects_and_any_other_error_fails_the_call_with_a_line_in_the_log() {
        let host = Host::new();
        let bad: Result<Action, Error> = Err(BadRequest::new("no").into());
        assert_eq!(decide(bad), Ok(Action::Reject(400)));
        assert!(host.logs().is_empty());
        let broken: Result<Modification, Error> = Err(Error::new("config: keys: missing"));
        assert_eq!(decide(broken).unwrap_err(), "config: keys: missing");
        assert_eq!(host.logs()[0].message, "config: keys: missing");
    }
}
