//! Bodies, whole or as they come, and answers with either.

use std::fmt;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use twinlet_host::wasi_http::HyperOutgoingBody;

use super::Answer;
pub(super) use crate::pool::Streamed;

/// The body of a request.
pub enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// As it comes; its limits are in it.
    Streamed(Streamed),
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Vec::new())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Streamed(_) => f.write_str("streamed"),
        }
    }
}

impl Body {
    /// The same as a stream.
    pub(super) fn streamed(self) -> Streamed {
        match self {
            Self::Whole(bytes) => {
                Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync()
            }
            Self::Streamed(body) => body,
        }
    }
}

/// What a door is given to write.
pub enum Outgoing {
    /// A whole answer.
    Whole(Answer),
    /// An answer whose own body is empty, and the body that follows it as it comes. Where that ends with an error, the
    /// client must see a broken response.
    Streamed(Answer, HyperOutgoingBody),
}

impl Outgoing {
    /// Changes all but the body.
    pub(super) fn map(self, change: impl FnOnce(Answer) -> Answer) -> Self {
        match self {
            Self::Whole(answer) => Self::Whole(change(answer)),
            Self::Streamed(answer, body) => Self::Streamed(change(answer), body),
        }
    }
}
