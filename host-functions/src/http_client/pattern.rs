//! The URL patterns of `permissions.http`. Pure.

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

    /// True where the pattern gives its host as an address or as `localhost`, and so may reach what a name may not.
    pub fn names_address(&self) -> bool {
        self.host == "localhost" || self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
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
    let default = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = url.authority()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    Some((scheme, authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(default)))
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

    #[test]
    fn odd_patterns_are_refused() {
        for odd in ["*", "ftp://x/*", "https://a*b/", "https://x/*/y", "https://u@x/", "/only/path"] {
            assert!(odd.parse::<Pattern>().is_err(), "{odd}");
        }
    }
}
