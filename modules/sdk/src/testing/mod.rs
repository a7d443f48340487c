//! The agent's part, played in-process, so that a function can be tested natively; not there on wasm32.
//!
//! A [`Host`] stands for the agent: what it is given beforehand, and what the function did to it. Then a function is
//! called by [`call`], a middleware as the plain function that it is, and an actor's events come by [`TestActor`].
//!
//! ```
//! use twinlet_guest::prelude::*;
//! use twinlet_guest::{telemetry, testing::{Host, call}};
//!
//! fn handle(request: Request) -> Result<Response, Error> {
//!     telemetry::send(request.body())?;
//!     Ok(Response::status(202))
//! }
//!
//! let host = Host::new();
//! assert_eq!(call(handle, Request::post("/", "21.5")).unwrap().status_code(), 202);
//! assert_eq!(host.telemetry(), [b"21.5"]);
//!
//! host.refuse_telemetry(telemetry::Error::RateLimited);
//! assert_eq!(call(handle, Request::post("/", "21.6")).unwrap_err(), "telemetry is rate-limited");
//! ```

mod actor;
mod messages;
mod metrics;
mod node;
mod store;

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::{Error, Request, Response};

pub use actor::TestActor;
pub use messages::{Cast, Timer};
pub use node::LogLine;

/// Calls a function as the agent would: a [`BadRequest`](crate::BadRequest) comes back as a 400.
///
/// # Errors
/// What the operator would see: the text of the function's error.
pub fn call(
    handler: impl FnOnce(Request) -> Result<Response, Error>,
    request: Request,
) -> Result<Response, String> {
    crate::answer(handler, request)
}

/// An agent for the functions that this thread calls. A new one starts from nothing: an empty config, no outputs, an
/// empty store, clocks that stand still at zero, telemetry permitted and outbound HTTP not. Tests that run at once do not
/// see each other's.
#[derive(Debug)]
pub struct Host {
    // What it stands for belongs to the thread, so it must not leave it.
    _not_send: PhantomData<*const ()>,
}

impl Host {
    /// A fresh agent in place of what this thread had.
    #[expect(clippy::new_without_default, reason = "it changes the thread's state, which no default should")]
    pub fn new() -> Self {
        STATE.replace(State::default());
        Self { _not_send: PhantomData }
    }
}

/// What the agent has, each part in the file that plays it.
#[derive(Default)]
struct State {
    node: node::Node,
    messages: messages::Messages,
    metrics: metrics::Metrics,
    store: store::Store,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(f)
}

/// The same calls that `agent.rs` makes on wasm32.
pub(crate) mod agent {
    pub(crate) use super::messages::agent::*;
    pub(crate) use super::metrics::agent::*;
    pub(crate) use super::node::agent::*;
    pub(crate) use super::store::agent::*;
}
