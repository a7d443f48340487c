//! Middleware that lets through who shows an API key from the device twin; knows nothing of what lies behind.

mod keys;

use serde::Deserialize;
use twinlet_guest::prelude::*;
use twinlet_guest::twin;

use keys::Keys;

on_request!(guard);

/// The function's `config`. Of `keys` and `sha256` at least one must name a key.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// The header that carries the key; of `authorization` the part behind `Bearer`.
    header: String,
    /// Keys as they are.
    keys: Vec<String>,
    /// The SHA-256 of keys, as 64 hex digits.
    sha256: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { header: "x-api-key".to_owned(), keys: Vec::new(), sha256: Vec::new() }
    }
}

impl Settings {
    fn from_twin() -> Result<Self, Error> {
        twin::config().map_err(|error| {
            let text = error.to_string();
            // The rest would quote the value, and a key has no place in a log.
            match text.split_once(": invalid") {
                Some((place, _)) => Error::new([place, ": not what is wanted there"].concat()),
                None => Error::new(text),
            }
        })
    }
}

/// An error here is the operator's: the call fails, and so the door stays shut unless `on_failure` says otherwise.
fn guard(request: &Request) -> Result<Action, Error> {
    let settings = Settings::from_twin()?;
    let keys = Keys::read(&settings.keys, &settings.sha256)?;
    let admitted = shown(request, &settings.header).is_some_and(|key| keys.contain(key));
    Ok(if admitted { Action::cont() } else { Action::reject(401) })
}

/// The key that a request shows; none if it shows two, since another reader might take the other.
fn shown<'a>(request: &'a Request, header: &str) -> Option<&'a [u8]> {
    let mut values = request.header_values(header);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    if !header.eq_ignore_ascii_case("authorization") {
        return Some(value);
    }
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
}

#[cfg(test)]
mod tests {
    use twinlet_guest::testing::Host;

    use super::*;

    /// `sha256("a long secret")`
    const DIGEST: &str = "69898f54c6762252fc3a57df8c84c6338fcfd51f3bb3de4c3fc31c65feea2622";

    fn asked_with(headers: &[(&str, &str)]) -> Action {
        let request = headers.iter().fold(Request::get("/"), |r, (name, value)| r.with_header(name, value));
        guard(&request).unwrap()
    }

    #[test]
    fn a_key_opens_and_nothing_else_does() {
        let host = Host::new();
        host.set_config_json(r#"{"keys":["first","second"]}"#);
        assert_eq!(asked_with(&[("X-Api-Key", "first")]), Action::cont());
        assert_eq!(asked_with(&[("x-api-key", "second")]), Action::cont());
        for wrong in ["", "firs", "first ", "First", "firstsecond", "third"] {
            assert_eq!(asked_with(&[("x-api-key", wrong)]), Action::reject(401), "{wrong:?}");
        }
        assert_eq!(asked_with(&[]), Action::reject(401));
        assert_eq!(asked_with(&[("x-api-key", "first"), ("x-api-key", "third")]), Action::reject(401));
        assert_eq!(asked_with(&[("authorization", "Bearer first")]), Action::reject(401));
    }

    #[test]
    fn a_key_may_be_given_by_its_digest_alone() {
        let host = Host::new();
        host.set_config_json(&format!(r#"{{"sha256":["{}"]}}"#, DIGEST.to_uppercase()));
        assert_eq!(asked_with(&[("x-api-key", "a long secret")]), Action::cont());
        assert_eq!(asked_with(&[("x-api-key", DIGEST)]), Action::reject(401));
    }

    #[test]
    fn the_header_is_configurable_and_authorization_has_a_scheme() {
        let host = Host::new();
        host.set_config_json(r#"{"keys":["first"],"header":"x-token"}"#);
        assert_eq!(asked_with(&[("x-token", "first")]), Action::cont());
        assert_eq!(asked_with(&[("x-api-key", "first")]), Action::reject(401));
        host.set_config_json(r#"{"keys":["first"],"header":"Authorization"}"#);
        assert_eq!(asked_with(&[("authorization", "bearer first")]), Action::cont());
        for wrong in ["first", "Basic first", "Bearer", "Bearer ", "Bearer  first"] {
            assert_eq!(asked_with(&[("authorization", wrong)]), Action::reject(401), "{wrong:?}");
        }
    }

    #[test]
    fn a_config_that_nobody_could_pass_or_everybody_might_is_an_error() {
        let host = Host::new();
        for (config, named) in [
            ("{}", "config: neither `keys` nor `sha256` has a key"),
            (r#"{"keys":[""]}"#, "config: keys[0]: empty"),
            (r#"{"sha256":["0123"]}"#, "config: sha256[0]: not 64 hex digits"),
            (r#"{"keys":"first"}"#, "config: keys: not what is wanted there"),
            (r#"{"keys":["first",7]}"#, "config: keys[1]: not what is wanted there"),
            (r#"{"key":["first"]}"#, "unknown field `key`"),
        ] {
            host.set_config_json(config);
            let error = guard(&Request::get("/")).unwrap_err().to_string();
            assert!(error.contains(named), "{error} does not say {named}");
            assert!(!error.contains("first"), "{error} gives a key away");
        }
    }
}
