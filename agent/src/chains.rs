//! Which middleware is for which request, in which order. Pure; `crate::http` calls them.

use crate::desired::{
    AttachPoint, FunctionId, MiddlewareId, MiddlewareSpec, OnFailure, PathPattern, Segment,
};
use crate::routes::percent_decoded;

/// All middleware, by where it is attached, in the order of its calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chains {
    before: Vec<Link>,
    after: Vec<Link>,
    error: Vec<Link>,
}

/// One middleware at one attach point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which function is called.
    pub function_id: FunctionId,
    /// What becomes of the request when that fails.
    pub on_failure: OnFailure,
    paths: Vec<PathPattern>,
}

impl Chains {
    /// Sorts middleware: before requests by rising `order` and then id, after them and on errors the other way round.
    pub fn new(middleware: &[(MiddlewareId, MiddlewareSpec)]) -> Self {
        let mut sorted: Vec<_> = middleware.iter().collect();
        sorted.sort_by(|(a, one), (b, other)| (one.order, a).cmp(&(other.order, b)));
        let links = |point: AttachPoint| {
            let attached = sorted.iter().filter(move |(_, spec)| spec.attach.contains(&point));
            attached.map(|(_, spec)| Link {
                function_id: spec.function_id.clone(),
                on_failure: spec.on_failure,
                paths: spec.paths.clone(),
            })
        };
        Self {
            before: links(AttachPoint::Request).collect(),
            after: links(AttachPoint::Response).rev().collect(),
            error: links(AttachPoint::Error).rev().collect(),
        }
    }

    /// The links for a request's path at a point. A path counts as what it says and as all that it may be read as, once
    /// it is decoded or its dots are resolved: who guards `/api/*` is passed neither by `/%61pi/x` nor by
    /// `/x/../api/y`.
    pub fn of(&self, point: AttachPoint, path: &str) -> Vec<&Link> {
        let links = match point {
            AttachPoint::Request => &self.before,
            AttachPoint::Response => &self.after,
            AttachPoint::Error => &self.error,
        };
        if links.is_empty() {
            return Vec::new();
        }
        let spellings = spellings(path);
        let readings = readings(&spellings);
        let fits = |pattern| readings.iter().any(|reading| covers(pattern, reading));
        links.iter().filter(|link| link.paths.iter().any(fits)).collect()
    }

    /// Whether a request for this path meets no middleware at all.
    pub fn leave_alone(&self, path: &str) -> bool {
        let points = [AttachPoint::Request, AttachPoint::Response, AttachPoint::Error];
        points.into_iter().all(|point| self.of(point, path).is_empty())
    }
}

/// The texts that someone behind the agent may take a path for: as it is, decoded, and decoded twice.
pub(crate) fn spellings(path: &str) -> Vec<String> {
    let mut spellings = vec![path.to_owned()];
    if path.contains('%') {
        let once = percent_decoded(path);
        spellings.push(percent_decoded(&once));
        spellings.push(once);
    }
    spellings
}

/// The segments of a path in every way that someone behind the agent may read it: each spelling with its dots kept, left
/// out and resolved, and with `\` as a slash and not. Empty segments never count.
pub(crate) fn readings(spellings: &[String]) -> Vec<Vec<&str>> {
    let mut readings = Vec::new();
    for text in spellings {
        for slashes in [&['/', '\\'][..], &['/']] {
            let all: Vec<&str> = text.split(slashes).filter(|segment| !segment.is_empty()).collect();
            if all.iter().any(|segment| matches!(*segment, "." | "..")) {
                readings.push(resolved(&all));
                readings.push(all.iter().copied().filter(|s| !matches!(*s, "." | "..")).collect());
            }
            readings.push(all);
            if !text.contains('\\') {
                break;
            }
        }
    }
    readings
}

fn resolved<'a>(segments: &[&'a str]) -> Vec<&'a str> {
    let mut resolved = Vec::with_capacity(segments.len());
    for segment in segments {
        match *segment {
            "." => {}
            ".." => drop(resolved.pop()),
            other => resolved.push(other),
        }
    }
    resolved
}

/// Whether a pattern covers a path of these segments; a literal stands for what it says and for what it is decoded.
pub(crate) fn covers(pattern: &PathPattern, path: &[&str]) -> bool {
    let is_empty = |segment: &&Segment| matches!(segment, Segment::Literal(text) if text.is_empty());
    let wanted: Vec<&Segment> = pattern.segments.iter().filter(|segment| !is_empty(segment)).collect();
    let long_enough = if pattern.open { path.len() >= wanted.len() } else { path.len() == wanted.len() };
    let fits = |(wanted, segment): (&&Segment, &&str)| match wanted {
        Segment::Param(_) => true,
        Segment::Literal(text) => text == segment || percent_decoded(text) == *segment,
    };
    long_enough && wanted.iter().zip(path).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Defaults, Desired};
    use serde_json::json;

    fn chains() -> Chains {
        let document = json!({ "$version": 1, "middleware": {
            "auth": { "function_id": "auth", "attach": ["on-request"], "order": 10, "paths": ["/api/*"] },
            "log": { "function_id": "log", "attach": ["on-request", "on-response", "on-error"], "order": 5 },
            "limit": { "function_id": "limit", "attach": ["on-request", "on-response"], "order": 10,
                       "paths": ["/api/*", "/x"] } } });
        let desired = Desired::parse(&document, &Defaults::default()).unwrap_or_else(|e| panic!("{e}"));
        Chains::new(&desired.middleware.into_iter().collect::<Vec<_>>())
    }

    fn names(point: AttachPoint, path: &str) -> Vec<String> {
        chains().of(point, path).iter().map(|link| link.function_id.to_string()).collect()
    }

    #[test]
    fn order_then_id_before_a_request_and_the_other_way_round_after_it() {
        assert_eq!(names(AttachPoint::Request, "/api/a"), ["log", "auth", "limit"]);
        assert_eq!(names(AttachPoint::Response, "/api/a"), ["limit", "log"]);
        assert_eq!(names(AttachPoint::Request, "/y"), ["log"]);
        assert_eq!(names(AttachPoint::Error, "/y"), ["log"]);
        assert!(Chains::default().leave_alone("/api/a"));
    }

    #[test]
    fn a_guard_is_not_passed_by_another_spelling() {
        for path in [
            "/%61pi/x",
            "//api/x",
            "/./api/x",
            "/x/../api/y",
            "/%2561pi/x",
            "/x/%2e%2e/api/",
            "/api%2fx",
            "/%61pi/%2e%2e/x",
            "/%61pi/../x",
            "/api/..",
            "\\api\\x",
            "/api",
        ] {
            assert!(names(AttachPoint::Request, path).contains(&"auth".to_owned()), "{path}");
        }
        assert!(names(AttachPoint::Request, "/x/").contains(&"limit".to_owned()));
        assert_eq!(names(AttachPoint::Request, "/apix"), ["log"]);
    }
}
