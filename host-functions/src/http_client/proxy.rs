//! The proxies of the environment: `HTTPS_PROXY` for `https` URLs, `HTTP_PROXY` for `http` URLs, `ALL_PROXY` for either
//! where that one is not set, and `NO_PROXY` for the hosts that are reached without; each also in lower case.
//!
//! A proxy looks up the names that it is asked for, so the address check of [`super::resolver`] cannot be made for
//! them: the patterns hold as ever, and so does the check of hosts that spell out an address; what a name resolves to is
//! the proxy's business. The proxy's own address is the operator's choice and may be private.

use std::sync::LazyLock;

use http::Uri;
use ureq::{Proxy, ProxyProtocol};

/// Which proxy to take for which URL.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
}

impl Proxies {
    /// The proxies that this process was started with, read once.
    pub fn of_this_process() -> &'static Self {
        static PROXIES: LazyLock<Proxies> = LazyLock::new(|| Proxies::read(|name| std::env::var(name).ok()));
        &PROXIES
    }

    /// The proxies that these variables name. A value that names none is logged and passed over.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let set = variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
            set.filter(|value| !value.trim().is_empty()).map(|value| (name.to_owned(), value))
        };
        let without = either("NO_PROXY").map(|(_, value)| value).unwrap_or_default();
        let one = |name: &str| {
            let (name, value) = either(name).or_else(|| either("ALL_PROXY"))?;
            let read = proxy(value.trim(), &without);
            if read.is_none() {
                // Without its value, which may hold a password.
                log::warn!("{name} names no http:// or https:// proxy, so none is used");
            }
            read
        };
        Self { http: one("HTTP_PROXY"), https: one("HTTPS_PROXY") }
    }

    /// The proxy for a URL.
    pub fn of(&self, url: &Uri) -> Option<Proxy> {
        let proxy = if url.scheme_str() == Some("https") { &self.https } else { &self.http };
        proxy.clone().filter(|proxy| !proxy.is_no_proxy(url))
    }
}

fn proxy(value: &str, without: &str) -> Option<Proxy> {
    let read = Proxy::new(value).ok()?;
    if !matches!(read.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return None;
    }
    let mut proxy = Proxy::builder(read.protocol()).host(read.host()).port(read.port());
    if let Some(user) = read.username() {
        proxy = proxy.username(user);
    }
    if let Some(password) = read.password() {
        proxy = proxy.password(password);
    }
    for host in without.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        proxy = proxy.no_proxy(host);
    }
    proxy.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_of(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&url.parse().unwrap()).map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    fn read(variables: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn each_scheme_has_its_proxy_and_all_proxy_stands_in() {
        let proxies = read(&[("HTTPS_PROXY", "http://u:p%40@10.0.0.1:3128"), ("all_proxy", "other.lan:80")]);
        assert_eq!(host_of(&proxies, "https://example.com/").as_deref(), Some("10.0.0.1:3128"));
        assert_eq!(host_of(&proxies, "http://example.com/").as_deref(), Some("other.lan:80"));
        assert_eq!(proxies.https.as_ref().and_then(Proxy::password), Some("p@"));
        assert_eq!(host_of(&read(&[("https_proxy", "http://a:1")]), "http://example.com/"), None);
    }

    #[test]
    fn some_hosts_are_reached_without() {
        let proxies = read(&[("https_proxy", "http://a:1"), ("NO_PROXY", "direct.example, .lan")]);
        assert_eq!(host_of(&proxies, "https://direct.example/"), None);
        assert_eq!(host_of(&proxies, "https://x.lan/"), None);
        assert!(host_of(&proxies, "https://lan.example/").is_some());
    }

    #[test]
    fn what_is_no_proxy_is_passed_over() {
        for odd in ["socks5://a:1", "ftp://a", "", " ", "http://"] {
            assert_eq!(host_of(&read(&[("HTTPS_PROXY", odd)]), "https://example.com/"), None, "{odd}");
        }
    }
}
