//! What a download does with URLs as text: showing them, following redirects, comparing who is asked.

/// A URL without user information and query: either may be a secret, and errors go to the log and to the hub.
pub fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

/// Scheme, host and port as one text: who is asked.
pub(super) fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let host = host.strip_suffix(default_port).unwrap_or(host);
    format!("{scheme}://{host}").to_ascii_lowercase()
}

/// Where a redirect leads: its `Location`, which may be relative to the URL that was asked for.
pub(super) fn follow(from: &str, location: &str) -> String {
    let location = location.split('#').next().unwrap_or_default();
    let whole = location
        .split_once("://")
        .is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()));
    if whole {
        return location.to_owned();
    }
    let (scheme, rest) = from.split_once("://").unwrap_or(("http", from));
    if location.starts_with("//") {
        return format!("{scheme}:{location}");
    }
    let path_at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    if location.starts_with('/') {
        return format!("{scheme}://{authority}{location}");
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{scheme}://{authority}{folder}/{location}")
}

/// Whether a host, with or without a port, is this device itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A text as it stands in a query.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let written = if plain { out.write_char(char::from(byte)) } else { write!(out, "%{byte:02X}") };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_url_is_not_shown() {
        assert_eq!(shown("https://me:pw@host:1/a/b.wasm?X-Signature=1"), "https://host:1/a/b.wasm");
        assert_eq!(shown("file:///a/b"), "file:///a/b");
        assert_eq!(shown("oci://ghcr.io/a/b:v1"), "oci://ghcr.io/a/b:v1");
    }

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        let from = "https://u:p@host:1/a/b?q=1/2";
        assert_eq!(follow(from, "http://other/x?y#z"), "http://other/x?y");
        assert_eq!(follow(from, "//other/x"), "https://other/x");
        assert_eq!(follow(from, "/x?u=http://y"), "https://u:p@host:1/x?u=http://y");
        assert_eq!(follow(from, "c"), "https://u:p@host:1/a/c");
        assert_eq!(follow("http://host", "c"), "http://host/c");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("HTTPS://u:p@Host:443/a?b"), origin("https://host"));
        assert_ne!(origin("https://host:1/"), origin("https://host/"));
        assert_ne!(origin("http://host/"), origin("https://host/"));
        assert_ne!(origin("https://host/"), origin("https://host.evil/"));
    }

    #[test]
    fn loopback_is_told_from_what_looks_like_it() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "127.9.9.9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.evil", "127.0.0.1.evil", "10.0.0.1", "[::2]:1", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(encoded("repository:a/b:pull ü"), "repository%3Aa%2Fb%3Apull%20%C3%BC");
    }
}
