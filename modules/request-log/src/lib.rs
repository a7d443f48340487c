//! Middleware that logs and counts requests, responses and failures; knows nothing of the functions that it watches.

mod settings;

use twinlet_guest::prelude::*;
use twinlet_guest::{log, metrics};

use settings::Settings;

on_request!(log_request);
on_response!(log_response);
on_error!(log_failure);

fn log_request(request: &Request) -> Action {
    // Without the query, which may hold secrets.
    log::info!("{} {} {}", request.request_id(), request.method(), request.path());
    count("requests", "method", method(request.method()));
    Action::cont()
}

fn log_response(response: &Response) -> Result<Modification, Error> {
    let settings = Settings::from_twin()?;
    let status = response.status_code();
    let id = response.header_value("x-request-id").unwrap_or("-");
    log::info!("{id} answered {status}");
    count("responses", "status", class(status));
    Ok(settings.modification(status))
}

fn log_failure(failure: &Failure) -> Result<Modification, Error> {
    let settings = Settings::from_twin()?;
    let Failure { request_id, method, path, status, kind, message } = failure;
    log::warn!("{request_id} {method} {path} failed with {status} {kind}: {message}");
    count("failures", "kind", kind);
    Ok(settings.modification(*status))
}

/// What cannot be counted is no reason to fail a request, nor to fill the log.
fn count(name: &str, label: &str, value: &str) {
    if let Err(error) = metrics::count(name, &[(label, value)]) {
        log::debug!("{error}");
    }
}

/// A client may send any method, and a function has so many series only.
fn method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method,
        _ => "other",
    }
}

fn class(status: u16) -> &'static str {
    match status {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use twinlet_guest::testing::Host;

    use super::*;

    fn last_line(host: &Host) -> String {
        host.logs().last().unwrap().message.clone()
    }

    #[test]
    fn a_request_is_logged_without_its_query_and_counted_by_method() {
        let host = Host::new();
        assert_eq!(log_request(&Request::get("/things/7?token=secret")), Action::cont());
        assert_eq!(last_line(&host), "test GET /things/7");
        log_request(&Request::new("BREW", "/pot"));
        log_request(&Request::new("STEEP", "/pot"));
        assert_eq!(host.counter("requests", &[("method", "GET")]), 1.0);
        assert_eq!(host.counter("requests", &[("method", "other")]), 2.0);
    }

    #[test]
    fn a_response_is_logged_by_its_id_and_gets_the_headers() {
        let host = Host::new();
        let response = Response::ok().header("x-request-id", "r7").text("hello");
        let changed = log_response(&response).unwrap().applied(response);
        assert_eq!(last_line(&host), "r7 answered 200");
        assert_eq!((changed.status_code(), changed.body()), (200, b"hello".as_slice()));
        assert_eq!(changed.header_value("x-served-by"), Some("twinlet"));
        host.set_config_json(r#"{"headers":{"x-site":"tokyo"}}"#);
        let changed = log_response(&Response::ok()).unwrap().applied(Response::ok());
        assert_eq!(
            (changed.header_value("x-site"), changed.header_value("x-served-by")),
            (Some("tokyo"), None)
        );
        assert_eq!(host.counter("responses", &[("status", "2xx")]), 2.0);
    }

    #[test]
    fn statuses_are_converted_where_config_says_so_in_responses_and_failures_alike() {
        let host = Host::new();
        host.set_config_json(r#"{"statuses":{"500":503}}"#);
        for (before, after) in [(500, 503), (404, 404), (200, 200)] {
            let response = Response::status(before);
            assert_eq!(log_response(&response).unwrap().applied(response).status_code(), after);
        }
        let change = log_failure(&Failure::of(500, "ExecutionError")).unwrap();
        assert_eq!(change.applied(Response::status(500)).status_code(), 503);
        assert_eq!(last_line(&host), "test GET / failed with 500 ExecutionError: test");
        assert_eq!(host.counter("failures", &[("kind", "ExecutionError")]), 1.0);
    }

    #[test]
    fn numbers_that_are_refused_fail_nothing() {
        let host = Host::new();
        host.refuse_metrics(metrics::Error::RateLimited);
        assert_eq!(log_request(&Request::get("/")), Action::cont());
        assert_eq!(last_line(&host), "metric: rate-limited");
        assert!(log_response(&Response::ok()).is_ok());
    }

    #[test]
    fn a_bad_config_names_the_key() {
        let host = Host::new();
        for (config, named) in [
            (r#"{"statuses":{"500":99}}"#, "config: statuses: 500 to 99: not from 200 to 599"),
            (r#"{"statuses":{"oops":503}}"#, "statuses"),
            (r#"{"headers":{"x-site":7}}"#, "config: headers.x-site: invalid type"),
            (r#"{"header":"x"}"#, "unknown field `header`"),
        ] {
            host.set_config_json(config);
            let error = log_response(&Response::ok()).unwrap_err().to_string();
            assert!(error.contains(named), "{error} does not say {named}");
        }
    }
}
