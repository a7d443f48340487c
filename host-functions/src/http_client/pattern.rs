//! The URL patterns of `permissions.http`. Pure.

use std::fmt;

use http::Uri;

/// `scheme://host[:port]/path`, where the host may begin with `*.` for any subdomain, and the path may end with `*`
/// for any rest. The query is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    scheme: String,
    host: String,
    port: u16,
    path: String,
}

/// Why a text is no URL pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a URL pattern such as `https://api.example.com/*`")]
pub struct PatternError(String);

impl Pattern {
    /// True for the URLs this pattern names. A URL with user information or dot segments is named by none.
    pub fn covers(&self, url: &Uri) -> bool {
        let Some((scheme, host, port)) = origin(url) else { return false };
        let host_fits = match self.host.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|sub| sub.len() > 1 && sub.ends_with('.')),
            None => host == self.host,
        };
        let path = url.path();
        let path_fits = match self.path.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == self.path,
        };
        scheme == self.scheme && host_fits && port == self.port && path_fits && !has_dot_segment(path)
    }

    /// True where this pattern surely covers all that the other does, and lets it reach no address that this one keeps
    /// it from. False may also mean that it is not known.
    pub fn includes(&self, other: &Self) -> bool {
        let host_fits = self.host == other.host
            || self.host.strip_prefix('*').is_some_and(|domain| {
                let host = other.host.strip_prefix('*').unwrap_or(&other.host);
                // `*.a.b` holds all of `*.x.a.b`; `.a.b` itself is the case of two that are the same.
                !other.names_address() && host.len() > domain.len() && host.ends_with(domain)
            });
        let path_fits = match self.path.strip_suffix('*') {
            Some(prefix) => other.path.strip_suffix('*').unwrap_or(&other.path).starts_with(prefix),
            None => self.path == other.path,
        };
        self.scheme == other.scheme && self.port == other.port && host_fits && path_fits
    }

    /// True where the pattern gives its host as an address or as `localhost`, and so may reach what a name may not.
    pub fn names_address(&self) -> bool {
        self.host == "localhost" || self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
    }
}

impl fmt::Display for Pattern {
    /// As it is written in desired state, with the port only where it is not the scheme's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, path } = self;
        match default_port(scheme) {
            Some(default) if default == *port => write!(f, "{scheme}://{host}{path}"),
            _ => write!(f, "{scheme}://{host}:{port}{path}"),
        }
    }
}

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError(text.to_owned());
        let url: Uri = text.parse().map_err(|_| wrong())?;
        let (scheme, host, port) = origin(&url).ok_or_else(wrong)?;
        let path = url.path().to_owned();
        let stars = host.strip_prefix("*.").unwrap_or(&host).contains('*')
            || path.strip_suffix('*').unwrap_or(&path).contains('*');
        if stars || url.query().is_some() || has_dot_segment(&path) {
            return Err(wrong());
        }
        Ok(Self { scheme, host, port, path })
    }
}

fn origin(url: &Uri) -> Option<(String, String, u16)> {
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let default = default_port(&scheme)?;
    let authority = url.authority()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    Some((scheme, authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(default)))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, url: &str) -> bool {
        let url: Uri = url.parse().unwrap_or_default();
        pattern.parse::<Pattern>().is_ok_and(|pattern| pattern.covers(&url))
    }

    #[test]
    fn a_pattern_covers_what_it_names_and_no_more() {
        assert!(covers("https://api.example.com/*", "https://API.example.com:443/v1/x?y=1"));
        assert!(!covers("https://api.example.com/*", "http://api.example.com/v1"));
        assert!(!covers("https://api.example.com/*", "https://api.example.com.evil.org/"));
        assert!(!covers("https://api.example.com/*", "https://api.example.com@evil.org/"));
        assert!(!covers("https://api.example.com/v1/*", "https://api.example.com/v1/%2e%2e/admin"));
        assert!(covers("https://*.example.com/a", "https://x.example.com/a"));
        assert!(!covers("https://*.example.com/a", "https://example.com/a"));
        assert!(!covers("https://*.example.com/a", "https://xexample.com/a"));
        assert!(covers("http://127.0.0.1:8080/*", "http://127.0.0.1:8080/"));
    }

    fn includes(wide: &str, narrow: &str) -> bool {
        let of = |text: &str| text.parse::<Pattern>().unwrap_or_else(|e| panic!("{e}"));
        of(wide).includes(&of(narrow))
    }

    #[test]
    fn a_pattern_includes_what_asks_for_no_more() {
        for (wide, narrow) in [
            ("https://a.example.com/*", "https://A.example.com:443/*"),
            ("https://a.example.com/*", "https://a.example.com/v1/*"),
            ("https://a.example.com/v1/*", "https://a.example.com/v1/x"),
            ("https://a.example.com/v1/x", "https://a.example.com/v1/x"),
            ("https://a.example.com/v*", "https://a.example.com/v1/*"),
            ("https://*.example.com/*", "https://a.example.com/*"),
            ("https://*.example.com/*", "https://*.a.example.com/x"),
            ("https://*.example.com/*", "https://*.example.com/*"),
            ("http://127.0.0.1/*", "http://127.0.0.1/x"),
        ] {
            assert!(includes(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("https://a.example.com/*", "http://a.example.com/*"),
            ("https://a.example.com/*", "https://a.example.com:444/*"),
            ("https://a.example.com/*", "https://b.example.com/*"),
            ("https://a.example.com/*", "https://*.example.com/*"),
            ("https://a.example.com/*", "https://x.a.example.com/*"),
            ("https://*.example.com/*", "https://example.com/*"),
            ("https://*.example.com/*", "https://badexample.com/*"),
            ("https://*.a.example.com/*", "https://*.example.com/*"),
            ("https://a.example.com/v1/*", "https://a.example.com/*"),
            ("https://a.example.com/v1/*", "https://a.example.com/v1"),
            ("https://a.example.com/v1/x", "https://a.example.com/v1/x*"),
            // By address, a function reaches what a name does not lead to.
            ("http://*.0.0.1/*", "http://127.0.0.1/*"),
        ] {
            assert!(!includes(wide, narrow), "{wide} {narrow}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_was_written() {
        for text in ["https://*.example.com/v1/*", "http://127.0.0.1:8080/", "https://[::1]/a"] {
            assert_eq!(text.parse::<Pattern>().map(|p| p.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn odd_patterns_are_refused() {
        for odd in ["*", "ftp://x/*", "https://a*b/", "https://x/*/y", "https://u@x/", "/only/path"] {
            assert!(odd.parse::<Pattern>().is_err(), "{odd}");
        }
    }
}
