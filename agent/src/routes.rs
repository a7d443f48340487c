//! Which function a request goes to. Pure: built once per desired state, then only read.
//!
//! Among the routes whose host, path and method fit, these decide, each only where the ones before it leave a tie:
//! 1. the higher `priority`;
//! 2. the closer host: a name before `*.domain` (a longer domain first) before `*`;
//! 3. the closer path, segment by segment from the left: a literal before a `{name}` before the end of an open `/*`;
//! 4. a list of methods before none;
//! 5. the route's id, in alphabetical order.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{FunctionId, Host, PathPattern, RouteId, RouteSpec, Segment};

/// All routes, the first that fits first.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<(RouteId, RouteSpec)>,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Matched<'t> {
    /// The function that answers.
    pub function_id: &'t FunctionId,
    /// The `{name}` segments, percent-decoded, in the order of the path.
    pub params: Vec<(String, String)>,
}

/// Why a request goes nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// No route has this host and path.
    NotFound,
    /// Some have, but not for this method; the methods they are for.
    MethodNotAllowed(Vec<String>),
}

impl RouteTable {
    /// Orders the routes by the rule above.
    pub fn new(routes: &BTreeMap<RouteId, RouteSpec>) -> Self {
        let mut routes: Vec<_> = routes.iter().map(|(id, route)| (id.clone(), route.clone())).collect();
        // Stable, so that the ids' own order decides last.
        routes.sort_by(|(_, a), (_, b)| closeness(a, b));
        Self { routes }
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Finds the route of a request. `host` is in lower case and without a port; `path` as it came, without a query.
    pub fn find(&self, host: &str, path: &str, method: &str) -> Result<Matched<'_>, NoRoute> {
        let mut others = BTreeSet::new();
        for (_, route) in &self.routes {
            if !fits_host(&route.host, host) {
                continue;
            }
            let Some(params) = fit_path(&route.path, path) else { continue };
            if fits_method(&route.methods, method) {
                return Ok(Matched { function_id: &route.function_id, params });
            }
            others.extend(route.methods.iter().cloned());
        }
        if others.is_empty() {
            return Err(NoRoute::NotFound);
        }
        if others.contains("GET") {
            others.insert("HEAD".into());
        }
        Err(NoRoute::MethodNotAllowed(others.into_iter().collect()))
    }
}

fn closeness(a: &RouteSpec, b: &RouteSpec) -> Ordering {
    (Reverse(a.priority), host_rank(&a.host))
        .cmp(&(Reverse(b.priority), host_rank(&b.host)))
        .then_with(|| path_rank(&a.path).cmp(path_rank(&b.path)))
        .then_with(|| a.methods.is_empty().cmp(&b.methods.is_empty()))
}

fn host_rank(host: &Host) -> (u8, Reverse<usize>) {
    match host {
        Host::Exactly(_) => (0, Reverse(0)),
        Host::Under(domain) => (1, Reverse(domain.len())),
        Host::Any => (2, Reverse(0)),
    }
}

/// 0 for a literal, 1 for a `{name}`, then 2 where the path ends and 3 where it is open.
fn path_rank(path: &PathPattern) -> impl Iterator<Item = u8> {
    let segments = path.segments.iter().map(|segment| match segment {
        Segment::Literal(_) => 0,
        Segment::Param(_) => 1,
    });
    segments.chain([if path.open { 3 } else { 2 }])
}

