//! `twinlet:device/http-client`: outbound HTTP through a gate. The gate knows the function's URL patterns and which
//! addresses no pattern may reach by name; ureq does the rest.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use ureq::Agent;
use ureq::config::Config;
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;

pub use crate::bindings::twinlet::device::http_client::Error;

use crate::Guest;
use crate::bindings::twinlet::device::http_client::{Host, OutgoingRequest};
use crate::bindings::twinlet::device::types::Response;
use crate::rates::Kind;

mod pattern;
mod resolver;

pub use pattern::{Pattern, PatternError};
use resolver::{CheckedResolver, RefusedAddress};

/// Bytes of a response's body.
const MAX_BODY_BYTES: u64 = 4 << 20;
/// Headers that belong to the connection, so that a guest must not set them.
const OWN_HEADERS: &[&str] = &["host", "content-length", "transfer-encoding", "connection", "upgrade", "te"];

/// What a function may call: its patterns, and a client whose resolver holds to them.
pub struct Gate {
    patterns: Arc<[Pattern]>,
    agent: Option<Agent>,
}

impl Gate {
    /// A gate that nothing passes.
    pub fn closed() -> Self {
        Self { patterns: Arc::new([]), agent: None }
    }

    /// A gate for these patterns.
    pub fn new(patterns: Vec<Pattern>, tls: TlsConfig) -> Self {
        let patterns: Arc<[Pattern]> = patterns.into();
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(tls)
            .max_idle_connections(4)
            .allow_non_standard_methods(true)
            .build();
        let resolver = CheckedResolver { patterns: patterns.clone() };
        Self { patterns, agent: Some(Agent::with_parts(config, DefaultConnector::default(), resolver)) }
    }

    fn permits(&self, url: &Uri) -> bool {
        self.patterns.iter().any(|pattern| pattern.covers(url))
    }

    fn send(&self, request: OutgoingRequest, time_left: Duration) -> Result<Response, Error> {
        let url: Uri =
            request.url.parse().map_err(|e| Error::InvalidRequest(format!("url `{}`: {e}", request.url)))?;
        let Some(agent) = self.agent.as_ref().filter(|_| self.permits(&url)) else {
            return Err(Error::NotPermitted(format!("no pattern in permissions.http covers {url}")));
        };
        let asked = request.timeout_ms.map_or(time_left, |ms| Duration::from_millis(ms.into()));
        let request = checked(request, url)?;
        let mut run = agent.configure_request(request);
        run = run.timeout_global(Some(asked.min(time_left).max(Duration::from_millis(1))));
        let answer = agent.run(run.build()).map_err(told)?;
        received(answer)
    }
}

impl Host for Guest {
    fn send(&mut self, request: OutgoingRequest) -> Result<Response, Error> {
        if !self.may(Kind::Http, request.body.len()) {
            return Err(Error::RateLimited);
        }
        let time_left = self.time_left();
        self.waiting(|guest| guest.environment.http.send(request, time_left))
    }
}

fn checked(request: OutgoingRequest, url: Uri) -> Result<http::Request<Vec<u8>>, Error> {
    let mut builder = http::Request::builder().method(request.method.as_str()).uri(url);
    for (name, value) in &request.headers {
        if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Err(Error::InvalidRequest(format!("header `{name}` is set by the agent")));
        }
        builder = builder.header(name.as_str(), value.as_slice());
    }
    builder.body(request.body).map_err(|e| Error::InvalidRequest(e.to_string()))
}

fn received(answer: http::Response<ureq::Body>) -> Result<Response, Error> {
    let (head, body) = answer.into_parts();
    let headers = head.headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().to_vec())).collect();
    if body.content_length().is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(Error::TooLarge(MAX_BODY_BYTES));
    }
    let mut bytes = Vec::new();
    let mut reader = body.into_reader().take(MAX_BODY_BYTES + 1);
    reader.read_to_end(&mut bytes).map_err(|e| told(ureq::Error::from(e)))?;
    if bytes.len() as u64 > MAX_BODY_BYTES {
        return Err(Error::TooLarge(MAX_BODY_BYTES));
    }
    Ok(Response { status: head.status.as_u16(), headers, body: bytes })
}

