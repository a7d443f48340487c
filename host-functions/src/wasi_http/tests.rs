use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Handle;
use wasmtime::component::Resource;
use wasmtime::{AsContextMut, Engine};
use wasmtime_wasi::p2::bindings::sync::io::poll::HostPollable;
use wasmtime_wasi::p2::bindings::sync::io::streams::{HostInputStream, HostOutputStream};
use wasmtime_wasi::p2::{DynInputStream, StreamError};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types as wit;
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingResponse};

use super::*;
use crate::http_client::{Gate, Proxies};
use crate::poll::View;
use crate::rates::Kind;
use crate::testing::{enter_runtime, guest};

mod component;

const LONG: Duration = Duration::from_secs(20);

/// A server on loopback that hands each of its connections to a test, with the request's head.
struct Peer {
    port: u16,
    connections: mpsc::Receiver<(TcpStream, String)>,
}

impl Peer {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, connections) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = read_until(&mut stream, "\r\n\r\n");
                if sender.send((stream, head)).is_err() {
                    return;
                }
            }
        });
        Self { port, connections }
    }

    fn gate(&self) -> Gate {
        gate(&format!("http://127.0.0.1:{}/*", self.port))
    }

    fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with(end) && stream.read(&mut byte).unwrap() == 1 {
        text.push(char::from(byte[0]));
    }
    text
}

fn gate(pattern: &str) -> Gate {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build();
    Gate::behind(vec![pattern.parse().unwrap()], tls, Proxies::default())
}

type Asked = Resource<HostFutureIncomingResponse>;

/// Sends a request as a guest does, its body first opened and finished with these bytes.
fn ask(guest: &mut Guest, method: wit::Method, authority: &str, body: &[u8]) -> Result<Asked, ErrorCode> {
    ask_with(guest, method, authority, body, None)
}

fn ask_with(
    guest: &mut Guest,
    method: wit::Method,
    authority: &str,
    bytes: &[u8],
    options: Option<Resource<wit::RequestOptions>>,
) -> Result<Asked, ErrorCode> {
    let fields = wit::HostFields::new(&mut guest.http()).unwrap();
    let request = wit::HostOutgoingRequest::new(&mut guest.http(), fields);
    let request = request.unwrap();
    let of = |request: &Resource<_>| Resource::new_borrow(request.rep());
    wit::HostOutgoingRequest::set_method(&mut guest.http(), of(&request), method).unwrap().unwrap();
    wit::HostOutgoingRequest::set_scheme(&mut guest.http(), of(&request), Some(Scheme::Http))
        .unwrap()
        .unwrap();
    wit::HostOutgoingRequest::set_authority(&mut guest.http(), of(&request), Some(authority.into()))
        .unwrap()
        .unwrap();
    wit::HostOutgoingRequest::set_path_with_query(&mut guest.http(), of(&request), Some("/p?q=1".into()))
        .unwrap()
        .unwrap();
    let body = wit::HostOutgoingRequest::body(&mut guest.http(), of(&request)).unwrap().unwrap();
    let asked = guest.http().handle(request, options).map_err(|error| error.downcast().unwrap())?;
    if !bytes.is_empty() {
        let stream = wit::HostOutgoingBody::write(&mut guest.http(), Resource::new_borrow(body.rep()))
            .unwrap()
            .unwrap();
        let end = Resource::new_own(stream.rep());
        View(guest).blocking_write_and_flush(stream, bytes.to_vec()).unwrap();
        HostOutputStream::drop(&mut View(guest), end).unwrap();
    }
    wit::HostOutgoingBody::finish(&mut guest.http(), body, None).unwrap();
    Ok(asked)
}

/// Waits for what came of it.
fn answer(guest: &mut Guest, asked: Asked) -> Result<Resource<HostIncomingResponse>, ErrorCode> {
    let pollable =
        wit::HostFutureIncomingResponse::subscribe(&mut guest.http(), Resource::new_borrow(asked.rep()))
            .unwrap();
    let end = Resource::new_own(pollable.rep());
    View(guest).block(pollable).unwrap();
    HostPollable::drop(&mut View(guest), end).unwrap();
    wit::HostFutureIncomingResponse::get(&mut guest.http(), asked).unwrap().unwrap().unwrap()
}

fn body_of(guest: &mut Guest, response: Resource<HostIncomingResponse>) -> Resource<DynInputStream> {
    let body = wit::HostIncomingResponse::consume(&mut guest.http(), response).unwrap().unwrap();
    wit::HostIncomingBody::stream(&mut guest.http(), body).unwrap().unwrap()
}

