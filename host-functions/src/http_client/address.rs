//! Which addresses a name on the internet may stand for. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// False for loopback, private, link-local (which holds the clouds' metadata services), multicast and other addresses
/// that a name on the internet has no business resolving to; mapped addresses count as what they map to.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4() {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = (a, b, c) == (192, 0, 0);
    let benchmarks = a == 198 && (18..20).contains(&b);
    !(v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_documentation()
        || shared
        || protocols
        || benchmarks
        || a == 0
        || a >= 224)
}

/// Only global unicast, and of that neither 6to4 nor Teredo, which carry an IPv4 address inside.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, ..] = v6.segments();
    let global = first & 0xe000 == 0x2000;
    let six_to_four = first == 0x2002;
    let teredo = (first, second) == (0x2001, 0);
    let documentation = (first, second) == (0x2001, 0xdb8);
    global && !six_to_four && !teredo && !documentation
}

/// The address that a URL's host spells out. A host that resolvers read as one although it is not written as one, such
/// as `127.1` or `2130706433`, counts as this device's own.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    if host.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.starts_with("0x") || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
    host.parse().ok().or(number.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass_by_name() {
        for refused in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "fe80::1",
            "fd00::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            assert!(!refused.parse().is_ok_and(is_public), "{refused}");
        }
        for public in ["93.184.216.34", "::ffff:93.184.216.34", "2606:2800:220:1::1"] {
            assert!(public.parse().is_ok_and(is_public), "{public}");
        }
    }

    #[test]
    fn an_address_is_seen_however_it_is_written() {
        for own in [
            "127.0.0.1",
            "[::1]",
            "localhost",
            "LOCALHOST.",
            "127.1",
            "2130706433",
            "0x7f000001",
            "127.0.0.0x1",
        ] {
            assert!(literal(own).is_some_and(|address| !is_public(address)), "{own}");
        }
        assert_eq!(literal("api.example.com"), None);
        assert_eq!(literal("93.184.216.34"), "93.184.216.34".parse().ok());
    }
}
