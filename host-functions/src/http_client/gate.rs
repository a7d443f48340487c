//! The gate that every request of a guest passes, whichever interface it comes by: the function's URL patterns, which
//! addresses no pattern may reach by name, one client with its pool of connections.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ureq::config::Config;
use ureq::tls::TlsConfig;
use ureq::{Agent, BodyReader, SendBody};

use super::address::{is_public, literal};
use super::failure::Failure;
use super::resolver::{CheckedResolver, LookUp, system};
use super::{Pattern, Proxies, connector};

/// Connections that one function keeps open for its next request, and those of them to one host.
const IDLE_CONNECTIONS: (usize, usize) = (4, 2);
/// How long such a connection is good for.
const IDLE_AGE: Duration = Duration::from_secs(15);
/// Bytes of a response's head, and of what is read at once.
const INPUT_BYTES: usize = 32 << 10;
/// Bytes that are written at once.
const OUTPUT_BYTES: usize = 16 << 10;
/// Streamed requests that one function may have under way.
const STREAMED_REQUESTS: usize = 8;

/// What a function may call: its patterns, and a client that holds to them.
pub struct Gate {
    patterns: Arc<[Pattern]>,
    proxies: Proxies,
    agent: Option<Agent>,
    places: Arc<Semaphore>,
}

/// A request's body.
pub(crate) enum Payload {
    /// All of it.
    Whole(Vec<u8>),
    /// As it comes. Of the length that the header `content-length` names, or chunked.
    Stream(Box<dyn Read>),
}

/// How long to wait for a response.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// From the beginning to the last byte of the response.
    pub(crate) whole: Duration,
    /// For the connection.
    pub(crate) connect: Option<Duration>,
    /// For the response's head, once the request is sent.
    pub(crate) first_byte: Option<Duration>,
}

/// A response's body, yet to be read.
pub(crate) struct Received {
    /// Its length, where the peer says.
    pub(crate) length: Option<u64>,
    reader: BodyReader<'static>,
}

impl Received {
    /// Reads on; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        Ok(self.reader.read(buffer)?)
    }
}

impl Gate {
    /// A gate that nothing passes.
    pub fn closed() -> Self {
        Self::made(Vec::new(), Proxies::default(), None, system)
    }

    /// A gate for these patterns, behind the proxies that this process was started with.
    pub fn new(patterns: Vec<Pattern>, tls: TlsConfig) -> Self {
        Self::behind(patterns, tls, Proxies::of_this_process().clone())
    }

    /// A gate for these patterns, behind these proxies.
    pub fn behind(patterns: Vec<Pattern>, tls: TlsConfig, proxies: Proxies) -> Self {
        Self::made(patterns, proxies, Some(tls), system)
    }

    pub(super) fn made(
        patterns: Vec<Pattern>,
        proxies: Proxies,
        tls: Option<TlsConfig>,
        look_up: LookUp,
    ) -> Self {
        let patterns: Arc<[Pattern]> = patterns.into();
        let agent = tls.map(|tls| {
            let (idle, idle_per_host) = IDLE_CONNECTIONS;
            let config = Config::builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .tls_config(tls)
                .max_idle_connections(idle)
                .max_idle_connections_per_host(idle_per_host)
                .max_idle_age(IDLE_AGE)
                .input_buffer_size(INPUT_BYTES)
                .max_response_header_size(INPUT_BYTES)
                .output_buffer_size(OUTPUT_BYTES)
                .allow_non_standard_methods(true)
                .build();
            let resolver = CheckedResolver::new(patterns.clone(), look_up);
            Agent::with_parts(config, connector(), resolver)
        });
        Self { patterns, proxies, agent, places: Arc::new(Semaphore::new(STREAMED_REQUESTS)) }
    }

    /// Whether a URL may be asked for, as far as it can be told before its name is resolved. An address has no name to
    /// resolve, and behind a proxy nobody here resolves one.
    pub(crate) fn permits(&self, url: &Uri) -> Result<(), Failure> {
        if !self.patterns.iter().any(|pattern| pattern.covers(url)) {
            return Err(Failure::NotCovered(format!("no pattern in permissions.http covers {url}")));
        }
        let named = self.patterns.iter().any(|pattern| pattern.names_address() && pattern.covers(url));
        match url.host().and_then(literal) {
            Some(address) if !named && !is_public(address) => {
                let why = "is an address that permissions.http does not name outright";
                Err(Failure::ForbiddenAddress(format!("{} {why}", url.host().unwrap_or_default())))
            }
            _ => Ok(()),
        }
    }

    /// A place for one more streamed request of this function.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Sends a request and waits for the response's head. A redirect is a response like any other.
    pub(crate) fn exchange(
        &self,
        request: Request<Payload>,
        patience: Patience,
    ) -> Result<Response<Received>, Failure> {
        self.permits(request.uri())?;
        let Some(agent) = &self.agent else { return Err(Failure::NotCovered("no URL is permitted".into())) };
        let proxy = self.proxies.of(request.uri());
        let run = agent
            .configure_request(with_body(request))
            .proxy(proxy)
            .timeout_global(Some(patience.whole.max(Duration::from_millis(1))))
            .timeout_connect(patience.connect)
            .timeout_recv_response(patience.first_byte)
            .build();
        let answer = agent.run(run)?;
        Ok(answer.map(|body| Received { length: body.content_length(), reader: body.into_reader() }))
    }
}

/// Puts a body into ureq's words. A body of no bytes says so where a body is expected, and nothing elsewhere.
fn with_body(request: Request<Payload>) -> Request<SendBody<'static>> {
    let wants_body = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    let (mut head, payload) = request.into_parts();
    let body = match payload {
        Payload::Stream(reader) => SendBody::from_owned_reader(reader),
        Payload::Whole(bytes) if wants_body || !bytes.is_empty() => {
            head.headers.insert(CONTENT_LENGTH, bytes.len().into());
            SendBody::from_owned_reader(Cursor::new(bytes))
        }
        Payload::Whole(_) => SendBody::none(),
    };
    Request::from_parts(head, body)
}
