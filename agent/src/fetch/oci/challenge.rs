//! How a registry asks who is there: the header `WWW-Authenticate`.

/// One way to answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// By user and password.
    Basic,
    /// By a token, which `realm` gives out.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The best of the ways that a registry offers: a token before a password.
pub(super) fn best<'a>(offers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for offer in offers {
        match offered(offer) {
            Some(Challenge::Basic) => basic = Some(Challenge::Basic),
            Some(bearer) => return Some(bearer),
            None => {}
        }
    }
    basic
}

fn offered(offer: &str) -> Option<Challenge> {
    let (scheme, rest) = offer.trim().split_once(' ').unwrap_or((offer.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameters = parameters(rest);
    let of = |name: &str| {
        let found = parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    Some(Challenge::Bearer { realm: of("realm")?, service: of("service"), scope: of("scope") })
}

/// `name="value"` or `name=value`, separated by commas; a quoted value may hold commas and `\"`.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([',', ' ', '\t']).to_owned();
        let after = after.trim_start();
        let value;
        (value, rest) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, rest) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), rest)
            }
        };
        found.push((name, value));
    }
    found
}

/// A value up to its closing quote, and what comes after.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (value, chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_where_the_registry_says() {
        let offer =
            r#"Bearer realm="https://auth.example/token",service="a, b" , scope="repository:x/y:pull,push""#;
        let bearer = Challenge::Bearer {
            realm: "https://auth.example/token".into(),
            service: Some("a, b".into()),
            scope: Some("repository:x/y:pull,push".into()),
        };
        assert_eq!(offered(offer), Some(bearer));
        let short = Challenge::Bearer { realm: "https://a/".into(), service: None, scope: None };
        assert_eq!(best(["Basic realm=\"x\"", "bearer REALM=https://a/, scope="].into_iter()), Some(short));
        assert_eq!(best(["Basic realm=\"x\""].into_iter()), Some(Challenge::Basic));
    }

    #[test]
    fn what_is_no_offer_is_none() {
        for odd in
            ["", "Digest realm=\"x\"", "Bearer", "Bearer realm=", "Bearer service=\"x\"", "Bearer =,=,\"=\\"]
        {
            assert_eq!(offered(odd), None, "{odd}");
        }
    }
}