fn fits_host(wanted: &Host, host: &str) -> bool {
    match wanted {
        Host::Any => true,
        Host::Under(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
        Host::Exactly(name) => host == name,
    }
}

fn fits_method(methods: &[String], method: &str) -> bool {
    methods.is_empty()
        || methods.iter().any(|m| m == method)
        // Whoever answers GET answers HEAD; the door leaves the body out.
        || (method == "HEAD" && methods.iter().any(|m| m == "GET"))
}

/// The `{name}` segments of a path that fits a pattern; none where it does not.
fn fit_path(pattern: &PathPattern, path: &str) -> Option<Vec<(String, String)>> {
    let mut rest = path.strip_prefix('/')?.split('/');
    let mut params = Vec::new();
    for wanted in &pattern.segments {
        let segment = rest.next()?;
        match wanted {
            Segment::Literal(text) if text == segment => {}
            Segment::Param(name) if !segment.is_empty() => {
                params.push((name.clone(), percent_decoded(segment)))
            }
            _ => return None,
        }
    }
    (pattern.open || rest.next().is_none()).then_some(params)
}

/// Decodes `%41`; what is no such escape stays, and bytes that are no UTF-8 become the replacement character.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|hex| first == b'%' && hex.iter().all(u8::is_ascii_hexdigit));
        match escape
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Defaults, Desired};
    use serde_json::{Value, json};

    /// Builds a table from `(id, route without function_id)`; each route's function has the route's id.
    fn table(routes: Value) -> RouteTable {
        let mut routes = routes;
        for (id, route) in routes.as_object_mut().into_iter().flatten() {
            if let Some(route) = route.as_object_mut() {
                route.insert("function_id".into(), json!(id));
            }
        }
        let document = json!({ "$version": 1, "routes": routes });
        let desired = Desired::parse(&document, &Defaults::default()).unwrap_or_else(|e| panic!("{e}"));
        RouteTable::new(&desired.routes)
    }

    fn chosen(table: &RouteTable, host: &str, path: &str, method: &str) -> String {
        match table.find(host, path, method) {
            Ok(matched) => matched.function_id.to_string(),
            Err(NoRoute::NotFound) => "404".into(),
            Err(NoRoute::MethodNotAllowed(methods)) => format!("405 {}", methods.join(",")),
        }
    }

    #[test]
    fn ties_are_decided_by_the_documented_rule_in_its_order() {
        let t = table(json!({
            "z-first":  { "path": "/p/*", "priority": 1 },
            "host":     { "path": "/h", "host": "gw.local" },
            "domain":   { "path": "/h", "host": "*.local" },
            "anyhost":  { "path": "/h" },
            "literal":  { "path": "/s/a/c" },
            "mixed":    { "path": "/s/a/{x}" },
            "named":    { "path": "/s/{x}/c" },
            "open":     { "path": "/s/a/*" },
            "get":      { "path": "/m", "methods": ["GET"] },
            "allm":     { "path": "/m" },
            "same-b":   { "path": "/same" },
            "same-a":   { "path": "/same" },
            "p-exact":  { "path": "/p/x" },
        }));
        for (host, path, method, expected) in [
            ("x", "/p/x", "GET", "z-first"),
            ("gw.local", "/h", "GET", "host"),
            ("b.local", "/h", "GET", "domain"),
            ("local", "/h", "GET", "anyhost"),
            ("x", "/s/a/c", "GET", "literal"),
            ("x", "/s/a/d", "GET", "mixed"),
            ("x", "/s/b/c", "GET", "named"),
            ("x", "/s/a/d/e", "GET", "open"),
            ("x", "/s/a", "GET", "open"),
            ("x", "/m", "GET", "get"),
            ("x", "/m", "HEAD", "get"),
            ("x", "/m", "PUT", "allm"),
            ("x", "/same", "GET", "same-a"),
            ("x", "/nowhere", "GET", "404"),
            ("x", "/same/", "GET", "404"),
        ] {
            assert_eq!(chosen(&t, host, path, method), expected, "{method} {host}{path}");
        }
    }

    #[test]
    fn a_path_without_the_method_names_the_methods_it_has() {
        let t = table(
            json!({ "a": { "path": "/x", "methods": ["get"] }, "b": { "path": "/x", "methods": ["POST"] } }),
        );
        assert_eq!(chosen(&t, "h", "/x", "DELETE"), "405 GET,HEAD,POST");
    }

    #[test]
    fn params_are_decoded_and_in_order() {
        let t = table(json!({ "f": { "path": "/u/{id}/{what}/*" } }));
        let params = t.find("h", "/u/a%20b/%C3%BC%+a/rest", "GET").map(|m| m.params).unwrap_or_default();
        assert_eq!(params, [("id".into(), "a b".into()), ("what".into(), "ü%+a".into())]);
        assert_eq!(chosen(&t, "h", "/u//x/", "GET"), "404", "a name is never empty");
    }
}
