//! Posts what it is sent to a URL from the device twin, and answers what came of it; knows nothing of what it carries.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use twinlet_guest::prelude::*;
use twinlet_guest::{http_client, log, twin};

http_function!(handle);

/// The function's `config`; `url` must be there, and `permissions.http` must cover it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where to post to: an absolute `http://` or `https://` URL.
    url: String,
    /// Headers to send beside the content type, such as `authorization`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// How long to wait for the answer, in milliseconds; by default, and at the longest, as long as this function has.
    #[serde(default)]
    timeout_ms: Option<u32>,
}

/// Why there is no answer from above, in the shape of the agent's own errors.
#[derive(Serialize)]
struct Failure<'a> {
    error: String,
    #[serde(rename = "type")]
    kind: &'a str,
    retryable: bool,
    request_id: &'a str,
}

fn handle(request: Request) -> Result<Response, Error> {
    if request.method() != "POST" {
        return Ok(Response::status(405).header("allow", "POST"));
    }
    let settings: Settings = twin::config()?;
    let id = request.request_id().to_owned();
    match outgoing(settings, request).send() {
        // Anything else is no status that the client could get.
        Ok(answer) if (200..600).contains(&answer.status_code()) => Ok(passed_on(answer)),
        Ok(answer) => bad_gateway(&id, format!("the status {}", answer.status_code()), true),
        Err(error) => bad_gateway(&id, error.to_string(), is_passing(&error)),
    }
}

fn outgoing(settings: Settings, request: Request) -> http_client::OutgoingRequest {
    let mut outgoing = http_client::post(settings.url);
    if let Some(content_type) = request.header_values("content-type").next() {
        outgoing = outgoing.header("content-type", content_type);
    }
    for (name, value) in settings.headers {
        outgoing = outgoing.header(&name, value);
    }
    if let Some(timeout_ms) = settings.timeout_ms {
        outgoing = outgoing.timeout(Duration::from_millis(timeout_ms.into()));
    }
    outgoing.header("x-request-id", request.request_id()).bytes(request.into_body())
}

/// Of the answer's headers only the one that says what its body is: the others are between us and the cloud.
fn passed_on(answer: Response) -> Response {
    let response = Response::status(answer.status_code());
    let response = match answer.headers().find(|(name, _)| *name == "content-type") {
        Some((name, value)) => response.header(name, value),
        None => response,
    };
    response.bytes(answer.into_body())
}

fn bad_gateway(request_id: &str, error: String, retryable: bool) -> Result<Response, Error> {
    log::warn!("{request_id} {error}");
    let failure = Failure { error, kind: "NetworkError", retryable, request_id };
    Ok(Response::status(502).json(&failure)?)
}

/// Whether the same request may well get an answer later.
fn is_passing(error: &http_client::Error) -> bool {
    use http_client::Error::{
        InvalidRequest, NotPermitted, RateLimited, Timeout, Tls, TooLarge, Unreachable,
    };
    match error {
        Unreachable(_) | Timeout | RateLimited => true,
        NotPermitted(_) | InvalidRequest(_) | Tls(_) | TooLarge(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use twinlet_guest::testing::{Host, call};

    use super::*;

    const CONFIG: &str =
        r#"{"url":"https://cloud.example.com/in","headers":{"authorization":"Bearer t"},"timeout_ms":3000}"#;

    fn post(body: &str) -> Response {
        call(handle, Request::post("/up", body).with_header("content-type", "text/csv")).unwrap()
    }

    #[test]
    fn a_body_goes_up_as_it_came_and_the_answer_comes_back() {
        let host = Host::new();
        host.set_config_json(CONFIG);
        host.set_http(|request| {
            assert_eq!((request.method(), request.url()), ("POST", "https://cloud.example.com/in"));
            assert_eq!(request.header_value("content-type"), Some("text/csv"));
            assert_eq!(request.header_value("authorization"), Some("Bearer t"));
            assert_eq!(request.header_value("x-request-id"), Some("test"));
            assert_eq!(request.body(), b"a,b");
            Ok(Response::status(409)
                .header("set-cookie", "s")
                .header("content-type", "text/html")
                .bytes("no"))
        });
        let answer = post("a,b");
        assert_eq!((answer.status_code(), answer.body()), (409, b"no".as_slice()));
        let headers: Vec<_> = answer.headers().collect();
        assert_eq!(headers, [("content-type", b"text/html".as_slice())]);
    }

    #[test]
    fn no_answer_is_a_502_that_says_why_and_whether_to_try_again() {
        let host = Host::new();
        host.set_config_json(CONFIG);
        for (error, text, retryable) in [
            (http_client::Error::Unreachable("refused".into()), "unreachable: refused", true),
            (http_client::Error::Timeout, "no whole response within the deadline", true),
            (http_client::Error::RateLimited, "outbound HTTP is rate-limited", true),
            (http_client::Error::Tls("expired".into()), "TLS: expired", false),
        ] {
            host.set_http(move |_| Err(error.clone()));
            let answer = post("");
            assert_eq!(answer.status_code(), 502);
            let expected = format!(
                r#"{{"error":"{text}","type":"NetworkError","retryable":{retryable},"request_id":"test"}}"#
            );
            assert_eq!(answer.body_text(), expected);
            assert_eq!(host.logs().last().unwrap().message, format!("test {text}"));
        }
        host.set_http(|_| Ok(Response::status(101)));
        assert!(post("").body_text().contains("the status 101"));
    }

    #[test]
    fn without_the_permission_it_is_a_502_too_and_not_to_be_tried_again() {
        let host = Host::new();
        host.set_config_json(CONFIG);
        let answer = post("");
        assert_eq!(answer.status_code(), 502);
        assert!(answer.body_text().contains(r#""retryable":false"#));
    }

    #[test]
    fn other_methods_are_refused_and_a_bad_config_names_the_key() {
        let host = Host::new();
        let answer = call(handle, Request::get("/up")).unwrap();
        assert_eq!((answer.status_code(), answer.header_value("allow")), (405, Some("POST")));
        for (config, named) in [
            ("{}", "missing field `url`"),
            (r#"{"url":7}"#, "config: url: invalid type"),
            (r#"{"url":"https://a/","timeout_ms":-1}"#, "config: timeout_ms: invalid value"),
            (r#"{"url":"https://a/","header":{}}"#, "unknown field `header`"),
        ] {
            host.set_config_json(config);
            let error = call(handle, Request::post("/up", "")).unwrap_err();
            assert!(error.contains(named), "{error} does not say {named}");
        }
    }
}