fn told(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Timeout(_) => Error::Timeout,
        ureq::Error::Other(refused) if refused.is::<RefusedAddress>() => {
            Error::NotPermitted(refused.to_string())
        }
        ureq::Error::Io(e) => match e.downcast::<ureq::Error>() {
            Ok(inner) => told(inner),
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => Error::Timeout,
            Err(e) => Error::Unreachable(e.to_string()),
        },
        ureq::Error::Rustls(e) => Error::Tls(e.to_string()),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Error::InvalidRequest(error.to_string()),
        other => Error::Unreachable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    /// A server on loopback that answers one request with these bytes and then stays silent.
    fn answering(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer).unwrap();
            // Until the client has gone.
            assert!(stream.read(&mut request).map_or(true, |n| n == 0));
        });
        port
    }

    fn gate(pattern: &str) -> Gate {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
        Gate::new(vec![pattern.parse().unwrap()], tls)
    }

    fn get(gate: &Gate, url: String) -> Result<Response, Error> {
        let request = OutgoingRequest {
            method: "GET".into(),
            url,
            headers: vec![("x-a".into(), b"1".to_vec())],
            body: Vec::new(),
            timeout_ms: Some(300),
        };
        gate.send(request, Duration::from_secs(5))
    }

    #[test]
    fn a_response_comes_whole_and_a_redirect_is_not_followed() {
        let port = answering(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\n\xff\0",
        );
        let answer = get(&gate(&format!("http://127.0.0.1:{port}/*")), format!("http://127.0.0.1:{port}/x"));
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.body), (302, vec![255, 0]));
        assert!(answer.headers.iter().any(|(name, _)| name == "location"));
    }

    #[test]
    fn what_no_pattern_names_is_not_even_resolved() {
        assert!(matches!(get(&Gate::closed(), "http://127.0.0.1:1/".into()), Err(Error::NotPermitted(_))));
        let gate = gate("https://api.example.com/*");
        assert!(matches!(get(&gate, "https://other.invalid/".into()), Err(Error::NotPermitted(_))));
    }

    #[test]
    fn a_name_that_resolves_to_this_device_is_refused() {
        // Not an address as we read one, but the resolver makes 127.0.0.1 of it.
        let gate = gate("http://127.1:1/*");
        let refused = get(&gate, "http://127.1:1/".into());
        assert!(matches!(refused, Err(Error::NotPermitted(_))), "{refused:?}");
    }

    #[test]
    fn a_server_that_says_nothing_ends_as_a_timeout() {
        let port = answering(b"");
        let gate = gate(&format!("http://127.0.0.1:{port}/*"));
        assert!(matches!(get(&gate, format!("http://127.0.0.1:{port}/")), Err(Error::Timeout)));
    }

    #[test]
    fn a_body_over_the_limit_is_refused() {
        let port = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n");
        let gate = gate(&format!("http://127.0.0.1:{port}/*"));
        let refused = get(&gate, format!("http://127.0.0.1:{port}/"));
        assert!(matches!(refused, Err(Error::TooLarge(MAX_BODY_BYTES))), "{refused:?}");
    }

    #[test]
    fn the_agents_own_headers_can_not_be_set() {
        let gate = gate("http://127.0.0.1:1/*");
        let headers = vec![("Host".into(), b"other".to_vec())];
        let request = OutgoingRequest {
            method: "GET".into(),
            url: "http://127.0.0.1:1/".into(),
            headers,
            body: vec![],
            timeout_ms: None,
        };
        assert!(matches!(gate.send(request, Duration::from_secs(1)), Err(Error::InvalidRequest(_))));
    }
}
