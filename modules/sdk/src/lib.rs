//! The guest SDK of twinlet: functions, actors and middleware in a few lines of Rust.
//!
//! ```
//! use twinlet_guest::prelude::*;
//!
//! http_function!(handle);
//!
//! fn handle(request: Request) -> Result<Response, Error> {
//!     let name = request.query("name").unwrap_or("world".into());
//!     Ok(Response::ok().text(["Hello, ", &name, "!"].concat()))
//! }
//!
//! // The same function runs natively, which is how to test it.
//! let answer = twinlet_guest::testing::call(handle, Request::get("/hello?name=Ann")).unwrap();
//! assert_eq!(answer.body_text(), "Hello, Ann!");
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`http_function!`] | makes a plain function answer HTTP requests |
//! | [`actor!`], [`mod@actor`] | makes a type an actor: a mailbox, timers, kept state |
//! | [`on_request!`], [`on_response!`], [`on_error!`], [`middleware`] | make plain functions middleware |
//! | [`Request`], [`Response`] | what comes in and what goes out |
//! | [`Error`], [`BadRequest`] | who is to blame when there is no answer |
//! | [`twin`] | the configuration from desired state, and values for the reported state |
//! | [`telemetry`] | messages to the hub |
//! | [`messaging`] | messages to actors, timers, kept state |
//! | [`store`] | values that are kept on the device |
//! | [`metrics`] | numbers for the node's `/metrics` |
//! | [`http_client`] | requests to other hosts |
//! | [`clock`] | the time, and how far to trust it |
//! | [`log`] | lines in the agent's log |
//! | `json` | reading and writing JSON, with the feature `json` |
//! | `testing` | the agent's part, played in-process |
//!
//! On wasm32 each of these calls the agent. On any other target the agent is played by `testing::Host`, so that
//! `cargo test` needs neither a device nor a wasm toolchain.
//!
//! The macros add up: a component that uses several of them exports several interfaces, and `entrypoint`, `routes` and
//! `middleware` in desired state say which are used.

pub mod actor;
#[cfg(target_arch = "wasm32")]
mod agent;
#[doc(hidden)]
pub mod bindings;
pub mod clock;
mod error;
mod export;
mod headers;
pub mod http_client;
#[cfg(feature = "json")]
pub mod json;
pub mod log;
pub mod messaging;
pub mod metrics;
pub mod middleware;
mod percent;
mod request;
mod response;
pub mod store;
pub mod telemetry;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod twin;

#[cfg(not(target_arch = "wasm32"))]
use testing::agent;

pub use actor::Actor;
#[doc(hidden)]
pub use error::answer;
pub use error::{BadRequest, Error};
pub use middleware::{Action, Failure};
pub use request::Request;
pub use response::Response;

/// Ends the call as a failure whose reason is in the log already.
#[doc(hidden)]
pub fn fail() -> ! {
    std::process::abort()
}

/// What nearly every function needs: `use twinlet_guest::prelude::*;`.
pub mod prelude {
    pub use crate::actor::{Actor, Init};
    pub use crate::messaging::{InstanceId, Reply};
    pub use crate::middleware::{Action, Failure, Modification};
    pub use crate::{BadRequest, Error, Request, Response};
    pub use crate::{actor, http_function, on_error, on_request, on_response};
}
