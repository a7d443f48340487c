//! One route of desired state. How a request chooses among routes is in `crate::routes`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::FunctionId;
use super::problems::{Object, Problems};

/// Paths that the agent answers itself.
const RESERVED: &[&str] = &["/metrics", "/healthz", "/readyz"];
/// The longest path of a route, in bytes.
const MAX_PATH: usize = 1_024;

/// A route: requests for this host, path and method go to this function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// For which hosts.
    pub host: Host,
    /// For which paths.
    pub path: PathPattern,
    /// To which function; it need not be there yet.
    pub function_id: FunctionId,
    /// For which methods, in upper case; empty for every method.
    pub methods: Vec<String>,
    /// Among routes that fit a request, the highest priority wins.
    pub priority: i32,
}

/// Which hosts a route is for; compared without a port and without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// `*`
    Any,
    /// `*.example.com`: any subdomain; holds `.example.com`.
    Under(String),
    /// One host.
    Exactly(String),
}

/// The path of a route: literal and `{name}` segments, and perhaps `/*` at the end for any rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// What lies between the slashes, in order.
    pub segments: Vec<Segment>,
    /// Whether anything may follow, as `/*` says; `/a/*` fits `/a`, `/a/` and `/a/b/c`.
    pub open: bool,
}

/// One segment of a route's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text, byte for byte as in the request.
    Literal(String),
    /// `{name}`: any one segment that is not empty, handed to the function under this name.
    Param(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Under(domain) => write!(f, "*{domain}"),
            Self::Exactly(host) => f.write_str(host),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Param(name) => write!(f, "/{{{name}}}")?,
            }
        }
        match (self.open, self.segments.is_empty()) {
            (true, _) => f.write_str("/*"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

impl RouteSpec {
    pub(super) fn read(path: &str, value: &Value, problems: &mut Problems) -> Option<Self> {
        let mut fields = Object::of(path, value, problems)?;
        let route = Self::read_fields(&mut fields, problems);
        fields.end(problems);
        route
    }

    /// Reads the fields that a twin document and a route message share.
    pub(super) fn read_fields(fields: &mut Object<'_>, problems: &mut Problems) -> Option<Self> {
        let host = match fields.get("host") {
            Some(_) => fields.parsed("host", problems),
            None => Some(Host::Any),
        };
        let path = fields.parsed("path", problems);
        let function_id = fields.parsed("function_id", problems);
        let methods: Vec<String> =
            fields.texts("methods", problems).iter().map(|m| m.to_ascii_uppercase()).collect();
        if methods.iter().any(|m| !is_token(m)) {
            problems.add(&fields.path("methods"), "holds something that is not an HTTP method");
        }
        let priority = fields.integer("priority", problems);
        Some(Self { host: host?, path: path?, function_id: function_id?, methods, priority: priority? })
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = text.to_ascii_lowercase();
        let plain = |name: &str| {
            !name.is_empty()
                && name.len() <= 255
                && match name.strip_prefix('[') {
                    Some(rest) => {
                        rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())
                    }
                    None => name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
                }
        };
        match host.strip_prefix('*') {
            Some("") => Ok(Self::Any),
            Some(rest) if rest.starts_with('.') && plain(rest.trim_start_matches('.')) => {
                Ok(Self::Under(rest.to_owned()))
            }
            None if plain(&host) => Ok(Self::Exactly(host)),
            _ => Err("is neither `*`, `*.domain` nor a host name without a port".into()),
        }
    }
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if RESERVED.contains(&text) {
            return Err(format!("`{text}` is answered by the agent itself"));
        }
        Self::of_any(text)
    }
}

impl PathPattern {
    /// A pattern that may stand for the agent's own pages as well, which no route may.
    pub fn of_any(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or("a path begins with `/`")?;
        if path.len() > MAX_PATH || path.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'?' || b == b'#') {
            return Err(
                "a path has no query, fragment, space or control character, and 1,024 bytes at most".into()
            );
        }
        let (path, open) = match path.strip_suffix('*') {
            Some("") => return Ok(Self { segments: Vec::new(), open: true }),
            Some(rest) => (rest.strip_suffix('/').ok_or("`*` stands alone behind the last `/`")?, true),
            None => (path, false),
        };
        let segments = path.split('/').map(Segment::from_str).collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<&str> = segments.iter().filter_map(Segment::name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("the same {name} stands twice".into());
        }
        Ok(Self { segments, open })
    }
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Param(name) => Some(name),
        }
    }
}

impl FromStr for Segment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
                return Ok(Self::Param(name.to_owned()));
            }
        } else if !text.contains(['{', '}', '*']) {
            return Ok(Self::Literal(text.to_owned()));
        }
        Err(format!("segment `{text}` is neither plain text nor `{{name}}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_literal_named_or_open_at_the_end() {
        for good in ["/", "/*", "/a", "/a/", "/a/*", "/users/{id}", "/users/{id}/x/*", "/a%20b"] {
            assert!(good.parse::<PathPattern>().is_ok(), "{good}");
        }
        for bad in ["", "a", "/a*", "/*/a", "/{}", "/{a", "/x{a}", "/{a}/{a}", "/a?b", "/a b", "/metrics"] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_have_no_port_and_no_inner_star() {
        assert_eq!("LocalHost".parse(), Ok(Host::Exactly("localhost".into())));
        assert_eq!("*.example.com".parse(), Ok(Host::Under(".example.com".into())));
        assert_eq!("[::1]".parse(), Ok(Host::Exactly("[::1]".into())));
        for bad in ["", "a*b", "*x", "*.", "a b", "a/b", "localhost:3000", "[x]"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}
