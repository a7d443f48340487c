//! The two kinds of URL that the configuration holds: a broker's and an HTTP base. It resolves and opens nothing.

use std::net::Ipv6Addr;

use super::Secret;

/// What `mqtt_broker` says: `mqtt://[user[:password]@]host[:port]`, or `mqtts://…` for TLS.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Broker {
    pub(super) tls: bool,
    /// An IPv6 address stands here without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Percent-decoded.
    pub(super) username: Option<String>,
    /// Percent-decoded.
    pub(super) password: Option<Secret>,
}

/// The parts of a URL that has a host, as written.
struct Parts<'a> {
    scheme: &'a str,
    userinfo: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    /// Path, query and fragment.
    rest: &'a str,
}

/// Reads a broker's URL. An error is the rest of a sentence that begins with the (redacted) URL.
pub(super) fn broker(text: &str) -> Result<Broker, String> {
    let parts = split(text, &["mqtt", "mqtts"])?;
    if !matches!(parts.rest, "" | "/") {
        return Err(format!(
            "has `{}` after the host and port, which a broker's URL has not",
            redact(parts.rest)
        ));
    }
    let tls = parts.scheme.eq_ignore_ascii_case("mqtts");
    let (username, password) = match parts.userinfo {
        None => (None, None),
        Some(userinfo) => {
            let (user, password) = match userinfo.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (userinfo, None),
            };
            if user.is_empty() {
                return Err("has an empty user name before the `@`".to_owned());
            }
            (Some(percent_decode(user)?), password.map(percent_decode).transpose()?.map(Secret::new))
        }
    };
    let port = parts.port.unwrap_or(if tls { 8883 } else { 1883 });
    Ok(Broker { tls, host: parts.host.to_owned(), port, username, password })
}

/// Reads an HTTP base URL and returns it without trailing slashes. An error is the rest of a sentence.
pub(super) fn base(text: &str) -> Result<String, String> {
    let parts = split(text, &["http", "https"])?;
    if parts.userinfo.is_some() {
        return Err("holds a user or password, which would be shown in logs".to_owned());
    }
    if parts.rest.contains(['?', '#']) {
        return Err("has a query or a fragment, which a base URL can not have".to_owned());
    }
    if !parts.rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has a path with characters that must be percent-encoded".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The URL with whatever stands before its last `@` or after its first `?` hidden. Works on what is no URL, too:
/// a mistyped URL may still hold a password.
pub(super) fn redact(text: &str) -> String {
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (format!("{scheme}://"), rest),
        _ => (String::new(), text),
    };
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    match rest.split_once('?') {
        Some((rest, _)) => format!("{scheme}{credentials}{rest}?***"),
        None => format!("{scheme}{credentials}{rest}"),
    }
}

fn split<'a>(text: &'a str, schemes: &[&str]) -> Result<Parts<'a>, String> {
    let (scheme, after) = text
        .split_once("://")
        .filter(|(scheme, _)| schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)))
        .ok_or_else(|| format!("does not begin with {}://", schemes.join(":// or ")))?;
    let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
    let (userinfo, address) = match authority.rsplit_once('@') {
        Some((userinfo, address)) => (Some(userinfo), address),
        None => (None, authority),
    };
    let (host, port) = host_and_port(address)?;
    Ok(Parts { scheme, userinfo, host, port, rest })
}

fn host_and_port(address: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or("has a `[` without its `]`")?;
            host.parse::<Ipv6Addr>().map_err(|_| "has no IPv6 address between its brackets".to_owned())?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err("has text between the `]` and the port".to_owned()),
            }
        }
        None => match address.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(
                    "has more than one `:` in its host; an IPv6 address stands in brackets".to_owned()
                );
            }
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err("has no host".to_owned());
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if !host.bytes().all(known) {
        return Err("has a host with characters that host names do not have".to_owned());
    }
    match port.map(str::parse::<u16>) {
        None => Ok((host, None)),
        Some(Ok(port)) if port > 0 => Ok((host, Some(port))),
        Some(_) => Err("has a port that is not from 1 to 65535".to_owned()),
    }
}

fn percent_decode(text: &str) -> Result<String, String> {
    const FAULT: &str = "has a user or password that is not percent-encoded UTF-8";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit =
            || rest.next().and_then(|byte| char::from(byte).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(FAULT.to_owned()) };
        bytes.push(high * 16 + low);
    }
    String::from_utf8(bytes).map_err(|_| FAULT.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (bool, String, u16, Option<String>, Option<String>) {
        let it = broker(text).unwrap();
        (it.tls, it.host, it.port, it.username, it.password.map(|secret| secret.reveal().to_owned()))
    }

    #[test]
    fn a_broker_url_names_transport_host_port_and_credentials() {
        let host = |name: &str| name.to_owned();
        assert_eq!(parsed("mqtt://localhost"), (false, host("localhost"), 1883, None, None));
        assert_eq!(parsed("MQTTS://hub.example/"), (true, host("hub.example"), 8883, None, None));
        assert_eq!(parsed("mqtts://[fe80::1]:18883"), (true, host("fe80::1"), 18883, None, None));
        assert_eq!(parsed("mqtt://[::1]"), (false, host("::1"), 1883, None, None));
        let (user, password) = (Some("j@ne".to_owned()), Some("p:a/ß".to_owned()));
        assert_eq!(parsed("mqtt://j%40ne:p:a%2F%c3%9f@h:7"), (false, host("h"), 7, user, password));
    }

    #[test]
    fn what_is_no_broker_url_is_refused() {
        for bad in [
            "localhost:1883",
            "http://localhost",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://h:0",
            "mqtt://h:65536",
            "mqtt://h:",
            "mqtt://h:x",
            "mqtt://h/topic",
            "mqtt://h?x=1",
            "mqtt://::1",
            "mqtt://[::1",
            "mqtt://[x]:1",
            "mqtt://[::1]x",
            "mqtt://@h",
            "mqtt://:pw@h",
            "mqtt://a%2@h",
            "mqtt://a%ff@h",
            "mqtt://ho st",
            "mqtt:h",
        ] {
            assert!(broker(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_base_url_is_http_and_holds_no_secret() {
        assert_eq!(base("http://localhost:8080").unwrap(), "http://localhost:8080");
        assert_eq!(base("https://cp.example/a/b//").unwrap(), "https://cp.example/a/b");
        for bad in
            ["ftp://x", "cp.example", "http://", "http://a:b@c", "http://a?x", "http://a/#f", "http://a/b c"]
        {
            assert!(base(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redaction_hides_credentials_even_of_mistyped_urls() {
        assert_eq!(redact("mqtt://u:pw@h:1"), "mqtt://***@h:1");
        assert_eq!(redact("mqtt://u:p/w@x@h"), "mqtt://***@h");
        assert_eq!(redact("u:pw@h"), "***@h");
        assert_eq!(redact("mqtt:/u:pw@h"), "***@h");
        assert_eq!(redact("u:p://w@h"), "***@h");
        assert_eq!(redact("mqtt://u:p?w@h"), "mqtt://***@h");
        assert_eq!(redact("http://h/x?token=pw"), "http://h/x?***");
        assert_eq!(redact("mqtt://h:1"), "mqtt://h:1");
    }
}
