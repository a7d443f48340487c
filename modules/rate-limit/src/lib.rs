//! Middleware that lets through so many requests a second; `buckets` counts, this wires it to requests and config.

mod buckets;

use std::cell::RefCell;

use serde::Deserialize;
use twinlet_guest::prelude::*;
use twinlet_guest::{clock, twin};

use buckets::{Buckets, Rate};

on_request!(limit);

/// The function's `config`; `per_second` must be there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// How many requests a second, on average; more than 0, and 1 every ten seconds is 0.1.
    per_second: f64,
    /// How many at once after a pause, 1 to 1,000,000; by default one second's, and at least 1.
    #[serde(default)]
    burst: Option<f64>,
    /// What has a bucket of its own.
    #[serde(default)]
    by: By,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum By {
    /// All requests share one.
    #[default]
    All,
    /// Each path, as it was sent, has one.
    Path,
    /// Each value of this header has one, and so have all the requests without it.
    Header(String),
}

thread_local! {
    // As long as the instance lives, and known to it alone.
    static BUCKETS: RefCell<Buckets> = RefCell::default();
}

fn limit(request: &Request) -> Result<Action, Error> {
    let settings: Settings = twin::config()?;
    let rate = settings.rate()?;
    let client: &[u8] = match &settings.by {
        By::All => b"",
        By::Path => request.path().as_bytes(),
        By::Header(name) => request.header_values(name).next().unwrap_or_default(),
    };
    let now = clock::monotonic();
    let taken = BUCKETS.with_borrow_mut(|buckets| buckets.take(rate, client, now));
    Ok(if taken { Action::cont() } else { Action::reject(429) })
}

impl Settings {
    fn rate(&self) -> Result<Rate, Error> {
        let per_second = self.per_second;
        if !(per_second > 0.0 && per_second <= 1e6) {
            return Err(Error::new("config: per_second: not more than 0 and at most 1000000"));
        }
        let burst = self.burst.unwrap_or(per_second.max(1.0));
        if !(1.0..=1e6).contains(&burst) {
            return Err(Error::new("config: burst: not from 1 to 1000000"));
        }
        Ok(Rate { per_second, burst })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use twinlet_guest::testing::Host;

    use super::*;

    fn passed(request: &Request, times: usize) -> usize {
        (0..times).filter(|_| limit(request).unwrap() == Action::cont()).count()
    }

    #[test]
    fn a_burst_passes_then_the_rate_and_the_rest_gets_429() {
        let host = Host::new();
        host.set_config_json(r#"{"per_second":2,"burst":5}"#);
        let request = Request::get("/");
        assert_eq!(passed(&request, 10), 5);
        assert_eq!(limit(&request).unwrap(), Action::reject(429));
        host.advance(Duration::from_millis(1500));
        assert_eq!(passed(&request, 10), 3);
        host.advance(Duration::from_secs(3600));
        assert_eq!(passed(&request, 10), 5, "no more than a burst is saved up");
    }

    #[test]
    fn paths_or_clients_have_a_share_each_where_config_says_so() {
        let host = Host::new();
        host.set_config_json(r#"{"per_second":1}"#);
        assert_eq!(passed(&Request::get("/a"), 2) + passed(&Request::get("/b"), 2), 1);

        host.set_config_json(r#"{"per_second":1,"by":"path"}"#);
        assert_eq!((passed(&Request::get("/c"), 2), passed(&Request::get("/d?x"), 2)), (1, 1));

        host.set_config_json(r#"{"per_second":1,"by":{"header":"X-Client"}}"#);
        let of = |client: &str| Request::get("/").with_header("x-client", client);
        assert_eq!((passed(&of("ann"), 2), passed(&of("bob"), 2)), (1, 1));
    }

    #[test]
    fn a_bad_config_names_the_key() {
        let host = Host::new();
        for (config, named) in [
            ("{}", "missing field `per_second`"),
            (r#"{"per_second":0}"#, "config: per_second: not more than 0"),
            (r#"{"per_second":-1}"#, "config: per_second: not more than 0"),
            (r#"{"per_second":1,"burst":0}"#, "config: burst: not from 1"),
            (r#"{"per_second":1,"by":"moon"}"#, "by: unknown variant `moon`"),
            (r#"{"per_second":1,"bust":2}"#, "unknown field `bust`"),
        ] {
            host.set_config_json(config);
            let error = limit(&Request::get("/")).unwrap_err().to_string();
            assert!(error.contains(named), "{error} does not say {named}");
        }
    }
}
