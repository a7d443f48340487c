//! Serverledge's API, mapped to components: its paths, fields, statuses and plain texts are Serverledge's own, what
//! they mean here is in `API.md`.
//!
//! | file | what it is |
//! | --- | --- |
//! | `create` | `/create` and `/delete` |
//! | `package` | the component in a `TarFunctionCode` |
//! | `invoke` | `/invoke/{func}` and `/poll/{reqId}` |
//! | `report` | one invocation on a worker, and what is told of it |
//! | `results` | what became of asynchronous invocations, on the disk |
//! | `prewarm` | `/prewarm` |
//! | `status` | `/status` and `/functions` |

mod create;
mod invoke;
mod package;
mod prewarm;
mod report;
mod results;
mod status;

pub(super) use create::{create, delete};
pub(super) use invoke::{invoke, poll};
#[cfg(fuzzing)]
pub(crate) use package::fuzz_package;
pub(super) use prewarm::prewarm;
pub use results::Results;
pub(super) use status::{functions, status};

use super::super::answer::Answer;

const UNKNOWN: &str = "Unknown function.";

/// A refusal in Serverledge's words, and why where that helps.
fn refused(status: u16, what: &str, why: impl std::fmt::Display) -> Answer {
    Answer::text(status, &format!("{what}: {why}"))
}
