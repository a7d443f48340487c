//! A component of the world `wasi:http/proxy`, made from text, behind the one linker.

use wasmtime::component::Component;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::*;

fn component() -> Vec<u8> {
    let mut module = wat::parse_str(include_str!("guest.wat")).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("guest.wit", include_str!("guest.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// What came of one request.
struct Served {
    /// Whether the guest returned, or why it trapped.
    returned: Result<(), String>,
    /// What [`end`] says.
    responded: bool,
    /// The response's body, where there was a response.
    body: Option<Result<Bytes, Error>>,
}

fn serve(body: &str, gate: Gate) -> Served {
    let _runtime = enter_runtime();
    let engine = Engine::default();
    let component = Component::new(&engine, component()).unwrap();
    assert_eq!(crate::link::refused_imports(&engine, &component), Vec::<String>::new());
    let pre = crate::link(&engine).unwrap().instantiate_pre(&component).unwrap();
    let handler = IncomingHandlerIndices::new(&pre).unwrap();
    let mut store = Store::new(&engine, guest(gate, LONG).0);
    let instance = pre.instantiate(&mut store).unwrap();
    let handler = handler.load(&mut store, &instance).unwrap();

    let request = http::Request::new(http_body_util::Full::new(Bytes::from(body.to_owned())));
    let (sender, responses) = mpsc::channel();
    let on_response = move |response| sender.send(response).unwrap();
    let (request, out) = incoming(&mut store, request, Scheme::Http, on_response).unwrap();
    let returned = handler.call_handle(&mut store, request, out).map_err(|e| format!("{e:?}"));
    let responded = end(&mut store);
    let body = responses.recv().ok().map(|response| {
        let body = response.unwrap().into_body().collect();
        Handle::current().block_on(body).map(|body| body.to_bytes())
    });
    Served { returned, responded, body }
}

#[test]
fn a_component_answers_with_what_it_was_sent() {
    let served = serve("fhello", Gate::closed());
    assert!(served.returned.is_ok() && served.responded);
    assert_eq!(served.body.unwrap().unwrap(), "hello");
}

#[test]
fn half_a_response_is_no_response() {
    for (how, returns) in [("thalf", false), ("lhalf", true)] {
        let served = serve(how, Gate::closed());
        assert_eq!((served.returned.is_ok(), served.responded), (returns, true), "{how}");
        assert!(matches!(served.body, Some(Err(Error::HttpResponseIncomplete))), "{how}");
    }
}

#[test]
fn a_component_that_sets_no_response_is_told_from_the_others() {
    let served = serve("n", Gate::closed());
    assert!(served.returned.is_ok() && !served.responded && served.body.is_none());
}

#[test]
fn a_component_asks_another_host_by_the_gate() {
    let peer = Peer::new();
    let (gate, body) = (peer.gate(), format!("p{}", peer.authority()));
    let answering = std::thread::spawn(move || {
        let (mut stream, head) = peer.connections.recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").unwrap();
        head
    });
    assert_eq!(serve(&body, gate).body.unwrap().unwrap(), "hello");
    assert!(answering.join().unwrap().starts_with("GET / HTTP/1.1\r\n"));
    assert!(serve(&body, Gate::closed()).returned.is_err(), "the guest traps on the error");
}

#[test]
fn a_guest_that_takes_resources_without_end_traps() {
    let served = serve("x", Gate::closed());
    let why = served.returned.unwrap_err();
    assert!(why.contains("resource table has no free keys"), "{why}");
    assert!(!served.responded && served.body.is_none());
}