fn read(guest: &mut Guest, stream: &Resource<DynInputStream>) -> Result<Vec<u8>, StreamError> {
    View(guest).blocking_read(Resource::new_borrow(stream.rep()), 1_000)
}

/// The code behind a read that failed.
fn failed(read: Result<Vec<u8>, StreamError>) -> String {
    match read {
        Err(StreamError::LastOperationFailed(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_response_comes_in_as_the_peer_sends_it() {
    let _runtime = enter_runtime();
    let peer = Peer::new();
    let (mut guest, slot) = guest(peer.gate(), LONG);
    let asked = ask(&mut guest, wit::Method::Get, &peer.authority(), b"").unwrap();
    let (mut stream, head) = peer.connections.recv().unwrap();
    assert!(head.starts_with("GET /p?q=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", peer.authority())), "{head}");
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    stream.write_all(b"HTTP/1.1 201 Created\r\nx-b: 2\r\ncontent-length: 6\r\n\r\none").unwrap();
    let response = answer(&mut guest, asked).unwrap();
    let of = || Resource::new_borrow(response.rep());
    assert_eq!(wit::HostIncomingResponse::status(&mut guest.http(), of()).unwrap(), 201);
    let fields = wit::HostIncomingResponse::headers(&mut guest.http(), of()).unwrap();
    assert_eq!(wit::HostFields::get(&mut guest.http(), fields, "X-B".to_owned()).unwrap(), [b"2"]);
    let body = body_of(&mut guest, response);
    assert_eq!(read(&mut guest, &body).unwrap(), b"one");
    stream.write_all(b"two").unwrap();
    assert_eq!(read(&mut guest, &body).unwrap(), b"two");
    assert!(matches!(read(&mut guest, &body), Err(StreamError::Closed)));
    let (left, entered) = (slot.left.load(Ordering::SeqCst), slot.entered.load(Ordering::SeqCst));
    assert!(left > 0 && left == entered, "{left} {entered}");
}

#[test]
fn a_request_goes_out_as_the_guest_writes_it() {
    let _runtime = enter_runtime();
    let peer = Peer::new();
    let (mut guest, _) = guest(peer.gate(), LONG);
    let asked = ask(&mut guest, wit::Method::Post, &peer.authority(), b"abc").unwrap();
    let (mut stream, head) = peer.connections.recv().unwrap();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert_eq!(read_until(&mut stream, "0\r\n\r\n"), "3\r\nabc\r\n0\r\n\r\n");
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    let response = answer(&mut guest, asked).unwrap();
    assert_eq!(wit::HostIncomingResponse::status(&mut guest.http(), response).unwrap(), 204);
}

#[test]
fn what_is_forbidden_or_fails_says_so_by_its_code() {
    let _runtime = enter_runtime();
    // A port that nothing listens on.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (mut refused, _) = guest(gate(&format!("http://{closed}/*")), LONG);
    let code = |guest: &mut Guest, authority: &str| {
        ask(guest, wit::Method::Get, authority, b"").and_then(|asked| answer(guest, asked)).unwrap_err()
    };
    assert!(matches!(code(&mut refused, &closed), ErrorCode::ConnectionRefused));
    assert!(matches!(code(&mut refused, "127.0.0.1:1"), ErrorCode::HttpRequestDenied));
    let (mut inner, _) = guest(gate("http://127.1/*"), LONG);
    assert!(matches!(code(&mut inner, "127.1"), ErrorCode::DestinationIpProhibited));
    let (mut nobody, _) = guest(Gate::closed(), LONG);
    assert!(matches!(code(&mut nobody, &closed), ErrorCode::HttpRequestDenied));
}

fn options(guest: &mut Guest) -> Resource<wit::RequestOptions> {
    wit::HostRequestOptions::new(&mut guest.http()).unwrap()
}

#[test]
fn the_guests_own_timeouts_hold() {
    let _runtime = enter_runtime();
    let peer = Peer::new();
    let (mut guest, _) = guest(peer.gate(), LONG);
    let soon = Some(50_000_000);
    let first = options(&mut guest);
    wit::HostRequestOptions::set_first_byte_timeout(
        &mut guest.http(),
        Resource::new_borrow(first.rep()),
        soon,
    )
    .unwrap()
    .unwrap();
    let asked = ask_with(&mut guest, wit::Method::Get, &peer.authority(), b"", Some(first)).unwrap();
    assert!(matches!(answer(&mut guest, asked), Err(ErrorCode::HttpResponseTimeout)));

    let between = options(&mut guest);
    wit::HostRequestOptions::set_between_bytes_timeout(
        &mut guest.http(),
        Resource::new_borrow(between.rep()),
        soon,
    )
    .unwrap()
    .unwrap();
    let asked = ask_with(&mut guest, wit::Method::Get, &peer.authority(), b"", Some(between)).unwrap();
    let first = peer.connections.recv().unwrap();
    let (mut stream, _) = peer.connections.recv().unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none").unwrap();
    let response = answer(&mut guest, asked).unwrap();
    let body = body_of(&mut guest, response);
    assert_eq!(read(&mut guest, &body).unwrap(), b"one");
    assert!(failed(read(&mut guest, &body)).contains("read timeout"));
    drop(first);
}

#[test]
fn a_body_that_the_peer_cuts_off_is_no_end() {
    let _runtime = enter_runtime();
    let peer = Peer::new();
    let (mut guest, _) = guest(peer.gate(), LONG);
    let asked = ask(&mut guest, wit::Method::Get, &peer.authority(), b"").unwrap();
    let (mut stream, _) = peer.connections.recv().unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none").unwrap();
    let response = answer(&mut guest, asked).unwrap();
    let body = body_of(&mut guest, response);
    assert_eq!(read(&mut guest, &body).unwrap(), b"one");
    drop(stream);
    assert!(failed(read(&mut guest, &body)).contains("terminated"));
}

#[test]
fn a_function_has_few_requests_under_way() {
    let _runtime = enter_runtime();
    let peer = Peer::new();
    let (mut guest, _) = guest(peer.gate(), LONG);
    let mut asked = Vec::new();
    for _ in 0..8 {
        asked.push(ask(&mut guest, wit::Method::Get, &peer.authority(), b"").unwrap());
    }
    let ninth = ask(&mut guest, wit::Method::Get, &peer.authority(), b"").unwrap();
    assert!(matches!(answer(&mut guest, ninth), Err(ErrorCode::ConnectionLimitReached)));
    for _ in 0..8 {
        let (mut stream, _) = peer.connections.recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    }
    for asked in asked {
        let response = answer(&mut guest, asked).unwrap();
        let body = body_of(&mut guest, response);
        assert!(matches!(read(&mut guest, &body), Err(StreamError::Closed)));
    }
}

#[test]
fn a_response_that_is_announced_as_too_long_is_not_read() {
    let _runtime = enter_runtime();
    let peer = Peer::new();
    let (mut guest, _) = guest(peer.gate(), LONG);
    let asked = ask(&mut guest, wit::Method::Get, &peer.authority(), b"").unwrap();
    let (mut stream, _) = peer.connections.recv().unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").unwrap();
    let refused = answer(&mut guest, asked);
    assert!(matches!(refused, Err(ErrorCode::HttpResponseBodySize(Some(99_999_999_999)))), "{refused:?}");
}

#[test]
fn who_owes_bytes_sends_no_request() {
    let _runtime = enter_runtime();
    let peer = Peer::new();
    let (mut guest, _) = guest(peer.gate(), LONG);
    guest.environment.rates.charge(Kind::Http, 64 << 20);
    let asked = ask(&mut guest, wit::Method::Get, &peer.authority(), b"").unwrap();
    assert!(matches!(answer(&mut guest, asked), Err(ErrorCode::ConnectionLimitReached)));
}

#[test]
fn writing_to_a_client_that_does_not_read_ends_at_the_deadline() {
    let _runtime = enter_runtime();
    let (guest, slot) = guest(Gate::closed(), Duration::from_millis(100));
    let mut store = Store::new(&Engine::default(), guest);
    let (_response, body) = open_response(&mut store);
    let guest = store.data_mut();
    let stream = wit::HostOutgoingBody::write(&mut guest.http(), body).unwrap().unwrap();
    let of = || Resource::new_borrow(stream.rep());
    let mut written = 0;
    let stopped = loop {
        match View(guest).blocking_write_and_flush(of(), vec![0; 4_096]) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&stopped, StreamError::Trap(trap) if trap.is::<wasmtime::Trap>()), "{stopped:?}");
    assert_eq!(written, 1, "the second piece fills the body, and is waited for");
    assert_eq!((slot.left.load(Ordering::SeqCst), slot.entered.load(Ordering::SeqCst)), (1, 1));
}

#[test]
fn reading_from_a_silent_client_ends_at_the_deadline() {
    let _runtime = enter_runtime();
    let (guest, slot) = guest(Gate::closed(), Duration::from_millis(100));
    let mut store = Store::new(&Engine::default(), guest);
    let (request, _) = incoming(&mut store, http::Request::new(Silent), Scheme::Http, |_| ()).unwrap();
    let guest = store.data_mut();
    let body = wit::HostIncomingRequest::consume(&mut guest.http(), request).unwrap().unwrap();
    let stream = wit::HostIncomingBody::stream(&mut guest.http(), body).unwrap().unwrap();
    match read(guest, &stream) {
        Err(StreamError::Trap(trap)) => assert!(trap.is::<wasmtime::Trap>(), "{trap:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((slot.left.load(Ordering::SeqCst), slot.entered.load(Ordering::SeqCst)), (1, 1));
}

/// A body that never comes.
struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[test]
fn a_limit_on_the_clients_body_reaches_the_guest() {
    let _runtime = enter_runtime();
    let (guest, _) = guest(Gate::closed(), LONG);
    let mut store = Store::new(&Engine::default(), guest);
    let body = http_body_util::Limited::new(http_body_util::Full::new(Bytes::from("too much")), 3);
    let (request, _) = incoming(&mut store, http::Request::new(body), Scheme::Http, |_| ()).unwrap();
    let guest = store.data_mut();
    let body = wit::HostIncomingRequest::consume(&mut guest.http(), request).unwrap().unwrap();
    let stream = wit::HostIncomingBody::stream(&mut guest.http(), body).unwrap().unwrap();
    assert!(failed(read(guest, &stream)).contains("body size"));
}

/// A response with its body opened, as a guest makes them.
fn open_response(store: &mut Store<Guest>) -> (Resource<HostOutgoingResponse>, Resource<HostOutgoingBody>) {
    let guest = store.data_mut();
    let fields = wit::HostFields::new(&mut guest.http()).unwrap();
    let response = wit::HostOutgoingResponse::new(&mut guest.http(), fields).unwrap();
    let place = Resource::new_borrow(response.rep());
    let body = endings::watched(store.as_context_mut(), (place,)).unwrap().0.unwrap();
    (response, body)
}

/// What a guest does with the response that it has begun to write.
enum Ending {
    Finishes,
    Leaves,
    Traps,
}

/// The body that a client sees of a guest that writes `half` and ends so.
fn seen_by_client(ending: Ending) -> Result<Bytes, Error> {
    let _runtime = enter_runtime();
    let (guest, _) = guest(Gate::closed(), LONG);
    let mut store = Store::new(&Engine::default(), guest);
    let request = http::Request::new(http_body_util::Empty::<Bytes>::new());
    let (sender, responses) = mpsc::channel();
    let on_response = move |response| sender.send(response).unwrap();
    let (_, out) = incoming(&mut store, request, Scheme::Http, on_response).unwrap();
    let (response, body) = open_response(&mut store);
    let guest = store.data_mut();
    wit::HostResponseOutparam::set(&mut guest.http(), out, Ok(response)).unwrap();
    let response = responses.try_recv().unwrap().unwrap();
    let stream =
        wit::HostOutgoingBody::write(&mut guest.http(), Resource::new_borrow(body.rep())).unwrap().unwrap();
    let gone = Resource::new_own(stream.rep());
    View(guest).blocking_write_and_flush(stream, b"half".to_vec()).unwrap();
    HostOutputStream::drop(&mut View(guest), gone).unwrap();
    match ending {
        Ending::Finishes => {
            endings::finished(store.as_context_mut(), (body, None)).unwrap().0.unwrap();
            assert!(end(&mut store));
        }
        Ending::Leaves => assert!(end(&mut store)),
        // The instance is thrown away, perhaps before anybody asks how it went.
        Ending::Traps => drop(store),
    }
    Handle::current().block_on(response.into_body().collect()).map(|body| body.to_bytes())
}

#[test]
fn only_a_body_that_was_finished_ends_well() {
    assert_eq!(seen_by_client(Ending::Finishes).unwrap(), "half");
    assert!(matches!(seen_by_client(Ending::Leaves), Err(Error::HttpResponseIncomplete)));
    assert!(matches!(seen_by_client(Ending::Traps), Err(Error::HttpResponseIncomplete)));
}

#[test]
fn a_guest_that_sets_no_response_is_told_from_one_that_does() {
    let _runtime = enter_runtime();
    let (guest, _) = guest(Gate::closed(), LONG);
    let mut store = Store::new(&Engine::default(), guest);
    assert!(!end(&mut store), "nothing was begun");
    let (sender, responses) = mpsc::channel::<()>();
    let request = http::Request::new(http_body_util::Empty::<Bytes>::new());
    incoming(&mut store, request, Scheme::Https, move |_| drop(sender)).unwrap();
    assert!(!end(&mut store));
    assert_eq!(responses.try_recv(), Err(mpsc::TryRecvError::Disconnected), "the callback is gone");
}
