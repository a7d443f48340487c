//! Which middleware is for which request, in which order. Pure; `crate::http` calls them.

use std::collections::BTreeMap;

use crate::desired::{AttachPoint, FunctionId, MiddlewareId, MiddlewareSpec, OnFailure, PathPattern};
use crate::routes::{fit_path, percent_decoded};

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
    pub fn new(middleware: &BTreeMap<MiddlewareId, MiddlewareSpec>) -> Self {
        let mut sorted: Vec<_> = middleware.iter().collect();
        sorted.sort_by_key(|(id, spec)| (spec.order, *id));
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

    /// The links for a request's path at a point. A path counts as what it says and as what it may be read as: decoded,
    /// and without empty, `.` and `..` segments; who guards `/api/*` is not passed by `/%61pi/x` or `/x/../api/y`.
    pub fn of(&self, point: AttachPoint, path: &str) -> Vec<&Link> {
        let links = match point {
            AttachPoint::Request => &self.before,
            AttachPoint::Response => &self.after,
            AttachPoint::Error => &self.error,
        };
        if links.is_empty() {
            return Vec::new();
        }
        let plain = plain(path);
        let fits = |pattern| fit_path(pattern, path).is_some() || fit_path(pattern, &plain).is_some();
        links.iter().filter(|link| link.paths.iter().any(fits)).collect()
    }

    /// Whether a request for this path meets no middleware at all.
    pub fn leave_alone(&self, path: &str) -> bool {
        let points = [AttachPoint::Request, AttachPoint::Response, AttachPoint::Error];
        points.into_iter().all(|point| self.of(point, path).is_empty())
    }
}

/// A path decoded, and without empty, `.` and `..` segments; a slash at its end stays.
fn plain(path: &str) -> String {
    // Twice: what is decoded may be an escape again, to whoever decodes it once more.
    let decoded = percent_decoded(&percent_decoded(path)).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let end = if decoded.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
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
        Chains::new(&desired.middleware)
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
        for path in
            ["/%61pi/x", "//api/x", "/./api/x", "/x/../api/y", "/%2561pi/x", "/x/%2e%2e/api/", "/api%2fx"]
        {
            assert!(names(AttachPoint::Request, path).contains(&"auth".to_owned()), "{path}");
        }
        assert_eq!(names(AttachPoint::Request, "/apix"), ["log"]);
    }
}
