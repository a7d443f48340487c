//! One middleware of desired state: a function in front of others, or behind them.

use std::fmt;

use serde_json::Value;

use super::problems::{Object, Problems};
use super::{FunctionId, PathPattern};

/// A function attached to requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MiddlewareSpec {
    /// Which function; it need not be there yet, and until it is, what it guards is closed.
    pub function_id: FunctionId,
    /// Where.
    pub attach: Vec<AttachPoint>,
    /// Before requests the lowest order goes first, after them last; ties are decided by the middleware's id.
    pub order: i32,
    /// For which paths; any of them.
    pub paths: Vec<PathPattern>,
    /// What becomes of a request whose middleware fails.
    pub on_failure: OnFailure,
}

/// Where a middleware is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttachPoint {
    /// Before a route is chosen.
    Request,
    /// After a function has answered.
    Response,
    /// When the agent answers in a function's place.
    Error,
}

/// What becomes of a request whose middleware traps, is too slow, or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It fails.
    Closed,
    /// It goes on as if the middleware had said `continue`.
    Open,
}

impl AttachPoint {
    /// The name in desired state, and of the exported interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "on-request",
            Self::Response => "on-response",
            Self::Error => "on-error",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Request, Self::Response, Self::Error].into_iter().find(|point| point.as_str() == name)
    }
}

impl fmt::Display for AttachPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl MiddlewareSpec {
    pub(super) fn read(path: &str, value: &Value, problems: &mut Problems) -> Option<Self> {
        let mut fields = Object::of(path, value, problems)?;
        let function_id = fields.parsed("function_id", problems);
        let attach = read_attach(&mut fields, problems);
        let order = fields.integer("order", problems);
        let paths = read_paths(&mut fields, problems);
        let on_failure = match fields.text("on_failure", problems) {
            None | Some("closed") => OnFailure::Closed,
            Some("open") => OnFailure::Open,
            Some(_) => {
                problems.add(&fields.path("on_failure"), "is neither `closed` nor `open`");
                OnFailure::Closed
            }
        };
        fields.end(problems);
        Some(Self { function_id: function_id?, attach: attach?, order: order?, paths: paths?, on_failure })
    }
}

fn read_attach(fields: &mut Object<'_>, problems: &mut Problems) -> Option<Vec<AttachPoint>> {
    fields.required("attach", problems)?;
    let names = fields.texts("attach", problems);
    let points: Option<Vec<_>> = names.iter().map(|name| AttachPoint::named(name)).collect();
    match points {
        Some(mut points) if !points.is_empty() => {
            points.sort_unstable();
            points.dedup();
            Some(points)
        }
        _ => {
            problems.add(
                &fields.path("attach"),
                "a list of `on-request`, `on-response` and `on-error` is wanted",
            );
            None
        }
    }
}

/// Where no path is given, all are meant.
fn read_paths(fields: &mut Object<'_>, problems: &mut Problems) -> Option<Vec<PathPattern>> {
    if fields.get("paths").is_none() {
        return Some(vec![PathPattern { segments: Vec::new(), open: true }]);
    }
    let texts = fields.texts("paths", problems);
    if texts.is_empty() {
        problems.add(&fields.path("paths"), "is empty; leave it out for all paths");
        return None;
    }
    let mut paths = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse() {
            Ok(path) => paths.push(path),
            Err(why) => problems.add(&fields.path("paths"), why),
        }
    }
    Some(paths)
}
