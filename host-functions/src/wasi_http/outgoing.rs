//! `wasi:http/outgoing-handler`: each request on a short-lived thread of its own, by the gate of the function.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, oneshot};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::request_body::RequestBody;
use super::response_body::{self, ResponseBody};
use crate::guest::Environment;
use crate::http_client::{Failure, Patience, Payload, Phase, Received};
use crate::rates::Kind;

/// Requests under way over all functions. How many one function may have is the gate's business.
static REQUESTS: Semaphore = Semaphore::const_new(32);
/// What such a thread needs, TLS included.
const STACK_BYTES: usize = 512 << 10;
/// Bytes that a guest may write to a body at once. Up to two such pieces wait in a body.
const PIECE_BYTES: usize = 16 << 10;
/// Bytes of one body, either way.
pub(super) const MAX_BODY_BYTES: u64 = 64 << 20;

/// What the requests of one instance need.
pub(super) struct Outgoing {
    environment: Arc<Environment>,
    /// Until when the guest's present call may run, and so any request.
    pub(super) deadline: Instant,
}

impl Outgoing {
    pub(super) fn new(environment: Arc<Environment>) -> Self {
        Self { environment, deadline: Instant::now() }
    }

    fn start(&self, request: Request<WasiBody>, options: RequestOptions) -> Result<Answered, Error> {
        let environment = self.environment.clone();
        environment.http.permits(request.uri()).map_err(code)?;
        let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
        let bytes = request.uri().to_string().len() + headers.sum::<usize>();
        if environment.rates.take(Kind::Http, bytes).is_err() {
            return Err(Error::ConnectionLimitReached);
        }
        let own_place = environment.http.place().ok_or(Error::ConnectionLimitReached)?;
        let place = REQUESTS.try_acquire().map_err(|_| Error::ConnectionLimitReached)?;
        let (answer, answered) = oneshot::channel();
        let flow = Flow { environment, deadline: self.deadline };
        let job = Job { flow, options, answer, _places: (own_place, place) };
        let thread = thread::Builder::new().name("http-out".into()).stack_size(STACK_BYTES);
        match thread.spawn(move || job.run(request)) {
            Ok(_) => Ok(answered),
            Err(e) => Err(Error::InternalError(Some(e.to_string()))),
        }
    }
}

type Answer = Result<Response<WasiBody>, Error>;
type Answered = oneshot::Receiver<Answer>;
/// What wasmtime-wasi-http runs beside a response; nothing here, the thread does it all.
type Beside = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Beside,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Beside), Error>> + Send> {
        let started = self.start(request, options.unwrap_or_default());
        Box::new(async {
            let response = started?.await.map_err(|_| Error::InternalError(None))??;
            Ok((response, Box::new(async { Ok(()) }) as Beside))
        })
    }

    /// The gate's client sets it from the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        PIECE_BYTES
    }
}

/// One request on its thread.
struct Job {
    flow: Flow,
    options: RequestOptions,
    answer: oneshot::Sender<Answer>,
    _places: (OwnedSemaphorePermit, SemaphorePermit<'static>),
}

impl Job {
    fn run(self, request: Request<WasiBody>) {
        match self.exchange(request) {
            Ok(response) => {
                let (head, received) = response.into_parts();
                let (sender, body) = ResponseBody::new(self.options.between_bytes_timeout);
                let response = Response::from_parts(head, body.boxed_unsync());
                if self.answer.send(Ok(response)).is_ok() {
                    response_body::pass_on(received, &self.flow, &sender);
                }
            }
            Err(error) => {
                if let Err(Err(error)) = self.answer.send(Err(error)) {
                    log::debug!("nobody waits for a request that failed: {error}");
                }
            }
        }
    }

    fn exchange(&self, request: Request<WasiBody>) -> Result<Response<Received>, Error> {
        let (mut head, body) = request.into_parts();
        let told = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if told.is_some_and(|told| told > MAX_BODY_BYTES) {
            return Err(Error::HttpRequestBodySize(told));
        }
        let ended = body.is_end_stream() || told == Some(0);
        let mut body = RequestBody::new(body, told, self.flow.clone());
        let error = body.error.clone();
        // Where a body is usual its length may stay unknown. Elsewhere many guests open one and write nothing, and
        // then it must not be announced.
        let usual = [Method::POST, Method::PUT, Method::PATCH].contains(&head.method);
        let payload = if ended || (told.is_none() && !usual && body.is_empty()) {
            head.headers.remove(CONTENT_LENGTH);
            Payload::Whole(Vec::new())
        } else {
            Payload::Stream(Box::new(body))
        };
        let patience = Patience {
            whole: self.flow.left(),
            connect: self.options.connect_timeout,
            first_byte: self.options.first_byte_timeout,
        };
        let answer = self.flow.environment.http.exchange(Request::from_parts(head, payload), patience);
        // What went wrong with the guest's own body is the better reason.
        let first = || error.lock().unwrap_or_else(PoisonError::into_inner).take();
        let response = answer.map_err(|failure| first().unwrap_or_else(|| code(failure)))?;
        let length = response.body().length;
        match length {
            Some(length) if length > MAX_BODY_BYTES => Err(Error::HttpResponseBodySize(Some(length))),
            _ => Ok(response),
        }
    }
}

/// What carrying a body needs: who pays for it, and until when.
#[derive(Clone)]
pub(super) struct Flow {
    environment: Arc<Environment>,
    deadline: Instant,
}

impl Flow {
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits on this thread for the other end of a channel; none past the deadline. Needs no runtime, which may end
    /// before this thread does.
    pub(super) fn wait<R>(&self, what: impl Future<Output = R>) -> Option<R> {
        let mut what = pin!(what);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match what.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(done) => return Some(done),
                Poll::Pending if self.left().is_zero() => return None,
                Poll::Pending => thread::park_timeout(self.left()),
            }
        }
    }

    /// Pays for bytes that have gone by, and holds the flow back while the function owes some.
    pub(super) fn pay(&self, bytes: usize) {
        let owed = self.environment.rates.charge(Kind::Http, bytes);
        if owed > Duration::ZERO {
            thread::sleep(owed.min(self.left()));
        }
    }
}

/// Wakes a thread that waits in [`Flow::wait`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A failure in the words of `wasi:http`.
pub(super) fn code(failure: Failure) -> Error {
    match failure {
        Failure::NotCovered(_) => Error::HttpRequestDenied,
        Failure::ForbiddenAddress(_) => Error::DestinationIpProhibited,
        Failure::Malformed(_) => Error::HttpRequestUriInvalid,
        Failure::Unresolved(why) => Error::DnsError { rcode: Some(why), info_code: None },
        Failure::Refused(_) => Error::ConnectionRefused,
        Failure::Unreachable(_) => Error::DestinationUnavailable,
        Failure::Broken(_) => Error::ConnectionTerminated,
        Failure::Certificate(_) => Error::TlsCertificateError,
        Failure::Tls(_) => Error::TlsProtocolError,
        Failure::Protocol(_) => Error::HttpProtocolError,
        Failure::Busy(_) => Error::ConnectionLimitReached,
        Failure::Late(Phase::Resolve) => Error::DnsTimeout,
        Failure::Late(Phase::Connect) => Error::ConnectionTimeout,
        Failure::Late(Phase::Send) => Error::ConnectionWriteTimeout,
        Failure::Late(Phase::Response) => Error::HttpResponseTimeout,
        Failure::Late(Phase::Body) => Error::ConnectionReadTimeout,
    }
}
